/**
 * Bundles the libraries for browsers, each by itself, and says how large they are.
 *
 * Run by `npm run build:browser`, which fails where one is too large or needs Node. Tests build with
 * the same function, so that a page is tested with what is shipped.
 */
import { readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build, type Metafile, transform } from "esbuild";

const REPOSITORY = fileURLToPath(new URL("..", import.meta.url));
const OUT = join(REPOSITORY, ".build", "browser");

/** What Node has and no browser: whoever names one of these means to run elsewhere. */
const NODE_GLOBALS = [
  "Buffer",
  "process",
  "require",
  "global",
  "setImmediate",
  "__dirname",
  "__filename",
] as const;
/** Where such a name is also found as a property. */
const GLOBAL_OBJECTS = ["globalThis", "self", "window"] as const;

/** One library for pages. */
export interface BrowserEntry {
  readonly name: string;
  readonly path: string;
  /** Fewer compressed bytes than this, in all that is loaded at once; null where it is only reported. */
  readonly maxGzipBytes: number | null;
}

export interface Size {
  readonly name: string;
  readonly bytes: number;
  readonly gzip: number;
}

export interface BrowserBundle {
  readonly name: string;
  /** Of the entry with all it imports at once; then, where there is any, of what it loads later. */
  readonly sizes: readonly Size[];
  /** The source files in it, relative to the repository. */
  readonly inputs: readonly string[];
  /** Why it must not be shipped; empty of a good one. */
  readonly faults: readonly string[];
}

export const BROWSER_ENTRIES: readonly BrowserEntry[] = [
  // What a page loads before it can ask anything in private.
  { name: "client", path: inRepository("client/index.ts"), maxGzipBytes: 40 * 1000 },
  // What a page loads to judge evidence, and nothing else.
  { name: "verifier", path: inRepository("attestation/evidence.ts"), maxGzipBytes: 20 * 1000 },
  // Evidence, receipts and proofs.
  { name: "proofs", path: inRepository("attestation/index.ts"), maxGzipBytes: null },
];

/** Writes each entry to `outDir/<name>/<name>.js`, in place of what was there. */
export async function buildBundles(
  outDir: string,
  entries: readonly BrowserEntry[] = BROWSER_ENTRIES,
): Promise<readonly BrowserBundle[]> {
  const bundles: BrowserBundle[] = [];
  for (const entry of entries) {
    const outdir = join(outDir, entry.name);
    await rm(outdir, { recursive: true, force: true });
    const { metafile } = await build({
      absWorkingDir: REPOSITORY,
      entryPoints: { [entry.name]: entry.path },
      outdir,
      bundle: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      minify: true,
      charset: "utf8",
      // What is imported on demand, the fallback for ML-KEM, becomes a file of its own.
      splitting: true,
      metafile: true,
      logLevel: "warning",
    });
    const sizes = await measure(entry.name, metafile);
    const faults = [...(await portability(metafile)), ...excess(entry, sizes)];
    bundles.push({ name: entry.name, sizes, inputs: Object.keys(metafile.inputs), faults });
  }
  return bundles;
}

/** The entry with all it imports at once; then what it may load later. */
async function measure(name: string, { outputs }: Metafile): Promise<readonly Size[]> {
  const entry = Object.keys(outputs).find((path) => basename(path) === `${name}.js`);
  if (entry === undefined) throw new TypeError(`esbuild wrote no ${name}.js`);
  const atOnce = new Set<string>();
  const queue = [entry];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (atOnce.has(path)) continue;
    atOnce.add(path);
    for (const { kind, external, path: imported } of outputs[path]?.imports ?? []) {
      if (kind === "import-statement" && external !== true) queue.push(imported);
    }
  }
  const later = Object.keys(outputs).filter((path) => !atOnce.has(path));
  const own = await sizeOf(name, [...atOnce]);
  return later.length === 0 ? [own] : [own, await sizeOf(`${name}, on demand`, later)];
}

async function sizeOf(name: string, paths: readonly string[]): Promise<Size> {
  let bytes = 0;
  let gzip = 0;
  for (const path of paths) {
    const content = await readFile(inRepository(path));
    bytes += content.length;
    gzip += gzipSync(content, { level: 9 }).length;
  }
  return { name, bytes, gzip };
}

function excess({ name, maxGzipBytes }: BrowserEntry, sizes: readonly Size[]): readonly string[] {
  const gzip = sizes.find((size) => size.name === name)?.gzip ?? Infinity;
  if (maxGzipBytes === null || gzip < maxGzipBytes) return [];
  return [`${name}: ${gzip} bytes gzip, want less than ${maxGzipBytes}`];
}

/** What a bundle needs that a page does not have. */
async function portability({ outputs }: Metafile): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const [path, { imports }] of Object.entries(outputs)) {
    const file = basename(path);
    // A module of Node, a package left out, a URL: none of it is in the files that we ship.
    for (const { external, path: wanted } of imports) {
      if (external === true) faults.push(`${file}: imports ${wanted}, which is not in the bundle`);
    }
    for (const name of await nodeGlobalsIn(await readFile(inRepository(path), "utf8"))) {
      faults.push(`${file}: uses ${name}, which only Node has`);
    }
  }
  return faults;
}

/**
 * The names of Node that `code` uses and does not declare.
 *
 * esbuild's `define` replaces a name only where it means the global, not in a string, as a property
 * or where it is declared: so each gets a mark that is nowhere in the code, and is then looked for.
 */
export async function nodeGlobalsIn(code: string): Promise<readonly string[]> {
  let mark = "only_node_has_";
  while (code.includes(mark)) mark += "_";
  const define = NODE_GLOBALS.flatMap((name) => [
    [name, mark + name],
    ...GLOBAL_OBJECTS.map((object) => [`${object}.${name}`, mark + name]),
  ]);
  const marked = await transform(code, { format: "esm", define: Object.fromEntries(define) });
  return NODE_GLOBALS.filter((name) => marked.code.includes(mark + name));
}

function inRepository(path: string): string {
  return join(REPOSITORY, path);
}

async function main(): Promise<void> {
  for (const { sizes, faults } of await buildBundles(OUT)) {
    for (const { name, bytes, gzip } of sizes) {
      process.stdout.write(
        `${name.padEnd(28)} ${String(bytes).padStart(8)} bytes  ${String(gzip).padStart(7)} gzip\n`,
      );
    }
    for (const fault of faults) {
      process.stderr.write(`${fault}\n`);
      process.exitCode = 1;
    }
  }
}

if (import.meta.main) await main();
