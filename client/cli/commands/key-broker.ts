import type { Policy } from "@countersign/attestation";
import type { BrokerEntry, KeyBroker, KeyBrokerOptions } from "@countersign/sealing";

import type { Call, Command } from "../command.ts";
import { CommandError, EXIT, UsageError } from "../exit.ts";
import { userPath } from "../paths.ts";
import { loadPolicy } from "../policies.ts";
import { isLoopback, parseListen } from "../proxy/guard.ts";
import { untilSignal } from "../signals.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

const DEFAULT_LISTEN = "127.0.0.1:7480";

export const keyBrokerCommand: Command = {
  name: "key-broker",
  summary: "release the keys of sealed models to attested enclaves, without a cloud",
  synopsis: "--key FILE... --policy FILE [--listen ADDR]",
  details: `For an owner who seals models under a key file ("countersign model keygen", "countersign model
seal --key-provider file"): nodes ask this server for the data key of a model. It sends a challenge,
judges the attestation document that answers it by your policy, and encrypts the data key to the
enclave that the document names. Nobody else can read the answer, so the way there may be plain HTTP.

The policy is the file that clients have, and says here who may open your models: "measurements" the
code, "models" the models, "revoked" what may no more. It is read again for each request, so that a
change counts at once; while it cannot be read, nothing is released. An enclave in debug mode gets
nothing unless the policy allows it in words. "measurements": "unchecked" is refused: it would be
anybody's code.

A node's image, or its --key-services file, says where the broker is. Keep this server on a machine of
your own: whoever has the key files has the models.

example:
  countersign key-broker --key owner.key --policy policy.json
  countersign key-broker --key 2026.key --key 2027.key --policy policy.json --listen 10.0.0.5:7480`,
  options: [
    {
      name: "key",
      value: "FILE",
      description: "a key file, mode 0600; may be given more than once",
      repeatable: true,
    },
    {
      name: "policy",
      value: "FILE",
      description: "which enclaves may have keys, and for which models",
    },
    {
      name: "listen",
      value: "ADDR",
      description: `where to serve (default ${DEFAULT_LISTEN})`,
    },
  ],
  operands: [0, 0, ""],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const listen = parseListen(args.text("listen") ?? DEFAULT_LISTEN);
  const files = args.texts("key");
  const path = args.text("policy");
  if (files.length === 0) throw new UsageError("--key is missing: whose models may be opened?");
  if (path === null) throw new UsageError("--policy is missing: without one nobody gets a key");
  // So that a mistake shows now, and not when the first enclave asks.
  requireListedCode(await loadPolicy(path));
  const broker = await start(files, {
    ...listen,
    policy: () => loadPolicy(path),
    log: (entry) => {
      if (!quiet) terminal.print(json ? jsonLine(entry) : renderEntry(entry, terminal));
    },
  });
  announce(broker, terminal, json);
  if (!isLoopback(listen.host)) {
    terminal.note(
      "note: other machines can reach this broker, and see who asks it for which model",
    );
  }
  await untilSignal();
  await broker.close();
  return EXIT.ok;
}

/** @throws CommandError where the policy would give keys to any code. */
function requireListedCode(policy: Policy): void {
  for (const [platform, { measurements }] of policy.platforms) {
    if (measurements !== "unchecked") continue;
    throw new CommandError(
      `the policy lets any code of ${platform} have your keys: "measurements" is "unchecked"`,
      'list the measurements of the images that you trust: "countersign measure" computes them',
    );
  }
}

/** Loaded here: no other command needs what reads key files and releases keys. */
async function start(
  files: readonly string[],
  options: Omit<KeyBrokerOptions, "keys">,
): Promise<KeyBroker> {
  const { readKeyFile, SealingError, startKeyBroker } = await import("@countersign/sealing");
  const keys: Uint8Array[] = [];
  try {
    for (const file of files) keys.push(await readKeyFile(userPath(file)));
    return await startKeyBroker({ ...options, keys });
  } catch (error) {
    for (const key of keys) key.fill(0);
    if (!(error instanceof SealingError)) throw error;
    const fix =
      error.code === "broker/listen"
        ? "name another address with --listen, for example 127.0.0.1:7481"
        : '"countersign model keygen FILE" makes a key file';
    throw new CommandError(error.message.slice(error.code.length + 2), fix);
  }
}

function announce({ url, keys }: KeyBroker, terminal: Terminal, json: boolean): void {
  if (json) {
    terminal.print(jsonLine({ event: "listening", url, keys }));
    return;
  }
  terminal.print(`Releasing keys to the enclaves of the policy at ${terminal.paint.bold(url)}`);
  for (const key of keys) terminal.print(`  key ${key}`);
}

function renderEntry(entry: BrokerEntry, { paint }: Terminal): string {
  const { event, peer, model, measurement, code, detail, dropped } = entry;
  const word = event === "key-released" ? paint.good("released") : paint.bad("refused");
  const what = `model ${model ?? "unknown"}  ${measurement ?? "unknown code"}  ${peer}`;
  const before = dropped === 0 ? "" : `(${dropped} lines left out before) `;
  const why = `${before}${detail ?? code ?? ""}`;
  return `${word}  ${printable(what)}  ${paint.dim(printable(why))}`.trimEnd();
}
