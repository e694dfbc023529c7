/** EpochBinding, in the document and beside it: form, preimages, lifetime. PROTOCOL 4. */
import {
  type AttestationErrorCode,
  type CborValue,
  concatBytes,
  encodeCbor,
  encodeEpochBinding,
  encodeModelSet,
  encodeUtf8,
  type EpochBinding,
} from "@countersign/attestation";
import { type FakeEpoch, sha256, writeBundle } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { array, indefinite, map, tstr, uint } from "../cbor.ts";
import { accepted, bundleInput, type Input, refused } from "../node-case.ts";
import {
  DIGITS,
  epochWith,
  honestEpoch,
  neighbourEpoch,
  NEWER_DIGITS,
  nextEpoch,
  NOT_AFTER,
  NOT_BEFORE,
  NOW_MS,
  otherEpoch,
  random,
  SECOND_MS,
} from "../node.ts";
import { type Change, entriesOf, float64, recode, replaced } from "../recode.ts";
import { configPadding, configStructures } from "./config.ts";
import { keysetStructures, keysetSuites } from "./keyset.ts";
import { modelPolicies, modelRegisters, modelSetStructures } from "./models.ts";

const EPOCH_TAG = "countersign/epoch/v1";
/** PROTOCOL 13. */
const MAX_BINDING = 512;
/** Of the policy "node", and where freshness is unchecked. */
const SKEW_SECONDS = 60;

export async function bindingCases(): Promise<readonly Case[]> {
  const epoch = await honestEpoch();
  return [
    ...(await bindingStructures()),
    ...(await bindingEncodings()),
    ...(await otherUserData(epoch)),
    ...(await swappedPreimages(epoch)),
    ...(await lifetimes()),
    ...(await keysetStructures(epoch)),
    ...(await keysetSuites(epoch)),
    ...(await modelSetStructures()),
    ...(await configStructures()),
    ...(await configPadding()),
    ...(await modelRegisters(epoch)),
    ...(await modelPolicies(epoch)),
  ];
}

/** Refused at "binding", the document being signed over the same wrong bytes. */
async function wrongBinding(
  code: AttestationErrorCode,
  name: string,
  what: string,
  encodeBinding: (binding: EpochBinding) => Uint8Array,
  clause = "PROTOCOL 4",
): Promise<Case> {
  const { bundle } = await epochWith({ encodeBinding });
  return refused("binding", code, name, what, clause, bundleInput(bundle));
}

async function bindingStructures(): Promise<readonly Case[]> {
  const structure: readonly (readonly [name: string, what: string, change: Change])[] = [
    ...[2, 3, 4, 5, 6, 7].map(
      (key) => [`binding-without-${key}`, `key ${key} is missing`, [key, undefined]] as const,
    ),
    ["binding-with-9", "an unknown key", [9, 0]],
    ["binding-with-text-key", "an unknown key of text", ["sequence", 0]],
    ["binding-keyset-digest-of-31", "a keyset digest of 31 bytes", [2, random(31)]],
    ["binding-models-digest-of-48", "a models digest of 48 bytes", [3, random(48)]],
    ["binding-config-digest-of-text", "a config digest as text", [4, "ab".repeat(32)]],
    ["binding-sequence-negative", "a negative sequence", [5, -1]],
    ["binding-sequence-of-54-bits", "a sequence of 2^53", [5, 2n ** 53n]],
    ["binding-sequence-of-text", "a sequence as text", [5, "0"]],
    ["binding-not-before-negative", "a negative notBefore", [6, -1]],
    ["binding-not-after-null", "null for notAfter", [7, null]],
    ["binding-ends-as-it-begins", "notAfter equals notBefore", [7, NOT_BEFORE]],
    ["binding-ends-before-it-begins", "notAfter is before notBefore", [7, NOT_BEFORE - 1]],
    [
      "binding-of-10201-seconds",
      "an epoch that outlives any leaf certificate",
      [7, NOT_BEFORE + 10_201],
    ],
    ["binding-not-after-of-64-bits", "a notAfter of 2^64 - 1", [7, 2n ** 64n - 1n]],
    ["binding-previous-null", "null for the document before", [8, null]],
    ["binding-previous-of-31", "a digest of 31 bytes for the document before", [8, random(31)]],
  ];
  const tags: readonly (readonly [name: string, what: string, change: Change])[] = [
    ["binding-for-a-kms", "the tag of a document made for a KMS", [1, "countersign/kms/v1"]],
    ["binding-v2", "the tag of another version", [1, "countersign/epoch/v2"]],
    ["binding-without-tag", "no tag", [1, undefined]],
    ["binding-tag-of-bytes", "the tag as a byte string", [1, encodeUtf8(EPOCH_TAG)]],
    ["binding-tag-with-nul", "the tag and a zero byte", [1, `${EPOCH_TAG}\0`]],
  ];
  const changed =
    (change: Change) =>
    (binding: EpochBinding): Uint8Array =>
      recode(encodeEpochBinding(binding), change);
  return Promise.all([
    ...structure.map(([name, what, change]) =>
      wrongBinding("binding/structure", name, what, changed(change)),
    ),
    ...tags.map(([name, what, change]) => wrongBinding("binding/tag", name, what, changed(change))),
    wrongBinding("binding/tag", "binding-is-array", "an array instead of a map", (binding) =>
      array(entriesOf(encodeEpochBinding(binding)).map(([, item]) => item)),
    ),
    wrongBinding("binding/tag", "binding-is-text", "the tag alone, as text", () => tstr(EPOCH_TAG)),
    ...[MAX_BINDING, MAX_BINDING + 1].map((bytes) =>
      wrongBinding(
        "binding/structure",
        `binding-of-${bytes}-bytes`,
        `an unknown key that makes it ${bytes} bytes`,
        (binding) => padded(encodeEpochBinding(binding), bytes),
        "PROTOCOL 13",
      ),
    ),
  ]);
}

/** The same content, not in deterministic CBOR; and bytes that are none. */
function bindingEncodings(): Promise<readonly Case[]> {
  const rewritten =
    (write: (bytes: Uint8Array) => Uint8Array) =>
    (binding: EpochBinding): Uint8Array =>
      write(encodeEpochBinding(binding));
  const rows: readonly (readonly [
    code: AttestationErrorCode,
    name: string,
    what: string,
    write: (bytes: Uint8Array) => Uint8Array,
  ])[] = [
    [
      "cbor/key-order",
      "binding-keys-reversed",
      "all keys backwards",
      (bytes) => map(entriesOf(bytes).toReversed()),
    ],
    [
      "cbor/duplicate-key",
      "binding-lifetime-twice",
      "key 7 twice, with a later end",
      (bytes) => map([...entriesOf(bytes), [uint(7), uint(NOT_AFTER + 1)]]),
    ],
    [
      "cbor/indefinite",
      "binding-indefinite-map",
      "the map has indefinite length",
      (bytes) => indefinite(5, entriesOf(bytes).flat()),
    ],
    [
      "cbor/non-minimal",
      "binding-sequence-non-minimal",
      "the sequence in eight bytes",
      (bytes) => map(replaced(entriesOf(bytes), 5, uint(0, 8))),
    ],
    [
      "cbor/non-minimal",
      "binding-time-non-minimal",
      "a time in eight bytes",
      (bytes) => map(replaced(entriesOf(bytes), 6, uint(NOT_BEFORE, 8))),
    ],
    [
      "cbor/unsupported",
      "binding-time-float",
      "a time as a float",
      (bytes) => map(replaced(entriesOf(bytes), 7, float64(NOT_AFTER))),
    ],
    [
      "cbor/trailing",
      "binding-with-surplus-byte",
      "a byte after the map",
      (bytes) => concatBytes(bytes, Uint8Array.of(0)),
    ],
    [
      "cbor/truncated",
      "binding-cut",
      "the map without its last byte",
      (bytes) => bytes.slice(0, -1),
    ],
    [
      "cbor/unsupported",
      "binding-is-garbage",
      "bytes that are no CBOR",
      () => new Uint8Array(32).fill(0xff),
    ],
    [
      "cbor/trailing",
      "binding-is-32-bytes",
      "32 bytes that begin with an integer",
      (bytes) => sha256(bytes).with(0, 0),
    ],
  ];
  return Promise.all(
    rows.map(([code, name, what, write]) =>
      wrongBinding(code, name, what, rewritten(write), "RFC 8949 §4.2.1"),
    ),
  );
}

/** The document says something else than the bundle. */
async function otherUserData(epoch: FakeEpoch): Promise<readonly Case[]> {
  const { parts, binding } = epoch;
  const next = await nextEpoch();
  const untagged = async (name: string, what: string, userData: Uint8Array | null): Promise<Case> =>
    refused(
      "binding",
      "binding/tag",
      name,
      what,
      "PROTOCOL 4",
      bundleInput((await epochWith({ userData })).bundle),
    );
  const other = (name: string, what: string, bytes: Uint8Array): Case =>
    refused(
      "binding",
      "binding/document",
      name,
      what,
      "PROTOCOL 4",
      bundleInput(writeBundle({ ...parts, binding: bytes })),
    );
  const request = encodeCbor(
    new Map<number, CborValue>([
      [1, "countersign/kms/v1"],
      [2, random(32)],
    ]),
  );
  return [
    await untagged("user-data-absent", "a document without user_data", null),
    await untagged("user-data-empty", "user_data of no bytes", new Uint8Array()),
    await untagged(
      "user-data-of-json",
      "another application's user_data, which is no CBOR, beside an honest binding",
      encodeUtf8('{"a":1}'),
    ),
    await untagged(
      "user-data-for-a-kms",
      "a document made for a KMS, beside an honest binding",
      request,
    ),
    other("binding-of-next-epoch", "the binding of the node's next epoch", next.parts.binding),
    other(
      "binding-lives-longer",
      "the binding with a later end",
      encodeEpochBinding({ ...binding, notAfter: NOT_AFTER + 600 }),
    ),
    other(
      "binding-written-otherwise",
      "the same content, keys backwards",
      map(entriesOf(parts.binding).toReversed()),
    ),
    other(
      "binding-extended",
      "the binding and a byte more",
      concatBytes(parts.binding, Uint8Array.of(0)),
    ),
    refused(
      "binding",
      "binding/document",
      "document-of-next-epoch",
      "the document of the node's next epoch, all else of this one",
      "PROTOCOL 4",
      bundleInput(writeBundle({ ...parts, evidence: next.parts.evidence })),
    ),
    refused(
      "binding",
      "binding/document",
      "document-of-a-neighbour",
      "the document of another enclave with the same image",
      "PROTOCOL 4",
      bundleInput(writeBundle({ ...parts, evidence: (await neighbourEpoch()).parts.evidence })),
    ),
  ];
}

/** One preimage after the other is that of another honest epoch. */
async function swappedPreimages({ parts }: FakeEpoch): Promise<readonly Case[]> {
  const [next, other] = [await nextEpoch(), await otherEpoch()];
  const bundleOf = (change: Partial<typeof parts>): Input =>
    bundleInput(writeBundle({ ...parts, ...change }));
  const clause = "PROTOCOL 4";
  return [
    refused(
      "keyset",
      "binding/keyset",
      "keyset-of-next-epoch",
      "the keyset of the node's next epoch",
      clause,
      bundleOf({ keyset: next.parts.keyset }),
    ),
    refused(
      "keyset",
      "binding/keyset",
      "keyset-of-neighbour",
      "the keyset of another enclave",
      clause,
      bundleOf({ keyset: (await neighbourEpoch()).parts.keyset }),
    ),
    refused(
      "keyset",
      "binding/keyset",
      "keyset-changed",
      "one bit of the key to encrypt to",
      clause,
      bundleOf({ keyset: parts.keyset.with(100, (parts.keyset[100] ?? 0) ^ 1) }),
    ),
    refused(
      "modelset",
      "binding/models",
      "models-of-another-epoch",
      "the models of another honest epoch",
      clause,
      bundleOf({ models: other.parts.models }),
    ),
    refused(
      "modelset",
      "binding/models",
      "models-without-the-last",
      "one model left out of the list",
      clause,
      bundleOf({ models: encodeModelSet([DIGITS, NEWER_DIGITS]) }),
    ),
    refused(
      "modelset",
      "binding/models",
      "models-are-the-keyset",
      "the keyset in place of the models",
      clause,
      bundleOf({ models: parts.keyset }),
    ),
    refused(
      "config",
      "binding/config",
      "config-of-another-epoch",
      "the configuration of another honest epoch",
      clause,
      bundleOf({ config: other.parts.config }),
    ),
    refused(
      "config",
      "binding/config",
      "config-with-surplus-byte",
      "a byte after the configuration",
      clause,
      bundleOf({ config: concatBytes(parts.config, Uint8Array.of(0)) }),
    ),
    refused(
      "keyset",
      "binding/keyset",
      "preimages-of-another-epoch",
      "all three preimages of another honest epoch",
      clause,
      bundleOf({
        keyset: other.parts.keyset,
        models: other.parts.models,
        config: other.parts.config,
      }),
    ),
  ];
}

async function lifetimes(): Promise<readonly Case[]> {
  const honest = bundleInput((await honestEpoch()).bundle);
  const until = bundleInput((await epochWith({ binding: { notAfter: NOW_MS / 1000 } })).bundle);
  const from = async (seconds: number): Promise<Input> =>
    bundleInput((await epochWith({ binding: { notBefore: NOW_MS / 1000 + seconds } })).bundle);
  const binding = async (change: Partial<EpochBinding>): Promise<Input> =>
    bundleInput((await epochWith({ binding: change })).bundle);
  const { documentDigest: previous } = await nextEpoch();
  const clause = "PROTOCOL 9";
  return [
    accepted("epoch-in-its-last-millisecond", "exactly notAfter", clause, until),
    refused(
      "lifetime",
      "binding/lifetime",
      "epoch-over-by-a-millisecond",
      "a millisecond after notAfter",
      clause,
      until,
      { nowMs: NOW_MS + 1 },
    ),
    accepted(
      "epoch-at-its-last-second",
      "exactly notAfter of the honest epoch, two hours after its document was made",
      clause,
      honest,
      { nowMs: NOT_AFTER * SECOND_MS },
    ),
    accepted(
      "epoch-of-10200-seconds",
      "an epoch as long as may be",
      "PROTOCOL 13",
      await binding({ notAfter: NOT_BEFORE + 10_200 }),
    ),
    accepted("epoch-begins-now", "exactly notBefore", clause, await from(0)),
    accepted(
      "epoch-begins-within-the-skew",
      "as long before notBefore as skewSeconds allows",
      clause,
      await from(SKEW_SECONDS),
    ),
    refused(
      "lifetime",
      "binding/lifetime",
      "epoch-begins-beyond-the-skew",
      "a second more than skewSeconds before notBefore",
      clause,
      await from(SKEW_SECONDS + 1),
    ),
    refused(
      "lifetime",
      "binding/lifetime",
      "epoch-begins-a-millisecond-beyond-the-skew",
      "a millisecond more than skewSeconds before notBefore",
      clause,
      await from(SKEW_SECONDS),
      { nowMs: NOW_MS - 1 },
    ),
    accepted(
      "epoch-begins-within-the-skew-where-unchecked",
      "a skew of 60 seconds holds where freshness is unchecked",
      clause,
      await from(60),
      { policy: "node-unchecked", skipped: ["measurement", "models", "freshness"] },
    ),
    refused(
      "lifetime",
      "binding/lifetime",
      "epoch-begins-beyond-the-skew-where-unchecked",
      "61 seconds before notBefore, where freshness is unchecked",
      clause,
      await from(61),
      { policy: "node-unchecked", skipped: ["measurement"] },
    ),
    refused(
      "lifetime",
      "binding/lifetime",
      "epoch-begins-without-skew",
      "a second before notBefore, under a policy without skew",
      clause,
      await from(1),
      {
        policy: (file) => {
          file.freshness = { maxAgeSeconds: 7200, skewSeconds: 0, challenge: "optional" };
        },
      },
    ),
    accepted(
      "epoch-with-sequence-of-53-bits",
      "the greatest sequence",
      "PROTOCOL 13",
      await binding({ sequence: Number.MAX_SAFE_INTEGER }),
    ),
    accepted(
      "epoch-with-previous",
      "the document of the epoch before is named",
      "PROTOCOL 4",
      await binding({ sequence: 2, previous }),
    ),
    accepted(
      "epoch-with-previous-and-sequence-0",
      "a verifier takes any sequence, with or without an epoch before",
      "PROTOCOL 4",
      await binding({ previous }),
    ),
  ];
}

/** With key 9 and as many bytes as make it `bytes` in all. */
function padded(binding: Uint8Array, bytes: number): Uint8Array {
  const missing = bytes - recode(binding, [9, new Uint8Array(256)]).length;
  return recode(binding, [9, new Uint8Array(256 + missing)]);
}
