import { encodeHex } from "@countersign/attestation";
import type { SealedModel } from "@countersign/sealing";

import { showBytes } from "../add/progress.ts";
import type { Arguments } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import { EXIT, UsageError } from "../exit.ts";
import { userPath } from "../paths.ts";
import { KMS_OPTIONS, keyWords, NEW_KEY_OPTIONS, withKeys, withProgress } from "../sealing.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

export const modelSealCommand: Command = {
  name: "model seal",
  summary: "encrypt a model, so that only an enclave which your key's policy allows can open it",
  synopsis: "DIR --out DIR (--kms-key KEY | --key-provider file --key FILE)",
  details: `DIR is one version's directory, <name>/<version>, or a whole repository: then every version is
sealed, each under a data key of its own. The digest of a model is the same sealed or not. What is
written can be given to anybody, and to the operator of a node; DIR stays as it is, and with you.

File names, sizes and the digest are not secret: they stand in the seal in clear.

examples:
  countersign model seal models/digits/1 --kms-key alias/models --region eu-central-1 --out digits.sealed
  countersign model keygen owner.key
  countersign model seal models --key-provider file --key owner.key --out models.sealed`,
  options: [
    { name: "out", value: "DIR", description: "a new directory for what is sealed" },
    ...NEW_KEY_OPTIONS,
    ...KMS_OPTIONS,
  ],
  operands: [1, 1, "DIR"],
  run,
};

/** The directory that `--out` names. @throws UsageError */
export function requiredOut(args: Arguments): string {
  const out = args.text("out");
  if (out === null) throw new UsageError("--out is missing", "it names a new directory");
  return userPath(out);
}

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const directory = userPath(args.operands[0] ?? "");
  const out = requiredOut(args);
  const models = await withProgress(json || quiet, async (around) => {
    return await withKeys(args, around.signal, async ({ sealModels }, keys) => {
      const { provider } = await keys.named();
      return await sealModels(directory, out, provider, around);
    });
  });
  for (const model of models) {
    if (json) terminal.print(jsonLine(sealedObject(model, out)));
    else report(terminal, model, quiet);
  }
  if (!json && !quiet) terminal.print(`sealed into ${terminal.paint.bold(printable(out))}`);
  return EXIT.ok;
}

function report(terminal: Terminal, model: SealedModel, quiet: boolean): void {
  const { name, digest, files, bytes, envelope } = model;
  const what = name === "" ? "" : `  ${printable(name)}`;
  terminal.print(`${encodeHex(digest)}${what}`);
  if (quiet) return;
  const size = `${files} ${files === 1 ? "file" : "files"}, ${showBytes(bytes)}`;
  terminal.print(terminal.paint.dim(`  ${size}, under ${keyWords(envelope)}`));
}

function sealedObject(model: SealedModel, out: string): Readonly<Record<string, unknown>> {
  const { name, digest, files, bytes, envelope } = model;
  const { kind, key } = envelope;
  return { name, digest: encodeHex(digest), files, bytes, key: { kind, id: key }, out };
}
