/**
 * The two KEMs: DHKEM(X25519, HKDF-SHA256) (RFC 9180 §4.1) and MLKEM768-X25519, which is X-Wing
 * (draft-ietf-hpke-pq-05 §4, draft-connolly-cfrg-xwing-kem-10 §5).
 *
 * As an HPKE KEM, X-Wing is used as it is: its 32-byte shared secret goes into the key schedule
 * without another extract. HPKE's DeriveKeyPair is left out, because no key here is derived from
 * anything: all come from fresh random bytes.
 */
import { type Awaitable, concatBytes, encodeUtf8 } from "@countersign/attestation/attester";
import { ProtocolError } from "./errors.ts";
import { expandLabelled, extractLabelled } from "./hkdf.ts";
import type { MlKem768Key, Primitives, X25519Key } from "./primitives.ts";

/** IANA "HPKE KEM Identifiers". */
export type KemId = 0x647a | 0x0020;
export const KEM_MLKEM768_X25519 = 0x647a;
export const KEM_X25519 = 0x0020;

/** Bytes of the private key, the public key and `enc`: Nsk, Npk, Nenc. */
export const KEM_BYTES: Readonly<
  Record<KemId, { readonly privateKey: number; readonly publicKey: number; readonly enc: number }>
> = {
  0x647a: { privateKey: 32, publicKey: 1216, enc: 1120 },
  0x0020: { privateKey: 32, publicKey: 32, enc: 32 },
};

/** X25519's keys and secrets, ML-KEM-768's public key, its ciphertext and its seed. */
const X25519_BYTES = 32;
const MLKEM_PUBLIC_BYTES = 1184;
const MLKEM_CIPHERTEXT_BYTES = 1088;
const MLKEM_SEED_BYTES = 64;

/** `\.//^\` (draft-connolly-cfrg-xwing-kem-10 §5.3). */
const XWING_LABEL = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c);
const DHKEM_SUITE_ID = Uint8Array.of(0x4b, 0x45, 0x4d, 0x00, 0x20);
const NO_BYTES = new Uint8Array(0);
const EAE_PRK = encodeUtf8("eae_prk");
const SHARED_SECRET = encodeUtf8("shared_secret");

/** A recipient's key pair. After `destroy` it decapsulates nothing. */
export interface RecipientKey {
  readonly kem: KemId;
  readonly publicKey: Uint8Array;
  /** @throws {@link ProtocolError} `hpke/open` on a bad `enc`, `hpke/destroyed`. */
  decapsulate(enc: Uint8Array): Awaitable<Uint8Array>;
  /** Overwrites the private bytes we hold; what the runtime holds goes with its last reference. */
  destroy(): void;
}

export interface Encapsulated {
  /** 32 bytes. */
  readonly sharedSecret: Uint8Array;
  readonly enc: Uint8Array;
}

export function isKemId(value: number): value is KemId {
  return value === KEM_MLKEM768_X25519 || value === KEM_X25519;
}

/** A fresh key pair. */
export async function generateRecipientKey(p: Primitives, kem: KemId): Promise<RecipientKey> {
  const privateKey = p.random(KEM_BYTES[kem].privateKey);
  try {
    return await importRecipientKey(p, kem, privateKey);
  } finally {
    privateKey.fill(0);
  }
}

/**
 * The key pair of 32 private bytes: an X25519 scalar, or an X-Wing seed.
 *
 * @throws {@link ProtocolError} `hpke/key` on another length.
 */
export async function importRecipientKey(
  p: Primitives,
  kem: KemId,
  privateKey: Uint8Array,
): Promise<RecipientKey> {
  if (privateKey.length !== KEM_BYTES[kem].privateKey) {
    throw new ProtocolError("hpke/key", `private key of ${privateKey.length} bytes, want 32`);
  }
  switch (kem) {
    case KEM_X25519:
      return new DhKey(p, await p.x25519(privateKey));
    case KEM_MLKEM768_X25519: {
      const expanded = await p.shake256(privateKey, MLKEM_SEED_BYTES + X25519_BYTES);
      const mlkem = await p.mlkem768.key(expanded.subarray(0, MLKEM_SEED_BYTES));
      const x25519 = await p.x25519(expanded.subarray(MLKEM_SEED_BYTES));
      expanded.fill(0);
      return new XWingKey(p, mlkem, x25519);
    }
    default:
      return kem satisfies never;
  }
}

/**
 * A fresh shared secret for the holder of `publicKey` (RFC 9180 §4.1 Encap).
 *
 * @throws {@link ProtocolError} `hpke/key` where that is no key.
 */
export async function encapsulate(
  p: Primitives,
  kem: KemId,
  publicKey: Uint8Array,
): Promise<Encapsulated> {
  if (publicKey.length !== KEM_BYTES[kem].publicKey) {
    throw new ProtocolError("hpke/key", `public key of ${publicKey.length} bytes`);
  }
  switch (kem) {
    case KEM_X25519: {
      const { secret, publicKey: enc } = await agreeFresh(p, publicKey);
      return { sharedSecret: await dhkemSecret(p, secret, enc, publicKey), enc };
    }
    case KEM_MLKEM768_X25519: {
      const pkX = publicKey.subarray(MLKEM_PUBLIC_BYTES);
      const mlkem = await p.mlkem768.encapsulate(publicKey.subarray(0, MLKEM_PUBLIC_BYTES));
      if (mlkem === null) throw new ProtocolError("hpke/key", "ML-KEM public key out of range");
      const { secret, publicKey: ctX } = await agreeFresh(p, pkX);
      const enc = concatBytes(mlkem.ciphertext, ctX);
      return { sharedSecret: await combine(p, mlkem.sharedSecret, secret, ctX, pkX), enc };
    }
    default:
      return kem satisfies never;
  }
}

async function agreeFresh(
  p: Primitives,
  peer: Uint8Array,
): Promise<{ readonly secret: Uint8Array; readonly publicKey: Uint8Array }> {
  const scalar = p.random(X25519_BYTES);
  const ephemeral = await p.x25519(scalar);
  scalar.fill(0);
  const secret = await ephemeral.agree(peer);
  if (secret === null) throw new ProtocolError("hpke/key", "X25519 public key of low order");
  return { secret, publicKey: ephemeral.publicKey };
}

/** RFC 9180 §4.1 ExtractAndExpand. */
async function dhkemSecret(
  p: Primitives,
  dh: Uint8Array,
  enc: Uint8Array,
  publicKey: Uint8Array,
): Promise<Uint8Array> {
  const prk = await extractLabelled(p, DHKEM_SUITE_ID, NO_BYTES, EAE_PRK, dh);
  const context = concatBytes(enc, publicKey);
  return expandLabelled(p, DHKEM_SUITE_ID, prk, SHARED_SECRET, context, 32);
}

/** X-Wing's Combiner: SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ label). */
function combine(
  p: Primitives,
  ssM: Uint8Array,
  ssX: Uint8Array,
  ctX: Uint8Array,
  pkX: Uint8Array,
): Awaitable<Uint8Array> {
  return p.sha3_256(concatBytes(ssM, ssX, ctX, pkX, XWING_LABEL));
}

function requireEnc(kem: KemId, enc: Uint8Array): void {
  if (enc.length !== KEM_BYTES[kem].enc) throw new ProtocolError("hpke/open", "cannot decapsulate");
}

function requireSecret(secret: Uint8Array | null): Uint8Array {
  if (secret === null) throw new ProtocolError("hpke/open", "cannot decapsulate");
  return secret;
}

function requireKey<T>(key: T | null): T {
  if (key === null) throw new ProtocolError("hpke/destroyed", "this key is gone");
  return key;
}

class DhKey implements RecipientKey {
  readonly kem = KEM_X25519;
  readonly publicKey: Uint8Array;
  readonly #p: Primitives;
  #key: X25519Key | null;

  constructor(p: Primitives, key: X25519Key) {
    this.#p = p;
    this.#key = key;
    this.publicKey = key.publicKey;
  }

  async decapsulate(enc: Uint8Array): Promise<Uint8Array> {
    const key = requireKey(this.#key);
    requireEnc(this.kem, enc);
    const dh = requireSecret(await key.agree(enc));
    return dhkemSecret(this.#p, dh, enc, this.publicKey);
  }

  destroy(): void {
    this.#key?.destroy();
    this.#key = null;
  }
}

class XWingKey implements RecipientKey {
  readonly kem = KEM_MLKEM768_X25519;
  readonly publicKey: Uint8Array;
  readonly #p: Primitives;
  #keys: { readonly mlkem: MlKem768Key; readonly x25519: X25519Key } | null;

  constructor(p: Primitives, mlkem: MlKem768Key, x25519: X25519Key) {
    this.#p = p;
    this.#keys = { mlkem, x25519 };
    this.publicKey = concatBytes(mlkem.publicKey, x25519.publicKey);
  }

  async decapsulate(enc: Uint8Array): Promise<Uint8Array> {
    const { mlkem, x25519 } = requireKey(this.#keys);
    requireEnc(this.kem, enc);
    const ctX = enc.subarray(MLKEM_CIPHERTEXT_BYTES);
    const ssM = requireSecret(await mlkem.decapsulate(enc.subarray(0, MLKEM_CIPHERTEXT_BYTES)));
    const ssX = requireSecret(await x25519.agree(ctX));
    return combine(this.#p, ssM, ssX, ctX, x25519.publicKey);
  }

  destroy(): void {
    this.#keys?.mlkem.destroy();
    this.#keys?.x25519.destroy();
    this.#keys = null;
  }
}
