/**
 * Keyset: the public keys of one epoch.
 *
 * ```cddl
 * Keyset = { 1: "countersign/keyset/v1", 2: bstr .size (9..4096), 3: bstr .cbor COSE_Key }
 * ```
 * Key 2 is one Key Configuration (RFC 9458 §3) without a length prefix and with exactly one
 * symmetric suite; key 3 is the P-256 key of receipts (RFC 9053 §7.1.1).
 */
import { concatBytes, equalBytes } from "./bytes.ts";
import { type CborKey, type CborValue, encodeCbor } from "./cbor.ts";
import { AttestationError } from "./errors.ts";
import { type Fields, parseFields, type Shape } from "./structure.ts";

const TAG = "countersign/keyset/v1";

/** Key id, KEM, public key, length, KDF, AEAD (RFC 9458 §3) with an empty public key. */
const MIN_KEY_CONFIG_BYTES = 9;
const MAX_KEY_CONFIG_BYTES = 4096;

/** A P-256 point, uncompressed (SEC 1 §2.3.3): 0x04, x, y. */
const POINT_BYTES = 65;
const COORDINATE_BYTES = 32;

/** Names of suites, as policies spell them: KEM/KDF/AEAD. */
export const SUITES = [
  "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM",
  "X25519/HKDF-SHA256/AES-256-GCM",
] as const;
/** One of {@link SUITES}. */
export type Suite = (typeof SUITES)[number];

/** KEM id and public key length (IANA HPKE KEM registry). */
const KEMS: ReadonlyMap<number, { readonly suite: Suite; readonly keyBytes: number }> = new Map([
  [0x647a, { suite: SUITES[0], keyBytes: 1216 }],
  [0x0020, { suite: SUITES[1], keyBytes: 32 }],
]);
/** One suite, 4 bytes of it: HKDF-SHA256 (0x0001) and AES-256-GCM (0x0002). */
const SYMMETRIC = Uint8Array.of(0, 4, 0, 1, 0, 2);

/** The public keys of an epoch. */
export interface Keyset {
  /** One RFC 9458 §3 Key Configuration. */
  readonly keyConfig: Uint8Array;
  /** The verification key of receipts: an uncompressed P-256 point, 65 bytes. */
  readonly receiptKey: Uint8Array;
}

const KEYSET: Shape = { code: "keyset/structure", name: "Keyset", tag: TAG, required: [1, 2, 3] };
const COSE_KEY: Shape = {
  code: "keyset/structure",
  name: "COSE_Key",
  required: [1, 3, -1, -2, -3],
};

/** The bytes whose digest the binding names. @throws {@link AttestationError} `keyset/structure`. */
export function encodeKeyset(keyset: Keyset): Uint8Array {
  const point = keyset.receiptKey;
  if (point.length !== POINT_BYTES || point[0] !== 4) {
    throw new AttestationError("keyset/structure", "receipt key is no uncompressed P-256 point");
  }
  const key = encodeCbor(
    new Map<CborKey, CborValue>([
      [1, 2],
      [3, -7],
      [-1, 1],
      [-2, point.slice(1, 1 + COORDINATE_BYTES)],
      [-3, point.slice(1 + COORDINATE_BYTES)],
    ]),
  );
  const bytes = encodeCbor(
    new Map<CborKey, CborValue>([
      [1, TAG],
      [2, keyset.keyConfig],
      [3, key],
    ]),
  );
  parseKeyset(bytes);
  return bytes;
}

/** Reads a Keyset. @throws {@link AttestationError} `keyset/structure`, `cbor/…`. */
export function parseKeyset(bytes: Uint8Array): Keyset {
  const fields = parseFields(bytes, KEYSET);
  const key = parseFields(fields.bytes(3, 1, 256), COSE_KEY);
  requireEcdsaP256(key);
  return {
    keyConfig: fields.bytes(2, MIN_KEY_CONFIG_BYTES, MAX_KEY_CONFIG_BYTES),
    receiptKey: concatBytes(
      Uint8Array.of(4),
      key.bytes(-2, COORDINATE_BYTES),
      key.bytes(-3, COORDINATE_BYTES),
    ),
  };
}

/** RFC 9053 §7.1.1: kty EC2 (2), alg ES256 (-7), crv P-256 (1). */
function requireEcdsaP256(key: Fields): void {
  if (key.int(1) !== 2 || key.int(3) !== -7 || key.int(-1) !== 1) {
    throw key.refusal("not an ES256 key on P-256");
  }
}

/**
 * The suite of a Key Configuration, by the name policies use.
 *
 * @throws {@link AttestationError} `policy/suite` for algorithms this verifier does not know,
 * `keyset/structure` where lengths do not fit them.
 */
export function suiteOf(keyConfig: Uint8Array): Suite {
  const id = ((keyConfig[1] ?? 0) << 8) | (keyConfig[2] ?? 0);
  const kem = KEMS.get(id);
  if (kem === undefined) {
    throw new AttestationError("policy/suite", `unknown KEM 0x${id.toString(16).padStart(4, "0")}`);
  }
  const symmetric = keyConfig.subarray(3 + kem.keyBytes);
  if (symmetric.length !== SYMMETRIC.length) {
    const want = 3 + kem.keyBytes + SYMMETRIC.length;
    throw new AttestationError("keyset/structure", `${keyConfig.length} bytes, want ${want}`);
  }
  if (!equalBytes(symmetric, SYMMETRIC)) {
    throw new AttestationError("policy/suite", "not exactly HKDF-SHA256 with AES-256-GCM");
  }
  return kem.suite;
}
