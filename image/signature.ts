/**
 * The signature section of an image: AWS's "signed enclave images". A CBOR array with one map:
 * the signing certificate (PEM), and a COSE_Sign1 (ES384) over PCR0. AWS's library writes byte strings
 * as arrays of numbers and keys in this order; a reader that is as strict must be given the same.
 *
 * Who trusts the certificate, and whether it is still valid, is not judged here: PCR8 is the digest
 * of that one certificate, and a policy names it or does not.
 */
import { certificateFromPem, encodeHex } from "@countersign/attestation";
import {
  AttestationError,
  type CborProfile,
  type CborValue,
  concatBytes,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  encodeUtf8,
  equalBytes,
  isArray,
  isMap,
  parseCoseSign1,
  sigStructure,
} from "@countersign/attestation/attester";
import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from "node:crypto";
import { ImageError } from "./errors.ts";

/** RFC 9053 §2.1: `{1: -35}`, ES384. */
const PROTECTED = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
const CURVE = "secp384r1";
const DIGEST = "sha384";
/** r ‖ s, as COSE has it (RFC 9053 §2.1). */
const ENCODING = "ieee-p1363";
const SIGNED_REGISTER = 0;
const MAX_SECTION_BYTES = 32_768;
const MAX_CERTIFICATE_BYTES = 8192;
const MAX_ENVELOPE_BYTES = 1024;
const VENDOR: CborProfile = {
  ...DETERMINISTIC,
  form: "vendor",
  maxBytes: MAX_SECTION_BYTES,
  maxDepth: 4,
};

/** What signs an image. */
export interface SigningKey {
  readonly key: KeyObject;
  /** One PEM block, as it goes into the image. */
  readonly certificatePem: string;
}

/** What a signature section says, once it was verified. */
export interface ImageSignature {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/**
 * A key and its certificate.
 *
 * @throws ImageError `image/input` unless both are P-384 and belong together, and `nowMs` is in the
 * certificate's time: the hypervisor starts no image whose certificate has expired.
 */
export function parseSigningKey(keyPem: string, certificatePem: string, nowMs: number): SigningKey {
  let key: KeyObject;
  let certificate: X509Certificate;
  let together: boolean;
  try {
    key = createPrivateKey(keyPem);
    certificate = readCertificate(certificatePem);
    together = certificate.checkPrivateKey(key);
  } catch (cause) {
    const want = "want a private key and one certificate, both PEM";
    throw new ImageError("image/input", `the signing key cannot be read: ${want}`, { cause });
  }
  if (!isP384(key)) throw new ImageError("image/input", "the signing key is not on P-384");
  if (!together) throw new ImageError("image/input", "the signing certificate is for another key");
  const { notBeforeMs, notAfterMs } = validity(certificate);
  if (nowMs < notBeforeMs || nowMs > notAfterMs) {
    const found = `from ${certificate.validFrom} to ${certificate.validTo}`;
    throw new ImageError("image/input", `the signing certificate is valid ${found}`);
  }
  return { key, certificatePem };
}

/** The section for an image whose PCR0 is `pcr0`. */
export function encodeSignature({ key, certificatePem }: SigningKey, pcr0: Uint8Array): Uint8Array {
  const payload = signedPayload(pcr0);
  const tbs = sigStructure("ES384", payload);
  const signature = new Uint8Array(sign(DIGEST, tbs, { key, dsaEncoding: ENCODING }));
  const envelope = encodeCbor([PROTECTED, new Map(), payload, signature]);
  return concatBytes(
    Uint8Array.of(0x81, 0xa2),
    encodeCbor("signing_certificate"),
    encodeCbor([...encodeUtf8(certificatePem)]),
    encodeCbor("signature"),
    encodeCbor([...envelope]),
  );
}

/**
 * What a section says, of an image with this PCR0.
 *
 * @throws ImageError `image/malformed` for another form, `image/signature` where it is not by the
 * certificate's key, or over another PCR0.
 */
export function verifySignature(section: Uint8Array, pcr0: Uint8Array): ImageSignature {
  const { certificate, publicKey, envelope } = readSection(section);
  const tbs = sigStructure("ES384", envelope.payload);
  const key = { key: publicKey, dsaEncoding: ENCODING } as const;
  if (!verify(DIGEST, tbs, key, envelope.signature)) {
    throw new ImageError("image/signature", "the signature is not by the certificate's key");
  }
  if (!equalBytes(envelope.payload, signedPayload(pcr0))) {
    const want = encodeHex(pcr0);
    throw new ImageError("image/signature", `what is signed is not PCR0 of this image, ${want}`);
  }
  return certificate;
}

interface SectionParts {
  readonly certificate: ImageSignature;
  readonly publicKey: KeyObject;
  readonly envelope: ReturnType<typeof parseCoseSign1>;
}

function readSection(section: Uint8Array): SectionParts {
  try {
    const signatures = decodeCbor(section, VENDOR);
    const [only] = isArray(signatures) && signatures.length === 1 ? signatures : [];
    if (only === undefined || !isMap(only) || only.size !== 2) {
      throw malformed("it is no array of one map of two");
    }
    const pem = numbers(only.get("signing_certificate"), MAX_CERTIFICATE_BYTES);
    const cose = numbers(only.get("signature"), MAX_ENVELOPE_BYTES);
    const profile = { algorithm: "ES384", tag: "optional", maxBytes: cose.length } as const;
    const certificate = readCertificate(Buffer.from(pem).toString("latin1"));
    // OpenSSL decodes the key only now, and throws where it is none.
    const { publicKey } = certificate;
    // Before the envelope, which has another algorithm then: the curve is what its owner has to change.
    if (!isP384(publicKey)) {
      throw new ImageError("image/signature", "the certificate's key is not on P-384");
    }
    return {
      certificate: { certificate: new Uint8Array(certificate.raw), ...validity(certificate) },
      publicKey,
      envelope: parseCoseSign1(cose, profile),
    };
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    // OpenSSL throws errors of its own.
    const found = cause instanceof AttestationError ? cause.message : "its certificate is none";
    throw new ImageError("image/malformed", `signature section: ${found}`, { cause });
  }
}

/**
 * The certificate in `pem`. One whose bytes are not those that OpenSSL makes of it has two digests: AWS's
 * tools take OpenSSL's for PCR8, others the file's.
 */
function readCertificate(pem: string): X509Certificate {
  const der = certificateFromPem(pem);
  const certificate = new X509Certificate(der);
  if (!equalBytes(certificate.raw, der)) throw malformed("its certificate is not DER");
  return certificate;
}

/** A byte string as AWS's library writes it, or as CBOR has it. */
function numbers(value: CborValue | undefined, most: number): Uint8Array {
  if (value instanceof Uint8Array && value.length <= most) return value;
  if (value === undefined || !isArray(value) || value.length > most) {
    throw malformed(`want an array of at most ${most} bytes`);
  }
  const bytes = value.map((item) => {
    if (typeof item !== "number" || item < 0 || item > 255) throw malformed("a byte is none");
    return item;
  });
  return Uint8Array.from(bytes);
}

/** `{register_index, register_value}`, the value as an array of numbers. */
function signedPayload(pcr0: Uint8Array): Uint8Array {
  return concatBytes(
    Uint8Array.of(0xa2),
    encodeCbor("register_index"),
    encodeCbor(SIGNED_REGISTER),
    encodeCbor("register_value"),
    encodeCbor([...pcr0]),
  );
}

function isP384(key: KeyObject): boolean {
  return key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === CURVE;
}

function validity(
  certificate: X509Certificate,
): Pick<ImageSignature, "notBeforeMs" | "notAfterMs"> {
  // The texts, "Nov 21 15:30:49 2026 GMT": of a time that is none, Node makes a date of no meaning.
  const notBeforeMs = Date.parse(certificate.validFrom);
  const notAfterMs = Date.parse(certificate.validTo);
  if (Number.isNaN(notBeforeMs + notAfterMs)) throw malformed("its certificate has no dates");
  return { notBeforeMs, notAfterMs };
}

function malformed(found: string): ImageError {
  return new ImageError("image/malformed", `signature section: ${found}`);
}
