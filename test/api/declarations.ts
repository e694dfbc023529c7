/**
 * The declaration files that `tsc` writes, statement by statement.
 *
 * Not TypeScript's whole grammar: the forms that our own modules come to. Any other form is a
 * `TypeError`, so that nothing is left out of a rollup without a word.
 */

type Kind = "function" | "const" | "class" | "interface" | "type";

/** One declaration at the top level of a module. */
export interface Declaration {
  readonly name: string;
  readonly kind: Kind;
  readonly exported: boolean;
  /** Without `export` and without comments, on the lines that tsc gave it. */
  readonly text: string;
  /** Every name in it that may mean another declaration. A few may not; none is missing. */
  readonly mentions: ReadonlySet<string>;
}

/** `export { name } from "specifier"`. */
export interface Reexport {
  readonly name: string;
  readonly typeOnly: boolean;
  readonly specifier: string;
}

export interface Module {
  /** Specifiers by imported name. */
  readonly imports: ReadonlyMap<string, string>;
  readonly reexports: readonly Reexport[];
  /** In their order; overloads of one function, or a type and a value, share a name. */
  readonly declarations: readonly Declaration[];
}

interface Token {
  readonly text: string;
  readonly start: number;
}

/** A comment, a string, a word or number, `=>`, or one other character. */
const TOKEN =
  /\/\*[^]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|#?[\p{ID_Start}$_][\p{ID_Continue}$]*|\d[\w.]*|=>|\S/gu;
const COMMENT = /\/\*[^]*?\*\/|\/\/[^\n]*/gu;
const WORD = /^[\p{ID_Start}$_]/u;
const OPENING: ReadonlySet<string> = new Set(["{", "(", "[", "<"]);
const CLOSING: ReadonlySet<string> = new Set(["}", ")", "]", ">"]);
/** Of these the body's brace ends the statement; of all others a semicolon does. */
const BRACED: ReadonlySet<string> = new Set(["class", "interface"]);

/** @throws TypeError where a statement has a form that is not known here. */
export function parseModule(text: string): Module {
  const imports = new Map<string, string>();
  const reexports: Reexport[] = [];
  const declarations: Declaration[] = [];
  for (const statement of statements(text)) {
    const words = statement.map((token) => token.text);
    const opensList = words[1] === "{" || (words[1] === "type" && words[2] === "{");
    if (words[0] === "import") {
      for (const { name, specifier } of namedList(words)) imports.set(name, specifier);
    } else if (words[0] === "export" && opensList) {
      reexports.push(...namedList(words));
    } else {
      declarations.push(declaration(text, statement));
    }
  }
  return { imports, reexports, declarations };
}

function tokens(text: string): readonly Token[] {
  const found: Token[] = [];
  for (const match of text.matchAll(TOKEN)) {
    const token = { text: match[0], start: match.index };
    if (token.text.startsWith("///")) throw unknownForm([token]);
    if (!/^\/[/*]./u.test(token.text)) found.push(token);
  }
  return found;
}

function* statements(text: string): Generator<readonly Token[], void, void> {
  let statement: Token[] = [];
  let depth = 0;
  let braced = false;
  for (const token of tokens(text)) {
    statement.push(token);
    // A string of another form than tsc writes, or a template: neither ends where we would look.
    if (/^["'`]$/u.test(token.text)) throw unknownForm(statement);
    if (OPENING.has(token.text)) depth++;
    if (CLOSING.has(token.text)) depth--;
    if (depth < 0) throw unknownForm(statement);
    if (depth > 0) continue;
    braced ||= BRACED.has(token.text) && keywordAt(statement) === statement.length - 1;
    if (token.text !== (braced ? "}" : ";")) continue;
    yield statement;
    statement = [];
    braced = false;
  }
  if (statement.length > 0) throw unknownForm(statement);
}

/** Where the word is that says what is declared. */
function keywordAt(statement: readonly Token[]): number {
  const before = new Set(["export", "declare", "abstract"]);
  const at = statement.findIndex(({ text }) => !before.has(text));
  return at === -1 ? statement.length : at;
}

/** The names of `import { … } from "…";` or `export { … } from "…";`, type-only or not. */
function namedList(words: readonly string[]): readonly Reexport[] {
  const wholeType = words[1] === "type";
  const open = wholeType ? 2 : 1;
  const close = words.indexOf("}");
  const [from, specifier = "", end, ...rest] = words.slice(close + 1);
  const empty = close === open + 1 && from === ";";
  if (empty && words[0] === "export" && !wholeType) return [];
  const named = words[open] === "{" && close > open + 1 && from === "from" && end === ";";
  if (!named || rest.length > 0 || !specifier.startsWith('"')) throw unknownForm(words);
  const items = words
    .slice(open + 1, close)
    .join(" ")
    .split(",");
  if (items.at(-1) === "") items.pop();
  return items.map((item) => {
    const [first = "", second, ...more] = item.trim().split(" ");
    const typed = first === "type" && second !== undefined;
    // An alias, a default or a namespace would mean names that differ between modules.
    if (more.length > 0 || (!typed && second !== undefined)) throw unknownForm(words);
    const name = typed ? second : first;
    return { name, typeOnly: wholeType || typed, specifier: specifier.slice(1, -1) };
  });
}

function declaration(text: string, statement: readonly Token[]): Declaration {
  const words = statement.map((token) => token.text);
  const at = keywordAt(statement);
  const kind = kindOf(words[at]);
  const name = words[at + 1] ?? "";
  const declared = words.slice(0, at).includes("declare");
  const isValue = kind === "function" || kind === "const" || kind === "class";
  if (kind === null || !WORD.test(name) || declared !== isValue) throw unknownForm(statement);
  if (kind === "const" && hasOuterComma(words)) throw unknownForm(statement);
  // tsc refers to a module in place where it infers a type; ours are all written out.
  if (words.includes("import")) throw unknownForm(statement);
  const exported = words[0] === "export";
  return {
    name,
    kind,
    exported,
    text: sourceText(text, exported ? statement.slice(1) : statement),
    mentions: mentionsOf(words, name),
  };
}

/** Whether a second declaration follows in the same statement. */
function hasOuterComma(words: readonly string[]): boolean {
  let depth = 0;
  return words.some((word) => {
    if (OPENING.has(word)) depth++;
    if (CLOSING.has(word)) depth--;
    return word === "," && depth === 0;
  });
}

function kindOf(word: string | undefined): Kind | null {
  switch (word) {
    case "function":
    case "const":
    case "class":
    case "interface":
    case "type":
      return word;
    default:
      return null;
  }
}

/** What the tokens stand in, with comments left out, and the lines that held nothing else. */
function sourceText(text: string, statement: readonly Token[]): string {
  let written = "";
  let end = statement[0]?.start ?? 0;
  for (const token of statement) {
    const gap = text.slice(end, token.start).replaceAll(COMMENT, "");
    written += /\n *$/u.exec(gap)?.[0] ?? gap.replace(/ +/u, " ");
    written += token.text;
    end = token.start + token.text.length;
  }
  return written;
}

/** Words that may name a declaration: no member or parameter at its own place, and no call. */
function mentionsOf(words: readonly string[], own: string): ReadonlySet<string> {
  const found = new Set<string>();
  words.forEach((word, i) => {
    if (!WORD.test(word) || word === own) return;
    const [before, after] = [words[i - 1] ?? "", words[i + 1] ?? ""];
    const optional = after === "?" && (words[i + 2] === ":" || words[i + 2] === "(");
    // After "?" a colon belongs to a conditional type, and what stands between is a type.
    const labelled = before !== "?" && (after === ":" || optional);
    if (before === "." || labelled || after === "(") return;
    found.add(word);
  });
  return found;
}

function unknownForm(statement: readonly (Token | string)[]): TypeError {
  const words = statement.map((token) => (typeof token === "string" ? token : token.text));
  return new TypeError(
    `a declaration of a form that is not known: ${words.slice(0, 12).join(" ")}`,
  );
}
