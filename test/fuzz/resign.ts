/**
 * Puts right what a change inside made wrong - digests, heads, signatures - so that the checks that
 * come after them are reached. Whoever should sign follows from the structure as it is now.
 */
import { lowS, sigStructure } from "@countersign/attestation";
import { bitStringSignature } from "../fakes/nitro.ts";
import { markOf } from "./oracle/document.ts";
import { CLAIM, PREIMAGES } from "./oracle/epoch.ts";
import { transcriptHead } from "./oracle/merkle.ts";
import { digest, hexOf } from "./oracle/x509.ts";
import type { Random } from "./random.ts";
import type { LabKey } from "./signer.ts";
import {
  all,
  copy,
  type Element,
  fill,
  inside,
  leaf,
  MAJOR,
  under,
  write,
} from "./tree/element.ts";
import { readDer, unfold } from "./tree/reading.ts";

/** Each step is left out once in so many times: then the check that it would satisfy is reached. */
const LEFT_OUT = 12;
const BIT_STRING = 0x03;
const P384_POINT_BYTES = 97;

/** By the point, in hexadecimal. */
export type Keys = ReadonlyMap<string, LabKey>;

/** The document's certificates, root first: byte strings. */
export function certificatesOf(document: Element | undefined): readonly Element[] {
  const payload = payloadOf(document);
  const leafCertificate = under(payload, "certificate");
  const issuers = under(payload, "cabundle")?.children ?? [];
  return leafCertificate === undefined ? issuers : [...issuers, leafCertificate];
}

/** Whether a key of the lab could sign the document. */
export function isOurs(document: Element | undefined, keys: Keys): boolean {
  return keyIn(certificatesOf(document).at(-1)?.children[0], keys) !== undefined;
}

/** Gives a document of anybody's the certificates of one of the lab's, and so its keys. */
export function adopt(document: Element | undefined, own: Element): void {
  for (const name of ["module_id", "certificate", "cabundle"]) {
    const [ours, theirs] = [under(payloadOf(own), name), under(payloadOf(document), name)];
    if (ours !== undefined && theirs !== undefined) Object.assign(theirs, copy(ours));
  }
}

/** Signs the certificates and then the document; the marks of what it signed. */
export function resignDocument(
  random: Random,
  document: Element | undefined,
  keys: Keys,
): readonly string[] {
  const certificates = certificatesOf(document).map((item) => item.children[0]);
  for (const [i, certificate] of certificates.entries()) {
    const issuer = keyIn(certificates[Math.max(0, i - 1)], keys);
    const tbs = certificate?.children[0];
    if (certificate === undefined || tbs === undefined || issuer === undefined) continue;
    if (certificate.children.length < 3 || random.once(LEFT_OUT)) continue;
    const signature = readDer(bitStringSignature(issuer.signNow(write(tbs))));
    if (signature !== null) certificate.children[2] = unfold(signature);
  }
  const signer = keyIn(certificates.at(-1), keys);
  return signer === undefined ? [] : signEnvelope(document, "ES384", signer.signNow);
}

/** Puts a bundle's digests into its binding, that into the document, and signs it. */
export function resignBundle(
  random: Random,
  bundle: Element | undefined,
  keys: Keys,
): readonly string[] {
  const binding = under(bundle, 4);
  const document = under(bundle, 3)?.children[0];
  const payload = payloadOf(document);
  for (const [key, at] of PREIMAGES) {
    const preimage = under(bundle, key);
    if (preimage === undefined || random.once(LEFT_OUT)) continue;
    fill(under(binding?.children[0], at), digest("sha256", inside(preimage)));
  }
  const models = inside(under(binding?.children[0], 3));
  if (!random.once(LEFT_OUT)) {
    fill(under(under(payload, "pcrs"), 16), digest("sha384", new Uint8Array(48), models));
  }
  const userData = under(payload, "user_data");
  if (userData !== undefined && !random.once(LEFT_OUT)) {
    userData.type = MAJOR.bytes;
    fill(userData, inside(binding));
  }
  return resignDocument(random, document, keys);
}

/** Signs a receipt with the key whose point it is; in the form that the verifier wants. */
export function resignReceipt(
  receipt: Element | undefined,
  key: LabKey | undefined,
): readonly string[] {
  if (key === undefined) return [];
  return signEnvelope(receipt, "ES256", (bytes) => lowS("P-256", key.signNow(bytes)));
}

/** A proof's bundle, then what its receipt says of it and of the leaves, and the receipt. */
export function resignProof(
  random: Random,
  proof: Element | undefined,
  keys: Keys,
): readonly string[] {
  const bundle = under(proof, 3)?.children[0];
  const receipt = under(proof, 2)?.children[0];
  const coseKey = under(under(bundle, 5)?.children[0], 3)?.children[0];
  const key = receiptKeyOf(coseKey, keys);
  const signed = resignBundle(random, bundle, keys);
  const claims = payloadOf(receipt);
  const document = under(bundle, 3)?.children[0];
  const [keyset, documentDigest] = under(claims, CLAIM.epoch)?.children ?? [];
  if (!random.once(LEFT_OUT)) {
    fill(keyset, digest("sha256", inside(under(bundle, 5))));
    fill(documentDigest, digest("sha256", inside(payloadItem(document))));
  }
  const opening = under(proof, 4)?.children;
  if (opening !== undefined && !random.once(LEFT_OUT)) {
    restateHead(under(claims, CLAIM.request), under(proof, 4), 0);
    restateHead(under(claims, CLAIM.response), under(proof, 4), 1);
  }
  return [...signed, ...resignReceipt(receipt, key)];
}

/** The lab's key that a keyset names; where it names none of them, it is given one. */
function receiptKeyOf(coseKey: Element | undefined, keys: Keys): LabKey | undefined {
  const [x, y] = [under(coseKey, -2), under(coseKey, -3)];
  const point = Buffer.concat([Uint8Array.of(4), inside(x), inside(y)]);
  const known = keys.get(hexOf(point));
  const key = known ?? [...keys.values()].find(({ curve }) => curve === "P-256");
  if (key !== undefined && known === undefined) {
    fill(x, key.point.subarray(1, 33));
    fill(y, key.point.subarray(33));
  }
  return key;
}

function restateHead(
  head: Element | undefined,
  opening: Element | undefined,
  direction: 0 | 1,
): void {
  if (head === undefined) return;
  const leaves = (under(opening, direction === 0 ? 2 : 3)?.children ?? []).map(inside);
  const { root, bytes } = transcriptHead(inside(under(opening, 1)), direction, leaves);
  head.children = [
    leaf(MAJOR.uint, BigInt(leaves.length)),
    leaf(MAJOR.bytes, 0n, root),
    leaf(MAJOR.uint, BigInt(bytes)),
  ];
}

function payloadOf(envelope: Element | undefined): Element | undefined {
  return payloadItem(envelope)?.children[0];
}

function payloadItem(envelope: Element | undefined): Element | undefined {
  return bodyOf(envelope)?.children[2];
}

/** The array of four, whether it is tagged or not. */
function bodyOf(envelope: Element | undefined): Element | undefined {
  return envelope?.type === MAJOR.tag ? envelope.children[0] : envelope;
}

function signEnvelope(
  envelope: Element | undefined,
  algorithm: "ES256" | "ES384",
  sign: (bytes: Uint8Array) => Uint8Array,
): readonly string[] {
  const item = bodyOf(envelope)?.children[3];
  const payload = inside(payloadItem(envelope));
  if (item === undefined) return [];
  const signature = sign(sigStructure(algorithm, payload));
  fill(item, signature);
  return [markOf({ payload, signature })];
}

/** The lab's key that a certificate is about. */
function keyIn(certificate: Element | undefined, keys: Keys): LabKey | undefined {
  for (const element of certificate === undefined ? [] : all(certificate)) {
    if (element.format !== "der" || element.type !== BIT_STRING) continue;
    const bits = inside(element);
    if (bits.length !== 1 + P384_POINT_BYTES) continue;
    const key = keys.get(hexOf(bits.subarray(1)));
    if (key !== undefined) return key;
  }
  return undefined;
}
