import { createInterface } from "node:readline/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { encodeHex } from "@countersign/attestation";

import { type AddedModel, addModel } from "../add/adding.ts";
import type { Origin } from "../add/origin.ts";
import { createProgress, NO_PROGRESS, showBytes } from "../add/progress.ts";
import { modelName, parseSource } from "../add/source.ts";
import type { Surroundings } from "../add/surroundings.ts";
import type { Call, Command } from "../command.ts";
import { CommandError, EXIT } from "../exit.ts";
import { BUNDLED_MODELS, userPath } from "../paths.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

const STALL_MS = 30_000;
/** More is not fetched without a word. */
const ASK_ABOVE_BYTES = 1_000_000_000;

export const modelAddCommand: Command = {
  name: "model add",
  summary: "fetch a model into a repository: from the Hugging Face hub, an address, a directory",
  synopsis: "SOURCE [--variant V] [--as NAME] [--models DIR]",
  details: `SOURCE is one of
  hf:OWNER/NAME[@REVISION]   an ONNX export on the Hugging Face hub; REVISION is a branch, tag or commit
  https://HOST/PATH/         the same files on any web server, or one graph: https://HOST/NAME.onnx
  file:PATH                  a directory of this machine, or one graph

Of the hub the revision is pinned to its commit, and every file is compared with the size and the hash
that the hub lists. Other sources give no hashes: then the digest that comes out is what there is to
compare. A download that breaks off goes on where it was when the same command is run again.

HF_TOKEN is sent to the hub, and to nobody it redirects to; HF_ENDPOINT names another hub.

examples:
  countersign model add hf:onnx-community/SmolLM2-135M-Instruct --variant q4 --as smol
  countersign model add file:exports/my-model --models /srv/models`,
  options: [
    {
      name: "variant",
      value: "V",
      description: "which graph: fp16, q8, q4, q4f16, … (default full precision)",
    },
    { name: "as", value: "NAME", description: "the model's name here (default the source's own)" },
    { name: "models", value: "DIR", description: "model repository (default the bundled models)" },
    { name: "yes", value: null, description: "does not ask before a large download" },
  ],
  operands: [1, 1, "SOURCE"],
  run,
};

async function run(call: Call): Promise<number> {
  const { args, terminal, json, quiet } = call;
  const source = parseSource(args.operands[0] ?? "");
  const id = modelName(source, args.text("as"));
  const models = args.text("models");
  const repository = models === null ? BUNDLED_MODELS : userPath(models);
  const interrupt = new AbortController();
  const onSignal = (): void => {
    const fix = "the same command goes on from there";
    interrupt.abort(new CommandError("interrupted; what has arrived is kept", fix));
  };
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  try {
    const around = surroundings(terminal, interrupt.signal, json || quiet);
    const added = await addModel(around, {
      source,
      variant: args.text("variant"),
      id,
      repository,
      agree: async (origin, bytes) => {
        if (!quiet && !json) announce(terminal, origin, bytes);
        return args.flag("yes") || (await agreed(bytes));
      },
    });
    report(call, added, models);
    return EXIT.ok;
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

function surroundings(terminal: Terminal, signal: AbortSignal, silent: boolean): Surroundings {
  const progress = silent ? NO_PROGRESS : createProgress(process.stderr, () => performance.now());
  return {
    fetch: async (url, init) => await fetch(url, init),
    sleep: async (ms) => {
      await sleep(ms, undefined, { signal }).catch((error: unknown) => {
        throw signal.aborted ? signal.reason : error;
      });
    },
    random: Math.random,
    nowMs: Date.now,
    stallMs: STALL_MS,
    environment: process.env,
    signal,
    progress,
    note: (line) => {
      progress.clear();
      if (!silent) terminal.note(printable(line));
    },
  };
}

function announce(terminal: Terminal, origin: Origin, bytes: number | null): void {
  const { name, revision, licence } = origin;
  const facts = [
    revision === null ? "" : `commit ${revision}`,
    licence === null ? "" : `licence ${licence}`,
    bytes === null ? "" : showBytes(bytes),
  ].filter((fact) => fact !== "");
  terminal.note(printable([name, ...facts].join(", ")));
}

/** Asks a person about a large download; where nobody is there to be asked, it goes ahead. */
async function agreed(bytes: number | null): Promise<boolean> {
  const small = bytes !== null && bytes <= ASK_ABOVE_BYTES;
  if (small || !process.stdin.isTTY || !process.stderr.isTTY) return true;
  const editor = createInterface({ input: process.stdin, output: process.stderr });
  const no = new AbortController();
  // Ctrl-C and Ctrl-D are keys here, and answers.
  for (const event of ["SIGINT", "close"] as const) {
    editor.once(event, () => {
      no.abort();
    });
  }
  try {
    const size = bytes === null ? "a model of unknown size" : showBytes(bytes);
    const { signal } = no;
    const answer = await editor.question(`fetch ${size}? [y/N] `, { signal });
    return /^y(?:es)?$/iu.test(answer.trim());
  } catch (error) {
    if (no.signal.aborted) return false;
    throw error;
  } finally {
    editor.close();
  }
}

function report({ terminal, json, quiet }: Call, added: AddedModel, models: string | null): void {
  const { model, present, origin, vouched } = added;
  const digest = encodeHex(model.digest);
  const entry = `{ "id": ${JSON.stringify(model.id)}, "digest": "${digest}" }`;
  if (json) {
    const { name, revision, licence } = origin;
    const files = model.files.map(({ path, size, sha256 }) => {
      return { path, size, sha256: encodeHex(sha256) };
    });
    const { id, version } = model;
    const source = { name, revision, licence, vouched };
    terminal.print(jsonLine({ id, version, digest, present, source, files }));
    return;
  }
  if (quiet) {
    terminal.print(digest);
    return;
  }
  const { paint } = terminal;
  const what = `${model.id} version ${model.version}`;
  terminal.print(
    present ? `${what} is there already, the same files` : `added ${paint.bold(what)}`,
  );
  terminal.print(`digest ${digest}`);
  if (!vouched) {
    terminal.print(
      paint.warn("The source gives no hashes: compare the digest with one that you trust."),
    );
  }
  if (origin.licence !== null) terminal.print(`licence ${printable(origin.licence)}`);
  terminal.print(`\nfor the "models" of a policy:\n  ${entry}`);
  for (const line of nextSteps(added, models)) terminal.print(line);
}

/** A node of one's own needs no policy; one that runs must be started anew, and be trusted with more. */
function nextSteps({ model, kind }: AddedModel, models: string | null): readonly string[] {
  const where = models === null ? "" : ` --models ${shellWord(models)}`;
  // Encoders have none: they turn text into vectors, and do not talk.
  const talks = kind === "export" && model.files.some(({ path }) => path === GENERATION);
  return [
    ...(talks ? [`\ntalk with it:\n  npx countersign chat ${model.id}${where}`] : []),
    "\nserve it (nodes read their models when they start), and trust it in the simulated TEE:",
    `  npx countersign node${where}`,
    `  npx countersign policy init${where}`,
  ];
}

const GENERATION = "generation_config.json";

/** `text` as one word of a shell's line. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
