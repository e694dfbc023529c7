/**
 * {@link Primitives} over WebCrypto: every browser, every Node.
 *
 * SHA-3, which WebCrypto lacks, comes from @noble/hashes. ML-KEM-768 is WebCrypto's own where the
 * runtime has it, else the implementation that the caller passes in.
 */
import { concatBytes, webHashes } from "@countersign/attestation/attester";
import { sha3_256, shake256 } from "@noble/hashes/sha3.js";
import { ProtocolError } from "./errors.ts";
import type {
  Aead,
  Encapsulation,
  MlKem768,
  MlKem768Key,
  Primitives,
  X25519Key,
} from "./primitives.ts";

/** PKCS #8 of an X25519 private key up to its 32 bytes (RFC 8410 §7). */
// prettier-ignore
const X25519_PKCS8 = Uint8Array.of(
  0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20,
);
/** RFC 7748 §4.1: the u-coordinate 9. */
const X25519_BASE_POINT = Uint8Array.of(9, ...new Uint8Array(31));
const X25519 = { name: "X25519" };
const MLKEM = { name: "ML-KEM-768" };
const MLKEM_CIPHERTEXT_BYTES = 1088;

export interface WebPrimitivesOptions {
  /** Used where WebCrypto has no ML-KEM-768; null to do without. See @countersign/protocol/fallback. */
  readonly mlkem768: MlKem768 | null;
}

/** {@link Primitives} of this runtime. */
export function webPrimitives(options: WebPrimitivesOptions = { mlkem768: null }): Primitives {
  return {
    ...webHashes,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    aesGcm,
    sha3_256: (bytes) => sha3_256(bytes),
    shake256: (bytes, length) => shake256(bytes, { dkLen: length }),
    x25519,
    mlkem768: new SelectedMlKem(options.mlkem768),
  };
}

async function aesGcm(key: Uint8Array): Promise<Aead> {
  const handle = await crypto.subtle.importKey("raw", key, "AES-GCM", false, [
    "encrypt",
    "decrypt",
  ]);
  return {
    async seal(iv, additionalData, plaintext) {
      const algorithm = { name: "AES-GCM", iv, additionalData, tagLength: 128 };
      return new Uint8Array(await crypto.subtle.encrypt(algorithm, handle, plaintext));
    },
    async open(iv, additionalData, ciphertext) {
      const algorithm = { name: "AES-GCM", iv, additionalData, tagLength: 128 };
      try {
        return new Uint8Array(await crypto.subtle.decrypt(algorithm, handle, ciphertext));
      } catch {
        return null;
      }
    },
  };
}

async function x25519(privateKey: Uint8Array): Promise<X25519Key> {
  const pkcs8 = concatBytes(X25519_PKCS8, privateKey);
  const handle = await crypto.subtle.importKey("pkcs8", pkcs8, X25519, false, ["deriveBits"]);
  pkcs8.fill(0);
  const publicKey = await agree(handle, X25519_BASE_POINT);
  if (publicKey === null) throw new TypeError("WebCrypto gave no X25519 public key");
  return { publicKey, agree: (peer) => agree(handle, peer), destroy: nothingHeld };
}

/** A CryptoKey's bytes are the runtime's: it overwrites them, or not, when the handle is gone. */
function nothingHeld(): void {}

async function agree(privateKey: CryptoKey, peer: Uint8Array): Promise<Uint8Array | null> {
  if (peer.length !== 32) return null;
  try {
    const peerKey = await crypto.subtle.importKey("raw", peer, X25519, false, []);
    const algorithm = { name: "X25519", public: peerKey };
    const secret = new Uint8Array(await crypto.subtle.deriveBits(algorithm, privateKey, 256));
    // WebCrypto refuses an all-zero secret itself; older drafts of X25519 there did not.
    return secret.some((byte) => byte !== 0) ? secret : null;
  } catch {
    return null;
  }
}

/** Decides once, at the first use, which ML-KEM there is. */
class SelectedMlKem implements MlKem768 {
  readonly #fallback: MlKem768 | null;
  #selected: Promise<MlKem768> | null = null;

  constructor(fallback: MlKem768 | null) {
    this.#fallback = fallback;
  }

  async key(seed: Uint8Array): Promise<MlKem768Key> {
    return (await this.#select()).key(seed);
  }

  async encapsulate(publicKey: Uint8Array): Promise<Encapsulation | null> {
    return (await this.#select()).encapsulate(publicKey);
  }

  #select(): Promise<MlKem768> {
    this.#selected ??= selectMlKem(this.#fallback);
    return this.#selected;
  }
}

async function selectMlKem(fallback: MlKem768 | null): Promise<MlKem768> {
  const { subtle } = crypto;
  if (subtle.encapsulateBits !== undefined && subtle.getPublicKey !== undefined) {
    try {
      await subtle.importKey("raw-seed", new Uint8Array(64), MLKEM, false, ["decapsulateBits"]);
      return webMlKem;
    } catch {
      // The methods are there, but not for this algorithm.
      return requireMlKem(fallback);
    }
  }
  return requireMlKem(fallback);
}

function requireMlKem(fallback: MlKem768 | null): MlKem768 {
  if (fallback === null) throw new ProtocolError("hpke/key", "this runtime has no ML-KEM-768");
  return fallback;
}

const webMlKem: MlKem768 = {
  async key(seed) {
    const handle = await crypto.subtle.importKey("raw-seed", seed, MLKEM, true, [
      "decapsulateBits",
    ]);
    const publicHandle = await crypto.subtle.getPublicKey?.(handle, ["encapsulateBits"]);
    if (publicHandle === undefined) throw new TypeError("WebCrypto has no getPublicKey");
    const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw-public", publicHandle));
    return {
      publicKey,
      decapsulate: (ciphertext) => decapsulate(handle, ciphertext),
      destroy: nothingHeld,
    };
  },
  async encapsulate(publicKey) {
    try {
      const handle = await crypto.subtle.importKey("raw-public", publicKey, MLKEM, false, [
        "encapsulateBits",
      ]);
      const sent = await crypto.subtle.encapsulateBits?.(MLKEM, handle);
      if (sent === undefined) return null;
      return {
        sharedSecret: new Uint8Array(sent.sharedKey),
        ciphertext: new Uint8Array(sent.ciphertext),
      };
    } catch {
      return null;
    }
  },
};

async function decapsulate(
  privateKey: CryptoKey,
  ciphertext: Uint8Array,
): Promise<Uint8Array | null> {
  if (ciphertext.length !== MLKEM_CIPHERTEXT_BYTES) return null;
  const secret = await crypto.subtle.decapsulateBits?.(MLKEM, privateKey, ciphertext);
  return secret === undefined ? null : new Uint8Array(secret);
}
