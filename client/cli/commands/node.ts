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
    description: "memory for texts being generated (default a quarter of the enclave's)",
  },
  { name: "batch", value: "N", description: "texts generated at once" },
  {
    name: "key-services",
    value: "FILE",
    description: "the key services of sealed models (default AWS KMS); in clients' policies, too",
  },
];

/** What only an enclave of hardware has. */
const NITRO_OPTIONS: readonly OptionSpec[] = [
  { name: "image", value: "FILE", description: "nitro: enclave image (.eif)" },
  { name: "cpus", value: "N", description: "nitro: processors of the enclave (default 2)" },
  { name: "memory", value: "MIB", description: "nitro: memory of the enclave (default 2048)" },
  { name: "cid", value: "N", description: "nitro: the enclave's context id (default 16)" },
  {
    name: "enclave",
    value: "ADDRESS",
    description: "nitro: vsock:CID:PORT, unix:PATH or vsock-uds:PATH:PORT (default vsock:CID:5000)",
  },
  {
    name: "services",
    value: "ADDRESS",
    description: "nitro: where the enclave finds this host (default vsock::7000)",
  },
  {
    name: "runner",
    value: "FILE",
    description: "nitro: a program that runs the enclave (default drives nitro-cli)",
  },
  { name: "attach", value: null, description: "nitro: somebody else runs the enclave" },
];

export const nodeCommand: Command = {
  name: "node",
  summary: "run a node: the untrusted host and its enclave, as two processes",
  synopsis: "[--models DIR] [--listen ADDR] [--tee simulated|nitro --image FILE]",
  details: `Without --tee nitro the TEE is simulated: the protocol is the real one, but no hardware protects
the enclave's memory from this machine's owner. A client trusts the simulation only where its policy
says so. Ctrl-C lets requests finish and ends host and enclave.

With --tee nitro the enclave is an image (countersign image build) that nitro-cli runs: as a user of the
group "ne", not as root. See docs/deploy-nitro.md.

A model repository is DIR/<name>/<version>/model.onnx, as for Triton and KServe, or an export of the
Hugging Face tools in <version>/: "countersign model add" fetches one. Sealed versions may lie beside the
others ("countersign model seal"): the enclave gets their keys from the services that its measured
file names, enclave/key-services.json. With --key-services the simulation is measured with FILE in its
place, and so is the policy of "policy init --key-services FILE"; an image has the file that it was
built with, and the node relays to what FILE names. For keys in AWS KMS the node gives its enclave
the credentials that AWS's tools would use here: environment, profile, or the machine's role.`,
  options: [
    ...NODE_OPTIONS,
    { name: "tee", value: "PLATFORM", description: "simulated (default) or nitro" },
    ...NITRO_OPTIONS,
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
  const words = [...nodeWords(args), ...teeWords(args)];
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
  const keyServices = args.text("key-services");
  return [
    "--models",
    models === null ? BUNDLED_MODELS : userPath(models),
    "--listen",
    args.text("listen") ?? DEFAULT_LISTEN,
    "--state",
    userPath(args.text("state") ?? DEFAULT_STATE),
    ...(keyServices === null ? [] : ["--key-services", userPath(keyServices)]),
    ...passed,
  ];
}

/** The host knows which of these go together, and says so. */
function teeWords(args: Arguments): readonly string[] {
  const passed = NITRO_OPTIONS.flatMap(({ name, value }) => {
    if (value === null) return args.flag(name) ? [`--${name}`] : [];
    const text = args.text(name);
    if (text === null) return [];
    return [`--${name}`, value === "FILE" ? userPath(text) : text];
  });
  return ["--tee", args.text("tee") ?? "simulated", ...passed];
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
