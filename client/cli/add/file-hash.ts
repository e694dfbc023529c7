import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";

import type { FileHash } from "./origin.ts";

const READ_BYTES = 1024 * 1024;

/** The hash of a file as its bytes are on the disk now. */
export async function hashFile(path: string, algorithm: FileHash["algorithm"]): Promise<string> {
  const hash = createHash(algorithm === "sha256" ? "sha256" : "sha1");
  // Git's object format: "blob", the size in decimal, a zero byte, then the content.
  if (algorithm === "git-blob") hash.update(`blob ${(await stat(path)).size}\0`);
  const handle = await open(path);
  const chunk = new Uint8Array(READ_BYTES);
  try {
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(chunk.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}
