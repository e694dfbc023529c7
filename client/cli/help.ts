import { type OptionSpec, SHARED_OPTIONS } from "./arguments.ts";
import type { Command } from "./command.ts";
import type { Paint } from "./terminal.ts";

const INTRODUCTION = `Countersign runs AI models inside a hardware enclave. Requests are encrypted to a key that the
hardware vouches for, and every answer carries a receipt that chains back to that hardware.
This command line runs nodes, asks them in private, and verifies what they answer.`;

const EXIT_CODES = `Exit codes: 0 verified, 1 rejected, 2 could not be checked (unreachable, unreadable, usage).`;

/** The overview: what there is, and where to start. */
export function overview(commands: readonly Command[], paint: Paint): string {
  const width = commands.reduce((most, { name }) => Math.max(most, name.length), 0);
  const rows = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `${INTRODUCTION}

${paint.bold("usage:")} countersign COMMAND [options]

${rows.join("\n")}

Start with ${paint.bold("npm start")}: a node in a simulated TEE, and one private request to it. Or with
${paint.bold("npx countersign chat")}: a conversation with a small model, offline, from a node of its own.
${paint.bold("countersign COMMAND --help")} says more about a command.
${EXIT_CODES}`;
}

/** The help of one command. */
export function commandHelp(command: Command, paint: Paint): string {
  const own = command.options.filter((option) => !SHARED_OPTIONS.includes(option));
  const options = optionTable([...own, ...SHARED_OPTIONS]);
  const details = command.details === "" ? "" : `\n\n${command.details}`;
  return `${command.summary}.

${usageLine(command, paint)}

${options}${details}`;
}

/** The line that shows how a command is called. */
export function usageLine(command: Command, paint: Paint): string {
  return `${paint.bold("usage:")} countersign ${command.name} ${command.synopsis}`.trimEnd();
}

function optionTable(options: readonly OptionSpec[]): string {
  const rows = options.map(({ name, value, description }) => {
    const left = value === null ? `--${name}` : `--${name} ${value}`;
    return { left, description };
  });
  const width = rows.reduce((most, { left }) => Math.max(most, left.length), 0);
  return rows.map(({ left, description }) => `  ${left.padEnd(width)}  ${description}`).join("\n");
}
