export { ImageError, type ImageErrorCode } from "./errors.ts";
export { type Graph, moduleGraph } from "./graph.ts";
export type { Architecture } from "./elf.ts";
export { cpioBytes, cpioChunks } from "./cpio.ts";
export { writeDirectory } from "./directory.ts";
export type { Content, Entry, FileEntry } from "./entry.ts";
export { enclaveTree, ENCLAVE_ENTRIES, KEY_SERVICES, type Tree, type TreeOptions } from "./tree.ts";
export { buildImage, type BuildOptions, type BuiltImage, DEFAULT_CMDLINES } from "./build.ts";
export type { Section, SectionType } from "./eif.ts";
export { type ImageLayout, measureImage, type MeasuredImage, sectionChunks } from "./measure.ts";
export { type ImageSignature, parseSigningKey, type SigningKey } from "./signature.ts";
export type { Registers } from "./registers.ts";
export {
  encodeRelease,
  MAX_RELEASE_BYTES,
  parseRelease,
  type Release,
  type ReleaseInput,
  type ReleaseSource,
} from "./release.ts";
export { describeImage } from "./release-image.ts";
export {
  type Comparison,
  compareReleases,
  type Difference,
  differenceOf,
} from "./release-difference.ts";
export { type Rebuild, rebuildImage, type RebuildInputs } from "./release-rebuild.ts";
