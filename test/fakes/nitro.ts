/**
 * A fake Nitro vendor: its own root, certificates written part by part, documents signed by the leaf.
 * Every part can be replaced, so that a test breaks exactly one thing.
 */
import {
  type CborKey,
  type CborValue,
  concatBytes,
  decodeHex,
  encodeCbor,
  encodeUtf8,
  sigStructure,
} from "@countersign/attestation";

/** Contents of the object identifiers that the profile knows. */
export const OID = {
  commonName: hex("550403"),
  organization: hex("55040a"),
  subjectKeyIdentifier: hex("551d0e"),
  keyUsage: hex("551d0f"),
  basicConstraints: hex("551d13"),
  nameConstraints: hex("551d1e"),
  crlDistributionPoints: hex("551d1f"),
  authorityKeyIdentifier: hex("551d23"),
  extendedKeyUsage: hex("551d25"),
} as const;

export const ECDSA_WITH_SHA384 = hex("300a06082a8648ce3d040303");
export const MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef";
/** Middle of every fake certificate's validity. */
export const FAKE_NOW_MS = 1_800_000_000_000;

export function hex(text: string): Uint8Array {
  const bytes = decodeHex(text);
  if (bytes === null) throw new TypeError(`not hexadecimal: ${text}`);
  return bytes;
}

/** One DER element. */
export function tlv(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...contents);
  const { length } = content;
  const head =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concatBytes(Uint8Array.of(tag, ...head), content);
}

/** A positive INTEGER. */
export function integer(value: Uint8Array): Uint8Array {
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const magnitude = value.subarray(start);
  return tlv(0x02, (magnitude[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(), magnitude);
}

/** One attribute of a name in a part of its own; a UTF8String unless said otherwise. */
export function attribute(
  oid: Uint8Array,
  value: string | Uint8Array,
  tag: number = 0x0c,
): Uint8Array {
  const content = typeof value === "string" ? encodeUtf8(value) : value;
  return tlv(0x31, tlv(0x30, tlv(0x06, oid), tlv(tag, content)));
}

export function name(commonName: string): Uint8Array {
  return tlv(0x30, attribute(OID.organization, "Fake"), attribute(OID.commonName, commonName));
}

export function utcTime(text: string): Uint8Array {
  return tlv(0x17, encodeUtf8(text));
}

export function publicKeyInfo(point: Uint8Array): Uint8Array {
  return concatBytes(hex("3076301006072a8648ce3d020106052b81040022036200"), point);
}

export function extension(oid: Uint8Array, critical: boolean, value: Uint8Array): Uint8Array {
  const flag = critical ? tlv(0x01, Uint8Array.of(0xff)) : new Uint8Array();
  return tlv(0x30, tlv(0x06, oid), flag, tlv(0x04, value));
}

export function basicConstraints(authority: boolean, pathLength: number | null): Uint8Array {
  const flag = authority ? tlv(0x01, Uint8Array.of(0xff)) : new Uint8Array();
  const length = pathLength === null ? new Uint8Array() : integer(Uint8Array.of(pathLength));
  return extension(OID.basicConstraints, true, tlv(0x30, flag, length));
}

/** `bits` is a whole named-bit-list: count of unused bits, then the bits. */
export function keyUsage(bits: string, critical: boolean = true): Uint8Array {
  return extension(OID.keyUsage, critical, tlv(0x03, hex(bits)));
}

export const USAGE = { sign: "0780", certSign: "0204", both: "0284" } as const;

export function extensions(...list: readonly Uint8Array[]): Uint8Array {
  return tlv(0xa3, tlv(0x30, ...list));
}

export interface Signer {
  /** Uncompressed. */
  readonly point: Uint8Array;
  /** `r ‖ s`; hashed with SHA-384 unless said otherwise. */
  sign(message: Uint8Array, hash?: "SHA-256" | "SHA-384"): Promise<Uint8Array>;
}

export async function generateSigner(curve: "P-256" | "P-384" = "P-384"): Promise<Signer> {
  const algorithm = { name: "ECDSA", namedCurve: curve };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  return {
    point: new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)),
    async sign(message, hash = "SHA-384") {
      const copy = new Uint8Array(message);
      const ecdsa = { name: "ECDSA", hash };
      return new Uint8Array(await crypto.subtle.sign(ecdsa, pair.privateKey, copy));
    },
  };
}

/** The parts of a certificate, each a whole DER element. */
export interface CertificateParts {
  readonly version: Uint8Array;
  readonly serial: Uint8Array;
  readonly algorithm: Uint8Array;
  readonly issuer: Uint8Array;
  readonly validity: Uint8Array;
  readonly subject: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly extensions: Uint8Array;
  /** After the extensions, inside what is signed. */
  readonly rest: Uint8Array;
  readonly outerAlgorithm: Uint8Array;
  /** What the issuer hashes, whatever the algorithm says. */
  readonly hash: "SHA-256" | "SHA-384";
  /** From `r ‖ s` to the BIT STRING. */
  readonly signature: (raw: Uint8Array) => Uint8Array;
  /** From its contents to the SEQUENCE that is signed. */
  readonly tbs: (contents: Uint8Array) => Uint8Array;
  /** From its three parts to the whole. */
  readonly whole: (contents: Uint8Array) => Uint8Array;
}

export function bitStringSignature(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2;
  const der = tlv(0x30, integer(raw.subarray(0, half)), integer(raw.subarray(half)));
  return tlv(0x03, Uint8Array.of(0), der);
}

export async function writeCertificate(
  parts: CertificateParts,
  issuer: Signer,
): Promise<Uint8Array> {
  const { version, serial, algorithm, validity, subject, publicKey, rest } = parts;
  const head = concatBytes(version, serial, algorithm, parts.issuer, validity, subject);
  const signed = parts.tbs(concatBytes(head, publicKey, parts.extensions, rest));
  const signature = parts.signature(await issuer.sign(signed, parts.hash));
  return parts.whole(concatBytes(signed, parts.outerAlgorithm, signature));
}

export const VALIDITY: Uint8Array = tlv(0x30, utcTime("260101000000Z"), utcTime("280101000000Z"));

/** What the certificate at `index` of a chain of `length` says unless a test wants otherwise. */
export function defaultParts(index: number, length: number, point: Uint8Array): CertificateParts {
  const leaf = index === length - 1;
  const constraints = basicConstraints(!leaf, leaf || index === 0 ? null : length - 2 - index);
  return {
    version: tlv(0xa0, integer(Uint8Array.of(2))),
    serial: integer(Uint8Array.of(index + 1)),
    algorithm: ECDSA_WITH_SHA384,
    issuer: name(`authority ${Math.max(0, index - 1)}`),
    validity: VALIDITY,
    subject: name(leaf ? `${MODULE_ID}.fake-1.aws` : `authority ${index}`),
    publicKey: publicKeyInfo(point),
    extensions: extensions(constraints, keyUsage(leaf ? USAGE.sign : USAGE.both)),
    rest: new Uint8Array(),
    outerAlgorithm: ECDSA_WITH_SHA384,
    hash: "SHA-384",
    signature: bitStringSignature,
    tbs: (contents) => tlv(0x30, contents),
    whole: (contents) => tlv(0x30, contents),
  };
}

const signers: Promise<Signer>[] = [];

/** The key at a position of every fake chain; made once a process. */
export function signerAt(index: number): Promise<Signer> {
  return (signers[index] ??= generateSigner());
}

export type Changes = Readonly<Record<number, Partial<CertificateParts>>>;

/** A chain, root first; position 0 is the root, the last the leaf. */
export async function writeChain(length: number, changes: Changes = {}): Promise<Uint8Array[]> {
  const chain: Uint8Array[] = [];
  for (let index = 0; index < length; index++) {
    const { point } = await signerAt(index);
    const issuer = await signerAt(Math.max(0, index - 1));
    const parts = { ...defaultParts(index, length, point), ...changes[index] };
    chain.push(await writeCertificate(parts, issuer));
  }
  return chain;
}

/** SHA-256 of a fake chain's root: what a verifier pins. */
export async function rootOf(chain: readonly Uint8Array[]): Promise<Uint8Array> {
  const root = new Uint8Array(chain[0] ?? []);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", root));
}

/** The fields of a document over `chain`, in AWS's order. */
export function documentFields(chain: readonly Uint8Array[]): Map<CborKey, CborValue> {
  const registers = Array.from({ length: 16 }, (_, index): [CborKey, CborValue] => [
    index,
    new Uint8Array(48).fill(index < 3 ? index + 1 : 0),
  ]);
  return new Map<CborKey, CborValue>([
    ["module_id", MODULE_ID],
    ["digest", "SHA384"],
    ["timestamp", FAKE_NOW_MS],
    ["pcrs", new Map<CborKey, CborValue>(registers)],
    ["certificate", chain[chain.length - 1] ?? new Uint8Array()],
    ["cabundle", chain.slice(0, -1)],
    ["public_key", null],
    ["user_data", null],
    ["nonce", null],
  ]);
}

/** The envelope of `payload`, signed by the key at the leaf's position. */
export async function signDocument(payload: Uint8Array, leaf: Signer): Promise<Uint8Array> {
  const signature = await leaf.sign(sigStructure("ES384", payload));
  return encodeCbor([hex("a1013822"), new Map(), payload, signature]);
}
