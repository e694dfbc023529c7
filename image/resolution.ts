/**
 * Which file a specifier means, as Node decides it (Node's "Modules: Packages", "Determining module
 * system" and "ESM resolution"), without loading anything and for any checkout, not only our own.
 *
 * Node's own `import.meta.resolve` knows one importer only, the module that calls it; and
 * `require.resolve` finds a package's CommonJS half, where an `import` loads the other.
 */
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { builtinModules, createRequire } from "node:module";
import { dirname, extname, resolve } from "node:path";
import { ImageError } from "./errors.ts";

/** What an `import` meets in a package's "exports", beside "default". */
const IMPORT_CONDITIONS: ReadonlySet<string> = new Set([
  "node",
  "import",
  "module-sync",
  "node-addons",
  "default",
]);
const MANIFEST = "package.json";
const PACKAGE_FOLDER = /\/node_modules\/(?:@[^/]+\/)?[^@/][^/]*$/u;
const BARE = /^((?:@[\w.~-]+\/)?[\w.~-]+)(\/.+)?$/u;

/** How a module asks for another one. */
export type Asking = "import" | "require";

/** The parts of a package.json that decide what is loaded. */
interface Manifest {
  readonly main?: unknown;
  readonly dependencies?: unknown;
  readonly optionalDependencies?: unknown;
  readonly peerDependencies?: unknown;
  readonly exports?: unknown;
  readonly type?: unknown;
}

/**
 * The real path of what `from` gets for `specifier`; null where that is built into Node.
 *
 * @throws ImageError `image/input` where nothing is found, or the package does not export it.
 */
export function resolvedModule(specifier: string, from: string, asking: Asking): string | null {
  if (specifier.startsWith("node:") || builtinModules.includes(specifier)) return null;
  try {
    if (asking === "require") return realpathSync(createRequire(from).resolve(specifier));
    if (/^\.{0,2}\//u.test(specifier)) return realpathSync(resolve(dirname(from), specifier));
  } catch (cause) {
    throw notFound(specifier, from, cause);
  }
  const [, name, rest = ""] = BARE.exec(specifier) ?? [];
  const folder = name === undefined ? null : packageFolder(name, from);
  if (folder === null) throw notFound(specifier, from);
  const targets = exportedFiles(readManifest(folder), `.${rest}`);
  const file = targets.map((target) => resolve(folder, target)).find(isFile);
  if (file === undefined) throw notFound(specifier, from);
  return realpathSync(file);
}

/**
 * Whether the package of `from` can do without `specifier`: it is no file of its own, and none of the
 * packages that it is installed with. An error message that tells the reader to `require("x")` reads like
 * a module that does; and what is not there is not there in the image, either.
 */
export function isDispensable(specifier: string, from: string): boolean {
  const [, name] = /^[./]/u.test(specifier) ? [] : (BARE.exec(specifier) ?? []);
  // The topmost folder of the package: one below may have a package.json that says its "type" alone.
  const top = nearest(dirname(from), (folder) => PACKAGE_FOLDER.test(folder));
  if (name === undefined || top === null || packageFolder(name, from) !== null) return false;
  const { dependencies, optionalDependencies, peerDependencies } = readManifest(top);
  return ![dependencies, optionalDependencies, peerDependencies].some(
    (named) => isObject(named) && Object.hasOwn(named, name),
  );
}

/** Whether Node reads `file` as an ES module: its extension, or the package.json above it, says so. */
export function isEsModule(file: string): boolean {
  const extension = extname(file);
  if (extension === ".mjs" || extension === ".mts") return true;
  if (extension !== ".js" && extension !== ".ts") return false;
  const scope = nearest(dirname(file), (folder) => existsSync(resolve(folder, MANIFEST)));
  return scope !== null && readManifest(scope).type === "module";
}

/** The folder of package `name` in the node_modules next above `from`, with its links followed. */
export function packageFolder(name: string, from: string): string | null {
  const inside = (folder: string): string => resolve(folder, "node_modules", name);
  const above = nearest(dirname(from), (folder) => existsSync(resolve(inside(folder), MANIFEST)));
  return above === null ? null : realpathSync(inside(above));
}

function nearest(start: string, found: (folder: string) => boolean): string | null {
  for (let folder = start; ; folder = dirname(folder)) {
    if (found(folder)) return folder;
    if (folder === dirname(folder)) return null;
  }
}

function readManifest(folder: string): Manifest {
  const file = resolve(folder, MANIFEST);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new ImageError("image/input", `${file} cannot be read as JSON`, { cause });
  }
  if (!isObject(value)) throw new ImageError("image/input", `${file} is no JSON object`);
  return value;
}

/** Where what a package gives out as `subpath` (`.` or `./name`) may be; the first that is there is it. */
function exportedFiles(manifest: Manifest, subpath: string): readonly string[] {
  const exported = manifest.exports;
  if (exported === undefined) return unlisted(manifest, subpath);
  if (!isObject(exported) || !Object.keys(exported).some((key) => key.startsWith("."))) {
    return subpath === "." ? chosen(exported, "") : [];
  }
  if (subpath in exported) return chosen(exported[subpath], "");
  // Of the patterns that match, the one with the longest beginning is meant.
  const [best] = Object.keys(exported)
    .map((key) => ({ key, cut: key.indexOf("*") }))
    .filter(({ key, cut }) => cut !== -1 && matches(subpath, key, cut))
    .toSorted((a, b) => b.cut - a.cut);
  if (best === undefined) return [];
  const { key, cut } = best;
  const filling = subpath.slice(cut, subpath.length - (key.length - cut - 1));
  return chosen(exported[key], filling);
}

function matches(subpath: string, pattern: string, cut: number): boolean {
  const [head, tail] = [pattern.slice(0, cut), pattern.slice(cut + 1)];
  const room = subpath.length > head.length + tail.length;
  return room && subpath.startsWith(head) && subpath.endsWith(tail);
}

/** A package without "exports": its main file, in any of the ways to name it, or a file by its path. */
function unlisted({ main }: Manifest, subpath: string): readonly string[] {
  if (subpath !== ".") return [subpath];
  const named = typeof main === "string" ? [main, `${main}.js`, `${main}/index.js`] : [];
  return [...named, "index.js"];
}

/** The first target whose conditions an `import` meets; none, or that one. */
function chosen(target: unknown, filling: string): readonly string[] {
  if (typeof target === "string") return [target.replaceAll("*", filling)];
  if (!isObject(target)) return [];
  for (const [condition, value] of Object.entries(target)) {
    if (!IMPORT_CONDITIONS.has(condition)) continue;
    const found = chosen(value, filling);
    if (found.length > 0) return found;
  }
  return [];
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function notFound(specifier: string, from: string, cause?: unknown): ImageError {
  const message = `${from} loads "${specifier}", which is not there`;
  return new ImageError("image/input", message, cause === undefined ? {} : { cause });
}
