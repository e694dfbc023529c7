import { encodeHex } from "@countersign/attestation";
import type { SealedVersion } from "@countersign/sealing";

import { showBytes } from "../add/progress.ts";
import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { userPath } from "../paths.ts";
import { keyWords, withSealing } from "../sealing.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

export const modelInspectCommand: Command = {
  name: "model inspect",
  summary: "say what a sealed model is, under whose key, and whether all of it is there",
  synopsis: "DIR",
  details: `DIR is a sealed version, or a repository with some. No key is needed: names and lengths are compared with
the seal. Whether every segment opens is seen by whoever has the key, and by the enclave.

Exit code: 0 all is there, 1 something is missing or does not belong there, 2 there is no readable seal.

example:
  countersign model inspect models.sealed`,
  options: [],
  operands: [1, 1, "DIR"],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const directory = userPath(args.operands[0] ?? "");
  let whole = true;
  await withSealing(async ({ findSealed, readSealed, sealedFaults }) => {
    for (const { name, directory: at } of await findSealed(directory)) {
      const version = await readSealed(at);
      const faults = await sealedFaults(version);
      whole &&= faults.length === 0;
      if (json) terminal.print(jsonLine(inspectedObject(name, version, faults)));
      else report(terminal, name, version, faults, quiet);
    }
  });
  return whole ? EXIT.ok : EXIT.rejected;
}

function report(
  terminal: Terminal,
  name: string,
  { digest, entries, envelope }: SealedVersion,
  faults: readonly string[],
  quiet: boolean,
): void {
  const { paint } = terminal;
  terminal.print(`${encodeHex(digest)}${name === "" ? "" : `  ${printable(name)}`}`);
  for (const fault of faults) terminal.print(paint.bad(`  ${printable(fault)}`));
  if (quiet) return;
  terminal.print(`  under ${keyWords(envelope)}`);
  for (const { path, size } of entries) {
    terminal.print(paint.dim(`  ${showBytes(size).padStart(10)}  ${printable(path)}`));
  }
}

function inspectedObject(
  name: string,
  { digest, entries, envelope }: SealedVersion,
  faults: readonly string[],
): Readonly<Record<string, unknown>> {
  const files = entries.map(({ path, size, sha256 }) => ({
    path,
    size,
    sha256: encodeHex(sha256),
  }));
  const key = { kind: envelope.kind, id: envelope.key };
  return { name, digest: encodeHex(digest), key, whole: faults.length === 0, faults, files };
}
