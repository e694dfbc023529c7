/** What must hold of bundles, receipts and proofs that the verifier took. */
import { createPublicKey } from "node:crypto";
import { Breach, requireHeld } from "../target.ts";
import { type Element, inside, isMinimal, MAJOR, under, write } from "../tree/element.ts";
import { readCbor } from "../tree/reading.ts";
import {
  type Envelope,
  type Judged,
  markOf,
  readDocument,
  readEnvelope,
  requireDocument,
  signedBy,
} from "./document.ts";
import { transcriptHead } from "./merkle.ts";
import { digest, equal, hexOf } from "./x509.ts";

/** RFC 9053 §2.1: `{1: -7}`, ES256. */
const HEADER = Uint8Array.of(0xa1, 0x01, 0x26);
/** n / 2, rounded down, of P-256 (NIST SP 800-186 §3.2.1.3). */
const HALF_ORDER = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;
/** PROTOCOL.md, "Receipts". */
export const CLAIM = {
  epoch: -70001,
  phase: -70003,
  request: -70005,
  response: -70006,
} as const;
/** Keys of the bundle's preimages, and of their digests in the binding. */
export const PREIMAGES = [
  [5, 2],
  [6, 3],
  [7, 4],
] as const;

/** One structure of ours: deterministic CBOR, all of it. @throws {@link Breach}. */
export function readOwn(bytes: Uint8Array, name: string): Element {
  const element = readCbor(bytes);
  if (element === null) throw new Breach(`accepted ${name} that is no CBOR`);
  requireDeterministic(element, name);
  return element;
}

/** RFC 8949 §4.2.1: shortest heads, keys in bytewise order and never twice. */
export function requireDeterministic(element: Element, name: string): void {
  requireHeld(isMinimal(element), `accepted ${name} not in its shortest form`);
  requireSorted(element, name);
}

/** @returns what the document says, and the keys of the epoch. @throws {@link Breach}. */
export function requireBundle(
  bytes: Uint8Array,
  judged: Judged,
): { readonly documentDigest: Uint8Array; readonly keyset: Uint8Array } {
  const bundle = readOwn(bytes, "a bundle");
  const evidence = inside(under(bundle, 3));
  const fields = requireDocument(evidence, judged);
  const binding = inside(under(bundle, 4));
  requireHeld(equal(inside(fields.get("user_data")), binding), "accepted another binding");
  const digests = readOwn(binding, "a binding");
  for (const [key, at] of PREIMAGES) {
    const preimage = inside(under(bundle, key));
    readOwn(preimage, `preimage ${key}`);
    const same = equal(digest("sha256", preimage), inside(under(digests, at)));
    requireHeld(same, `accepted another preimage ${key}`);
  }
  const register = digest("sha384", new Uint8Array(48), inside(under(digests, 3)));
  requireHeld(equal(inside(under(fields.get("pcrs"), 16)), register), "accepted unmeasured models");
  requireHeld(bundle.children.length === 16, "accepted a bundle with other keys");
  const { payload } = readDocument(evidence);
  return { documentDigest: digest("sha256", payload), keyset: inside(under(bundle, 5)) };
}

/** @returns the claims. @throws {@link Breach}. */
export function requireReceipt(
  bytes: Uint8Array,
  point: Uint8Array,
  known: ReadonlySet<string>,
): Element {
  const envelope: Envelope = readEnvelope(bytes, HEADER, "must");
  requireHeld(known.has(markOf(envelope)), "accepted a receipt that nobody signed");
  const s = BigInt(`0x${hexOf(envelope.signature.subarray(32))}`);
  requireHeld(s <= HALF_ORDER, "accepted a signature with high s");
  const key = { key: publicKey(point), dsaEncoding: "ieee-p1363" } as const;
  requireHeld(signedBy(key, "sha256", HEADER, envelope), "OpenSSL says that it is not signed");
  return readOwn(envelope.payload, "claims");
}

/** @throws {@link Breach}. */
export function requireProof(bytes: Uint8Array, judged: Judged): void {
  const proof = readOwn(bytes, "a proof");
  const { documentDigest, keyset } = requireBundle(inside(under(proof, 3)), judged);
  const coseKey = readOwn(inside(under(readOwn(keyset, "a keyset"), 3)), "a key");
  const point = Buffer.concat([
    Uint8Array.of(4),
    inside(under(coseKey, -2)),
    inside(under(coseKey, -3)),
  ]);
  const claims = requireReceipt(inside(under(proof, 2)), point, judged.known);
  const [ofKeyset, ofDocument] = under(claims, CLAIM.epoch)?.children ?? [];
  requireHeld(equal(inside(ofKeyset), digest("sha256", keyset)), "a receipt of another keyset");
  requireHeld(equal(inside(ofDocument), documentDigest), "a receipt of another document");
  const phase = Buffer.from(inside(under(claims, CLAIM.phase))).toString("utf8");
  requireHeld(phase === "final", `a receipt of the phase ${phase}`);
  const opening = under(proof, 4);
  if (opening === undefined) return;
  const kc = inside(under(opening, 1));
  for (const [key, claim, direction] of [
    [2, CLAIM.request, 0],
    [3, CLAIM.response, 1],
  ] as const) {
    const leaves = (under(opening, key)?.children ?? []).map(inside);
    const head = transcriptHead(kc, direction, leaves);
    const [count, root, length] = under(claims, claim)?.children ?? [];
    const same =
      count?.value === BigInt(head.leaves) &&
      length?.value === BigInt(head.bytes) &&
      equal(inside(root), head.root);
    requireHeld(same, `accepted other leaves in direction ${direction}`);
  }
}

function publicKey(point: Uint8Array): ReturnType<typeof createPublicKey> {
  const text = (from: number): string =>
    Buffer.from(point.subarray(from, from + 32)).toString("base64url");
  return createPublicKey({
    key: { kty: "EC", crv: "P-256", x: text(1), y: text(33) },
    format: "jwk",
  });
}

function requireSorted({ type, children, format }: Element, name: string): void {
  if (format === "cbor" && type === MAJOR.map) {
    const keys = children.filter((_, i) => i % 2 === 0).map((key) => Buffer.from(write(key)));
    const sorted = keys.every((key, i) => i === 0 || Buffer.compare(keys[i - 1] ?? key, key) < 0);
    requireHeld(sorted, `accepted ${name} with keys not in order, or twice`);
  }
  for (const child of children) requireSorted(child, name);
}
