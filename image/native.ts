/**
 * What packages load by a name that they compute, and no module graph shows: addons, of which each
 * package has one for every system. An image takes those for its own architecture and glibc.
 */
import type { Architecture } from "./elf.ts";

/** Node's own name for an architecture. */
const NODE_NAMES: Readonly<Record<Architecture, string>> = { x86_64: "x64", arm64: "arm64" };

/** The addons of each package that has any; paths in the checkout. */
const ADDONS: ReadonlyMap<string, (node: string) => readonly string[]> = new Map([
  [
    "onnxruntime-node",
    (node) => [`node_modules/onnxruntime-node/bin/napi-v6/linux/${node}/onnxruntime_binding.node`],
  ],
  [
    "koffi",
    (node) => [
      `node_modules/@koromix/koffi-linux-${node}/index.js`,
      `node_modules/@koromix/koffi-linux-${node}/linux_${node}/koffi.node`,
    ],
  ],
]);

/** The files of `packages` that only running them would show. */
export function computedLoads(
  packages: readonly string[],
  architecture: Architecture,
): readonly string[] {
  return packages.flatMap((name) => ADDONS.get(name)?.(NODE_NAMES[architecture]) ?? []);
}

/** Where the lockfile's Node for `architecture` is. */
export function nodeProgram(architecture: Architecture): string {
  return `node_modules/node-linux-${NODE_NAMES[architecture]}/bin/node`;
}
