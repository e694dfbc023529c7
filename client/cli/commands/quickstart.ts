import { access, readFile, rename } from "node:fs/promises";
import { join, relative } from "node:path";

import { parsePolicy } from "@countersign/attestation";

import type { Call, Command } from "../command.ts";
import { connectNode } from "../connecting.ts";
import { CommandError } from "../exit.ts";
import { writeUserFile } from "../files.ts";
import { type RunningNode, startNode } from "../node-process.ts";
import { sniffInput } from "../input.ts";
import { keyServicesFile } from "../key-services.ts";
import {
  BUNDLED_MODELS,
  DEFAULT_NODE,
  DEFAULT_POLICY,
  DEFAULT_STATE,
  POLICY_NAME,
  REPOSITORY,
  userPath,
} from "../paths.ts";
import { encodePolicy, type PolicyFile } from "../policies.ts";
import { developmentPolicy } from "../simulation.ts";
import type { Terminal } from "../terminal.ts";
import { inferOnce, printInference } from "./infer.ts";
import { NODE_OPTIONS, nodeWords, untilEnd } from "./node.ts";

const MODEL = "digits";
const PICTURE = "examples/seven.png";

export const quickstartCommand: Command = {
  name: "quickstart",
  summary: "start a node, and send it one private request (npm start)",
  synopsis: "[--models DIR] [--listen ADDR] [--state DIR]",
  details: `Starts a node in a simulated TEE, writes the development policy to .countersign/policy.json from
the files of this checkout, sends one real private request, and shows the chain of checks from the
answer to the root. The node then stays up until Ctrl-C.`,
  options: [...NODE_OPTIONS],
  operands: [0, 0, ""],
  run,
};

async function run({ args, terminal, quiet }: Call): Promise<number> {
  const { paint } = terminal;
  const state = userPath(args.text("state") ?? DEFAULT_STATE);
  const models = args.text("models");
  const repository = models === null ? BUNDLED_MODELS : userPath(models);
  await requireModel(repository);
  terminal.print(
    `Starting a node in a ${paint.bold("simulated")} TEE: host and enclave, two processes.`,
  );
  terminal.print(
    paint.warn(
      "Simulated: the protocol is real, but no hardware protects this machine's memory.\n",
    ),
  );
  const sinks = { event: () => undefined, error: () => undefined };
  const node = await startNode([...nodeWords(args), "--log", "events"], sinks);
  try {
    terminal.print(`The node serves ${paint.bold(node.url)}.`);
    const policyPath = join(state, POLICY_NAME);
    const measured = await keyServicesFile(args);
    const file = await developmentPolicy(state, repository, Date.now(), measured);
    await writeDevelopmentPolicy(policyPath, file, terminal);
    await askOnce(node, file, terminal, quiet);
    if (!quiet) printNext(terminal, node.url, policyPath);
  } catch (error) {
    await node.stop();
    throw error;
  }
  return await untilEnd(node, terminal);
}

async function askOnce(
  node: RunningNode,
  file: PolicyFile,
  terminal: Terminal,
  quiet: boolean,
): Promise<void> {
  const picture = new Uint8Array(await readFile(join(REPOSITORY, PICTURE)));
  const connection = await connectNode(node.url, parsePolicy(encodePolicy(file)));
  terminal.print(`Sending it ${PICTURE}, encrypted to the enclave …\n`);
  const inference = await inferOnce(connection, MODEL, null, sniffInput(picture, PICTURE));
  printInference(terminal, inference, quiet);
}

/**
 * Writes the development policy where there is none, or where it was made of other files.
 *
 * A policy that trusts more than the simulation is somebody's work and stays; a replaced one is kept
 * beside it.
 *
 * @throws CommandError where such a policy does not fit this node.
 */
export async function writeDevelopmentPolicy(
  path: string,
  file: PolicyFile,
  terminal: Terminal,
): Promise<void> {
  const shown = relative(process.cwd(), path) || path;
  const found = await readPolicyFile(path);
  if (found === null) {
    await writeUserFile(path, encodePolicy(file), "the policy", true);
    terminal.print(`Wrote the development policy, whom this machine's clients trust: ${shown}`);
    return;
  }
  if (isSame(found, file)) {
    terminal.print(`The development policy is in ${shown}.`);
    return;
  }
  if (!trustsSimulationOnly(found)) {
    terminal.print(
      `${shown} is not the development policy and stays as it is; this run uses its own.`,
    );
    return;
  }
  await rename(path, `${path}.old`);
  await writeUserFile(path, encodePolicy(file), "the policy", true);
  terminal.print(
    `Code, models or keys changed since ${shown} was written: wrote it anew, the former is ${shown}.old`,
  );
}

async function readPolicyFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return null;
  }
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return text;
  }
}

/** Whether two policies say the same, but for the day on which they run out. */
function isSame(found: unknown, file: PolicyFile): boolean {
  if (typeof found !== "object" || found === null || !("expires" in found)) return false;
  const { expires } = found;
  if (typeof expires !== "string" || !(Date.parse(expires) > Date.now())) return false;
  return JSON.stringify(found) === JSON.stringify({ ...file, expires });
}

function trustsSimulationOnly(found: unknown): boolean {
  if (typeof found !== "object" || found === null || !("platforms" in found)) return false;
  const { platforms } = found;
  if (typeof platforms !== "object" || platforms === null) return false;
  return Object.keys(platforms).every((platform) => platform === "simulated");
}

async function requireModel(repository: string): Promise<void> {
  try {
    await access(join(repository, MODEL));
  } catch {
    throw new CommandError(
      `there is no model "${MODEL}" in ${repository}`,
      'the quickstart asks that model; "countersign node --models DIR" serves any repository',
    );
  }
}

function printNext(terminal: Terminal, url: string, policyPath: string): void {
  const { paint } = terminal;
  const shown = relative(process.cwd(), policyPath) || policyPath;
  const node = url === DEFAULT_NODE ? "" : ` --node ${url}`;
  const policy = shown === DEFAULT_POLICY ? "" : ` --policy ${shown}`;
  const proof = "seven.proof";
  const steps = [
    [
      `infer ${MODEL} --input ${PICTURE} --proof ${proof}${node}${policy}`,
      "the same, and keep the proof",
    ],
    [`chat --node ${url}${policy}`, "talk with a small model; a verdict under every answer"],
    [`verify ${proof}${policy}`, "offline; change one byte of the file and try again"],
    ["demo tamper", "a host that lies in seven ways, and what catches each"],
    [`proxy --node ${url}${policy}`, "for curl, and for any OpenAI or KServe client"],
  ] as const;
  terminal.print(`\n${paint.bold("Next")}, in another terminal:`);
  for (const [command, what] of steps) {
    terminal.print(`  npx countersign ${command}\n      ${paint.dim(what)}`);
  }
  terminal.print("\nThe node stays up. Ctrl-C ends it.");
}
