import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  type Comparison,
  DEFAULT_CMDLINES,
  differenceOf,
  MAX_RELEASE_BYTES,
  parseRelease,
  type Rebuild,
  rebuildImage,
  type Release,
} from "@countersign/image";

import type { Call, Command } from "../command.ts";
import { CommandError, EXIT } from "../exit.ts";
import { readUserFile } from "../files.ts";
import { imageFailure, requiredText } from "../image-options.ts";
import { REPOSITORY, userPath } from "../paths.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";
import { policyEntry } from "./release.ts";
import { sourceOf } from "./release-source.ts";

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
not the builder's own is shown, and you are the one who judges it.

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
    { name: "out", value: "FILE", description: "keeps the image that was built" },
  ],
  operands: [1, 1, "RELEASE.json"],
  run,
};

async function run(call: Call): Promise<number> {
  const { args } = call;
  const path = args.operands[0] ?? "";
  const kernel = userPath(requiredText(args, "kernel"));
  const release = await readRelease(path);
  const libraries = args.texts("libraries");
  const kept = args.text("out");
  const folder = await mkdtemp(join(tmpdir(), "countersign-rebuild-"));
  try {
    const { rebuilt, comparison } = await rebuildImage(release, {
      root: REPOSITORY,
      kernel,
      modules: args.texts("module").map(userPath),
      libraries: libraries.length === 0 ? ["/"] : libraries.map(userPath),
      out: kept === null ? join(folder, "image.eif") : userPath(kept),
    });
    const { source } = await sourceOf(REPOSITORY, rebuilt.inputs);
    report(call, release, { rebuilt: { ...rebuilt, source }, comparison });
    return comparison.equal ? EXIT.ok : EXIT.rejected;
  } catch (error) {
    throw imageFailure(error);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @throws CommandError */
async function readRelease(path: string): Promise<Release> {
  const bytes = await readUserFile(userPath(path), "the release");
  if (bytes.length > MAX_RELEASE_BYTES) {
    throw new CommandError(`${path} has ${bytes.length} bytes: it is no release file`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CommandError(`${path} is not UTF-8: it is no release file`);
  }
  try {
    return parseRelease(text);
  } catch (error) {
    throw imageFailure(error);
  }
}

function report(call: Call, release: Release, { rebuilt, comparison }: Rebuild): void {
  const { terminal, json, quiet } = call;
  const { file, differences } = comparison;
  const refusal = differenceOf(comparison);
  if (json) {
    const { image, measurements, source, options } = rebuilt;
    const error = refusal?.message ?? null;
    const own = { cmdlineOfRelease: isOwnCmdline(release) };
    const made = { image, measurements, source, options };
    terminal.print(jsonLine({ ...comparison, ...own, error, rebuilt: made }));
    return;
  }
  // Not less with --quiet: "equal" says that the image is what the release says, not that it is ours.
  if (isOwnCmdline(release)) {
    const { cmdline } = release.options;
    terminal.note(printable(`Linux's command line is the release's own: ${cmdline}`));
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
