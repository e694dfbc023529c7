/** Bundles: honest ones, the largest, and the documents within. PROTOCOL 4, 13. */
import { type CborValue, concatBytes, encodeModelSet } from "@countersign/attestation";
import { type FakeEpoch, writeBundle } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { tag } from "../cbor.ts";
import { configOfSize, modelsOfSize } from "../fill.ts";
import { accepted, bundleInput, type Input, refused } from "../node-case.ts";
import { otherVendor } from "../node-policies.ts";
import { DIGITS, DOCUMENT_MS, epochWith, honestEpoch, neighbourEpoch, random } from "../node.ts";
import { recode } from "../recode.ts";
import { bundleEncodings, bundleStructures, unreadable } from "./bundle-form.ts";
import {
  bundleArchives,
  bundleFreshness,
  bundleMeasurements,
  bundlePolicies,
} from "./bundle-policy.ts";
import { bundlePlatforms } from "./platform.ts";

/** PROTOCOL 13: bytes, and items of a structure. */
const MAX_BUNDLE = 262_144;
const MAX_PREIMAGE = 131_072;
const MAX_EVIDENCE = 65_536;
const MAX_ITEMS = 65_536;

export async function bundleCases(): Promise<readonly Case[]> {
  const epoch = await honestEpoch();
  return [
    ...honestBundles(epoch),
    ...(await bundleLimits(epoch)),
    ...bundleEncodings(epoch.bundle),
    ...bundleStructures(epoch.bundle),
    ...(await bundlePlatforms(epoch)),
    ...(await documentsWithin(epoch)),
    ...bundlePolicies(epoch),
    ...(await bundleMeasurements(epoch)),
    ...(await bundleFreshness(epoch)),
    ...(await bundleArchives(epoch)),
  ];
}

function honestBundles({ bundle, parts, attester, pcrs }: FakeEpoch): readonly Case[] {
  const document = { timestampMs: DOCUMENT_MS, pcrs, nonce: null, userData: parts.binding };
  const bundleOf = (evidence: Uint8Array): Input =>
    bundleInput(writeBundle({ ...parts, evidence }));
  return [
    accepted("bundle", "nothing: the honest bundle", "PROTOCOL 4", bundleInput(bundle)),
    accepted(
      "bundle-document-signed-anew",
      "the document's payload under another signature of the leaf",
      "PROTOCOL 3",
      bundleOf(attester.document(document)),
    ),
    accepted(
      "bundle-document-with-tag",
      "the document carries tag 18, which AWS leaves out",
      "RFC 9052 §4.2",
      bundleOf(tag(18, parts.evidence)),
    ),
    accepted(
      "bundle-document-with-public-key",
      "the document has a public_key, which means nothing to an epoch",
      "PROTOCOL 3",
      bundleOf(attester.document({ ...document, publicKey: random(294) })),
    ),
  ];
}

/** A bundle as large as can be, with a ModelSet as large as can be; and each a byte larger. */
async function bundleLimits({ parts }: FakeEpoch): Promise<readonly Case[]> {
  const models = modelsOfSize(MAX_PREIMAGE, DIGITS);
  const filled = { ...parts, models: encodeModelSet(models), config: new Uint8Array(MAX_EVIDENCE) };
  const room = MAX_EVIDENCE + MAX_BUNDLE - writeBundle(filled).length;
  const whole = await epochWith({ models, config: configOfSize(room) });
  const above = await epochWith({ models, config: configOfSize(room + 1) });
  const large = await epochWith({ models: modelsOfSize(MAX_PREIMAGE + 1, DIGITS) });
  // The bundle's map, its 8 keys, 7 values besides the array, and the array itself.
  const listOf = (items: number): Uint8Array =>
    recode(writeBundle(parts), [8, Array<CborValue>(items - 17).fill(0)]);
  return [
    accepted(
      "bundle-of-262144-bytes",
      "as many bytes as a bundle may have, 131072 of them in its ModelSet",
      "PROTOCOL 13",
      bundleInput(whole.bundle),
    ),
    unreadable(
      "cbor/too-large",
      "bundle-of-262145-bytes",
      "one byte more than a bundle may have",
      "PROTOCOL 13",
      above.bundle,
    ),
    unreadable(
      "bundle/structure",
      "models-of-131073-bytes",
      "a ModelSet of one byte more than a preimage may have",
      "PROTOCOL 13",
      large.bundle,
    ),
    unreadable(
      "bundle/structure",
      "evidence-of-65537-bytes",
      "evidence of one byte more than a bundle takes",
      "PROTOCOL 13",
      writeBundle({ ...parts, evidence: new Uint8Array(MAX_EVIDENCE + 1) }),
    ),
    unreadable(
      "cbor/too-large",
      "bundle-with-65537-items",
      "one item more than a structure may have, in an array for endorsements",
      "PROTOCOL 13",
      listOf(MAX_ITEMS + 1),
    ),
    unreadable(
      "bundle/structure",
      "bundle-with-65536-items",
      "as many items as a structure may have, in an array for endorsements",
      "PROTOCOL 13",
      listOf(MAX_ITEMS),
    ),
  ];
}

/** The document in it, or one that is none. */
async function documentsWithin({ parts, bundle }: FakeEpoch): Promise<readonly Case[]> {
  const bundleOf = (evidence: Uint8Array): Uint8Array => writeBundle({ ...parts, evidence });
  const { binding, evidence, keyset } = parts;
  const at = Buffer.from(evidence).indexOf(Buffer.from(binding));
  if (at < 0) throw new TypeError("a document without its binding");
  // A byte of the keyset digest: the bytes stay CBOR of the same form.
  const flipped = evidence.with(at + 40, (evidence[at + 40] ?? 0) ^ 1);
  const last = evidence.with(-1, (evidence.at(-1) ?? 0) ^ 1);
  const neighbour = (await neighbourEpoch()).parts.evidence;
  const swapped = concatBytes(neighbour.slice(0, -96), evidence.slice(-96));
  return [
    unreadable(
      "cose/structure",
      "evidence-is-a-keyset",
      "evidence that is no document",
      "PROTOCOL 4",
      bundleOf(keyset),
    ),
    unreadable(
      "cose/structure",
      "evidence-is-a-bundle",
      "a bundle in place of the document",
      "PROTOCOL 4",
      bundleOf(bundle),
    ),
    unreadable(
      "cbor/truncated",
      "evidence-cut",
      "a document without its last byte",
      "PROTOCOL 4",
      bundleOf(evidence.slice(0, -1)),
    ),
    unreadable(
      "cbor/trailing",
      "evidence-extended",
      "a byte after the document",
      "PROTOCOL 4",
      bundleOf(concatBytes(evidence, Uint8Array.of(0))),
    ),
    refused(
      "signature",
      "cose/signature",
      "binding-changed-in-document",
      "one bit of user_data changed, not signed anew",
      "RFC 9052 §4.4",
      bundleInput(bundleOf(flipped)),
    ),
    refused(
      "signature",
      "cose/signature",
      "document-signature-changed",
      "one bit of the document's signature changed",
      "RFC 9052 §4.4",
      bundleInput(bundleOf(last)),
    ),
    refused(
      "signature",
      "cose/signature",
      "document-signature-of-another",
      "the signature of this document under another enclave's payload",
      "RFC 9052 §4.4",
      bundleInput(bundleOf(swapped)),
    ),
    refused(
      "chain",
      "chain/root",
      "root-of-another-vendor",
      "a root that the policy does not pin",
      "PROTOCOL 3",
      bundleInput((await epochWith({}, otherVendor())).bundle),
    ),
  ];
}
