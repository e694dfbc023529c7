/**
 * {@link Primitives} over node:crypto, all synchronous.
 *
 * HMAC is made of two calls of crypto.hash, which costs a tenth of createHmac. Outputs are plain
 * arrays, never a Buffer: the `slice` of a Buffer is a view, which code that copies does not expect.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  hash,
  type KeyObject,
  randomFillSync,
} from "node:crypto";
import type {
  Aead,
  Encapsulation,
  MlKem768Key,
  Primitives,
  X25519Key,
} from "@countersign/protocol";

/** Block of SHA-256 and output of it (RFC 2104 §2). */
const BLOCK_BYTES = 64;
const HASH_BYTES = 32;
const TAG_BYTES = 16;
const GCM = { authTagLength: TAG_BYTES } as const;
const X25519_BYTES = 32;
const MLKEM_CIPHERTEXT_BYTES = 1088;
const MLKEM_PUBLIC_BYTES = 1184;

const innerBlock = Buffer.alloc(BLOCK_BYTES + 1024);
const outerBlock = Buffer.alloc(BLOCK_BYTES + HASH_BYTES);

export const nativePrimitives: Primitives = {
  sha256: (bytes) => plain(hash("sha256", bytes, "buffer")),
  hmacSha256,
  random: (length) => randomFillSync(new Uint8Array(length)),
  aesGcm,
  sha3_256: (bytes) => plain(hash("sha3-256", bytes, "buffer")),
  shake256: (bytes, length) =>
    plain(hash("shake256", bytes, { outputEncoding: "buffer", outputLength: length })),
  x25519,
  mlkem768: { key: mlkemKey, encapsulate: mlkemEncapsulate },
};

function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** The same bytes as the Buffer that key import asks for: no copy of a secret is left behind. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/**
 * RFC 2104 §2: H(K ⊕ opad ‖ H(K ⊕ ipad ‖ text)).
 *
 * Nothing here waits, so both blocks are made in place, in memory that is zero between calls. The
 * inner digest travels as a string, which is faster than a Buffer; the key and the result never do.
 */
function hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  const short = key.length > BLOCK_BYTES ? hash("sha256", key, "buffer") : key;
  const length = BLOCK_BYTES + bytes.length;
  const inner = length <= innerBlock.length ? innerBlock.subarray(0, length) : Buffer.alloc(length);
  for (let i = 0; i < BLOCK_BYTES; i++) {
    const byte = short[i] ?? 0;
    inner[i] = byte ^ 0x36;
    outerBlock[i] = byte ^ 0x5c;
  }
  inner.set(bytes, BLOCK_BYTES);
  outerBlock.write(hash("sha256", inner, "binary"), BLOCK_BYTES, "binary");
  const mac = plain(hash("sha256", outerBlock, "buffer"));
  inner.fill(0);
  outerBlock.fill(0);
  return mac;
}

/** A KeyObject makes a cipher in a tenth of the time that raw key bytes take. */
function aesGcm(key: Uint8Array): Aead {
  const algorithm = key.length === 16 ? "aes-128-gcm" : "aes-256-gcm";
  const handle = createSecretKey(key);
  return {
    seal(nonce, aad, plaintext) {
      const cipher = createCipheriv(algorithm, handle, nonce, GCM);
      if (aad.length > 0) cipher.setAAD(aad);
      const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
      sealed.set(cipher.update(plaintext));
      cipher.final();
      sealed.set(cipher.getAuthTag(), plaintext.length);
      return sealed;
    },
    open(nonce, aad, ciphertext) {
      const length = ciphertext.length - TAG_BYTES;
      if (length < 0) return null;
      const decipher = createDecipheriv(algorithm, handle, nonce, GCM);
      if (aad.length > 0) decipher.setAAD(aad);
      decipher.setAuthTag(ciphertext.subarray(length));
      const plaintext = decipher.update(ciphertext.subarray(0, length));
      try {
        decipher.final();
      } catch {
        plaintext.fill(0);
        return null;
      }
      return plain(plaintext);
    },
  };
}

function x25519(privateKey: Uint8Array): X25519Key {
  const key = createPrivateKey({
    key: view(privateKey),
    format: "raw-private",
    asymmetricKeyType: "x25519",
  });
  return {
    publicKey: rawPublic(key),
    agree(peer) {
      if (peer.length !== X25519_BYTES) return null;
      try {
        const publicKey = importPublic(peer, "x25519");
        // OpenSSL refuses an all-zero secret, which a point of low order gives (RFC 7748 §6.1).
        return plain(diffieHellman({ privateKey: key, publicKey }));
      } catch {
        return null;
      }
    },
    destroy: nothingHeld,
  };
}

function mlkemKey(seed: Uint8Array): MlKem768Key {
  const key = createPrivateKey({
    key: view(seed),
    format: "raw-seed",
    asymmetricKeyType: "ml-kem-768",
  });
  return {
    publicKey: rawPublic(key),
    decapsulate(ciphertext) {
      if (ciphertext.length !== MLKEM_CIPHERTEXT_BYTES) return null;
      return plain(decapsulate(key, ciphertext));
    },
    destroy: nothingHeld,
  };
}

function mlkemEncapsulate(publicKey: Uint8Array): Encapsulation | null {
  if (publicKey.length !== MLKEM_PUBLIC_BYTES) return null;
  try {
    const { sharedKey, ciphertext } = encapsulate(importPublic(publicKey, "ml-kem-768"));
    return { sharedSecret: plain(sharedKey), ciphertext: plain(ciphertext) };
  } catch {
    // FIPS 203 §7.2: a coefficient out of range.
    return null;
  }
}

/** A KeyObject's bytes are OpenSSL's, which overwrites them when the handle is collected. */
function nothingHeld(): void {}

function importPublic(publicKey: Uint8Array, type: "x25519" | "ml-kem-768"): KeyObject {
  return createPublicKey({ key: view(publicKey), format: "raw-public", asymmetricKeyType: type });
}

/** A copy of our own: exports may lie in memory that Node shares among buffers. */
function rawPublic(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ format: "raw-public" }));
}
