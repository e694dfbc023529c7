import { type Awaitable, concatBytes } from "./bytes.ts";

/** The two hash functions that receipts and transcripts need, as an argument. */
export interface Hashes {
  /** SHA-256, 32 bytes. */
  sha256(bytes: Uint8Array): Awaitable<Uint8Array>;
  /** HMAC-SHA-256 (RFC 2104), 32 bytes. */
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Awaitable<Uint8Array>;
}

/** {@link Hashes} over WebCrypto: every browser, every Node. */
export const webHashes: Hashes = {
  async sha256(bytes) {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  },
  async hmacSha256(key, bytes) {
    // WebCrypto refuses an empty HMAC key; RFC 2104 §2 pads with zeros, so one zero byte is the same.
    const raw = key.length === 0 ? new Uint8Array(1) : key;
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const handle = await crypto.subtle.importKey("raw", raw, algorithm, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", handle, bytes));
  },
};

/** SHA-384, 48 bytes: the hash of Nitro's platform configuration registers. */
export async function sha384(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-384", concatBytes(...parts)));
}
