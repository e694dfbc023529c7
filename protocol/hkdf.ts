/** HKDF-SHA256 (RFC 5869) and HPKE's labelled forms of it (RFC 9180 §4). */
import {
  type Awaitable,
  concatBytes,
  encodeUtf8,
  type Hashes,
} from "@countersign/attestation/attester";

/** Nh of SHA-256. */
export const HASH_BYTES = 32;
const VERSION = encodeUtf8("HPKE-v1");

/** RFC 5869 §2.2. */
export function extract(hashes: Hashes, salt: Uint8Array, ikm: Uint8Array): Awaitable<Uint8Array> {
  return hashes.hmacSha256(salt, ikm);
}

/** RFC 5869 §2.3, `length` ≤ 255 · 32. */
export async function expand(
  hashes: Hashes,
  prk: Uint8Array,
  info: Uint8Array,
  length: number,
): Promise<Uint8Array> {
  if (length > 255 * HASH_BYTES) throw new TypeError(`HKDF output of ${length} bytes`);
  const output = new Uint8Array(length);
  const block = new Uint8Array(HASH_BYTES + info.length + 1);
  block.set(info, HASH_BYTES);
  for (let offset = 0, counter = 1; offset < length; offset += HASH_BYTES, counter++) {
    block[block.length - 1] = counter;
    const input = counter === 1 ? block.subarray(HASH_BYTES) : block;
    const bytes = await hashes.hmacSha256(prk, input);
    block.set(bytes);
    output.set(bytes.subarray(0, Math.min(HASH_BYTES, length - offset)), offset);
  }
  block.fill(0);
  return output;
}

/** RFC 9180 §4 LabeledExtract. */
export function extractLabelled(
  hashes: Hashes,
  suiteId: Uint8Array,
  salt: Uint8Array,
  label: Uint8Array,
  ikm: Uint8Array,
): Awaitable<Uint8Array> {
  return hashes.hmacSha256(salt, concatBytes(VERSION, suiteId, label, ikm));
}

/** RFC 9180 §4 LabeledExpand. */
export function expandLabelled(
  hashes: Hashes,
  suiteId: Uint8Array,
  prk: Uint8Array,
  label: Uint8Array,
  info: Uint8Array,
  length: number,
): Promise<Uint8Array> {
  const size = Uint8Array.of(length >> 8, length & 0xff);
  return expand(hashes, prk, concatBytes(size, VERSION, suiteId, label, info), length);
}
