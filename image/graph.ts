/**
 * The static module graph: every file that Node reads of our code and of packages when it loads an
 * entry point.
 *
 * What a package loads by a name that it computes is not seen here; native.ts lists those.
 */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { ImageError } from "./errors.ts";
import {
  type Asking,
  isDispensable,
  isEsModule,
  packageFolder,
  resolvedModule,
} from "./resolution.ts";

/**
 * Statements that load a module. `import type` and `export type … from` load nothing; an import whose
 * names are all types still does (verbatimModuleSyntax).
 */
const LOADS: readonly RegExp[] = [
  /^(?:import|export)\s+(?!type\b)[^;"']*?\bfrom\s*["']([^"']+)["']/gmu,
  /^import\s*["']([^"']+)["']/gmu,
  /\bnew URL\(\s*["'](\.[^"']+\.ts)["'],\s*import\.meta\.url\s*\)/gu,
];
/** CommonJS can do this, too. */
const IMPORTS = /\bimport\(\s*["']([^"']+)["']\s*\)/gu;
const REQUIRES = /\brequire\(\s*["']([^"']+)["']\s*\)/gu;
/**
 * What packages would load where they look for credentials and regions by themselves, or serve a browser.
 * An enclave tells the SDK all of that (enclave/keys/kms-client.ts), so none of it is in an image, and
 * what should ask for it after all fails. By package, as it names them.
 */
export const LEFT_OUT: ReadonlyMap<string, readonly string[]> = new Map([
  [
    "@aws-sdk/credential-provider-node",
    [
      "@aws-sdk/credential-provider-http",
      "@aws-sdk/credential-provider-ini",
      "@aws-sdk/credential-provider-process",
      "@aws-sdk/credential-provider-sso",
      "@aws-sdk/credential-provider-web-identity",
      "@smithy/credential-provider-imds",
    ],
  ],
  ["@aws-sdk/core", ["bowser"]],
]);
const CODE = /\.[cm]?[jt]s$/u;
const PACKAGES = "node_modules/";
/** At the root, or of one workspace of ours, where two need different versions. */
const OF_PACKAGE = /(?:^|\/)node_modules\//u;
const OWN_SCOPE = "@countersign/";
/** Far above what an enclave is made of. */
const MAX_FILES = 20_000;

/** Paths are relative to the checkout, with `/`, sorted. */
export interface Graph {
  /** Files of ours. */
  readonly modules: readonly string[];
  /** Names of packages that are not ours. */
  readonly packages: readonly string[];
  /** Files of those packages. */
  readonly packageFiles: readonly string[];
  /** Our own packages, which node_modules holds as links. */
  readonly workspaces: readonly string[];
}

/**
 * Everything that loading `entries` of the checkout at `root` loads.
 *
 * @throws ImageError `image/input` on a module that is missing or lies outside of `root`.
 */
export function moduleGraph(root: string, entries: readonly string[]): Graph {
  const base = realpathSync(root);
  const seen = new Set<string>();
  const workspaces = new Set<string>();
  const queue = entries.map((entry) => join(base, entry));
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    const path = inside(base, file);
    if (seen.has(path)) continue;
    if (seen.add(path).size > MAX_FILES) {
      throw new ImageError("image/input", `more than ${MAX_FILES} modules are loaded`);
    }
    const own = !OF_PACKAGE.test(path);
    const leftOut = own ? [] : (LEFT_OUT.get(packageName(path)) ?? []);
    for (const { specifier, asking, linked } of loadedBy(file, own)) {
      if (!linked && leftOut.includes(specifier)) continue;
      if (!own && !linked && isDispensable(specifier, file)) continue;
      if (specifier.startsWith(OWN_SCOPE)) workspaces.add(workspaceName(specifier));
      const found = resolvedModule(specifier, file, asking);
      if (found !== null) queue.push(found);
    }
  }
  const files = [...seen].toSorted();
  const packageFiles = files.filter((path) => OF_PACKAGE.test(path));
  return {
    modules: files.filter((path) => !OF_PACKAGE.test(path)),
    packages: [...new Set(packageFiles.map(packageName))].toSorted(),
    packageFiles,
    workspaces: [...workspaces].toSorted(),
  };
}

/**
 * The package.json files that decide how `paths` are read: all between a file and the root, which
 * has one of its own that is not among them. Node stops at the nearest; "exports" are in the topmost.
 */
export function manifestsOf(root: string, paths: readonly string[]): readonly string[] {
  const found = new Set<string>();
  for (const path of paths) {
    for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) {
      const manifest = `${folder}/package.json`;
      if (existsSync(join(root, manifest))) found.add(manifest);
    }
  }
  return [...found].toSorted();
}

/** Where a workspace of ours lies, relative to the root. @throws ImageError `image/input`. */
export function workspaceFolder(root: string, name: string): string {
  const folder = packageFolder(name, join(realpathSync(root), "package.json"));
  if (folder === null) throw new ImageError("image/input", `there is no package ${name}`);
  return inside(realpathSync(root), folder);
}

interface Load {
  readonly specifier: string;
  readonly asking: Asking;
  /** By a statement, without which the module does not load; else by a call, which it may never come to. */
  readonly linked: boolean;
}

function loadedBy(file: string, own: boolean): readonly Load[] {
  if (!CODE.test(file)) return [];
  const text = readText(file);
  const isModule = own || isEsModule(file);
  const load = (asking: Asking, linked: boolean) => (specifier: string) => ({
    specifier,
    asking,
    linked,
  });
  const statements = isModule ? LOADS : [];
  const requires = isModule ? [] : specifiers(text, REQUIRES);
  return [
    ...statements.flatMap((pattern) => specifiers(text, pattern)).map(load("import", true)),
    ...specifiers(text, IMPORTS).map(load("import", false)),
    ...requires.map(load("require", false)),
  ];
}

function specifiers(text: string, pattern: RegExp): readonly string[] {
  return [...text.matchAll(pattern)].map(([, specifier = ""]) => specifier);
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new ImageError("image/input", `${file} cannot be read`, { cause });
  }
}

function inside(root: string, file: string): string {
  const path = relative(root, file).replaceAll(sep, "/");
  if (path.startsWith("../")) throw new ImageError("image/input", `${file} is not in ${root}`);
  return path;
}

function workspaceName(specifier: string): string {
  return specifier.split("/").slice(0, 2).join("/");
}

function packageName(path: string): string {
  const innermost = path.lastIndexOf(PACKAGES) + PACKAGES.length;
  const [first = "", second = ""] = path.slice(innermost).split("/");
  return first.startsWith("@") ? `${first}/${second}` : first;
}
