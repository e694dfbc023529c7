/** An image made again from its release, and what came out differently. */
import { basename } from "node:path";
import { buildImage } from "./build.ts";
import { ImageError } from "./errors.ts";
import { type Comparison, compareReleases } from "./release-difference.ts";
import { describeImage } from "./release-image.ts";
import type { Release } from "./release.ts";
import { ENCLAVE_ENTRIES } from "./tree.ts";

/** The inputs of this machine. Which options they are built with, the release says. */
export interface RebuildInputs {
  /** The checkout, with its packages installed. */
  readonly root: string;
  readonly kernel: string;
  /** In any order: the release says in which they are loaded. */
  readonly modules: readonly string[];
  readonly libraries: readonly string[];
  /** The file of key services that the release was built with; null is the checkout's own. */
  readonly keyServices: string | null;
  /** Where the image goes. */
  readonly out: string;
}

export interface Rebuild {
  /** Its source is not asked for here. */
  readonly rebuilt: Release;
  readonly comparison: Comparison;
}

/** `1:/lib/modules/03-nsm.ko` */
const MODULE = /^1:\/lib\/modules\/\d\d-([\w-]+\.ko)$/u;

/**
 * Builds the image of `release` from `inputs` and compares the two, input by input.
 *
 * @throws ImageError `image/input` where an input is missing: nothing was built, and nothing is said.
 */
export async function rebuildImage(release: Release, inputs: RebuildInputs): Promise<Rebuild> {
  const { root, kernel, libraries, keyServices, out } = inputs;
  await buildImage({
    root,
    kernel,
    libraries,
    keyServices,
    out,
    modules: inReleasedOrder(inputs.modules, release),
    architecture: release.architecture,
    cmdline: release.options.cmdline,
    arguments: release.options.arguments,
    entries: ENCLAVE_ENTRIES,
    // Nobody has it but who released; no register of ours covers the signature.
    signingKey: null,
  });
  const rebuilt = await describeImage(out, release.name, null);
  return { rebuilt, comparison: compareReleases(release, rebuilt) };
}

/**
 * The same modules in another order are another image; the names say which is which.
 *
 * @throws ImageError `image/input` where one is missing, surplus or there twice.
 */
function inReleasedOrder(modules: readonly string[], { inputs }: Release): readonly string[] {
  const wanted = inputs.flatMap(({ path }) => MODULE.exec(path)?.[1] ?? []);
  const given = modules.map((file) => basename(file));
  const missing = wanted.filter((name) => !given.includes(name));
  const surplus = given.filter((name, i) => !wanted.includes(name) || given.indexOf(name) !== i);
  if (missing.length > 0 || surplus.length > 0) {
    const words = [
      ...missing.map((name) => `${name} is missing`),
      ...surplus.map((name) => `${name} is not in the release, or is given twice`),
    ];
    throw new ImageError("image/input", `kernel modules: ${words.join(", ")}`);
  }
  return modules.toSorted((a, b) => wanted.indexOf(basename(a)) - wanted.indexOf(basename(b)));
}
