/**
 * The shared libraries that programs and addons need, found as a dynamic linker would: beside the
 * file that asks where it says so (`$ORIGIN`), else in the folders of a distribution.
 */
import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { type Architecture, readElf } from "./elf.ts";
import { ImageError } from "./errors.ts";

/** Where distributions keep libraries, below their root; the folder itself first. */
const FOLDERS: Readonly<Record<Architecture, readonly string[]>> = {
  x86_64: ["", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64"],
  arm64: ["", "lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib64", "usr/lib64"],
};
const COMMON_FOLDERS = ["lib", "usr/lib"];
/** A library's name is put into a path. */
const NAME = /^[\w.+-]+$/u;
const MAX_LIBRARIES = 200;

/** What a set of ELF files needs to run. */
export interface Needs {
  /** Of the distribution: name to file. They go where the loader looks. */
  readonly libraries: ReadonlyMap<string, string>;
  /** Found beside the file that asks: they must stay beside it. */
  readonly beside: ReadonlySet<string>;
  /** Paths at which the kernel looks for the loader. */
  readonly interpreters: ReadonlySet<string>;
}

/**
 * Everything that `files` need, and what those need in turn.
 *
 * @throws ImageError `image/input` on a file of another architecture, or a library that is nowhere.
 */
export async function neededLibraries(
  files: readonly string[],
  roots: readonly string[],
  architecture: Architecture,
): Promise<Needs> {
  const libraries = new Map<string, string>();
  const distribution = new Set<string>();
  const beside = new Set<string>();
  const interpreters = new Set<string>();
  const queue = [...files];
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const elf = await readElf(file);
    if (elf.architecture !== architecture) {
      throw new ImageError("image/input", `${file} is for ${elf.architecture}`);
    }
    const wanted = [...elf.needed];
    if (elf.interpreter !== null) {
      interpreters.add(elf.interpreter);
      wanted.push(basename(elf.interpreter));
    }
    for (const name of wanted) {
      if (!NAME.test(name)) throw new ImageError("image/input", `${file} needs "${name}"`);
      if (libraries.has(name)) continue;
      const neighbour = elf.searchPath.some(isOrigin) ? join(dirname(file), name) : null;
      if (neighbour !== null && existsSync(neighbour) && !distribution.has(file)) {
        if (!beside.has(neighbour)) queue.push(neighbour);
        beside.add(neighbour);
        continue;
      }
      // In the image all libraries of the distribution are in one folder, beside each other.
      const found = await inDistribution(name, roots, architecture);
      if (found === null) {
        throw new ImageError(
          "image/input",
          `${file} needs ${name}, which is not in ${roots.join(", ")}`,
        );
      }
      libraries.set(name, found);
      distribution.add(found);
      queue.push(found);
    }
    if (libraries.size + beside.size > MAX_LIBRARIES) {
      throw new ImageError("image/input", `more than ${MAX_LIBRARIES} libraries are needed`);
    }
  }
  return { libraries, beside, interpreters };
}

function isOrigin(folder: string): boolean {
  return /^\$(?:ORIGIN|\{ORIGIN\})\/?$/u.test(folder);
}

/** Like a loader, passes over files of another architecture. */
async function inDistribution(
  name: string,
  roots: readonly string[],
  architecture: Architecture,
): Promise<string | null> {
  for (const root of roots) {
    for (const folder of [...FOLDERS[architecture], ...COMMON_FOLDERS]) {
      const file = join(root, folder, name);
      if (!existsSync(file) || (await leadsOut(file, root))) continue;
      const elf = await readElf(file);
      if (elf.architecture === architecture) return file;
    }
  }
  return null;
}

/** Whether a link leads out of `root`: an unpacked package's could mean a file of this machine. */
async function leadsOut(file: string, root: string): Promise<boolean> {
  return relative(await realpath(root), await realpath(file)).startsWith("..");
}
