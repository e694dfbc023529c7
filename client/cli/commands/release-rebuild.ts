import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  type Comparison,
  DEFAULT_CMDLINES,
  differenceOf,
  type Rebuild,
  rebuildImage,
  type Release,
} from "@countersign/image";

import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { imageFailure, requiredText } from "../image-options.ts";
import { keyServicesFile } from "../key-services.ts";
import { REPOSITORY, userPath } from "../paths.ts";
import { readReleaseFile } from "../release-file.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";
import { policyEntry } from "./release.ts";
import { type FoundSource, KEY_SERVICES_INPUT, sourceOf } from "./release-source.ts";

/** Differences that are printed; --json has all. */
const SHOWN = 20;

export const releaseRebuildCommand: Command = {
  name: "release rebuild",
  summary: "build a released image again, and say whether it comes out the same",
  synopsis: "RELEASE.json --kernel FILE [--module FILE]… [--libraries DIR]… [--out FILE]",
  details: `Builds the image from this checkout and the files you name, with the release's own options, and
compares PCR0, PCR1 and PCR2 with what was released. Where they differ it names the inputs that do: the
kernel, a module, a library, Node, or a file of the source. Take the commit that the release names, and
run "npm ci" in it: the lockfile has the hash of every package.

The release chooses Linux's command line. One that starts another program is refused; any other that is
not the builder's own is shown, and you are the one who judges it. So it is with key services that are not
the commit's: get their file from whoever released the image, read it, and name it by --key-services.

Exit code: 0 equal. 1 something differs. 2 the image could not be built or the release not be read.

example:
  git checkout 3f1c0de && npm ci
  countersign release rebuild release.json --kernel bzImage --module nsm.ko`,
  options: [
    { name: "kernel", value: "FILE", description: "the kernel" },
    {
      name: "module",
      value: "FILE",
      description: "a kernel module, .ko, in any order; may be repeated",
      repeatable: true,
    },
    {
      name: "libraries",
      value: "DIR",
      description: "where shared libraries are (default this machine's); may be repeated",
      repeatable: true,
    },
    {
      name: "key-services",
      value: "FILE",
      description: "the release's file of key services, where it is not the commit's",
    },
    { name: "out", value: "FILE", description: "keeps the image that was built" },
  ],
  operands: [1, 1, "RELEASE.json"],
  run,
};

async function run(call: Call): Promise<number> {
  const { args } = call;
  const path = args.operands[0] ?? "";
  const kernel = userPath(requiredText(args, "kernel"));
  const release = await readReleaseFile(path);
  const libraries = args.texts("libraries");
  const keyServices = await keyServicesFile(args);
  const kept = args.text("out");
  const folder = await mkdtemp(join(tmpdir(), "countersign-rebuild-"));
  try {
    const { rebuilt, comparison } = await rebuildImage(release, {
      root: REPOSITORY,
      kernel,
      modules: args.texts("module").map(userPath),
      libraries: libraries.length === 0 ? ["/"] : libraries.map(userPath),
      keyServices,
      out: kept === null ? join(folder, "image.eif") : userPath(kept),
    });
    const { source, keyServices: origin } = await sourceOf(REPOSITORY, rebuilt.inputs);
    report(call, release, { rebuilt: { ...rebuilt, source }, comparison, keyServices: origin });
    return comparison.equal ? EXIT.ok : EXIT.rejected;
  } catch (error) {
    throw imageFailure(error);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Reported extends Rebuild {
  readonly keyServices: FoundSource["keyServices"];
}

function report(call: Call, release: Release, reported: Reported): void {
  const { rebuilt, comparison, keyServices } = reported;
  const { terminal, json, quiet } = call;
  const { file, differences } = comparison;
  const refusal = differenceOf(comparison);
  if (json) {
    const { image, measurements, source, options } = rebuilt;
    const error = refusal?.message ?? null;
    const own = { cmdlineOfRelease: isOwnCmdline(release) };
    const made = { image, measurements, source, options };
    terminal.print(jsonLine({ ...comparison, ...own, keyServices, error, rebuilt: made }));
    return;
  }
  // Not less with --quiet: "equal" says that the image is what the release says, not that it is ours.
  if (isOwnCmdline(release)) {
    const { cmdline } = release.options;
    terminal.note(printable(`Linux's command line is the release's own: ${cmdline}`));
  }
  if (keyServices === "other") {
    terminal.note("the enclave asks the key services of the file that you named, not the commit's");
  }
  if (refusal === null) {
    const [first] = differences;
    if (first !== undefined) {
      terminal.note(printable(`the release lists inputs that are not the image's: ${first.what}`));
    }
    terminal.print(`${terminal.paint.good("equal")}: PCR0, PCR1 and PCR2 are those of the release`);
    if (quiet) return;
    const words = JSON.stringify(release.options.arguments);
    terminal.print(printable(`  the enclave's arguments are ${words}`));
    terminal.print(`  ${FILE_WORDS[file]}\n  ${printable(policyEntry(release))}`);
    return;
  }
  terminal.print(`${terminal.paint.bad("different")}: ${printable(refusal.message)}`);
  for (const { what, found, wanted } of differences.slice(0, SHOWN)) {
    terminal.print(printable(`  ${what}`));
    if (quiet) continue;
    terminal.print(printable(`    found   ${found}`));
    terminal.print(printable(`    wanted  ${wanted}`));
  }
  const more = differences.length - SHOWN;
  if (more > 0) terminal.print(`  and ${more} more: --json lists all`);
  if (differences.some(({ what }) => what === KEY_SERVICES_INPUT)) {
    terminal.note("the release was built with other key services: --key-services names their file");
  }
  if (!quiet) explain(terminal, release, rebuilt, differences.length);
}

const FILE_WORDS = {
  same: "the file is the same, byte for byte",
  different: "the file differs where nothing is measured: in its metadata, or sizes in its header",
  signed:
    "the released file is signed, which only its owner can do; the signature changes no register but PCR8",
} as const satisfies Record<Comparison["file"], string>;

/** Words of Linux's can start another program than /init, and give it any arguments. */
function isOwnCmdline({ architecture, options }: Release): boolean {
  return options.cmdline !== DEFAULT_CMDLINES[architecture];
}

/** What a person would look at next. */
function explain(terminal: Terminal, release: Release, rebuilt: Release, count: number): void {
  if (count === 0) {
    terminal.note("every input is the same: another version of the builder packs them differently");
  }
  const released = release.source?.commit ?? null;
  const here = rebuilt.source?.commit ?? null;
  if (released === null) terminal.note("the release names no commit");
  else if (here !== released) {
    terminal.note(`the release is of commit ${released}, this checkout of ${here ?? "none"}`);
  }
  if (rebuilt.source?.clean === false) terminal.note("this checkout has changes of its own");
  if (release.source?.clean === false) {
    terminal.note("the release was made of a checkout with changes that are in no commit");
  }
}
