/**
 * One index rolled up: what it exports, and what that is made of, in one declaration file.
 *
 * Names come in their order, without doc comments: a changed word is seen in the source, and what
 * stands here changes only with the interface.
 */
import { dirname, join } from "node:path";
import { type Declaration, type Module, parseModule } from "./declarations.ts";

/** Yields the text of a declaration file. */
export type ReadModule = (path: string) => string;

/** A name, and the module that declares it. */
interface Place {
  readonly path: string;
  readonly name: string;
}

interface Entry {
  readonly path: string;
  readonly declarations: readonly Declaration[];
}

/** Everything that is reached from one index. */
class Rollup {
  /** What the index exports: whether as a type only, by name. */
  readonly exported = new Map<string, { readonly typeOnly: boolean }>();
  readonly #read: ReadModule;
  readonly #modules = new Map<string, Module>();
  readonly #entries = new Map<string, Entry>();
  /** Package by name. */
  readonly #foreign = new Map<string, string>();

  constructor(read: ReadModule) {
    this.#read = read;
  }

  /** The index at `path`. */
  addIndex(path: string): void {
    const index = this.#module(path);
    for (const { name, exported } of index.declarations) {
      if (!exported) continue;
      this.exported.set(name, { typeOnly: false });
      this.#add({ path, name });
    }
    for (const { name, typeOnly, specifier } of index.reexports) {
      if (this.exported.has(name)) throw new TypeError(`${path} exports ${name} twice`);
      this.exported.set(name, { typeOnly });
      this.#add(this.#origin({ path: relativePath(path, specifier), name }));
    }
  }

  get imports(): ReadonlyMap<string, string> {
    return this.#foreign;
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  #module(path: string): Module {
    const known = this.#modules.get(path);
    if (known !== undefined) return known;
    try {
      const module = parseModule(this.#read(path));
      this.#modules.set(path, module);
      return module;
    } catch (cause) {
      if (cause instanceof TypeError) throw new TypeError(`${path}: ${cause.message}`, { cause });
      throw cause;
    }
  }

  /** Follows re-exports to the declaration. */
  #origin(place: Place): Place {
    const { path, name } = place;
    const module = this.#module(path);
    if (module.declarations.some((found) => found.name === name && found.exported)) return place;
    const passed = module.reexports.find((found) => found.name === name);
    if (passed === undefined) throw new TypeError(`${path} does not export ${name}`);
    return this.#origin({ path: relativePath(path, passed.specifier), name });
  }

  /** Takes in a declaration and all that it mentions. */
  #add({ path, name }: Place): void {
    const known = this.#entries.get(name);
    if (known?.path === path) return;
    if (known !== undefined || this.#foreign.has(name)) {
      throw new TypeError(`${name} has two meanings; one is of ${path}`);
    }
    const module = this.#module(path);
    const declarations = module.declarations.filter((found) => found.name === name);
    this.#entries.set(name, { path, declarations });
    for (const mention of new Set(declarations.flatMap(({ mentions }) => [...mentions]))) {
      const specifier = module.imports.get(mention);
      if (specifier?.startsWith(".") === true) {
        this.#add(this.#origin({ path: relativePath(path, specifier), name: mention }));
      } else if (specifier !== undefined) {
        this.#addForeign(mention, specifier);
      } else if (module.declarations.some((found) => found.name === mention)) {
        this.#add({ path, name: mention });
      }
      // Else it is a word of the language, or a global; the compiler reads the rollup, too.
    }
  }

  #addForeign(name: string, specifier: string): void {
    const known = this.#foreign.get(name) ?? specifier;
    if (known !== specifier || this.#entries.has(name)) {
      throw new TypeError(`${name} has two meanings; one is of ${specifier}`);
    }
    this.#foreign.set(name, specifier);
  }
}

/**
 * The public types of the index at `path`.
 *
 * @param read - the declaration files that `path` leads to.
 * @throws TypeError where they hold a form that is not known, or one name for two things.
 */
export function rollUp(path: string, read: ReadModule): string {
  const rollup = new Rollup(read);
  rollup.addIndex(path);
  const shown: string[] = [];
  const hidden: string[] = [];
  const typesOnly: string[] = [];
  for (const name of sorted(rollup.entries.keys())) {
    for (const { kind, text } of rollup.entries.get(name)?.declarations ?? []) {
      const how = rollup.exported.get(name);
      // Exported as a type only: there is a value, and nobody outside can use it.
      const withheld = how?.typeOnly === true && kind !== "interface" && kind !== "type";
      if (withheld) typesOnly.push(name);
      if (how === undefined || withheld) hidden.push(text);
      else shown.push(`export ${text}`);
    }
  }
  const lists = typesOnly.length > 0 ? [`export type { ${sorted(typesOnly).join(", ")} };`] : [];
  // Without this line, a declaration file exports all that it declares.
  lists.push("export {};");
  const imports = importLines(rollup.imports).join("\n");
  return [imports, ...shown, ...hidden, ...lists].join("\n\n");
}

function importLines(imports: ReadonlyMap<string, string>): readonly string[] {
  const names = (specifier: string): string =>
    sorted([...imports].filter(([, from]) => from === specifier).map(([name]) => name)).join(", ");
  return sorted(imports.values()).map(
    (specifier) => `import type { ${names(specifier)} } from "${specifier}";`,
  );
}

/** Each once, by code units, so that no locale changes a file. */
function sorted(names: Iterable<string>): readonly string[] {
  return [...new Set(names)].toSorted((a, b) => (a < b ? -1 : 1));
}

/** The declaration file that `specifier` means in `from`. */
function relativePath(from: string, specifier: string): string {
  if (!/^\.\.?\/.*\.ts$/u.test(specifier)) {
    throw new TypeError(`${from} exports from ${specifier}, which is no module beside it`);
  }
  return join(dirname(from), specifier.replace(/\.ts$/u, ".d.ts"));
}
