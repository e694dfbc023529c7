import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { readUserFile, writeProof } from "../files.ts";

/** Proofs of the last exchanges, and of all of them where there is a directory. */
export interface ProofStore {
  put(id: string, proof: Uint8Array): Promise<void>;
  get(id: string): Promise<Uint8Array | null>;
}

/** An exchange's id: 16 bytes in hexadecimal. */
const ID = /^[0-9a-f]{32}$/u;
const PRIVATE_DIRECTORY = 0o700;

/** Keeps proofs in memory, the newest of them up to `maxBytes`, and in `directory` if there is one. */
export function createProofStore(directory: string | null, maxBytes: number): ProofStore {
  const kept = new Map<string, Uint8Array>();
  let size = 0;
  return {
    async put(id, proof) {
      if (!ID.test(id)) throw new TypeError(`"${id}" is no id of an exchange`);
      size += proof.length - (kept.get(id)?.length ?? 0);
      kept.set(id, proof);
      for (const [oldest, bytes] of kept) {
        if (size <= maxBytes) break;
        kept.delete(oldest);
        size -= bytes.length;
      }
      if (directory === null) return;
      await mkdir(directory, { recursive: true, mode: PRIVATE_DIRECTORY });
      await writeProof(fileOf(directory, id), proof);
    },
    async get(id) {
      if (!ID.test(id)) return null;
      const found = kept.get(id);
      if (found !== undefined || directory === null) return found ?? null;
      return await readUserFile(fileOf(directory, id), "the proof").catch(() => null);
    },
  };
}

function fileOf(directory: string, id: string): string {
  return join(directory, `${id}.proof`);
}
