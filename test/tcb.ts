/**
 * enclave/TCB.txt: every module and package that the enclave loads, from the static module graph of
 * its entry points.
 *
 * `node test/tcb.ts` compares the committed file with what the code says now; `--write` writes it.
 */
import { type Graph, moduleGraph as graphOf } from "@countersign/image";
import { readFileSync, writeFileSync } from "node:fs";
import { CODE_ROOT, codeFiles } from "../enclave/simulation/measure.ts";

/** What an image runs: AWS's init starts it, or our own, which is the first process of our images. */
export const PRODUCTION_ENTRY = "enclave/main.ts";
export const INIT_ENTRY = "enclave/init.ts";
export const SIMULATED_ENTRY = "enclave/simulated.ts";
const TCB_FILE = "enclave/TCB.txt";
const SIMULATION_FOLDER = "enclave/simulation/";

/** Why each package is not ours. A package that is not here may not be loaded. */
const WHY: ReadonlyMap<string, string> = new Map([
  [
    "@aws-sdk/client-kms",
    "AWS's own client of KMS: signs, asks and reads answers as the service has them",
  ],
  ["@aws-sdk/core", "client-kms's JSON protocol, signing and error names"],
  ["@aws-sdk/credential-provider-env", "loaded by credential-provider-node; never called"],
  [
    "@aws-sdk/credential-provider-node",
    "loaded by client-kms for its defaults; never called, and the finders it would load are not in an image",
  ],
  ["@aws-sdk/xml-builder", "loaded by @aws-sdk/core for services that speak XML; KMS does not"],
  [
    "@aws/lambda-invoke-store",
    "loaded by @aws-sdk/core for AWS Lambda; its middleware is taken out",
  ],
  [
    "@huggingface/jinja",
    "parses and renders chat templates: Jinja is a language, and models are written for its letter",
  ],
  [
    "@huggingface/tokenizers",
    "text to tokens as a model was trained on them: a dozen schemes, each with its own exceptions",
  ],
  ["hono", "routes requests to handlers; small, without dependencies, web-standard on both sides"],
  [
    "koffi",
    "calls C functions that Node has no call for: ioctl of /dev/nsm, sockets of AF_VSOCK, RAND_add, mount",
  ],
  ["@smithy/core", "what all of AWS's clients are made of: requests, schemas, endpoints, retries"],
  ["@smithy/node-http-handler", "loaded by client-kms for its defaults; ours takes its place"],
  ["@smithy/signature-v4", "Signature V4, which every call of AWS carries"],
  ["@smithy/types", "names of the SDK's own constants"],
  [
    "node-forge",
    "reads the BER of a KMS's envelope: asn1.js and the four files it loads, no cryptography",
  ],
  ["onnxruntime-node", "runs the models: native code of a size that nobody writes again"],
  ["onnxruntime-common", "onnxruntime-node's own types and checks of tensors"],
]);

/** Everything that loading `entries` of this checkout loads. */
export function moduleGraph(entries: readonly string[]): Graph {
  return graphOf(CODE_ROOT, entries);
}

/** The text of enclave/TCB.txt as the code is now. */
export async function tcbText(): Promise<string> {
  const production = moduleGraph([PRODUCTION_ENTRY, INIT_ENTRY]);
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
    ...section(`Loaded by every image (${PRODUCTION_ENTRY}, ${INIT_ENTRY})`, production.modules),
    ...section(`Loaded by the simulation only (${SIMULATED_ENTRY})`, onlySimulated),
    ...section("Measured, and not loaded as code", leftOver),
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
