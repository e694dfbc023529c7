/**
 * The key file of an owner without a KMS: one line, `countersign-key-v1:<base64url of 32 bytes>`.
 *
 * Whoever has it opens every model sealed under it, so a file that others may read is refused.
 */
import { createHash, randomFillSync } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { encodeHex } from "@countersign/attestation";
import { SealingError } from "./errors.ts";
import { onDisk, readSmall, syncDirectory } from "./files.ts";

const PREFIX = "countersign-key-v1:";
const KEY_BYTES = 32;
/** 43 characters without padding; the last has four unused bits, which are zero. */
const LINE = /^countersign-key-v1:(?<key>[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])\n?$/u;
const MAX_FILE_BYTES = 256;
const OWNER_ONLY = 0o600;
const OTHERS = 0o077;
const ID_LABEL = "countersign/key-id/v1";
const ID_BYTES = 16;

/** Makes a key file and returns the key's id. @throws {@link SealingError} `sealing/output`. */
export async function createKeyFile(path: string): Promise<string> {
  const key = randomFillSync(new Uint8Array(KEY_BYTES));
  const line = Buffer.from(`${PREFIX}${Buffer.from(key.buffer).toString("base64url")}\n`);
  try {
    await onDisk(path, "sealing/output", async () => {
      const handle = await open(path, "wx", OWNER_ONLY);
      try {
        await handle.writeFile(line);
        await handle.sync();
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      } finally {
        await handle.close();
      }
      await syncDirectory(dirname(path));
    });
    return keyFileId(key);
  } finally {
    line.fill(0);
    key.fill(0);
  }
}

/** The 32 bytes of a key file. The caller overwrites them. @throws {@link SealingError} `sealing/key-file`. */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  const { bytes, mode } = await readSmall(path, MAX_FILE_BYTES, "sealing/key-file");
  try {
    if ((mode & OTHERS) !== 0) {
      throw new SealingError("sealing/key-file", `${path}: others may access it; chmod 600 it`);
    }
    const text = LINE.exec(new TextDecoder().decode(bytes))?.groups?.["key"];
    if (text === undefined) {
      throw new SealingError("sealing/key-file", `${path}: want one line ${PREFIX}…`);
    }
    const decoded = Buffer.from(text, "base64url");
    const key = Uint8Array.from(decoded);
    // Small buffers are views of a pool that others get parts of.
    decoded.fill(0);
    return key;
  } finally {
    bytes.fill(0);
  }
}

/** What an envelope calls the key: it tells keys apart and says nothing of them. @param key - 32 bytes. */
export function keyFileId(key: Uint8Array): string {
  const hash = createHash("sha256").update(ID_LABEL).update(Uint8Array.of(0)).update(key).digest();
  return encodeHex(hash.subarray(0, ID_BYTES));
}
