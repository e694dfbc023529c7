import type { Arguments, OptionSpec } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import { EXIT, UsageError } from "../exit.ts";
import { renderEvent } from "../host-log.ts";
import { type HostEvent, startNode, stopOnSignals } from "../node-process.ts";
import { BUNDLED_MODELS, DEFAULT_LISTEN, DEFAULT_STATE, userPath } from "../paths.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

/** Options that a node has, here and under `quickstart`; the host reads their values. */
export const NODE_OPTIONS: readonly OptionSpec[] = [
  { name: "models", value: "DIR", description: "model repository (default the bundled models)" },
  { name: "listen", value: "ADDR", description: `address to serve at (default ${DEFAULT_LISTEN})` },
  {
    name: "state",
    value: "DIR",
    description: `keys of the simulation, lock (default ${DEFAULT_STATE})`,
  },
  { name: "epoch-seconds", value: "N", description: "lifetime of the enclave's keys" },
  { name: "max-body", value: "BYTES", description: "largest encrypted request" },
  { name: "max-inflight", value: "N", description: "requests relayed at once" },
  {
    name: "cache-mib",
    value: "N",
    description: "memory for texts being generated (default a quarter of this machine's)",
  },
  { name: "batch", value: "N", description: "texts generated at once" },
];

export const nodeCommand: Command = {
  name: "node",
  summary: "run a node: the untrusted host and its enclave, as two processes",
  synopsis: "[--models DIR] [--listen ADDR] [--tee simulated]",
  details: `The TEE is simulated in this release: the protocol is the real one, but no hardware protects the
enclave's memory from this machine's owner. A client trusts the simulation only where its policy
says so. Ctrl-C lets requests finish and ends both processes.

A model repository is DIR/<name>/<version>/model.onnx, as for Triton and KServe, or an export of the
Hugging Face tools in <version>/: "countersign model add" fetches one.`,
  options: [
    ...NODE_OPTIONS,
    { name: "tee", value: "PLATFORM", description: "simulated (default)" },
    {
      name: "log",
      value: "LEVEL",
      description: "events (default), json (every request too) or none",
    },
  ],
  operands: [0, 0, ""],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const log = args.text("log") ?? "events";
  if (log !== "events" && log !== "json" && log !== "none") {
    throw new UsageError(`--log is "${log}"`, "want events, json or none");
  }
  const words = [...nodeWords(args), "--tee", args.text("tee") ?? "simulated"];
  // Events tell us when the node serves, so they are always asked for.
  const level = log === "none" ? "events" : log;
  const show = log === "none" || quiet ? null : printer(terminal, json);
  const node = await startNode([...words, "--log", level], {
    event: (event) => show?.(event),
    error: (line) => {
      terminal.note(printable(line));
    },
  });
  return await untilEnd(node, terminal);
}

/** Options that the host reads, and judges, itself. */
const LIMITS = ["epoch-seconds", "max-body", "max-inflight", "cache-mib", "batch"] as const;

/** The host's words for the options given; paths and address have this command's defaults. */
export function nodeWords(args: Arguments): readonly string[] {
  const passed = LIMITS.flatMap((name) => {
    const value = args.text(name);
    return value === null ? [] : [`--${name}`, value];
  });
  const models = args.text("models");
  return [
    "--models",
    models === null ? BUNDLED_MODELS : userPath(models),
    "--listen",
    args.text("listen") ?? DEFAULT_LISTEN,
    "--state",
    userPath(args.text("state") ?? DEFAULT_STATE),
    ...passed,
  ];
}

/** Waits until a node ends, by a signal to us or by itself, and returns its exit code. */
export async function untilEnd(
  node: Awaited<ReturnType<typeof startNode>>,
  terminal: Terminal,
): Promise<number> {
  let asked = false;
  const release = stopOnSignals(node, () => {
    asked = true;
    terminal.note("stopping …");
  });
  const { code, signal } = await node.ended;
  release();
  if (asked && (code === 0 || signal === "SIGINT" || signal === "SIGTERM")) return EXIT.ok;
  terminal.note(`the node ended with ${signal ?? `exit code ${code}`}`);
  return code === null || code === 0 ? EXIT.rejected : code;
}

function printer(terminal: Terminal, json: boolean): (event: HostEvent) => void {
  return (event) => {
    terminal.print(json ? jsonLine(event) : renderEvent(event, terminal.paint));
  };
}
