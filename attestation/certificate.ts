/**
 * X.509 version 3 (RFC 5280 §4) in the one profile that Nitro certificates have: ECDSA with SHA-384
 * over P-384 all the way, basic constraints and key usage always there.
 */
import { concatBytes, decodeHex, decodeUtf8, encodeHex, equalBytes } from "./bytes.ts";
import {
  type DerElement,
  DerReader,
  parseBoolean,
  parseNamedBits,
  parseObjectIdentifier,
  parseOctetAligned,
  parseTime,
  parseUnsigned,
  readDer,
  requireWellFormed,
  TAG,
} from "./der.ts";
import { AttestationError } from "./errors.ts";

/** AWS Nitro Enclaves attestation process §3.2: `cert = bytes .size (1..1024)`. */
export const MAX_CERTIFICATE_BYTES = 1024;
/** RFC 5280 §4.1.2.2. */
const MAX_SERIAL_BYTES = 20;
const MAX_EXTENSIONS = 16;
const MAX_RDNS = 16;

/** RFC 5758 §3.2: `SEQUENCE { ecdsa-with-SHA384 }`, without parameters. */
const ECDSA_WITH_SHA384 = "300a06082a8648ce3d040303";
/** RFC 5480 §2: `SEQUENCE { SEQUENCE { id-ecPublicKey, secp384r1 }, BIT STRING }` up to the point. */
const P384_KEY_HEAD = decodeHex("3076301006072a8648ce3d020106052b81040022036200");
const POINT_BYTES = 97;
/** Bytes in r and in s. */
const SCALAR_BYTES = 48;
/** RFC 5280 §4.1: context tags of a TBSCertificate. */
const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
const UNIQUE_ID_TAGS: ReadonlySet<number | null> = new Set([0x81, 0x82]);
const VERSION_3 = 2;

/** Contents of the object identifiers we know, in hex (RFC 5280 §4.2.1, RFC 4519 §2.3). */
const OID = {
  subjectKeyIdentifier: "551d0e",
  keyUsage: "551d0f",
  basicConstraints: "551d13",
  crlDistributionPoints: "551d1f",
  authorityKeyIdentifier: "551d23",
  commonName: "550403",
} as const satisfies Record<string, string>;

/** Name constraints, policy mappings, policy constraints, inhibit anyPolicy. */
const NARROWING: ReadonlySet<string> = new Set(["551d1e", "551d21", "551d24", "551d36"]);

/** RFC 5280 §4.2.1.3: bit n of the named bits is 2^n. */
export const KEY_USAGE = {
  digitalSignature: 0x01,
  keyCertSign: 0x20,
} as const;

/** Nine of them are defined. */
const KEY_USAGE_BITS = 1 << 9;

/** Unix milliseconds, both ends included. */
export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** What a certificate says. Nothing in it is believed before its chain is verified. */
export interface Certificate {
  /** The `TBSCertificate` as received: what the issuer signed. */
  readonly signed: Uint8Array;
  /** The issuer's signature, `r ‖ s`, 96 bytes; not known to be in range. */
  readonly signature: Uint8Array;
  /** Raw DER: names are compared byte for byte. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** The subject's common name, where it has exactly one. */
  readonly commonName: string | null;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Uncompressed P-384 point, 97 bytes; not known to be on the curve. */
  readonly publicKey: Uint8Array;
  readonly constraints: Constraints;
}

export interface Constraints {
  readonly authority: boolean;
  /** How many certificates may follow before the leaf; null: unlimited. */
  readonly pathLength: number | null;
  /** Bits of {@link KEY_USAGE}. */
  readonly keyUsage: number;
}

/**
 * Parses one certificate; its fields are views of a copy of `bytes`.
 *
 * @throws {@link AttestationError} `certificate/der`, `certificate/profile`, `certificate/key` or
 * `chain/extension`.
 */
export function parseCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > MAX_CERTIFICATE_BYTES) {
    throw profile(`${bytes.length} bytes, want ≤ ${MAX_CERTIFICATE_BYTES}`);
  }
  const outer = readDer(new Uint8Array(bytes), TAG.sequence);
  const signed = outer.expect(TAG.sequence);
  requireAlgorithm(outer);
  const signature = rawSignature(parseOctetAligned(outer.expect(TAG.bitString).content));
  outer.end();

  const tbs = new DerReader(signed.content);
  requireVersion(tbs);
  requireSerial(parseUnsigned(tbs.expect(TAG.integer).content));
  requireAlgorithm(tbs);
  const issuer = tbs.expect(TAG.sequence).encoded;
  const validity = tbs.enter(TAG.sequence);
  const notBeforeMs = parseTime(validity.element());
  const notAfterMs = parseTime(validity.element());
  validity.end();
  const subject = tbs.expect(TAG.sequence).encoded;
  const publicKey = parsePublicKey(tbs.expect(TAG.sequence).encoded);
  // RFC 5280 §4.1.2.8: unique identifiers, [1] and [2], MUST NOT be generated.
  if (UNIQUE_ID_TAGS.has(tbs.next)) throw profile("unique identifier");
  if (tbs.done) throw extension("no extensions");
  const constraints = parseExtensions(tbs.enter(EXTENSIONS_TAG));
  tbs.end();

  parseCommonName(issuer);
  const commonName = parseCommonName(subject);
  const names = { issuer, subject, commonName };
  const times = { notBeforeMs, notAfterMs };
  return { signed: signed.encoded, signature, ...names, ...times, publicKey, constraints };
}

function requireVersion(tbs: DerReader): void {
  // Version 1 is the default, and not encoded.
  if (tbs.next === TAG.integer) throw profile("not version 3");
  const version = tbs.enter(VERSION_TAG);
  const { content } = version.expect(TAG.integer);
  version.end();
  if (content.length !== 1 || content[0] !== VERSION_3) throw profile("not version 3");
}

/** RFC 5280 §4.1.2.2; AWS writes 20 bytes of value with a zero before them, which is one too many. */
function requireSerial(serial: Uint8Array): void {
  if (serial.length > MAX_SERIAL_BYTES) throw profile(`serial of ${serial.length} bytes`);
  if (serial.length === 1 && serial[0] === 0) throw profile("serial is zero");
}

/** RFC 5280 §4.1.1.2: inside and outside the signature the same; here, always the one. */
function requireAlgorithm(reader: DerReader): void {
  if (encodeHex(reader.expect(TAG.sequence).encoded) !== ECDSA_WITH_SHA384) {
    throw profile("signature algorithm is not ecdsa-with-SHA384");
  }
}

/** RFC 5480 Appendix A: `SEQUENCE { r INTEGER, s INTEGER }` to fixed width. */
function rawSignature(der: Uint8Array): Uint8Array {
  const values = readDer(der, TAG.sequence);
  const halves = [values.expect(TAG.integer), values.expect(TAG.integer)].map((integer) => {
    const value = parseUnsigned(integer.content);
    if (value.length > SCALAR_BYTES) throw profile(`signature value of ${value.length} bytes`);
    return concatBytes(new Uint8Array(SCALAR_BYTES - value.length), value);
  });
  values.end();
  return concatBytes(...halves);
}

function parsePublicKey(encoded: Uint8Array): Uint8Array {
  const head = encoded.length - POINT_BYTES;
  if (P384_KEY_HEAD === null || !equalBytes(encoded.subarray(0, head), P384_KEY_HEAD)) {
    throw new AttestationError("certificate/key", "key is not on the named curve P-384");
  }
  const point = encoded.subarray(head);
  if (point[0] !== 4) throw new AttestationError("certificate/key", "point is compressed");
  return point;
}

/**
 * RFC 5280 §4.1.2.4: walks a Name of one attribute a part, as Nitro's are; null unless it holds
 * exactly one common name.
 */
function parseCommonName(name: Uint8Array): string | null {
  const found: string[] = [];
  const parts = readDer(name, TAG.sequence);
  if (parts.done) throw profile("empty name");
  for (let count = 0; !parts.done; count++) {
    if (count === MAX_RDNS) throw profile(`name of more than ${MAX_RDNS} parts`);
    const part = parts.enter(TAG.set);
    const attribute = part.enter(TAG.sequence);
    if (!part.done) throw profile("part of a name with more than one attribute");
    const type = parseObjectIdentifier(attribute.expect(TAG.objectIdentifier).content);
    const value = directoryString(attribute.element());
    attribute.end();
    if (type === OID.commonName) found.push(value);
  }
  return found.length === 1 ? (found[0] ?? null) : null;
}

/** X.680 §41.4: PrintableString. */
const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/u;

/** RFC 5280 §4.1.2.4: the two forms that a new certificate may use. */
function directoryString({ tag, content }: DerElement): string {
  if (tag !== TAG.utf8String && tag !== TAG.printableString) throw profile("type of a name's part");
  if (content.length === 0) throw profile("empty part of a name");
  let text: string;
  try {
    text = decodeUtf8(content);
  } catch (cause) {
    throw new AttestationError("certificate/der", "part of a name is not UTF-8", { cause });
  }
  if (tag === TAG.printableString && !PRINTABLE.test(text)) {
    throw new AttestationError("certificate/der", "character that no PrintableString has");
  }
  return text;
}

/** RFC 5280 §4.2. */
function parseExtensions(outer: DerReader): Constraints {
  const list = outer.enter(TAG.sequence);
  outer.end();
  const found = new Map<string, Extension>();
  while (!list.done) {
    const parsed = parseExtension(list.enter(TAG.sequence));
    const { id } = parsed;
    if (found.has(id)) throw extension(`extension ${id} twice`);
    if (found.size === MAX_EXTENSIONS) throw extension(`more than ${MAX_EXTENSIONS} extensions`);
    found.set(id, parsed);
  }
  const basic = found.get(OID.basicConstraints);
  const usage = found.get(OID.keyUsage);
  if (basic === undefined) throw extension("no basic constraints");
  if (usage === undefined) throw extension("no key usage");
  for (const other of found.values()) {
    if (other !== basic && other !== usage) requireIgnorable(other);
  }
  // §4.2.1.9, §4.2.1.3. AWS leaves the leaf's key usage uncritical.
  if (!basic.critical) throw extension("basic constraints are not critical");
  const constraints = parseBasicConstraints(basic.value);
  if (constraints.authority && !usage.critical) {
    throw extension("an authority's key usage is not critical");
  }
  return { ...constraints, keyUsage: parseKeyUsage(usage.value) };
}

interface Extension {
  readonly id: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

function parseExtension(reader: DerReader): Extension {
  const id = parseObjectIdentifier(reader.expect(TAG.objectIdentifier).content);
  let critical = false;
  if (reader.next === TAG.boolean) {
    critical = parseBoolean(reader.expect(TAG.boolean).content);
    if (!critical) throw new AttestationError("certificate/der", "default value is encoded");
  }
  const value = reader.expect(TAG.octetString).content;
  reader.end();
  return { id, critical, value };
}

/** RFC 5280 §4.2.1.9: `SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLen INTEGER OPTIONAL }`. */
function parseBasicConstraints(value: Uint8Array): Omit<Constraints, "keyUsage"> {
  const reader = readDer(value, TAG.sequence);
  let authority = false;
  let pathLength: number | null = null;
  if (reader.next === TAG.boolean) {
    authority = parseBoolean(reader.expect(TAG.boolean).content);
    if (!authority) throw new AttestationError("certificate/der", "default value is encoded");
  }
  if (reader.next === TAG.integer) {
    const [length, more] = parseUnsigned(reader.expect(TAG.integer).content);
    if (length === undefined || more !== undefined) throw extension("path length above 255");
    if (!authority) throw extension("path length of a certificate that is no authority");
    pathLength = length;
  }
  reader.end();
  return { authority, pathLength };
}

function parseKeyUsage(value: Uint8Array): number {
  const outer = new DerReader(value);
  const { content } = outer.expect(TAG.bitString);
  outer.end();
  const bits = content.length > 3 ? KEY_USAGE_BITS : parseNamedBits(content);
  if (bits >= KEY_USAGE_BITS) throw extension("key usage that RFC 5280 does not know");
  return bits;
}

/**
 * RFC 5280 §4.2: an extension we do not process may be there, but not critical; and not one that
 * narrows what the chain may do (§4.2.1.5, §4.2.1.10, §4.2.1.11, §4.2.1.14).
 */
function requireIgnorable({ id, critical, value }: Extension): void {
  if (critical) throw extension(`critical extension ${id}`);
  if (NARROWING.has(id)) throw extension(`extension ${id}, which we do not process`);
  if (id === OID.subjectKeyIdentifier) readDer(value, TAG.octetString);
  if (id === OID.authorityKeyIdentifier || id === OID.crlDistributionPoints) {
    requireWellFormed(readDer(value, TAG.sequence));
  }
}

function profile(what: string): AttestationError {
  return new AttestationError("certificate/profile", what);
}

function extension(what: string): AttestationError {
  return new AttestationError("chain/extension", what);
}
