import { encodeHex } from "@countersign/attestation";

import { showBytes } from "../add/progress.ts";
import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { userPath } from "../paths.ts";
import { KMS_OPTIONS, withKeys, withProgress } from "../sealing.ts";
import { jsonLine, printable } from "../terminal.ts";
import { requiredOut } from "./model-seal.ts";

export const modelUnsealCommand: Command = {
  name: "model unseal",
  summary: "decrypt a sealed model with its owner's own key",
  synopsis: "DIR --out DIR [--key FILE]",
  details: `DIR is a sealed version, or a repository: then its sealed versions are opened. Every byte is compared
with the manifest. What is written is in clear, and for you alone to read.

A key of KMS opens it only where the key's policy lets you decrypt, which a good one need not.

example:
  countersign model unseal models.sealed --key owner.key --out models`,
  options: [
    { name: "out", value: "DIR", description: "a new directory for what is opened" },
    { name: "key", value: "FILE", description: "the key file, where it was sealed under one" },
    ...KMS_OPTIONS,
  ],
  operands: [1, 1, "DIR"],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const directory = userPath(args.operands[0] ?? "");
  const out = requiredOut(args);
  const models = await withProgress(json || quiet, async (around) => {
    return await withKeys(args, around.signal, async ({ unsealModels }, keys) => {
      return await unsealModels(directory, out, keys.existing("key"), around);
    });
  });
  for (const { name, digest, files, bytes } of models) {
    if (json) {
      terminal.print(jsonLine({ name, digest: encodeHex(digest), files, bytes, out }));
      continue;
    }
    const size = quiet ? "" : terminal.paint.dim(`  ${showBytes(bytes)}`);
    terminal.print(`${encodeHex(digest)}${name === "" ? "" : `  ${printable(name)}`}${size}`);
  }
  if (!json && !quiet) terminal.print(`opened into ${terminal.paint.bold(printable(out))}`);
  return EXIT.ok;
}
