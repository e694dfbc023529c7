import type { Connection } from "@countersign/client";

import { type Arguments, POLICY_OPTION } from "../arguments.ts";
import type { ChatSettings } from "../chat/completion.ts";
import { Conversation } from "../chat/conversation.ts";
import { chooseModel, type ChatModel } from "../chat/models.ts";
import { proofFiles } from "../chat/proof-files.ts";
import { createPrompt } from "../chat/prompt.ts";
import { type ChatContext, converse, exitOfTurn, say } from "../chat/session.ts";
import { sayInJson } from "../chat/json.ts";
import type { Call, Command } from "../command.ts";
import { connectNode } from "../connecting.ts";
import { CommandError, UsageError } from "../exit.ts";
import { readStandardInput } from "../files.ts";
import { reportNoAnswer } from "../inference-line.ts";
import { type OwnNode, startOwnNode } from "../own-node.ts";
import { BUNDLED_MODELS, userPath } from "../paths.ts";
import { loadPolicy } from "../policies.ts";
import { renderResult, simulationNotice } from "../rendering.ts";
import { printable } from "../terminal.ts";

/** A question that is longer fits no model's context. */
const MAX_QUESTION_BYTES = 4 * 1024 * 1024;
/** OpenAI's range. */
const MAX_TEMPERATURE = 2;

export const chatCommand: Command = {
  name: "chat",
  summary: "talk with a model in private; every answer is verified",
  synopsis: "[MODEL [MESSAGE]] [--node URL] [--policy FILE] [--proof FILE]",
  details: `Without --node it starts a simulated node of its own over the bundled models, and ends it again: that
works offline from a fresh clone. MODEL is one that the node lists, or one of its versions as
NAME@VERSION; by default the first.

On a terminal text is shown as it arrives, and under each answer the verdict on it. What is cut short
or rejected is said so, and does not stay in the conversation. /help lists what there is to do
meanwhile; Ctrl-C stops an answer, and twice at the prompt it leaves.

With MESSAGE, or in a pipe, it answers once: the answer on standard output, the verdict on standard
error. A pipe gets nothing that is not verified.

Exit code: 0 verified, 1 rejected (also where one of several answers was), 2 no answer.
--json prints one line of the form of client/verdict.schema.json#/$defs/inference.

examples:
  countersign chat
  countersign chat guide "What is a receipt?" --seed 7 --proof answer.proof
  echo "What is a receipt?" | countersign chat`,
  options: [
    { name: "node", value: "URL", description: "the node to talk with (default one of its own)" },
    { name: "models", value: "DIR", description: "what its own node serves (default the bundled)" },
    {
      name: "system",
      value: "TEXT",
      description: "instructions that the conversation begins with",
    },
    { name: "temperature", value: "T", description: "0 to 2; 0 takes the likeliest token" },
    {
      name: "top-p",
      value: "P",
      description: "only the likeliest tokens that make up this share, above 0 to 1",
    },
    { name: "max-tokens", value: "N", description: "tokens of an answer at most" },
    { name: "seed", value: "N", description: "the same seed, question and model: the same answer" },
    { name: "proof", value: "FILE", description: "writes each answer's proof: FILE, FILE-2, …" },
    POLICY_OPTION,
  ],
  operands: [0, 2, "MODEL"],
  run,
};

async function run(call: Call): Promise<number> {
  const { args, json, terminal } = call;
  try {
    return await chat(call);
  } catch (error) {
    if (!json) throw error;
    return reportNoAnswer(terminal, args.operands[0] ?? "", error);
  }
}

async function chat(call: Call): Promise<number> {
  const { args, json, terminal } = call;
  const settings = readSettings(args);
  const asked = args.operands[0] ?? null;
  if (asked !== null && /\s/u.test(asked)) {
    throw new UsageError(
      `"${asked}" is no name of a model`,
      'the model comes first: countersign chat guide "…"',
    );
  }
  const question = await readQuestion(call);
  const stop = new AbortController();
  const onSignal = (): void => {
    stop.abort();
  };
  for (const signal of SIGNALS) process.once(signal, onSignal);
  const { node, close } = await openNode(call);
  try {
    const model = await chooseModel(node, asked);
    const proof = args.text("proof");
    const context: ChatContext = {
      node,
      settings: { ...settings, model: model.name },
      terminal,
      quiet: call.quiet,
      live: process.stdout.isTTY,
      proofs: proof === null ? null : proofFiles(proof),
      nowMs: () => performance.now(),
    };
    const system = args.text("system");
    if (question === null) return await talk(context, model, system, stop.signal);
    if (json) return await sayInJson(context, system, question, stop.signal);
    return exitOfTurn(await say(context, new Conversation(system), question, stop.signal));
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
    await close();
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

async function talk(
  context: ChatContext,
  { name, contextLength }: ChatModel,
  system: string | null,
  signal: AbortSignal,
): Promise<number> {
  const { node, terminal, quiet } = context;
  if (!quiet) {
    const { paint } = terminal;
    terminal.note(renderResult(node.verdict, paint));
    const notice = simulationNotice(node.verdict.platform);
    if (notice !== null) terminal.note(paint.warn(notice));
    const room = contextLength === null ? "" : `, ${contextLength} tokens of context`;
    terminal.note(`Talking with ${paint.bold(printable(name))}${room}. /help lists commands.\n`);
  }
  const prompt = createPrompt(
    process.stdin,
    process.stdout.isTTY ? process.stdout : process.stderr,
  );
  // Ctrl-C is a key to the editor; what comes as a signal wants us to end.
  const leave = (): void => {
    prompt.close();
  };
  if (signal.aborted) leave();
  signal.addEventListener("abort", leave);
  try {
    return await converse(context, prompt, system);
  } finally {
    prompt.close();
  }
}

/** The node that is named, or one of our own, which `close` ends. */
async function openNode({ args, terminal, quiet, json }: Call): Promise<{
  readonly node: Connection;
  readonly close: () => Promise<void>;
}> {
  const url = args.text("node");
  const models = args.text("models");
  const policy = args.text("policy");
  if (url !== null) {
    if (models !== null)
      throw new UsageError("--models is what a node of our own serves", "leave out --node");
    const node = await connectNode(url, await loadPolicy(policy));
    return { node, close: async () => await Promise.resolve() };
  }
  if (policy !== null) {
    const why = "a node of our own is judged by the files of this checkout";
    throw new UsageError(`--policy needs --node: ${why}`);
  }
  if (!quiet && !json) terminal.note("Starting a node in a simulated TEE …");
  const own: OwnNode = await startOwnNode(
    models === null ? BUNDLED_MODELS : userPath(models),
    (line) => {
      terminal.note(printable(line));
    },
  );
  try {
    return { node: await connectNode(own.url, own.policy), close: async () => await own.close() };
  } catch (error) {
    await own.close();
    throw error;
  }
}

function readSettings(args: Arguments): Omit<ChatSettings, "model"> {
  return {
    temperature: args.decimal("temperature", 0, MAX_TEMPERATURE),
    topP: args.decimal("top-p", 0, 1),
    maxTokens: args.number("max-tokens", 1),
    seed: args.number("seed", 0),
  };
}

/** The one question of this run; null where a person is to be asked. */
async function readQuestion({ args, json }: Call): Promise<string | null> {
  const given = args.operands[1];
  if (given !== undefined) return requireQuestion(given);
  if (!process.stdin.isTTY) {
    const bytes = await readStandardInput(MAX_QUESTION_BYTES);
    if (bytes === null) {
      throw new CommandError(`standard input is longer than ${MAX_QUESTION_BYTES} bytes`);
    }
    return requireQuestion(decode(bytes));
  }
  if (json) throw new UsageError("--json answers once: name a model and a message");
  return null;
}

function requireQuestion(text: string): string {
  const question = text.trim();
  if (question === "")
    throw new CommandError("there is no message", 'echo "hello" | countersign chat');
  return question;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new CommandError("standard input is not UTF-8", "a message is text");
  }
}
