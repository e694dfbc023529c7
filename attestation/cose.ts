/**
 * COSE_Sign1 (RFC 9052 §4.2) with exactly one algorithm, no unprotected header and no external data.
 *
 * The envelope outside the signature can then be written in one way only (two where the tag is
 * optional), and no header can change what is verified.
 */
import { encodeUtf8, equalBytes } from "./bytes.ts";
import { CborTag, type CborValue, decodeCbor, DETERMINISTIC, encodeCbor, isArray } from "./cbor.ts";
import { CborWriter } from "./cbor-writer.ts";
import {
  type Curve,
  isSignature,
  signatureBytes,
  type VerificationKey,
  verifyEcdsa,
} from "./ecdsa.ts";
import { AttestationError } from "./errors.ts";
import { isTag } from "./structure.ts";

/** Signature algorithms (RFC 9053 §2.1): ES256 of receipts, ES384 of Nitro documents. */
export type CoseAlgorithm = "ES256" | "ES384";

/** RFC 9053 §2.1: the whole protected header, `{1: alg}`, and the curve we bind to the algorithm. */
const ALGORITHMS: Readonly<
  Record<CoseAlgorithm, { readonly curve: Curve; readonly protected: Uint8Array }>
> = {
  ES256: { curve: "P-256", protected: Uint8Array.of(0xa1, 0x01, 0x26) },
  ES384: { curve: "P-384", protected: Uint8Array.of(0xa1, 0x01, 0x38, 0x22) },
};

/** RFC 9052 §4.4: the context string of a COSE_Sign1. */
const SIGNATURE1 = encodeUtf8("Signature1");
/** What a Sig_structure has beside its payload, at most. */
const SIG_STRUCTURE_BYTES = 32;

/** RFC 9052 §2, Table 1. */
const COSE_SIGN1_TAG = 18;
/** Array, header map and the headers' own values. */
const MAX_DEPTH = 4;
const MAX_ITEMS = 64;

/** What a COSE_Sign1 must be: one algorithm, its tag, its size. */
export interface CoseProfile {
  readonly algorithm: CoseAlgorithm;
  /** Tag 18: AWS leaves it out, our receipts carry it. */
  readonly tag: "required" | "optional";
  readonly maxBytes: number;
}

/** A COSE_Sign1 whose signature is not verified yet. */
export interface CoseSign1 {
  readonly algorithm: CoseAlgorithm;
  /** The payload's bytes as received. */
  readonly payload: Uint8Array;
  /** `r ‖ s`, both in range. */
  readonly signature: Uint8Array;
}

/**
 * Parses the envelope; everything in it is a copy.
 *
 * @throws {@link AttestationError} `cbor/…`, `cose/structure`, `cose/protected`, `cose/unprotected`
 * or `cose/signature-format`.
 */
export function parseCoseSign1(bytes: Uint8Array, profile: CoseProfile): CoseSign1 {
  const limits = { ...DETERMINISTIC, maxDepth: MAX_DEPTH, maxItems: MAX_ITEMS };
  const fields = untagged(decodeCbor(bytes, { ...limits, maxBytes: profile.maxBytes }), profile);
  if (!isArray(fields) || fields.length !== 4) {
    throw new AttestationError("cose/structure", "COSE_Sign1 is no array of four");
  }
  const [header, unprotected, payload, signature] = fields;
  const { algorithm } = profile;
  if (!(header instanceof Uint8Array) || !equalBytes(header, ALGORITHMS[algorithm].protected)) {
    throw new AttestationError("cose/protected", `protected header is not {1: ${algorithm}}`);
  }
  if (!(unprotected instanceof Map) || unprotected.size !== 0) {
    throw new AttestationError("cose/unprotected", "unprotected header is not the empty map");
  }
  if (!(payload instanceof Uint8Array)) {
    throw new AttestationError("cose/structure", "payload is no byte string");
  }
  const { curve } = ALGORITHMS[algorithm];
  if (!(signature instanceof Uint8Array) || !isSignature(curve, signature)) {
    const want = `${signatureBytes(curve)} bytes, r and s in [1, n - 1]`;
    throw new AttestationError("cose/signature-format", `signature is not ${want}`);
  }
  return { algorithm, payload, signature };
}

/** RFC 9052 §4.4: the bytes that are signed, with empty external data. */
export function sigStructure(algorithm: CoseAlgorithm, payload: Uint8Array): Uint8Array {
  // [context, body_protected, external_aad, payload], written out: a verifier needs no encoder.
  const writer = new CborWriter(payload.length + SIG_STRUCTURE_BYTES);
  writer.head(4, 4);
  writer.head(3, SIGNATURE1.length);
  writer.bytes(SIGNATURE1);
  for (const part of [ALGORITHMS[algorithm].protected, new Uint8Array(), payload]) {
    writer.head(2, part.length);
    writer.bytes(part);
  }
  return writer.written();
}

/** The tagged envelope. Takes a `signature` of the algorithm's fixed width. */
export function encodeCoseSign1(sign1: CoseSign1): Uint8Array {
  const { algorithm, payload, signature } = sign1;
  const header = ALGORITHMS[algorithm].protected;
  return encodeCbor(new CborTag(COSE_SIGN1_TAG, [header, new Map(), payload, signature]));
}

/**
 * Whether the signature is by `key`, a key of the algorithm's curve.
 *
 * @throws TypeError for a key of another curve.
 */
export async function verifyCoseSign1(sign1: CoseSign1, key: VerificationKey): Promise<boolean> {
  const { algorithm, payload, signature } = sign1;
  if (key.curve !== ALGORITHMS[algorithm].curve) {
    throw new TypeError(`${algorithm} with a key on ${key.curve}`);
  }
  return verifyEcdsa(key, signature, sigStructure(algorithm, payload));
}

function untagged(value: CborValue, profile: CoseProfile): CborValue {
  if (isTag(value, COSE_SIGN1_TAG)) return value.value;
  if (value instanceof CborTag || profile.tag === "required") {
    throw new AttestationError("cose/structure", `want tag ${COSE_SIGN1_TAG}`);
  }
  return value;
}
