/** Claims of another form, each validly signed. PROTOCOL 2, 7. */
import {
  type AttestationErrorCode,
  type CborValue,
  concatBytes,
  encodeCbor,
  encodeUtf8,
} from "@countersign/attestation";
import type { Case } from "../case.ts";
import { array, bstr, indefinite, map, tag, uint } from "../cbor.ts";
import { type Honest, recoded, rewritten } from "../held.ts";
import { NOT_AFTER, random } from "../node.ts";
import { type Change, entriesOf, float64, replaced } from "../recode.ts";
import { badReceipt } from "./receipt-envelope.ts";

/** The integers that name the claims. */
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

/** The same claims, not in deterministic CBOR, signed. */
export function receiptEncodings(honest: Honest): readonly Case[] {
  const { epoch, exchange } = honest;
  const iat = exchange.claims.issuedAt;
  const rows: readonly (readonly [
    code: AttestationErrorCode,
    name: string,
    what: string,
    write: (payload: Uint8Array) => Uint8Array,
  ])[] = [
    [
      "cbor/key-order",
      "claims-reversed",
      "all claims backwards",
      (same) => map(entriesOf(same).toReversed()),
    ],
    [
      "cbor/key-order",
      "claims-in-the-order-of-the-table",
      "cti before iat",
      (same) => swapFirst(same),
    ],
    [
      "cbor/duplicate-key",
      "claim-twice",
      "the outcome twice, with another status",
      (same) => map([...entriesOf(same), [encodeCbor(CLAIM.outcome), map([[uint(1), uint(201)]])]]),
    ],
    [
      "cbor/indefinite",
      "claims-indefinite",
      "the claims' map has indefinite length",
      (same) => indefinite(5, entriesOf(same).flat()),
    ],
    [
      "cbor/indefinite",
      "claims-head-indefinite",
      "a head of indefinite length",
      (same) =>
        map(
          replaced(
            entriesOf(same),
            CLAIM.request,
            indefinite(4, [uint(1), bstr(random(32)), uint(1)]),
          ),
        ),
    ],
    [
      "cbor/non-minimal",
      "claims-iat-non-minimal",
      "iat in eight bytes",
      (same) => map(replaced(entriesOf(same), CLAIM.iat, uint(iat, 8))),
    ],
    [
      "cbor/non-minimal",
      "claims-index-non-minimal",
      "the index in two bytes",
      (same) => map(replaced(entriesOf(same), CLAIM.index, uint(0, 1))),
    ],
    [
      "cbor/non-minimal",
      "claims-count-non-minimal",
      "the map's count in two bytes",
      (same) => map(entriesOf(same), 1),
    ],
    [
      "cbor/unsupported",
      "claims-iat-float",
      "iat as a float, which RFC 8392 would allow",
      (same) => map(replaced(entriesOf(same), CLAIM.iat, float64(iat))),
    ],
    [
      "cbor/key-type",
      "claims-key-of-bytes",
      "a byte string for a claim's name",
      (same) => map([...entriesOf(same), [bstr(random(4)), uint(0)]]),
    ],
    [
      "cbor/utf8",
      "claims-phase-no-utf8",
      "a phase that is not UTF-8",
      (same) => map(replaced(entriesOf(same), CLAIM.phase, Uint8Array.of(0x62, 0xc3, 0x28))),
    ],
    [
      "cbor/trailing",
      "claims-extended",
      "a byte after the claims",
      (same) => concatBytes(same, Uint8Array.of(0)),
    ],
    [
      "cbor/truncated",
      "claims-cut",
      "the claims without their last byte",
      (same) => same.slice(0, -1),
    ],
    ["cbor/truncated", "claims-empty", "a payload of no bytes", () => new Uint8Array()],
    [
      "receipt/structure",
      "claims-of-array",
      "an array instead of a map",
      (same) => array(entriesOf(same).map(([, item]) => item)),
    ],
    [
      "receipt/structure",
      "claims-tagged-as-cwt",
      "tag 61 around the claims",
      (same) => tag(61, same),
    ],
  ];
  return rows.map(([code, name, what, write]) =>
    badReceipt(
      honest,
      code,
      `receipt-${name}`,
      what,
      "PROTOCOL 2",
      rewritten(epoch, exchange, write),
    ),
  );
}

/** Claims of another type, size or number, signed. */
export function receiptStructures(honest: Honest): readonly Case[] {
  const { epoch, exchange } = honest;
  const root = random(32);
  const model = (...items: readonly CborValue[]): Change => [CLAIM.model, items];
  const outcome = (...entries: readonly (readonly [number, CborValue])[]): Change => [
    CLAIM.outcome,
    new Map<number, CborValue>([[1, 200], ...entries]),
  ];
  const names = Object.entries(CLAIM).filter(([name]) => name !== "previous");
  const structure: readonly (readonly [name: string, what: string, change: Change])[] = [
    ...names.map(
      ([name, key]) => [`without-${name}`, `no claim ${key}, ${name}`, [key, undefined]] as const,
    ),
    ["with-subject", "an unknown claim of CWT, sub", [2, "digits"]],
    ["with-expiry", "an unknown claim of CWT, exp", [4, NOT_AFTER]],
    ["with-private-claim", "an unknown private claim", [-70009, 0]],
    ["with-text-claim", "an unknown claim named by text", ["iss", "enclave"]],
    ["profile-v2", "the profile of another version", [CLAIM.profile, "countersign/receipt/v2"]],
    [
      "profile-of-bundle",
      "the tag of another structure for a profile",
      [CLAIM.profile, "countersign/bundle/v1"],
    ],
    [
      "profile-of-bytes",
      "the profile as a byte string",
      [CLAIM.profile, encodeUtf8("countersign/receipt/v1")],
    ],
    ["iat-negative", "an iat before 1970", [CLAIM.iat, -1]],
    ["iat-of-54-bits", "an iat of 2^53", [CLAIM.iat, 2n ** 53n]],
    ["iat-of-text", "iat as a date in text", [CLAIM.iat, "2026-11-21T12:00:00Z"]],
    ["cti-of-15", "a cti of 15 bytes", [CLAIM.cti, random(15)]],
    ["cti-of-32", "a cti of 32 bytes", [CLAIM.cti, random(32)]],
    ["cti-of-text", "a cti as text", [CLAIM.cti, "ab".repeat(16)]],
    ["epoch-of-one", "an epoch without document digest", [CLAIM.epoch, [root]]],
    ["epoch-of-three", "an epoch of three digests", [CLAIM.epoch, [root, root, root]]],
    ["epoch-digest-of-31", "a digest of 31 bytes in the epoch", [CLAIM.epoch, [root, random(31)]]],
    ["epoch-null", "null for the epoch", [CLAIM.epoch, null]],
    ["index-of-54-bits", "an index of 2^53", [CLAIM.index, 2n ** 53n]],
    ["index-of-text", "an index as text", [CLAIM.index, "0"]],
    ["index-null", "null for the index", [CLAIM.index, null]],
    ["phase-unknown", "an unknown phase", [CLAIM.phase, "complete"]],
    ["phase-in-capitals", "a phase in capitals", [CLAIM.phase, "FINAL"]],
    ["phase-of-integer", "a phase as an integer", [CLAIM.phase, 1]],
    ["model-of-two", "a model without digest", model("digits", "1")],
    ["model-of-four", "a model with a member more", model("digits", "1", root, 0)],
    ["model-digest-of-31", "a model digest of 31 bytes", model("digits", "1", random(31))],
    ["model-id-with-space", "a model id with a space", model("digits 1", "1", root)],
    ["model-version-of-integer", "a model version as an integer", model("digits", 1, root)],
    ["model-of-text", "a model as text", [CLAIM.model, "digits"]],
    ["request-of-two", "a request head without byte count", [CLAIM.request, [3, root]]],
    ["request-of-four", "a request head with a member more", [CLAIM.request, [3, root, 100, 0]]],
    ["request-leaves-negative", "a negative number of leaves", [CLAIM.request, [-1, root, 100]]],
    ["request-leaves-of-54-bits", "2^53 leaves", [CLAIM.request, [2n ** 53n, root, 100]]],
    ["response-root-of-31", "a root of 31 bytes", [CLAIM.response, [3, random(31), 100]]],
    ["response-root-of-48", "a root of 48 bytes", [CLAIM.response, [3, random(48), 100]]],
    ["response-bytes-negative", "a negative number of bytes", [CLAIM.response, [3, root, -1]]],
    ["response-null", "null for the response head", [CLAIM.response, null]],
    ["outcome-null", "null for the outcome", [CLAIM.outcome, null]],
    ["outcome-of-integer", "the status alone for an outcome", [CLAIM.outcome, 200]],
    ["outcome-without-status", "an outcome without status", [CLAIM.outcome, new Map()]],
    ["outcome-with-7", "an unknown member of the outcome", outcome([7, 0])],
    ["outcome-status-99", "status 99", outcome([1, 99])],
    ["outcome-status-1000", "status 1000", outcome([1, 1000])],
    ["outcome-status-negative", "a negative status", outcome([1, -200])],
    ["outcome-tokens-negative", "a negative number of tokens", outcome([3, -1])],
    ["outcome-finish-reason-of-integer", "a finish reason as an integer", outcome([2, 0])],
    ["outcome-seed-of-text", "a seed as text", outcome([5, "0"])],
    [
      "outcome-parameters-of-31",
      "a digest of the parameters of 31 bytes",
      outcome([6, random(31)]),
    ],
    ["previous-null", "null for the receipt before", [CLAIM.previous, null]],
    ["previous-of-31", "a digest of 31 bytes for the receipt before", [CLAIM.previous, random(31)]],
  ];
  return [
    ...structure.map(([name, what, change]) =>
      badReceipt(
        honest,
        "receipt/structure",
        `receipt-${name}`,
        what,
        "PROTOCOL 7",
        recoded(epoch, exchange, change),
      ),
    ),
    badReceipt(
      honest,
      "receipt/index",
      "receipt-index-negative",
      "a negative index",
      "PROTOCOL 7",
      recoded(epoch, exchange, [CLAIM.index, -1]),
    ),
    badReceipt(
      honest,
      "receipt/index",
      "receipt-index-least",
      "an index of -(2^53 - 1)",
      "PROTOCOL 7",
      recoded(epoch, exchange, [CLAIM.index, -Number.MAX_SAFE_INTEGER]),
    ),
  ];
}

function swapFirst(payload: Uint8Array): Uint8Array {
  const [first = [], second = [], ...rest] = entriesOf(payload);
  return concatBytes(
    payload.subarray(0, 1),
    ...[second, first, ...rest].flatMap((entry) => [...entry]),
  );
}
