import type { Verdict } from "@countersign/attestation";

import type { Connection } from "@countersign/client";
import { POLICY_OPTION } from "../arguments.ts";
import { isTextModel } from "../chat/models.ts";
import type { Call, Command } from "../command.ts";
import { connectNode } from "../connecting.ts";
import { CommandError, EXIT, UsageError } from "../exit.ts";
import { writeProof } from "../files.ts";
import { NO_ANSWER, reportNoAnswer } from "../inference-line.ts";
import { inferRequestBody, readInput, type UserInput } from "../input.ts";
import { type ModelMetadata, parseModelMetadata } from "../model-metadata.ts";
import { DEFAULT_NODE, userPath } from "../paths.ts";
import { loadPolicy } from "../policies.ts";
import { parsePrediction, type Prediction, renderPrediction } from "../prediction.ts";
import { RefusedError, requireAnswer } from "../refused.ts";
import { renderChain, renderResult, simulationNotice, verdictObject } from "../rendering.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

/** A verified answer to one inference. */
export interface Inference {
  readonly metadata: ModelMetadata;
  readonly prediction: Prediction;
  readonly answer: unknown;
  readonly verdict: Verdict;
  readonly proof: Uint8Array;
  readonly exchange: string;
}

export const inferCommand: Command = {
  name: "infer",
  summary: "ask a model in private, and verify the answer",
  synopsis: "MODEL --input FILE [--node URL] [--proof OUT] [--policy FILE]",
  details: `The input is a PNG, which is fitted to the model as the model's metadata says, or JSON:
  a whole Open Inference Protocol request           {"inputs": [{"name": …, "shape": …, …}]}
  nested arrays, for a model of one input           [[5.1, 3.5, 1.4, 0.2]]
  nested arrays by input name                       {"image": [[[[0, 0.5, …]]]]}
  numbers by feature, where the model names them    {"mean radius": 14.2, …}

Exit code: 0 a verified answer, 1 an answer or a node that is rejected, 2 no answer: the node cannot be
reached, or its enclave refused the request, and that refusal is verified; or the proof cannot be
written. --json prints one line of the form of client/verdict.schema.json#/$defs/inference, with the
same members in each of these cases.

examples:
  countersign infer digits --input examples/seven.png
  countersign infer digits --input examples/seven.png --proof seven.proof
  cat request.json | countersign infer digits --input - --json`,
  options: [
    { name: "input", value: "FILE", description: "a PNG or JSON; - is standard input" },
    { name: "node", value: "URL", description: `the node to ask (default ${DEFAULT_NODE})` },
    { name: "version", value: "N", description: "the model's version (default the newest)" },
    {
      name: "proof",
      value: "OUT",
      description: "writes the proof, request and answer in it, to a file",
    },
    POLICY_OPTION,
  ],
  operands: [1, 1, "MODEL"],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const model = args.operands[0] ?? "";
  const source = args.text("input");
  if (source === null) {
    throw new UsageError("--input is missing", "name a PNG or JSON file, or - for standard input");
  }
  const out = args.text("proof");
  let inference: Inference;
  try {
    const policy = await loadPolicy(args.text("policy"));
    const input = await readInput(source);
    const node = await connectNode(args.text("node") ?? DEFAULT_NODE, policy);
    inference = await inferOnce(node, model, args.text("version"), input).catch(
      async (error: unknown) => {
        throw await withHint(error, node, model);
      },
    );
  } catch (error) {
    if (!json) throw error;
    return reportNoAnswer(terminal, model, error);
  }
  // The answer is verified and must not be lost, wherever its proof cannot be written.
  const unwritten = out === null ? null : await failureToWrite(out, inference.proof);
  if (json) {
    const { answer, verdict, exchange } = inference;
    const line = { ...NO_ANSWER, model, exchange, answer, verdict: verdictObject(verdict) };
    const error = unwritten && {
      message: unwritten.message,
      fix: unwritten.fix ?? WRITE_ELSEWHERE,
    };
    terminal.print(jsonLine({ ...line, proof: unwritten === null ? out : null, error }));
    return unwritten === null ? EXIT.ok : unwritten.exitCode;
  }
  printInference(terminal, inference, quiet);
  if (unwritten !== null) throw unwritten;
  if (out !== null && !quiet) {
    terminal.print(`\nproof written to ${out}; verify it anywhere: countersign verify ${out}`);
  }
  return EXIT.ok;
}

const WRITE_ELSEWHERE = "name a file that can be written; the answer is here";

/** Null where the proof was written. */
async function failureToWrite(path: string, proof: Uint8Array): Promise<CommandError | null> {
  try {
    await writeProof(userPath(path), proof);
    return null;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return error;
  }
}

/** Asks for the model's metadata, then for one inference, both in private and both verified. */
export async function inferOnce(
  node: Connection,
  model: string,
  version: string | null,
  input: UserInput,
): Promise<Inference> {
  const of = version === null ? "" : `/versions/${encodeURIComponent(version)}`;
  const path = `/v2/models/${encodeURIComponent(model)}${of}`;
  const described = await node.fetch(path);
  const metadata = parseModelMetadata(await requireAnswer(described, `the model "${model}"`));
  const response = await node.fetch(`${path}/infer`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: inferRequestBody(input, metadata),
  });
  const answer = await requireAnswer(response, "the inference");
  return {
    metadata,
    answer,
    prediction: parsePrediction(answer),
    verdict: await response.verdict(),
    proof: await response.proof(),
    exchange: response.exchange,
  };
}

/** Who asks a model of text for tensors wants to chat with it. */
async function withHint(error: unknown, node: Connection, model: string): Promise<unknown> {
  if (!(error instanceof CommandError)) return error;
  // What went wrong first is what is told, whatever becomes of the question why.
  const talks = await isTextModel(node, model).catch(() => false);
  if (!talks) return error;
  const fix = `"${model}" is a model of text: countersign chat ${model}`;
  if (error instanceof RefusedError) return new RefusedError(error.message, fix, error);
  return new CommandError(error.message, fix, error.exitCode);
}

/** The prediction, the verdict, and the chain from the answer to the root. */
export function printInference(terminal: Terminal, inference: Inference, quiet: boolean): void {
  const { paint } = terminal;
  const { metadata, prediction, verdict } = inference;
  const { model, version } = prediction;
  const of = version === null ? "" : ` version ${version}`;
  terminal.print(paint.bold(`${printable(model)}${printable(of)}`));
  for (const line of renderPrediction(prediction, metadata, paint)) terminal.print(line);
  if (quiet) return;
  terminal.print(`\n${renderResult(verdict, paint)}`);
  terminal.print(paint.dim("the chain, from the answer to the root:"));
  for (const line of renderChain(verdict.checks, "from-answer", paint)) terminal.print(line);
  const notice = simulationNotice(verdict.platform);
  if (notice !== null) terminal.print(paint.warn(`\n${notice}`));
}
