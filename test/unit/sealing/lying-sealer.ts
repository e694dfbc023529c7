/** Somebody with a key who seals other files than the manifest says. */
import { createCipheriv, createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeEnvelope, encodeSeal, segmentAad, segmentNonce } from "@countersign/protocol";
import type { KeyProvider } from "@countersign/sealing";
import type { Files } from "./sealing-files.ts";

/** Puts a sealed version of `manifest` in place, with `files`, of one segment each, in its order. */
export async function lying(
  directory: string,
  manifest: Uint8Array,
  files: Files,
  provider: KeyProvider,
): Promise<void> {
  const digest = new Uint8Array(createHash("sha256").update(manifest).digest());
  const { key, envelope } = await provider.generate(digest);
  for (const [index, [path, bytes]] of [...files].entries()) {
    const cipher = createCipheriv("aes-256-gcm", key, segmentNonce(index, 0));
    cipher.setAAD(segmentAad(digest, index, 0, true));
    const ciphertext = Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    await writeFile(join(directory, `${path}.sealed`), ciphertext);
  }
  const seal = encodeSeal({ manifest, envelope: encodeEnvelope(envelope) });
  await writeFile(join(directory, "seal.cbor"), seal);
  key.fill(0);
}
