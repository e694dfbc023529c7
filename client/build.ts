// Bundles the client for browsers and says how large it is. Run by `npm run build:browser`.
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build, type Metafile } from "esbuild";

const REPOSITORY = fileURLToPath(new URL("..", import.meta.url));
const OUT = join(REPOSITORY, ".build", "browser");
/** What a page may have to load before it can ask anything in private, compressed. */
const MAX_CLIENT_GZIP_BYTES = 40 * 1000;

interface Size {
  readonly name: string;
  readonly bytes: number;
  readonly gzip: number;
}

const sizes = await bundle({
  client: join(REPOSITORY, "client", "index.ts"),
  verifier: join(REPOSITORY, "attestation", "index.ts"),
});
for (const { name, bytes, gzip } of sizes) {
  process.stdout.write(
    `${name.padEnd(28)} ${String(bytes).padStart(8)} bytes  ${String(gzip).padStart(7)} gzip\n`,
  );
}
const client = sizes.find(({ name }) => name === "client");
if (client === undefined || client.gzip >= MAX_CLIENT_GZIP_BYTES) {
  process.stderr.write(`the client library is larger than ${MAX_CLIENT_GZIP_BYTES} bytes gzip\n`);
  process.exitCode = 1;
}

/** Each entry by itself, so that its size is what a page that uses it loads. */
async function bundle(entries: Readonly<Record<string, string>>): Promise<readonly Size[]> {
  const all: Size[] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const { metafile } = await build({
      entryPoints: { [name]: entry },
      outdir: join(OUT, name),
      bundle: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      minify: true,
      // What is imported on demand, the fallback for ML-KEM, becomes a file of its own.
      splitting: true,
      metafile: true,
      logLevel: "warning",
    });
    all.push(...(await measure(name, metafile)));
  }
  return all;
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
    for (const imported of outputs[path]?.imports ?? []) {
      if (imported.kind === "import-statement") queue.push(imported.path);
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
    const content = await readFile(path);
    bytes += content.length;
    gzip += gzipSync(content, { level: 9 }).length;
  }
  return { name, bytes, gzip };
}
