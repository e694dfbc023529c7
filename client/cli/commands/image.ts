import { buildImage, enclaveTree, writeDirectory } from "@countersign/image";

import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import {
  BUILD_OPTIONS,
  commandLine,
  imageFailure,
  requiredText,
  signingKey,
  TREE_OPTIONS,
  treeOptions,
} from "../image-options.ts";
import { reportImage } from "../image-report.ts";
import { userPath } from "../paths.ts";
import { jsonLine } from "../terminal.ts";

export const imageBuildCommand: Command = {
  name: "image build",
  summary: "build the enclave's image (EIF) from this checkout, and print what it attests",
  synopsis: "--kernel FILE [--module FILE]... --out FILE [options]",
  details: `The image holds a kernel and its modules, Node, the shared libraries that it needs, and exactly the
files that the enclave loads of this checkout: no shell, no package manager, no simulation. The
same inputs give the same bytes on every machine and in every folder; a signature is the one
part that differs each time, and PCR0, 1, 2 and 8 do not depend on it.

Which key services the enclave may ask for the keys of sealed models is a file of the image, too, and in
PCR0 and PCR2. --key-services puts FILE there; publish it with the image, or nobody can rebuild it.

On AWS, an image needs the modules of vsock and nsm unless the kernel has them built in, and
--heartbeat. Libraries are this machine's unless --libraries names others: to get the same image
on two machines, unpack the same packages on both.

example:
  countersign image build --kernel bzImage --module nsm.ko --heartbeat --out countersign.eif`,
  options: [...BUILD_OPTIONS, { name: "out", value: "FILE", description: "the image to write" }],
  operands: [0, 0, ""],
  run: build,
};

export const imageTreeCommand: Command = {
  name: "image tree",
  summary: "write the image's file tree as a folder, for a Docker engine",
  synopsis: "--out DIR [options]",
  details: `The tree of "image build", without kernel modules and devices. DIR is made, or is there and empty.

example:
  countersign image tree --out rootfs`,
  options: [...TREE_OPTIONS, { name: "out", value: "DIR", description: "the folder to write" }],
  operands: [0, 0, ""],
  run: tree,
};

async function build(call: Call): Promise<number> {
  const { args } = call;
  const options = await treeOptions(args);
  const [kernel, out] = [requiredText(args, "kernel"), requiredText(args, "out")];
  try {
    const image = await buildImage({
      ...options,
      kernel: userPath(kernel),
      cmdline: commandLine(args, options.architecture),
      signingKey: await signingKey(args, Date.now()),
      out: userPath(out),
    });
    reportImage(call, image);
    return EXIT.ok;
  } catch (error) {
    throw imageFailure(error);
  }
}

async function tree({ args, terminal, json, quiet }: Call): Promise<number> {
  const out = userPath(requiredText(args, "out"));
  const options = await treeOptions(args);
  try {
    const { platform, application } = await enclaveTree(options);
    const entries = [...platform, ...application];
    await writeDirectory(out, entries);
    const files = entries.filter(({ kind }) => kind === "file").length;
    if (json) terminal.print(jsonLine({ tree: out, files }));
    else if (!quiet) terminal.print(`wrote ${files} files to ${out}`);
    return EXIT.ok;
  } catch (error) {
    throw imageFailure(error);
  }
}
