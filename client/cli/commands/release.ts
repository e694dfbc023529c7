import { describeImage, encodeRelease, type Release } from "@countersign/image";

import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { writeUserFile } from "../files.ts";
import { imageFailure, requiredText } from "../image-options.ts";
import { REPOSITORY, userPath } from "../paths.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";
import { checkoutVersion, type FoundSource, sourceOf } from "./release-source.ts";

export const releaseCommand: Command = {
  name: "release",
  summary: "write what an enclave image measures and everything it is made of",
  synopsis: "--image FILE.eif --out FILE.json [--name NAME]",
  details: `The file goes with the image: its measurements are what clients put into their policies, and its list
of inputs, with the SHA-256 of each, lets anybody build the image again ("countersign release rebuild").
It is read from the image itself; the commit is that of this checkout, in which you built it, and it is
"clean" where each of our files in the image is byte for byte the commit's; key services that the
image was given are listed as an input, like its kernel.

example:
  countersign release --image enclave.eif --out release.json`,
  options: [
    { name: "image", value: "FILE", description: "the image, of countersign image build" },
    { name: "out", value: "FILE", description: "where the release goes" },
    {
      name: "name",
      value: "NAME",
      description: "what policies call its measurements (default this version)",
    },
    { name: "force", value: null, description: "overwrites the file" },
  ],
  operands: [0, 0, ""],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const [image, out] = [requiredText(args, "image"), requiredText(args, "out")];
  const name = args.text("name") ?? (await checkoutVersion());
  const described = await describeImage(userPath(image), name, null).catch((error: unknown) => {
    throw imageFailure(error);
  });
  const found = await sourceOf(REPOSITORY, described.inputs);
  const release = { ...described, source: found.source };
  await writeUserFile(userPath(out), encodeRelease(release), "the release", !args.flag("force"));
  if (json) {
    const { inputs, ...rest } = release;
    const { keyServices } = found;
    terminal.print(jsonLine({ ...rest, inputs: inputs.length, keyServices, file: out }));
    return EXIT.ok;
  }
  if (quiet) return EXIT.ok;
  terminal.print(printable(`wrote ${out}: ${describeRelease(release)}`));
  printSource(terminal, found);
  terminal.print(`\nfor the "measurements" of "aws-nitro" in a policy:`);
  terminal.print(printable(`  ${policyEntry(release)}`));
  return EXIT.ok;
}

/** As policies have it: PCR0 to PCR2. Whoever pins a signing key adds "pcr8". */
export function policyEntry({ name, measurements }: Release): string {
  const { pcr0, pcr1, pcr2 } = measurements;
  return JSON.stringify({ name, pcr0, pcr1, pcr2 });
}

function describeRelease({ architecture, image, inputs, measurements }: Release): string {
  const signed = measurements.pcr8 === null ? "not signed" : `signed, PCR8 ${measurements.pcr8}`;
  return `image of ${image.bytes} bytes, ${architecture}, ${inputs.length} inputs, ${signed}`;
}

function printSource(terminal: Terminal, { source, foreign, keyServices }: FoundSource): void {
  const { paint } = terminal;
  if (source === null) {
    terminal.print(
      paint.warn("Of no commit: git names none here, so nobody can fetch its source."),
    );
    return;
  }
  terminal.print(`commit ${source.commit}`);
  if (keyServices === "other") {
    const publish = "publish their file, too: without it nobody can build the image again";
    terminal.print(paint.warn(`Its key services are not those of the commit: ${publish}.`));
  }
  const [file] = foreign;
  if (file !== undefined) {
    terminal.print(
      paint.warn(`${foreign.length} of its files are not those of this checkout, first ${file}.`),
    );
    terminal.print(paint.warn("Make the release in the checkout in which the image was built."));
  } else if (!source.clean) {
    terminal.print(
      paint.warn("It has changes that are in no commit, so that nobody else has its source."),
    );
  }
}
