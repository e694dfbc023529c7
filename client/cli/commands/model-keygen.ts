import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { userPath } from "../paths.ts";
import { withSealing } from "../sealing.ts";
import { jsonLine, printable } from "../terminal.ts";

export const modelKeygenCommand: Command = {
  name: "model keygen",
  summary: "make a key file, for sealing models without a KMS",
  synopsis: "FILE",
  details: `FILE is made for you alone to read, and never overwritten. Whoever has it opens every model that is
sealed under it; whoever loses it opens none of them again. "countersign key-broker" releases keys that
it wraps to enclaves, so it lies on the broker's machine, and never on a node's.

example:
  countersign model keygen owner.key`,
  options: [],
  operands: [1, 1, "FILE"],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const path = userPath(args.operands[0] ?? "");
  const id = await withSealing(async ({ createKeyFile }) => await createKeyFile(path));
  if (json) terminal.print(jsonLine({ key: id, file: path }));
  else terminal.print(quiet ? id : `key ${terminal.paint.bold(id)} is in ${printable(path)}`);
  return EXIT.ok;
}
