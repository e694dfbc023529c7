import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

import {
  appraiseBundle,
  encodeHex,
  formatTime,
  parsePolicy,
  type Policy,
  type PlatformPolicy,
} from "@countersign/attestation";

import { fetchBundle, requireNodeUrl } from "@countersign/client";
import { POLICY_OPTION } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import { CommandError, EXIT, UsageError } from "../exit.ts";
import { readUserFile, writeUserFile } from "../files.ts";
import { firstUsePolicy } from "../first-use.ts";
import { keyServicesFile } from "../key-services.ts";
import { BUNDLED_MODELS, DEFAULT_NODE, DEFAULT_POLICY, DEFAULT_STATE, userPath } from "../paths.ts";
import { encodePolicy, MEND, parsePolicyFile } from "../policies.ts";
import { describeMistake, mistakeAt, type PolicyMistake, readPolicy } from "../policy-mistakes.ts";
import { outputStyle, reportVerdict } from "../reporting.ts";
import { developmentPolicy } from "../simulation.ts";
import { jsonLine, printable } from "../terminal.ts";

const RENEW = "review whom it trusts, and set a new date";

export const policyInitCommand: Command = {
  name: "policy init",
  summary: "write a policy: whom you trust",
  synopsis: "[--policy FILE] [--models DIR] | --trust-on-first-use [--node URL]",
  details: `Without --trust-on-first-use: the development policy. It trusts the simulated TEE of this checkout,
its code as it lies here, and the models of the repository. All of it comes from local files.

With --trust-on-first-use: trusts the code, root and models that a node shows now. Whoever runs the
node, or stands between, decides what that is: it only protects you from a change later on.

An existing file is never overwritten, unless --force says so.`,
  options: [
    { name: "models", value: "DIR", description: "model repository (default the bundled models)" },
    {
      name: "state",
      value: "DIR",
      description: `where the simulation's key is (default ${DEFAULT_STATE})`,
    },
    {
      name: "key-services",
      value: "FILE",
      description: "the file that the node is started with, where it is not this checkout's own",
    },
    { name: "trust-on-first-use", value: null, description: "trusts what a node shows now" },
    { name: "node", value: "URL", description: `that node (default ${DEFAULT_NODE})` },
    { name: "force", value: null, description: "overwrites the file" },
    { ...POLICY_OPTION, description: `the file to write (default ${DEFAULT_POLICY})` },
  ],
  operands: [0, 0, ""],
  run: init,
};

export const policyShowCommand: Command = {
  name: "policy show",
  summary: "say what a policy trusts, in words",
  synopsis: "[--policy FILE]",
  details: "",
  options: [POLICY_OPTION],
  operands: [0, 0, ""],
  run: show,
};

export const policyCheckCommand: Command = {
  name: "policy check",
  summary: "say whether a policy is readable and in force",
  synopsis: "[FILE]",
  details: `Says of the first mistake where it is, as FILE:LINE:COLUMN: POINTER: REASON; there may be more behind it.
The same mistake ends every command that is given the policy, with exit code 2: it could not judge.

Exit code 0: readable and in force. 1: it has a mistake, or has expired. 2: the file cannot be read.`,
  options: [POLICY_OPTION],
  operands: [0, 1, "FILE"],
  run: check,
};

async function init(call: Call): Promise<number> {
  const { args, terminal, json, quiet } = call;
  const path = userPath(args.text("policy") ?? DEFAULT_POLICY);
  const onFirstUse = args.flag("trust-on-first-use");
  if (!onFirstUse && args.text("node") !== null) {
    throw new UsageError(
      "--node without --trust-on-first-use",
      "a policy does not come from the node it judges, unless you say --trust-on-first-use",
    );
  }
  if (onFirstUse && args.text("key-services") !== null) {
    throw new UsageError("--key-services with --trust-on-first-use", "a node's measurement has it");
  }
  let text: string;
  if (onFirstUse) {
    const node = args.text("node") ?? DEFAULT_NODE;
    const bundle = await fetchBundle(fetch, requireNodeUrl(node), null, null);
    text = encodePolicy(firstUsePolicy(bundle, Date.now()));
    const context = { mode: "live", nowMs: Date.now(), nonce: null } as const;
    const { verdict } = await appraiseBundle(bundle, parsePolicy(text), context);
    if (verdict.result !== "verified") {
      terminal.note(
        "the node's evidence does not hold even by a policy made of it; nothing is written",
      );
      return reportVerdict(terminal, outputStyle(call), node, verdict);
    }
  } else {
    const models = args.text("models");
    const repository = models === null ? BUNDLED_MODELS : userPath(models);
    const state = userPath(args.text("state") ?? DEFAULT_STATE);
    const measured = await keyServicesFile(args);
    text = encodePolicy(await developmentPolicy(state, repository, Date.now(), measured));
  }
  await mkdir(dirname(path), { recursive: true });
  await write(path, text, args.flag("force"));
  if (json) terminal.print(jsonLine({ policy: path, trustOnFirstUse: onFirstUse }));
  else if (!quiet) terminal.print(`wrote ${path}`);
  if (onFirstUse && !quiet) {
    terminal.note(
      "trusted on first use: compare its measurements and digests with the operator's published ones",
    );
  }
  return EXIT.ok;
}

async function write(path: string, text: string, force: boolean): Promise<void> {
  try {
    await writeUserFile(path, text, "the policy", !force);
  } catch (error) {
    if (!(error instanceof CommandError) || force) throw error;
    throw new CommandError(error.message, "--force overwrites it; --policy FILE writes another");
  }
}

async function show({ args, terminal, json }: Call): Promise<number> {
  const path = args.text("policy") ?? DEFAULT_POLICY;
  const bytes = await readUserFile(userPath(path), "the policy");
  const { policy, text } = await parsePolicyFile(bytes, path);
  if (json) {
    terminal.print(jsonLine(JSON.parse(text)));
    return EXIT.ok;
  }
  for (const line of describe(policy)) terminal.print(line);
  return EXIT.ok;
}

async function check({ args, terminal, json, quiet }: Call): Promise<number> {
  const [operand] = args.operands;
  const option = args.text("policy");
  if (operand !== undefined && option !== null) {
    throw new UsageError("FILE and --policy", "one of them: both name the file to check");
  }
  const path = operand ?? option ?? DEFAULT_POLICY;
  const reading = await readPolicy(await readUserFile(userPath(path), "the policy"));
  const mistake = reading.policy === null ? reading.mistake : expiry(reading, Date.now());
  const exit = mistake === null ? EXIT.ok : EXIT.rejected;
  if (json) {
    terminal.print(jsonLine({ version: 1, policy: path, usable: mistake === null, mistake }));
    return exit;
  }
  if (mistake !== null) {
    terminal.print(`${printable(describeMistake(path, mistake))}`);
    if (!quiet) terminal.print(`  fix: ${reading.policy === null ? MEND : RENEW}`);
  } else if (!quiet) {
    terminal.print(`${printable(path)}: readable and in force`);
  }
  return exit;
}

/** What a policy that can be read but is out of force says, at its date; null where it is in force. */
function expiry(
  { policy, text }: { readonly policy: Policy; readonly text: string },
  nowMs: number,
): PolicyMistake | null {
  if (nowMs < policy.expiresMs) return null;
  const message = `expired ${formatTime(policy.expiresMs)}, and now is ${formatTime(nowMs)}`;
  return mistakeAt(text, "/expires", message);
}

function describe(policy: Policy): readonly string[] {
  const { models, freshness, suites, revoked } = policy;
  const platforms = [...policy.platforms].flatMap(([name, entry]) => describePlatform(name, entry));
  const age =
    freshness === "unchecked"
      ? "unchecked: documents of any age are accepted"
      : `at most ${freshness.maxAgeSeconds} s old, clocks may differ by ${freshness.skewSeconds} s, challenge ${freshness.challenge}`;
  const allowed =
    models === "any"
      ? ["models       any: not checked"]
      : models.map(({ id, digest }) => `model        ${printable(id)}  ${encodeHex(digest)}`);
  const withdrawn = revoked.measurements.length + revoked.models.length + revoked.keysets.length;
  return [
    `expires      ${formatTime(policy.expiresMs)}`,
    ...platforms,
    ...allowed,
    `freshness    ${age}`,
    ...suites.map((suite) => `suite        ${suite}`),
    `revoked      ${withdrawn === 0 ? "nothing" : `${withdrawn} entries`}`,
  ];
}

function describePlatform(name: string, entry: PlatformPolicy): readonly string[] {
  const measurements =
    entry.measurements === "unchecked"
      ? ["  code       unchecked: any code is accepted"]
      : entry.measurements.map(
          ({ name: code, registers }) =>
            `  code       "${printable(code)}", ${[...registers.keys()].map((i) => `pcr${i}`).join(", ")}`,
        );
  return [
    `platform     ${name}${entry.debug ? ", debug enclaves accepted" : ""}`,
    ...entry.roots.map((root) => `  root       ${encodeHex(root)}`),
    ...measurements,
  ];
}
