import { measureImage } from "@countersign/image";

import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { imageFailure } from "../image-options.ts";
import { reportImage } from "../image-report.ts";
import { userPath } from "../paths.ts";

export const measureCommand: Command = {
  name: "measure",
  summary: "compute what an enclave image attests: PCR0, 1, 2 and 8",
  synopsis: "FILE.eif",
  details: `Reads the image, refuses it where it breaks a rule of the format, and prints the registers that an
enclave running it shows in its attestation documents: PCR0 over the whole image, PCR1 over kernel,
command line and first ramdisk, PCR2 over the other ramdisks, PCR8 over the signing certificate where
there is one. A policy lists them; no tool of AWS's, and no AWS account, is needed.

Exit code 0: measured. 1: not an image, damaged, or wrongly signed. 2: the file cannot be read.

example:
  countersign measure countersign.eif`,
  options: [],
  operands: [1, 1, "FILE.eif"],
  run: measure,
};

async function measure(call: Call): Promise<number> {
  try {
    reportImage(call, await measureImage(userPath(call.args.operands[0] ?? "")));
    return EXIT.ok;
  } catch (error) {
    throw imageFailure(error);
  }
}
