import type { Conversation } from "./conversation.ts";
import { CommandError } from "../exit.ts";
import { writeProof, writeUserFile } from "../files.ts";
import { userPath } from "../paths.ts";
import { renderChain, renderResult } from "../rendering.ts";
import { nearest } from "../suggestion.ts";
import { printable, type Terminal } from "../terminal.ts";
import type { Answer } from "./turn.ts";

/** A conversation is as private as a proof. */
const OWNER_ONLY = 0o600;

interface SlashCommand {
  readonly usage: string;
  readonly does: string;
  /** True leaves the chat. */
  run(rest: string, conversation: Conversation, terminal: Terminal): Promise<boolean> | boolean;
}

const COMMANDS: ReadonlyMap<string, SlashCommand> = new Map<string, SlashCommand>([
  ["help", { usage: "/help", does: "this list", run: help }],
  [
    "reset",
    { usage: "/reset", does: "forgets the conversation; the instructions stay", run: reset },
  ],
  [
    "system",
    { usage: "/system [TEXT]", does: "shows the instructions, or sets them", run: system },
  ],
  ["save", { usage: "/save FILE", does: "writes the conversation as JSON", run: save }],
  ["proof", { usage: "/proof FILE", does: "writes the proof of the last answer", run: proof }],
  [
    "verdict",
    { usage: "/verdict", does: "the chain from the last answer to the root", run: chain },
  ],
  ["exit", { usage: "/exit", does: "leaves; so do Ctrl-D, and Ctrl-C twice", run: () => true }],
]);

/** Runs a line that begins with a slash. Returns whether to leave. @throws CommandError */
export async function runSlash(
  line: string,
  conversation: Conversation,
  terminal: Terminal,
): Promise<boolean> {
  const [, name = "", rest = ""] = /^\/(\S*)\s*(.*)$/su.exec(line) ?? [];
  const command = COMMANDS.get(name);
  if (command !== undefined) return await command.run(rest.trim(), conversation, terminal);
  const near = nearest(name, [...COMMANDS.keys()]);
  const hint = near === null ? "/help lists them" : `did you mean /${near}?`;
  throw new CommandError(`there is no command /${name}`, hint);
}

function help(_rest: string, _conversation: Conversation, terminal: Terminal): boolean {
  const rows = [...COMMANDS.values()];
  const width = rows.reduce((most, { usage }) => Math.max(most, usage.length), 0);
  for (const { usage, does } of rows) terminal.note(`  ${usage.padEnd(width)}  ${does}`);
  return false;
}

function reset(_rest: string, conversation: Conversation, terminal: Terminal): boolean {
  conversation.reset();
  terminal.note("the conversation begins anew");
  return false;
}

function system(rest: string, conversation: Conversation, terminal: Terminal): boolean {
  if (rest !== "") conversation.system = rest;
  const now = conversation.system;
  terminal.note(now === null ? "there are no instructions" : `instructions: ${printable(now)}`);
  return false;
}

async function save(
  rest: string,
  conversation: Conversation,
  terminal: Terminal,
): Promise<boolean> {
  const path = userPath(requireFile(rest, "/save"));
  await writeUserFile(path, conversation.encode(), "the conversation", true, OWNER_ONLY);
  terminal.note(`conversation written to ${printable(rest)}`);
  return false;
}

async function proof(
  rest: string,
  conversation: Conversation,
  terminal: Terminal,
): Promise<boolean> {
  const name = requireFile(rest, "/proof");
  await writeProof(userPath(name), requireLast(conversation).proof);
  terminal.note(
    `proof written to ${printable(name)}; verify it: countersign verify ${printable(name)}`,
  );
  return false;
}

function chain(_rest: string, conversation: Conversation, terminal: Terminal): boolean {
  const { verdict } = requireLast(conversation);
  terminal.note(renderResult(verdict, terminal.paint));
  for (const line of renderChain(verdict.checks, "from-answer", terminal.paint))
    terminal.note(line);
  return false;
}

function requireFile(rest: string, command: string): string {
  if (rest !== "") return rest;
  throw new CommandError(`${command} needs the name of a file`, `${command} FILE`);
}

function requireLast({ last }: Conversation): Answer {
  if (last !== null) return last;
  throw new CommandError("there is no verified answer yet", "ask something first");
}
