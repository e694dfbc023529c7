/**
 * enclave/TCB.txt: every module and package that the enclave loads, from the static module graph of
 * its entry points.
 *
 * `node test/tcb.ts` compares the committed file with what the code says now; `--write` writes it.
 */
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { builtinModules, createRequire } from "node:module";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CODE_ROOT, codeFiles } from "../enclave/simulation/measure.ts";

/** What every image runs; entry points add a module, a transport and arguments to it. */
export const PRODUCTION_ENTRY = "enclave/boot.ts";
export const SIMULATED_ENTRY = "enclave/simulated.ts";
const TCB_FILE = "enclave/TCB.txt";
const OWN_SCOPE = "@countersign/";
const SIMULATION_FOLDER = "enclave/simulation/";

/** Why each package is not ours. A package that is not here may not be loaded. */
const WHY: ReadonlyMap<string, string> = new Map([
  [
    "@huggingface/jinja",
    "parses and renders chat templates: Jinja is a language, and models are written for its letter",
  ],
  [
    "@huggingface/tokenizers",
    "text to tokens as a model was trained on them: a dozen schemes, each with its own exceptions",
  ],
  ["hono", "routes requests to handlers; small, without dependencies, web-standard on both sides"],
  ["onnxruntime-node", "runs the models: native code of a size that nobody writes again"],
  ["onnxruntime-common", "onnxruntime-node's own types and checks of tensors"],
]);

/**
 * Statements that load a module. `import type` and `export type … from` load nothing; an import whose
 * names are all types still does (verbatimModuleSyntax).
 */
const LOADS: readonly RegExp[] = [
  /^(?:import|export)\s+(?!type\b)[^;"']*?\bfrom\s*["']([^"']+)["']/gmu,
  /^import\s*["']([^"']+)["']/gmu,
  /\bimport\(\s*["']([^"']+)["']\s*\)/gu,
  /\bnew URL\(\s*["'](\.[^"']+\.ts)["'],\s*import\.meta\.url\s*\)/gu,
];
const REQUIRES = /\brequire\(\s*["']([^"']+)["']\s*\)/gu;

export interface Graph {
  /** Files of ours, relative to the root, sorted. */
  readonly modules: readonly string[];
  /** Package names, sorted. */
  readonly packages: readonly string[];
}

/** Everything that loading `entries` loads. */
export function moduleGraph(entries: readonly string[]): Graph {
  const modules = new Set<string>();
  const packages = new Set<string>();
  const foreign = new Set<string>();
  const queue = entries.map((entry) => CODE_ROOT + entry);
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    const path = relative(CODE_ROOT, file);
    const own = !path.startsWith("node_modules/");
    const seen = own ? modules : foreign;
    if (seen.has(path)) continue;
    seen.add(path);
    if (!own) packages.add(packageName(path.slice("node_modules/".length)));
    for (const specifier of loadedBy(file, own)) queue.push(...located(specifier, file));
  }
  return { modules: [...modules].toSorted(), packages: [...packages].toSorted() };
}

function loadedBy(file: string, own: boolean): readonly string[] {
  if (!/\.[cm]?[jt]s$/u.test(file)) return [];
  const text = readFileSync(file, "utf8");
  const patterns = own ? LOADS : [...LOADS, REQUIRES];
  return patterns.flatMap((pattern) =>
    [...text.matchAll(pattern)].map(([, specifier]) => specifier ?? ""),
  );
}

/** The file that `specifier` means, or none where it is built into Node. */
function located(specifier: string, from: string): readonly string[] {
  const name = specifier.replace(/^node:/u, "");
  if (specifier.startsWith("node:") || builtinModules.includes(name)) return [];
  if (specifier.startsWith(OWN_SCOPE)) {
    return [realpathSync(fileURLToPath(import.meta.resolve(specifier)))];
  }
  if (specifier.startsWith(".") && from.endsWith(".ts")) return [resolve(dirname(from), specifier)];
  return [realpathSync(createRequire(from).resolve(specifier))];
}

function packageName(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return first.startsWith("@") ? `${first}/${second}` : first;
}

/** The text of enclave/TCB.txt as the code is now. */
export async function tcbText(): Promise<string> {
  const production = moduleGraph([PRODUCTION_ENTRY]);
  const simulated = moduleGraph([SIMULATED_ENTRY]);
  const measured = await codeFiles(CODE_ROOT);
  const loaded = new Set([...production.modules, ...simulated.modules]);
  for (const path of loaded) {
    if (!measured.includes(path)) throw new Error(`${path} is loaded and not measured`);
  }
  const onlySimulated = simulated.modules.filter((path) => !production.modules.includes(path));
  const leftOver = measured.filter((path) => !loaded.has(path));
  return [
    "Everything the enclave loads. Written by `node test/tcb.ts --write`; a difference here is",
    "reviewed like a change of privilege. Numbers are lines.",
    "",
    ...section(`Loaded by every image (${PRODUCTION_ENTRY})`, production.modules),
    ...section(`Loaded by the simulation only (${SIMULATED_ENTRY})`, onlySimulated),
    ...section("Measured, and not loaded", leftOver),
    "Packages",
    ...new Set([...production.packages, ...simulated.packages].toSorted().map(packageLine)),
    "",
  ].join("\n");
}

function section(title: string, paths: readonly string[]): readonly string[] {
  const counted = paths.map((path) => ({ path, lines: lineCount(path) }));
  const total = counted.reduce((sum, { lines }) => sum + lines, 0);
  const rows = counted.map(({ path, lines }) => row(lines, path));
  return [title, ...rows, row(total, "in all"), ""];
}

function row(lines: number, what: string): string {
  return `${String(lines).padStart(7)}  ${what}`;
}

function lineCount(path: string): number {
  return readFileSync(CODE_ROOT + path, "utf8").split("\n").length - 1;
}

function packageLine(name: string): string {
  const why = WHY.get(name);
  if (why === undefined) throw new Error(`package ${name} is loaded, and nobody said why`);
  return `  ${name} ${packageVersion(name)}: ${why}`;
}

function packageVersion(name: string): string {
  const path = `${CODE_ROOT}node_modules/${name}/package.json`;
  const manifest: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) {
    return String(manifest.version);
  }
  throw new Error(`${path} has no version`);
}

/** Whether a graph holds any of the simulation. */
export function simulationIn(graph: Graph): readonly string[] {
  return graph.modules.filter(
    (path) => path.startsWith(SIMULATION_FOLDER) || path === SIMULATED_ENTRY,
  );
}

async function main(): Promise<void> {
  const wanted = await tcbText();
  const file = CODE_ROOT + TCB_FILE;
  if (process.argv.includes("--write")) {
    writeFileSync(file, wanted);
    return;
  }
  const found = readFileSync(file, "utf8");
  if (found === wanted) return;
  const [before, after] = [found.split("\n"), wanted.split("\n")];
  for (const line of before) if (!after.includes(line)) console.error(`- ${line}`);
  for (const line of after) if (!before.includes(line)) console.error(`+ ${line}`);
  console.error(`${TCB_FILE} is not what the enclave loads: node test/tcb.ts --write`);
  process.exitCode = 1;
}

if (import.meta.main) await main();
