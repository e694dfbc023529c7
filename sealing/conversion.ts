/** The files of one version, sealed or opened one after the other into a directory that is being made. */
import type { FileHandle } from "node:fs/promises";
import type { ManifestEntry } from "@countersign/protocol";
import type { SealingErrorCode } from "./errors.ts";
import { openPlain } from "./files.ts";
import type { SegmentedFile } from "./segments.ts";
import type { Staging } from "./staging.ts";
import type { Surroundings } from "./surroundings.ts";

/** One way: {@link sealFile} or {@link openFile}, and what it is called. */
export interface Conversion {
  readonly word: "sealing" | "opening";
  readonly convert: (file: SegmentedFile, from: FileHandle, to: FileHandle) => Promise<void>;
  /** Of a file that cannot be opened, or has another length. */
  readonly refusal: SealingErrorCode;
}

/** One file, in the manifest's order. */
export interface Convertible {
  readonly entry: ManifestEntry;
  /** On this machine, and how many bytes it has there. */
  readonly from: string;
  readonly fromBytes: number;
  /** In the version that is being made. */
  readonly to: string;
}

/**
 * @param below - what the version's paths begin with, in the directory that is being made.
 * @param key - the data key; the caller overwrites it.
 * @throws {@link SealingError} as the conversion does, and `sealing/output`.
 */
export async function convertFiles(
  { word, convert, refusal }: Conversion,
  version: { readonly below: string; readonly key: Uint8Array; readonly modelDigest: Uint8Array },
  files: readonly Convertible[],
  staging: Staging,
  { progress, signal }: Surroundings,
): Promise<void> {
  const { below, key, modelDigest } = version;
  for (const [index, { entry, from: path, fromBytes, to }] of files.entries()) {
    const onSegment = (bytes: number): void => {
      progress.at(`${word} ${below}${entry.path}`, bytes);
      signal.throwIfAborted();
    };
    const source = await openPlain(path, fromBytes, refusal);
    try {
      await staging.write(`${below}${to}`, async (target) => {
        await convert({ key, modelDigest, index, entry, path, onSegment }, source, target);
      });
    } finally {
      await source.close();
    }
  }
}
