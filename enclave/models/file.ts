/** One file of a model, from the host into the buffer that is used, if it is what the manifest names. */
import { equalBytes } from "@countersign/attestation/attester";
import type { ManifestEntry } from "@countersign/protocol";
import { createHash, type Hash } from "node:crypto";
import { EnclaveError } from "../errors.ts";
import { type SealedFile, SegmentOpener } from "./segments.ts";

export type FileBytes = Uint8Array<ArrayBuffer>;

/**
 * Reads one file into a buffer of its own, opens it there where it is sealed, and hashes what it is in
 * the clear. Where it fails, nothing of it is left.
 *
 * @param sealed - null for a file that comes in the clear.
 * @throws EnclaveError `model/size`, `model/hash`, `model/sealed`; and whatever `chunks` throws.
 */
export async function readModelFile(
  entry: ManifestEntry,
  sealed: SealedFile | null,
  chunks: AsyncIterable<Uint8Array>,
): Promise<FileBytes> {
  const file = new HashedFile(entry);
  try {
    if (sealed === null) {
      for await (const chunk of chunks) file.append(chunk);
    } else {
      const opener = new SegmentOpener(sealed, (plaintext) => {
        file.append(plaintext);
      });
      for await (const chunk of chunks) opener.push(chunk);
      opener.finish();
    }
    return file.finish();
  } catch (error) {
    file.wipe();
    throw error;
  }
}

/** Overwrites files that nobody may have any more. What has moved to the engine's thread is not here. */
export function wipeFiles(files: Iterable<FileBytes>): void {
  for (const bytes of files) if (!bytes.buffer.detached) bytes.fill(0);
}

class HashedFile {
  readonly #entry: ManifestEntry;
  readonly #bytes: FileBytes;
  readonly #hash: Hash = createHash("sha256");
  #length = 0;

  constructor(entry: ManifestEntry) {
    this.#entry = entry;
    this.#bytes = new Uint8Array(entry.size);
  }

  append(chunk: Uint8Array): void {
    const { path, size } = this.#entry;
    const end = this.#length + chunk.length;
    if (end > size) throw new EnclaveError("model/size", `${path}: more than ${size} bytes`);
    this.#bytes.set(chunk, this.#length);
    // What was copied, not what it was copied from: what is hashed is what is used.
    this.#hash.update(this.#bytes.subarray(this.#length, end));
    this.#length = end;
  }

  finish(): FileBytes {
    const { path, size, sha256 } = this.#entry;
    if (this.#length !== size) {
      throw new EnclaveError("model/size", `${path}: ${this.#length} bytes, want ${size}`);
    }
    if (!equalBytes(this.#hash.digest(), sha256)) {
      throw new EnclaveError("model/hash", `${path}: not the file that the manifest names`);
    }
    return this.#bytes;
  }

  wipe(): void {
    this.#bytes.fill(0, 0, this.#length);
  }
}
