/** Proofs: the receipt and the bundle in them, and what the policy thinks of both by now. PROTOCOL 8. */
import { encodeHex } from "@countersign/attestation";
import { headOf, type PolicyFile, writeBundle } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { map } from "../cbor.ts";
import { exchangeOf, resigned, responseLeaves } from "../held.ts";
import type { Circumstances } from "../node-case.ts";
import { EXPIRES_MS, otherVendor, simulated } from "../node-policies.ts";
import { challenge, epochWith, neighbourEpoch, nextEpoch, NOW_MS, random } from "../node.ts";
import { badEvidence, type Honest, proofOf, wrong } from "../proof-case.ts";

/** The receipt in it, with the opening that it should have. */
export async function proofReceipts({ epoch, exchange }: Honest): Promise<readonly Case[]> {
  const [next, neighbour] = [await nextEpoch(), await neighbourEpoch()];
  const { claims, kc, requestLeaves: request, responseLeaves: response } = exchange;
  const with_ = (receipt: Uint8Array): Uint8Array => proofOf(epoch, exchange, { receipt });
  const signed = (change: Partial<typeof claims>): Uint8Array =>
    with_(resigned(epoch, exchange, change));
  const unopened = (receipt: Uint8Array): Uint8Array =>
    proofOf(epoch, exchange, { receipt, opening: null });
  const { receipt } = exchange;
  const later = NOW_MS / 1000 + 7200 + 61;
  const unlisted = epoch.models[2] ?? null;
  const answers = responseLeaves(200).slice(0, 2);
  return [
    wrong(
      "receipt",
      "receipt/signature",
      "proof-of-neighbour",
      "an exchange of another enclave with the same models, and our bundle",
      proofOf(epoch, await exchangeOf(neighbour)),
    ),
    wrong(
      "receipt",
      "receipt/signature",
      "proof-of-neighbour-unopened",
      "the same, without opening",
      proofOf(epoch, await exchangeOf(neighbour), { opening: null }),
    ),
    wrong(
      "receipt",
      "receipt/signature",
      "proof-of-next-epoch-under-this",
      "an exchange of the next epoch, with this one's bundle",
      proofOf(epoch, await exchangeOf(next)),
    ),
    wrong(
      "receipt",
      "receipt/signature",
      "proof-of-this-epoch-under-next",
      "an exchange of this epoch, with the next one's bundle",
      proofOf(next, exchange),
    ),
    wrong(
      "receipt",
      "receipt/signature",
      "proof-receipt-bit-changed",
      "one bit of the receipt's signature",
      with_(receipt.with(-40, (receipt.at(-40) ?? 0) ^ 1)),
    ),
    wrong(
      "receipt",
      "cbor/truncated",
      "proof-receipt-cut",
      "a receipt without its last byte",
      with_(receipt.slice(0, -1)),
    ),
    wrong(
      "receipt",
      "cose/structure",
      "proof-receipt-without-tag",
      "a receipt without tag 18",
      with_(receipt.slice(1)),
    ),
    wrong(
      "receipt",
      "cose/structure",
      "proof-receipt-of-garbage",
      "no receipt at all",
      with_(map([])),
    ),
    wrong(
      "epoch",
      "receipt/epoch",
      "proof-names-next-document",
      "the document digest of the next epoch, signed by this one's key",
      signed({ documentDigest: next.documentDigest }),
    ),
    wrong(
      "epoch",
      "receipt/epoch",
      "proof-with-challenge-bundle",
      "the honest receipt with the bundle that answered a challenge",
      proofOf(epoch, exchange, { bundle: challenge(epoch, random(32)).bundle }),
    ),
    wrong(
      "complete",
      "receipt/phase",
      "proof-of-an-aborted-exchange",
      "an aborted exchange that is shown as answered",
      signed({ phase: "aborted" }),
    ),
    wrong(
      "complete",
      "receipt/phase",
      "proof-of-a-checkpoint-unopened",
      "a checkpoint without opening",
      unopened(resigned(epoch, exchange, { phase: "checkpoint" })),
      ["freshness", "request", "response"],
    ),
    wrong(
      "index",
      "receipt/time",
      "proof-after-its-epoch",
      "a receipt made after its epoch ended",
      signed({ issuedAt: later }),
    ),
    wrong(
      "index",
      "receipt/time",
      "proof-before-its-epoch",
      "a receipt made a day before its epoch began",
      signed({ issuedAt: NOW_MS / 1000 - 86_400 }),
    ),
    wrong(
      "model",
      "receipt/model",
      "proof-of-a-model-not-of-the-epoch",
      "a model that the epoch does not have",
      signed({ model: { id: "digits", version: "9", digest: random(32) } }),
    ),
    wrong(
      "model",
      "policy/model",
      "proof-of-an-unlisted-model",
      "a model of the epoch that the policy does not list",
      proofOf(
        epoch,
        await exchangeOf(epoch, { model: unlisted }, `/v2/models/${unlisted?.id ?? ""}/infer`),
      ),
    ),
    wrong(
      "model",
      "receipt/model",
      "proof-of-another-model-than-asked",
      "a model of the epoch and of the policy, and a request for another",
      proofOf(epoch, await exchangeOf(epoch, {}, "/v2/models/letters/infer")),
    ),
    wrong(
      "model",
      "receipt/model",
      "proof-of-another-version-than-asked",
      "the model of version 1, and a request for version 2",
      proofOf(epoch, await exchangeOf(epoch, {}, "/v2/models/digits/versions/2/infer")),
    ),
    wrong(
      "model",
      "receipt/model",
      "proof-of-no-model-where-one-was-asked",
      "status 200 and no model, for a request to one",
      signed({ model: null }),
    ),
    wrong(
      "request",
      "transcript/request",
      "proof-heads-exchanged",
      "the heads of request and answer exchanged",
      signed({ request: claims.response, response: claims.request }),
    ),
    wrong(
      "response",
      "transcript/response",
      "proof-of-part-of-the-answer",
      "a receipt that covers a part of the answer",
      signed({ response: await headOf(kc, "response", answers) }),
    ),
    wrong(
      "request",
      "transcript/request",
      "proof-of-part-of-the-request",
      "a receipt of status 200 that covers a part of the request",
      signed({ request: await headOf(kc, "request", request.slice(0, 2)) }),
    ),
    wrong(
      "response",
      "transcript/response",
      "proof-bytes-of-the-answer",
      "a receipt that counts a byte more than the answer has",
      signed({
        response: {
          ...claims.response,
          bytes: response.reduce((sum, leaf) => sum + leaf.length, 1),
        },
      }),
    ),
  ];
}

/** The bundle in it. */
export async function proofBundles({ epoch, exchange }: Honest): Promise<readonly Case[]> {
  const of = (bundle: Uint8Array): Uint8Array => proofOf(epoch, exchange, { bundle });
  const { parts, bundle } = epoch;
  const next = await nextEpoch();
  const early = await epochWith({ timestampMs: NOW_MS - 3600_000 });
  const stranger = await epochWith({}, otherVendor());
  const { evidence } = parts;
  return [
    badEvidence(
      "bundle",
      "cbor/truncated",
      "proof-bundle-cut",
      "a bundle without its last byte",
      of(bundle.slice(0, -1)),
    ),
    badEvidence(
      "bundle",
      "bundle/structure",
      "proof-bundle-of-another-structure",
      "a receipt's map in place of the bundle",
      of(map([])),
    ),
    badEvidence(
      "platform",
      "policy/platform",
      "proof-of-another-platform",
      "a platform that the policy does not name",
      of(writeBundle({ ...parts, platform: "aws-nitro" })),
    ),
    badEvidence(
      "signature",
      "cose/signature",
      "proof-document-changed",
      "one bit of the document's signature",
      of(writeBundle({ ...parts, evidence: evidence.with(-1, (evidence.at(-1) ?? 0) ^ 1) })),
    ),
    badEvidence(
      "chain",
      "chain/root",
      "proof-of-another-vendor",
      "a root that the policy does not pin",
      proofOf(stranger, await exchangeOf(stranger)),
    ),
    badEvidence(
      "chain",
      "chain/validity",
      "proof-document-before-its-leaf",
      "a document dated before its leaf certificate",
      proofOf(early, await exchangeOf(early)),
    ),
    badEvidence(
      "binding",
      "binding/document",
      "proof-document-of-next-epoch",
      "the next epoch's document, all else of this one",
      of(writeBundle({ ...parts, evidence: next.parts.evidence })),
    ),
    badEvidence(
      "keyset",
      "binding/keyset",
      "proof-keyset-of-next-epoch",
      "the next epoch's keyset, all else of this one",
      of(writeBundle({ ...parts, keyset: next.parts.keyset })),
    ),
  ];
}

/** A good proof, and what the policy has come to think of it. */
export function proofPolicies({ epoch, bytes }: Honest): readonly Case[] {
  const since = (change: (file: PolicyFile) => void): Circumstances => ({
    policy: (file) => {
      file.expires = "2099-01-01T00:00:00Z";
      change(file);
    },
  });
  const list = (of: unknown): readonly unknown[] => (Array.isArray(of) ? of : []);
  const digits = epoch.models[0]?.digest ?? random(32);
  return [
    badEvidence(
      "policy",
      "policy/expired",
      "proof-under-an-expired-policy",
      "the policy expired since",
      bytes,
      { policy: "node", nowMs: EXPIRES_MS },
    ),
    badEvidence(
      "policy",
      "policy/expired",
      "proof-in-the-year-2099",
      "the policy's last second is over",
      bytes,
      { nowMs: Date.UTC(2099, 0, 1) },
    ),
    badEvidence(
      "measurement",
      "policy/revoked",
      "proof-of-a-revoked-image",
      "the policy revoked the image since",
      bytes,
      since((file) => {
        const other = {
          name: "newer",
          pcr0: "ab".repeat(48),
          pcr1: "ab".repeat(48),
          pcr2: "ab".repeat(48),
        };
        simulated(file)["measurements"] = [other];
        file.revoked["measurements"] = [encodeHex(epoch.pcrs.get(0) ?? random(48))];
      }),
    ),
    badEvidence(
      "measurement",
      "policy/measurement",
      "proof-of-an-unlisted-image",
      "the policy lists newer images only",
      bytes,
      since((file) => {
        simulated(file)["measurements"] = [
          { name: "newer", pcr0: "ab".repeat(48), pcr1: "ab".repeat(48), pcr2: "ab".repeat(48) },
        ];
      }),
    ),
    badEvidence(
      "keyset",
      "policy/revoked",
      "proof-of-a-revoked-keyset",
      "the policy revoked the keyset since",
      bytes,
      since((file) => {
        file.revoked["keysets"] = [encodeHex(epoch.binding.keysetDigest)];
      }),
    ),
    badEvidence(
      "models",
      "policy/revoked",
      "proof-of-a-revoked-model",
      "the policy revoked the model since",
      bytes,
      since((file) => {
        file.models = list(file.models).slice(1);
        file.revoked["models"] = [encodeHex(digits)];
      }),
    ),
    badEvidence(
      "models",
      "policy/model",
      "proof-of-a-model-no-longer-listed",
      "the policy lists other models only",
      bytes,
      since((file) => {
        file.models = [{ id: "letters", digest: "ab".repeat(32) }];
      }),
    ),
    badEvidence(
      "suite",
      "policy/suite",
      "proof-of-a-suite-no-longer-listed",
      "the policy lists another suite only",
      bytes,
      since((file) => {
        file.suites = ["X25519/HKDF-SHA256/AES-256-GCM"];
      }),
    ),
    badEvidence(
      "freshness",
      "freshness/future",
      "proof-of-the-future",
      "a document from the future",
      bytes,
      { nowMs: NOW_MS - 3600_000, policy: "node" },
    ),
  ];
}
