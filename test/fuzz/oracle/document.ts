/** What must hold of a document that the verifier took, whatever was done to it before. */
import { verify } from "node:crypto";
import {
  type Evidence,
  parseEvidence,
  type PlatformPolicy,
  type Policy,
} from "@countersign/attestation";
import { Breach, requireHeld } from "../target.ts";
import {
  all,
  type Element,
  inside,
  isMinimal,
  leaf,
  MAJOR,
  under,
  write,
} from "../tree/element.ts";
import { readCbor, unfold } from "../tree/reading.ts";
import { commonNames, digest, equal, hexOf, keyOf, requireLinks, requireSigned } from "./x509.ts";

/** RFC 9053 §2.1: `{1: -35}`, ES384. */
const HEADER = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
const TAG = 18n;
const FIELDS: ReadonlySet<string> = new Set(
  "module_id digest timestamp pcrs certificate cabundle public_key user_data nonce".split(" "),
);
/** PROTOCOL.md, "Evidence": what follows the module id in the leaf's common name. */
const DOMAINS = {
  "aws-nitro": /^\.[a-z0-9-]{1,32}\.aws$/u,
  simulated: /^\.(?!.*\.aws$)[a-z0-9.-]{1,64}$/u,
} as const;

export interface Judged {
  readonly policy: Policy;
  /** Null: at the document's own time. */
  readonly atMs: number | null;
  readonly nonce: Uint8Array | null;
  /** {@link markOf} all that was ever signed by whom the policy believes. */
  readonly known: ReadonlySet<string>;
}

/** A COSE_Sign1, read apart from the verifier. */
export interface Envelope {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/** Names what was signed, and with which r: the half of a signature that its twin shares. */
export function markOf({ payload, signature }: Envelope): string {
  return hexOf(digest("sha256", payload, signature.subarray(0, signature.length / 2)));
}

/** Marks of all that looks signed in `bytes`; whether it is, an oracle asks of what was accepted. */
export function marksIn(bytes: Uint8Array): readonly string[] {
  const whole = readCbor(bytes);
  if (whole === null) return [];
  return all(unfold(whole)).flatMap(({ format, type, children }) => {
    const [header, , payload, signature] = children;
    if (format !== "cbor" || type !== MAJOR.array || children.length !== 4) return [];
    if (header?.type !== MAJOR.bytes || signature?.type !== MAJOR.bytes) return [];
    return [markOf({ payload: inside(payload), signature: inside(signature) })];
  });
}

/**
 * An envelope in one of the forms that are allowed: with or without its tag.
 *
 * @throws {@link Breach}.
 */
export function readEnvelope(bytes: Uint8Array, header: Uint8Array, tag: "must" | "may"): Envelope {
  const whole = readCbor(bytes);
  const tagged = whole?.type === MAJOR.tag && whole.value === TAG;
  const array = tagged ? whole.children[0] : whole;
  requireHeld(tagged || tag === "may", "an envelope without its tag was accepted");
  requireHeld(whole !== null && isMinimal(whole), "an envelope not in its shortest form");
  const [protectedHeader, unprotected, payload, signature, ...more] = array?.children ?? [];
  requireHeld(array?.type === MAJOR.array && more.length === 0, "an envelope not of four items");
  requireHeld(
    protectedHeader?.type === MAJOR.bytes && equal(inside(protectedHeader), header),
    "another protected header was accepted",
  );
  requireHeld(
    unprotected?.type === MAJOR.map && unprotected.children.length === 0,
    "an unprotected header was accepted",
  );
  requireHeld(payload?.type === MAJOR.bytes && signature?.type === MAJOR.bytes, "no byte strings");
  return { payload: inside(payload), signature: inside(signature) };
}

/** RFC 9052 §4.4. */
export function signedBy(
  key: Parameters<typeof verify>[2] & object,
  hash: "sha256" | "sha384",
  header: Uint8Array,
  { payload, signature }: Envelope,
): boolean {
  const items = [header, new Uint8Array(), payload].map((item) => leaf(MAJOR.bytes, 0n, item));
  const context = leaf(MAJOR.text, 0n, new Uint8Array(Buffer.from("Signature1")));
  const structure = { ...leaf(MAJOR.array, 0n), children: [context, ...items] };
  return verify(hash, write(structure), key, signature);
}

/** A document's envelope. @throws {@link Breach}. */
export function readDocument(bytes: Uint8Array): Envelope {
  return readEnvelope(bytes, HEADER, "may");
}

/** What the payload says, by name. @throws {@link Breach}. */
export function requireDocument(bytes: Uint8Array, judged: Judged): ReadonlyMap<string, Element> {
  // 1. The envelope, and that its contents were signed once, by the key that it names.
  const envelope = readDocument(bytes);
  requireHeld(judged.known.has(markOf(envelope)), "accepted what nobody signed");
  const fields = readFields(envelope.payload);
  const certificate = inside(fields.get("certificate"));
  const cabundle = (fields.get("cabundle")?.children ?? []).map(inside);
  const timestamp = Number(fields.get("timestamp")?.value);
  // 2. The chain.
  const chain = requireLinks([...cabundle, certificate], judged.atMs ?? timestamp);
  requireSigned(chain);
  const root = digest("sha256", cabundle[0] ?? new Uint8Array());
  const [platform, trusted] =
    [...judged.policy.platforms].find(([, { roots }]) =>
      roots.some((pinned) => equal(pinned, root)),
    ) ?? [];
  if (platform === undefined || trusted === undefined) {
    throw new Breach("accepted under a root that nobody pins");
  }
  const signer = chain.at(-1);
  if (signer === undefined) throw new Breach("accepted without a certificate");
  // 3. The document.
  const key = { key: keyOf(signer), dsaEncoding: "ieee-p1363" } as const;
  requireHeld(signedBy(key, "sha384", HEADER, envelope), "OpenSSL says that it is not signed");
  const id = Buffer.from(inside(fields.get("module_id"))).toString("utf8");
  const [name = "", ...more] = commonNames(signer);
  const own = more.length === 0 && name.startsWith(`${id}.`);
  requireHeld(own && DOMAINS[platform].test(name.slice(id.length)), `another module's: ${name}`);
  const answered = judged.nonce === null || equal(judged.nonce, inside(fields.get("nonce")));
  requireHeld(answered, "accepted an answer to another challenge");
  requireCode(fields.get("pcrs"), trusted);
  requireFacts(parseEvidence(bytes), fields);
  return fields;
}

/** The code is what the policy lists, and not in debug mode. */
function requireCode(pcrs: Element | undefined, trusted: PlatformPolicy): void {
  const register = (index: number): Uint8Array => inside(under(pcrs, index));
  const zero = [0, 1, 2].some((index) => register(index).every((byte) => byte === 0));
  requireHeld(trusted.debug || !zero, "an enclave in debug mode was accepted");
  const { measurements } = trusted;
  const listed =
    measurements === "unchecked" ||
    measurements.some(({ registers }) =>
      [...registers].every(([index, value]) => equal(register(index), value)),
    );
  requireHeld(listed, "accepted code that the policy does not list");
}

/** The verifier took the same out of it as we do. */
function requireFacts(evidence: Evidence, fields: ReadonlyMap<string, Element>): void {
  const optional = (field: string): string | null => {
    const element = fields.get(field);
    return element?.type === MAJOR.bytes ? hexOf(inside(element)) : null;
  };
  const hexOrNull = (bytes: Uint8Array | null): string | null =>
    bytes === null ? null : hexOf(bytes);
  const same = [
    evidence.timestampMs === Number(fields.get("timestamp")?.value),
    evidence.moduleId === Buffer.from(inside(fields.get("module_id"))).toString("utf8"),
    hexOrNull(evidence.publicKey) === optional("public_key"),
    hexOrNull(evidence.userData) === optional("user_data"),
    hexOrNull(evidence.nonce) === optional("nonce"),
    evidence.pcrs.size * 2 === fields.get("pcrs")?.children.length,
    [...evidence.pcrs].every(([i, value]) => equal(value, inside(under(fields.get("pcrs"), i)))),
  ];
  requireHeld(!same.includes(false), `the verifier read other facts: ${same.join()}`);
}

/** The payload: one map, of any order, which alone may have indefinite length. */
function readFields(payload: Uint8Array): ReadonlyMap<string, Element> {
  const map = readCbor(payload);
  if (map?.type !== MAJOR.map) throw new Breach("accepted a payload that is no map");
  requireHeld(
    map.width === "indefinite" || isMinimal(map),
    "accepted a payload not in its shortest form",
  );
  requireHeld(isMinimal(map, map), "accepted a field not in its shortest form");
  const fields = new Map<string, Element>();
  for (let i = 0; i < map.children.length; i += 2) {
    const [key, value] = [map.children[i], map.children[i + 1]];
    const name = Buffer.from(inside(key)).toString("utf8");
    requireHeld(key?.type === MAJOR.text && FIELDS.has(name), `accepted key ${name}`);
    requireHeld(!fields.has(name), `accepted ${name} twice`);
    if (value !== undefined) fields.set(name, value);
  }
  return fields;
}
