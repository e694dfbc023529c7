import { encodeHex } from "@countersign/attestation";
import type { ResealedModel } from "@countersign/sealing";

import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { userPath } from "../paths.ts";
import { KMS_OPTIONS, keyWords, NEW_KEY_OPTIONS, withKeys } from "../sealing.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

export const modelResealCommand: Command = {
  name: "model reseal",
  summary: "put a sealed model under another key without encrypting it anew",
  synopsis: "DIR (--kms-key KEY | --key-provider file --key FILE) [--old-key FILE]",
  details: `The data key gets a new envelope, and the segments stay as they are: only seal.cbor is replaced, in
one step. Between two keys of KMS in one region, KMS moves the data key itself, and it is never here.

A copy of the old seal opens the same segments as long as the old key does. Disable the old key, or
seal the model anew, where that matters.

examples:
  countersign model reseal models.sealed --kms-key alias/models-2026 --region eu-central-1
  countersign model reseal models.sealed --old-key owner.key --key-provider file --key new.key`,
  options: [
    ...NEW_KEY_OPTIONS,
    { name: "old-key", value: "FILE", description: "the key file that it is sealed under now" },
    ...KMS_OPTIONS,
  ],
  operands: [1, 1, "DIR"],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const directory = userPath(args.operands[0] ?? "");
  await withKeys(args, null, async ({ resealModels }, keys) => {
    await resealModels(directory, keys.existing("old-key"), await keys.named(), (model) => {
      if (json) terminal.print(jsonLine(resealedObject(model)));
      else report(terminal, model, quiet);
    });
  });
  return EXIT.ok;
}

function report(terminal: Terminal, model: ResealedModel, quiet: boolean): void {
  const { name, digest, before, after, moved } = model;
  terminal.print(`${encodeHex(digest)}${name === "" ? "" : `  ${printable(name)}`}`);
  if (quiet) return;
  const how = moved === "key-service" ? "KMS moved the data key" : "the data key was moved here";
  terminal.print(terminal.paint.dim(`  from ${keyWords(before)}`));
  terminal.print(terminal.paint.dim(`  to   ${keyWords(after)}; ${how}`));
}

function resealedObject(model: ResealedModel): Readonly<Record<string, unknown>> {
  const { name, digest, before, after, moved } = model;
  const keys = {
    before: { kind: before.kind, id: before.key },
    after: { kind: after.kind, id: after.key },
  };
  return { name, digest: encodeHex(digest), ...keys, moved };
}
