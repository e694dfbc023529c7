/**
 * Receipt: what the enclave signs for one exchange.
 *
 * A COSE_Sign1 (tag 18, ES256, s in the lower half) over a CWT (RFC 8392) under an EAT profile
 * (RFC 9711 §6), deterministic CBOR:
 *
 * ```cddl
 * Receipt = { 6: iat uint, 7: cti bstr .size 16, 265: "countersign/receipt/v1",
 *             -70001: [keyset digest, document digest], -70002: index uint, -70003: phase,
 *             -70004: [id, version, digest] / null, -70005: head, -70006: head,
 *             -70007: outcome, ? -70008: bstr .size 32 }
 * head    = [leaves uint, root bstr .size 32, bytes uint]
 * outcome = { 1: status uint, ? 2: tstr, ? 3: uint, ? 4: uint, ? 5: int, ? 6: bstr .size 32 }
 * ```
 */
import { andThen } from "./awaitable.ts";
import { type Awaitable, concatBytes, encodeUtf8 } from "./bytes.ts";
import {
  type CborKey,
  type CborProfile,
  type CborValue,
  DETERMINISTIC,
  encodeCbor,
  isArray,
} from "./cbor.ts";
import { encodeCoseSign1, parseCoseSign1, sigStructure } from "./cose.ts";
import {
  importPoint,
  isLowS,
  isSignature,
  lowS,
  type VerificationKey,
  verifyEcdsa,
} from "./ecdsa.ts";
import { AttestationError } from "./errors.ts";
import type { Hashes } from "./hashes.ts";
import { type ModelRef, modelValue, parseModelRef } from "./models.ts";
import { DIGEST_BYTES, Fields, parseFields, type Shape } from "./structure.ts";
import type { Head } from "./transcript.ts";

const PROFILE_NAME = "countersign/receipt/v1";
const EXCHANGE_LABEL = "countersign/exchange/v1";

/** PROTOCOL.md, "Limits". */
export const MAX_RECEIPT_BYTES = 4096;
/** Bytes of a cti: the exchange's id. */
const EXCHANGE_BYTES = 16;
/** RFC 9110 §15: three digits; an informational response ends no exchange (§15.2). */
const MIN_STATUS = 200;
const MAX_STATUS = 999;

const CLAIMS: CborProfile = { ...DETERMINISTIC, maxBytes: MAX_RECEIPT_BYTES };

/** CWT claims 6 and 7 (RFC 8392 §3.1), EAT claim 265 (RFC 9711 §4.3.2), and our private ones. */
const CLAIM = {
  iat: 6,
  cti: 7,
  profile: 265,
  epoch: -70001,
  index: -70002,
  phase: -70003,
  model: -70004,
  request: -70005,
  response: -70006,
  outcome: -70007,
  previous: -70008,
} as const;

/** Where in its exchange a receipt stands, as claim -70003 spells it. */
export const PHASES = ["checkpoint", "final", "aborted"] as const;
/** One of {@link PHASES}. */
export type Phase = (typeof PHASES)[number];

/** How the exchange ended. Optional members are absent where the model makes no text. */
export interface Outcome {
  /** HTTP status of the answer inside the encryption. */
  readonly status: number;
  readonly finishReason?: string;
  readonly promptTokens?: number;
  readonly completionTokens?: number;
  readonly seed?: number;
  /** SHA-256 of the sampling parameters as resolved. */
  readonly parameters?: Uint8Array;
}

/** What a receipt says, by claim. */
export interface ReceiptClaims {
  /** Unix seconds. */
  readonly issuedAt: number;
  /** {@link exchangeId}, 16 bytes. */
  readonly exchange: Uint8Array;
  readonly keysetDigest: Uint8Array;
  readonly documentDigest: Uint8Array;
  /** The epoch's counter of exchanges, without gaps. */
  readonly index: number;
  readonly phase: Phase;
  /** The model that answered; null where none did. */
  readonly model: ModelRef | null;
  readonly request: Head;
  readonly response: Head;
  readonly outcome: Outcome;
  /** SHA-256 of this exchange's previous receipt. */
  readonly previous: Uint8Array | null;
}

/** A receipt as received; its signature is not verified yet. */
export interface Receipt {
  readonly claims: ReceiptClaims;
  readonly payload: Uint8Array;
  /** r ‖ s, 64 bytes. */
  readonly signature: Uint8Array;
}

const RECEIPT: Shape = {
  code: "receipt/structure",
  name: "receipt",
  required: [
    CLAIM.iat,
    CLAIM.cti,
    CLAIM.profile,
    CLAIM.epoch,
    CLAIM.index,
    CLAIM.phase,
    CLAIM.model,
    CLAIM.request,
    CLAIM.response,
    CLAIM.outcome,
  ],
  optional: [CLAIM.previous],
};
const OUTCOME: Shape = {
  code: "receipt/structure",
  name: "outcome",
  required: [1],
  optional: [2, 3, 4, 5, 6],
};

/** The payload to be signed. Takes claims in range; {@link parseReceipt} refuses others. */
export function encodeReceiptClaims(claims: ReceiptClaims): Uint8Array {
  const map = new Map<CborKey, CborValue>([
    [CLAIM.iat, claims.issuedAt],
    [CLAIM.cti, claims.exchange],
    [CLAIM.profile, PROFILE_NAME],
    [CLAIM.epoch, [claims.keysetDigest, claims.documentDigest]],
    [CLAIM.index, claims.index],
    [CLAIM.phase, claims.phase],
    [CLAIM.model, claims.model === null ? null : modelValue(claims.model)],
    [CLAIM.request, headValue(claims.request)],
    [CLAIM.response, headValue(claims.response)],
    [CLAIM.outcome, outcomeValue(claims.outcome)],
  ]);
  if (claims.previous !== null) map.set(CLAIM.previous, claims.previous);
  return encodeCbor(map);
}

/** The Sig_structure of a payload (RFC 9052 §4.4): what ES256 signs. */
export function receiptToBeSigned(payload: Uint8Array): Uint8Array {
  return sigStructure("ES256", payload);
}

/**
 * The receipt's bytes. Takes any valid `r ‖ s` and writes the one with low s.
 *
 * @throws TypeError where `signature` is not 64 bytes with r and s in [1, n − 1].
 */
export function assembleReceipt(payload: Uint8Array, signature: Uint8Array): Uint8Array {
  if (!isSignature("P-256", signature)) throw new TypeError("not an ES256 signature");
  return encodeCoseSign1({ algorithm: "ES256", payload, signature: lowS("P-256", signature) });
}

/**
 * Reads a receipt; nothing in it is believed.
 *
 * @throws {@link AttestationError} `receipt/structure`, `receipt/index`, `cose/…`, `cbor/…`.
 */
export function parseReceipt(bytes: Uint8Array): Receipt {
  const { payload, signature } = parseCoseSign1(bytes, {
    algorithm: "ES256",
    tag: "required",
    maxBytes: MAX_RECEIPT_BYTES,
  });
  return { claims: parseClaims(payload), payload, signature };
}

/** The verification key of one epoch's receipts, imported once and ready for many. */
export interface ReceiptKey {
  /** Whether `signature` (r ‖ s) over `message` is by this key. */
  verifies(signature: Uint8Array, message: Uint8Array): Promise<boolean>;
}

/** Takes an uncompressed P-256 point. @throws {@link AttestationError} `keyset/structure`. */
export async function importReceiptKey(point: Uint8Array): Promise<ReceiptKey> {
  let key: VerificationKey;
  try {
    key = await importPoint("P-256", point);
  } catch (cause) {
    if (!(cause instanceof AttestationError)) throw cause;
    throw new AttestationError("keyset/structure", "receipt key is not on P-256", { cause });
  }
  return { verifies: (signature, message) => verifyEcdsa(key, signature, message) };
}

/**
 * Requires that `key` signed the receipt, in the one form we accept.
 *
 * @throws {@link AttestationError} `receipt/signature`.
 */
export async function verifyReceipt(receipt: Receipt, key: ReceiptKey): Promise<void> {
  const { payload, signature } = receipt;
  if (!isLowS("P-256", signature)) {
    throw new AttestationError("receipt/signature", "s is in the upper half of the order");
  }
  if (!(await key.verifies(signature, receiptToBeSigned(payload)))) {
    throw new AttestationError("receipt/signature", "not signed by the epoch's receipt key");
  }
}

/** The id of the exchange whose request was encapsulated as `enc`: 16 bytes, for cti. */
export function exchangeId(hashes: Hashes, enc: Uint8Array): Awaitable<Uint8Array> {
  const named = concatBytes(encodeUtf8(EXCHANGE_LABEL), Uint8Array.of(0), enc);
  return andThen(hashes.sha256(named), (digest) => digest.slice(0, EXCHANGE_BYTES));
}

function parseClaims(payload: Uint8Array): ReceiptClaims {
  const fields = parseFields(payload, RECEIPT, CLAIMS);
  if (fields.value(CLAIM.profile) !== PROFILE_NAME) {
    throw fields.refusal(`profile is not ${PROFILE_NAME}`);
  }
  const index = fields.int(CLAIM.index);
  if (index < 0) throw new AttestationError("receipt/index", `index is ${index}, want ≥ 0`);
  const phase = PHASES.find((known) => known === fields.value(CLAIM.phase));
  if (phase === undefined) throw fields.refusal("phase is none of checkpoint, final, aborted");
  const [keysetDigest, documentDigest] = fields.array(CLAIM.epoch, 2, 2);
  const model = fields.value(CLAIM.model);
  return {
    issuedAt: fields.uint(CLAIM.iat),
    exchange: fields.bytes(CLAIM.cti, EXCHANGE_BYTES),
    keysetDigest: requireDigest(fields, keysetDigest),
    documentDigest: requireDigest(fields, documentDigest),
    index,
    phase,
    model: model === null ? null : parseModelRef(model, "receipt/structure"),
    request: parseHead(fields, fields.value(CLAIM.request)),
    response: parseHead(fields, fields.value(CLAIM.response)),
    outcome: parseOutcome(fields.value(CLAIM.outcome)),
    previous: fields.has(CLAIM.previous) ? fields.digest(CLAIM.previous) : null,
  };
}

function headValue(head: Head): CborValue {
  return [head.leaves, head.root, head.bytes];
}

function parseHead(fields: Fields, value: CborValue): Head {
  if (!isArray(value) || value.length !== 3) throw fields.refusal("head is not [n, root, bytes]");
  const [leaves, root, bytes] = value;
  if (typeof leaves !== "number" || leaves < 0 || typeof bytes !== "number" || bytes < 0) {
    throw fields.refusal("a head's counts are no uints");
  }
  return { leaves, root: requireDigest(fields, root), bytes };
}

function requireDigest(fields: Fields, value: CborValue | undefined): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== DIGEST_BYTES) {
    throw fields.refusal(`a digest is not ${DIGEST_BYTES} bytes`);
  }
  return value;
}

function outcomeValue(outcome: Outcome): CborValue {
  const map = new Map<CborKey, CborValue>([[1, outcome.status]]);
  const optional = [
    outcome.finishReason,
    outcome.promptTokens,
    outcome.completionTokens,
    outcome.seed,
    outcome.parameters,
  ];
  for (const [i, value] of optional.entries()) if (value !== undefined) map.set(i + 2, value);
  return map;
}

function parseOutcome(value: CborValue): Outcome {
  const fields = new Fields(value, OUTCOME);
  const status = fields.uint(1);
  if (status < MIN_STATUS || status > MAX_STATUS) throw fields.refusal(`status ${status}`);
  return {
    status,
    ...(fields.has(2) && { finishReason: fields.nameText(2) }),
    ...(fields.has(3) && { promptTokens: fields.uint(3) }),
    ...(fields.has(4) && { completionTokens: fields.uint(4) }),
    ...(fields.has(5) && { seed: fields.int(5) }),
    ...(fields.has(6) && { parameters: fields.digest(6) }),
  };
}
