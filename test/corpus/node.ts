/**
 * The honest node that the vectors of bundles, receipts and proofs start from: one vendor, one
 * enclave with three models, one epoch. Each case changes one thing of it and has that signed.
 *
 * Keys are random, made at first use, and leave the process never.
 */
import { randomBytes } from "node:crypto";
import type { ModelRef } from "@countersign/attestation";
import {
  type Attester,
  createAttester,
  documentDigest,
  type EpochOptions,
  type FakeEpoch,
  makeEpoch,
  NOW_MS,
  sha256,
  writeBundle,
} from "../fakes/attester.ts";

export { NOW_MS } from "../fakes/attester.ts";

export const SECOND_MS = 1000;
/** When the bundle's document was made. */
export const DOCUMENT_MS: number = NOW_MS - SECOND_MS;
/** The epoch's lifetime, Unix seconds. */
export const NOT_BEFORE: number = NOW_MS / 1000 - 60;
export const NOT_AFTER: number = NOW_MS / 1000 + 7200;

/** The policy lists the first two, by id and digest, and not the third. */
export const DIGITS: ModelRef = { id: "digits", version: "1", digest: sha256("digits 1") };
export const NEWER_DIGITS: ModelRef = { id: "digits", version: "2", digest: sha256("digits 2") };
export const SKETCH: ModelRef = { id: "sketch", version: "1", digest: sha256("sketch 1") };

/** Registers 0, 1 and 2 of the image. */
export const IMAGE: ReadonlyMap<number, Uint8Array> = new Map(
  [0x11, 0x22, 0x33].map((fill, index) => [index, new Uint8Array(48).fill(fill)]),
);

export function random(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}

let vendor: Attester | null = null;
/** By a name of its own; written by {@link epochOnce} only. */
const epochs = new Map<string, Promise<FakeEpoch>>();

/** The enclave whose root the policies pin. */
export function enclave(): Attester {
  vendor ??= createAttester({ random, nowMs: NOW_MS });
  return vendor;
}

/** An epoch of this enclave, with what `options` changes. */
export function epochWith(
  options: EpochOptions = {},
  attester: Attester = enclave(),
): Promise<FakeEpoch> {
  const models = options.models ?? [DIGITS, NEWER_DIGITS, SKETCH];
  const pcrs = new Map([...IMAGE, ...(options.pcrs ?? [])]);
  const binding = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER, ...options.binding };
  return makeEpoch(attester, { timestampMs: DOCUMENT_MS, ...options, models, pcrs, binding });
}

/** The honest epoch: sequence 0, no epoch before it. */
export function honestEpoch(): Promise<FakeEpoch> {
  return epochOnce("honest", () => epochWith());
}

/** The epoch after it, of the same enclave: other keys, the same models. */
export function nextEpoch(): Promise<FakeEpoch> {
  return epochOnce("next", async () => {
    const previous = (await honestEpoch()).documentDigest;
    return epochWith({ binding: { sequence: 1, previous } });
  });
}

/** An epoch of another enclave of the same vendor, with the same image and the same models. */
export function neighbourEpoch(): Promise<FakeEpoch> {
  return epochOnce("neighbour", () => {
    const moduleId = "i-00000000000000001-enc0000000000000001";
    const domain = ".simulated.countersign";
    return epochWith({}, enclave().sibling({ moduleId, domain }));
  });
}

/** An honest epoch with other models and another configuration. */
export function otherEpoch(): Promise<FakeEpoch> {
  return epochOnce("other", () =>
    epochWith({
      models: [DIGITS],
      config: { engine: "other", engineVersion: "1", limits: new Map(), features: new Map() },
    }),
  );
}

function epochOnce(name: string, make: () => Promise<FakeEpoch>): Promise<FakeEpoch> {
  const known = epochs.get(name) ?? make();
  epochs.set(name, known);
  return known;
}

export interface Challenged {
  readonly evidence: Uint8Array;
  readonly bundle: Uint8Array;
  readonly documentDigest: Uint8Array;
}

/** The answer to a challenge: another document of the same epoch. */
export function challenge(epoch: FakeEpoch, nonce: Uint8Array): Challenged {
  const { attester, parts, pcrs } = epoch;
  const userData = parts.binding;
  const evidence = attester.document({ timestampMs: DOCUMENT_MS, pcrs, userData, nonce });
  return {
    evidence,
    bundle: writeBundle({ ...parts, evidence }),
    documentDigest: documentDigest(evidence),
  };
}
