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

/** The one SubjectPublicKeyInfo of an X25519 key (RFC 8410 §4) in PEM, around the base64 of its bytes. */
const X25519_PEM_START = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEA";
const X25519_PEM_END = "\n-----END PUBLIC KEY-----\n";

const innerBlock = Buffer.alloc(BLOCK_BYTES + 1024);
const outerBlock = Buffer.alloc(BLOCK_BYTES + HASH_BYTES);

export const nativePrimitives: Primitives = {
  sha256,
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
 * The digest travels as a string, which takes a third of the time of a Buffer: for what is hashed
 * here it may, because a digest is no secret. Keys come of {@link hmacSha256}.
 */
function sha256(bytes: Uint8Array): Uint8Array {
  const text = hash("sha256", bytes, "binary");
  const digest = new Uint8Array(HASH_BYTES);
  for (let i = 0; i < HASH_BYTES; i++) digest[i] = text.charCodeAt(i);
  return digest;
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
        const publicKey = importX25519(peer);
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
    const { sharedKey, ciphertext } = encapsulate(importMlKem(publicKey));
    return { sharedSecret: plain(sharedKey), ciphertext: plain(ciphertext) };
  } catch {
    // FIPS 203 §7.2: a coefficient out of range.
    return null;
  }
}

/** A KeyObject's bytes are OpenSSL's, which overwrites them when the handle is collected. */
function nothingHeld(): void {}

/** Of 32 bytes. As a string: Node looks at an options object, or a Buffer, for longer than it imports. */
function importX25519(publicKey: Uint8Array): KeyObject {
  return createPublicKey(X25519_PEM_START + view(publicKey).toString("base64") + X25519_PEM_END);
}

/** The key last encapsulated to: a client has one, and importing it takes as long as using it. */
let lastMlKem: { readonly bytes: Uint8Array; readonly key: KeyObject } | null = null;

function importMlKem(publicKey: Uint8Array): KeyObject {
  if (lastMlKem !== null && view(lastMlKem.bytes).equals(publicKey)) return lastMlKem.key;
  const bytes = new Uint8Array(publicKey);
  const options = { format: "raw-public", asymmetricKeyType: "ml-kem-768" } as const;
  const key = createPublicKey({ key: view(bytes), ...options });
  lastMlKem = { bytes, key };
  return key;
}

/** A copy of our own: exports may lie in memory that Node shares among buffers. */
function rawPublic(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ format: "raw-public" }));
}
