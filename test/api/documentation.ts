/**
 * What a reader of an index is not told: names without a doc comment, and functions that may throw
 * without saying which codes.
 *
 * It reads sources that prettier has formatted: a declaration at the top level begins at the left
 * edge, and a function ends with the first line that is a lone brace there.
 */
import { dirname, join } from "node:path";
import { parseModule } from "./declarations.ts";
import type { ReadModule } from "./rollup.ts";

/** One thing that an exported name lacks. */
export interface Gap {
  readonly name: string;
  readonly missing: string;
}

interface Place {
  readonly path: string;
  readonly name: string;
}

interface Item {
  readonly kind: string;
  /** The doc comment right above it, or nothing. */
  readonly doc: string;
  /** Of a function all of it; of a class its constructor. Without comments. */
  readonly body: string;
}

interface Source {
  readonly items: ReadonlyMap<string, Item>;
  /** Specifiers by imported name. */
  readonly imports: ReadonlyMap<string, string>;
}

const DECLARATION =
  /^(?:export )?(?:declare )?(?:abstract )?(?:async )?(?<kind>function|const|class|interface|type)\*? (?<name>\w+)/u;
const IMPORT = /^import (?:type )?\{(?<names>[^}]*)\} from "(?<specifier>[^"]+)";/gmu;
/** A refusal with a code: the class itself, the one derived of it, or what a function makes. */
const CODED = "AttestationError";
const CODED_CLASSES: ReadonlySet<string> = new Set([CODED, "Refusal"]);
const CODE = /`(?<stage>[a-z0-9-]+)\/(?<what>[a-z0-9-]+|…)`/gu;

/**
 * The gaps of the index at `path`, by name.
 *
 * @param read - the sources. @param codes - every code that there is.
 */
export function documentationGaps(
  path: string,
  read: ReadModule,
  codes: ReadonlySet<string>,
): readonly Gap[] {
  const sources = new Sources(read);
  return parseModule(read(path))
    .reexports.flatMap(({ name, specifier }) => {
      const module = join(dirname(path), specifier);
      return gapsOf(sources, module, name, codes).map((missing) => ({ name, missing }));
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function gapsOf(
  sources: Sources,
  path: string,
  name: string,
  codes: ReadonlySet<string>,
): readonly string[] {
  const { doc, kind } = sources.item(path, name);
  if (doc === "") return ["a doc comment"];
  const unknown = codesIn(doc).filter((code) => !known(code, codes));
  const gaps = unknown.map((code) => `a code that exists, in place of ${code}`);
  if (kind !== "function" || /\bnever (?:throws|rejects)\b/iu.test(doc)) return gaps;
  const thrown = sources.thrownBy(path, name);
  if (thrown.has(CODED) && !namesCodes(sources, path, name)) gaps.push("@throws with its codes");
  for (const error of thrown) {
    if (error !== CODED && !throwsOf(doc).includes(error)) gaps.push(`@throws ${error}`);
  }
  return gaps;
}

/** Codes after `@throws`, or "as {@link f}" for a function that has them. */
function namesCodes(sources: Sources, path: string, name: string): boolean {
  const { doc } = sources.item(path, name);
  if (codesIn(doc).length > 0) return true;
  return [...throwsOf(doc).matchAll(/\{@link (?<other>\w+)\}/gu)].some(({ groups }) => {
    const other = sources.resolve(path, groups?.["other"] ?? "");
    return other !== null && codesIn(sources.item(other.path, other.name).doc).length > 0;
  });
}

/** The codes that a doc comment names after `@throws`. */
function codesIn(doc: string): readonly string[] {
  const named = [...throwsOf(doc).matchAll(CODE)];
  return named.map(({ groups }) => `${groups?.["stage"]}/${groups?.["what"]}`);
}

function throwsOf(doc: string): string {
  const start = doc.indexOf("@throws");
  return start === -1 ? "" : doc.slice(start);
}

function known(code: string, codes: ReadonlySet<string>): boolean {
  if (!code.endsWith("/…")) return codes.has(code);
  return [...codes].some((one) => one.startsWith(code.slice(0, -1)));
}

/** The modules of one package, read when they are asked for. */
class Sources {
  readonly #read: ReadModule;
  readonly #sources = new Map<string, Source>();

  constructor(read: ReadModule) {
    this.#read = read;
  }

  item(path: string, name: string): Item {
    const item = this.#source(path).items.get(name);
    if (item === undefined) throw new TypeError(`${path} does not declare ${name}`);
    return item;
  }

  /** Where `name`, as `path` writes it, is declared: here or in a module beside it. */
  resolve(path: string, name: string): Place | null {
    const { items, imports } = this.#source(path);
    if (items.has(name)) return { path, name };
    const specifier = imports.get(name);
    if (specifier?.startsWith("./") !== true) return null;
    const from = join(dirname(path), specifier);
    return this.#source(from).items.has(name) ? { path: from, name } : null;
  }

  /**
   * The errors that a function may throw: its own, and of those it calls the ones with a code.
   *
   * A function that is named in a body counts as called. Methods are not followed: whoever has an
   * object of ours got it from a function that is.
   */
  thrownBy(path: string, name: string): ReadonlySet<string> {
    const thrown = new Set(this.#ownThrows({ path, name }));
    const reached = new Map<string, Place>([[name, { path, name }]]);
    // A map that grows while it is walked.
    for (const place of reached.values()) {
      if (this.#ownThrows(place).includes(CODED)) thrown.add(CODED);
      for (const callee of this.#callees(place)) {
        reached.set(`${callee.path} ${callee.name}`, callee);
      }
    }
    return thrown;
  }

  #ownThrows({ path, name }: Place): readonly string[] {
    const { body } = this.item(path, name);
    return [...body.matchAll(/\bthrow (?:new (\w+)|[\w.]+\()/gu)].map(([, error]) =>
      error === undefined || CODED_CLASSES.has(error) ? CODED : error,
    );
  }

  #callees({ path, name }: Place): readonly Place[] {
    const { body } = this.item(path, name);
    return [...body.matchAll(/(?<!\.)\b(?:(new) )?(\w+)\b/gu)].flatMap(([, made, word = ""]) => {
      const callee = this.resolve(path, word);
      if (callee === null) return [];
      const { kind } = this.item(callee.path, callee.name);
      return kind === "function" || (kind === "class" && made !== undefined) ? [callee] : [];
    });
  }

  #source(path: string): Source {
    const known = this.#sources.get(path);
    if (known !== undefined) return known;
    const source = parseSource(this.#read(path));
    this.#sources.set(path, source);
    return source;
  }
}

function parseSource(text: string): Source {
  const lines = text.split("\n");
  const items = new Map<string, Item>();
  lines.forEach((line, i) => {
    const { kind, name } = DECLARATION.exec(line)?.groups ?? {};
    if (kind === undefined || name === undefined) return;
    items.set(name, { kind, doc: docAbove(lines, i), body: bodyOf(lines, i, kind) });
  });
  const imports = new Map<string, string>();
  for (const { groups } of text.matchAll(IMPORT)) {
    for (const item of (groups?.["names"] ?? "").split(",")) {
      imports.set(item.trim().replace(/^type /u, ""), groups?.["specifier"] ?? "");
    }
  }
  return { items, imports };
}

/** The comment that ends on the line above, notes to tools apart. */
function docAbove(lines: readonly string[], declaration: number): string {
  let end = declaration - 1;
  while (/^\/\/ (?:prettier-ignore|oxlint-disable)/u.test(lines[end] ?? "")) end--;
  if (lines[end]?.endsWith("*/") !== true) return "";
  let start = end;
  while (start > 0 && lines[start]?.startsWith("/*") !== true) start--;
  const comment = lines.slice(start, end + 1).join("\n");
  return comment.startsWith("/**") ? comment : "";
}

function bodyOf(lines: readonly string[], declaration: number, kind: string): string {
  const ends = lines.findIndex((line, i) => i >= declaration && /^\}$|^\S.*\{\}$/u.test(line));
  const whole = lines.slice(declaration, ends + 1).join("\n");
  const body =
    kind === "class" ? (/^ {2}constructor\([^]*?^ {2}\}/mu.exec(whole)?.[0] ?? "") : whole;
  return body.replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gmu, "");
}
