import { extname } from "node:path";

import { writeProof } from "../files.ts";
import { userPath } from "../paths.ts";

/** Where the proofs of one chat go. */
export interface ProofFiles {
  /** Writes the proof of the next answer and returns its file's name. @throws CommandError */
  write(proof: Uint8Array): Promise<string>;
}

/** The first proof goes to `path`, the next ones to `NAME-2.proof`, `NAME-3.proof`, … */
export function proofFiles(path: string): ProofFiles {
  let count = 0;
  return {
    async write(proof) {
      count += 1;
      const name = count === 1 ? path : numbered(path, count);
      await writeProof(userPath(name), proof);
      return name;
    },
  };
}

function numbered(path: string, count: number): string {
  const extension = extname(path);
  return `${path.slice(0, path.length - extension.length)}-${count}${extension}`;
}
