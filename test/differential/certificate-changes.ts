/**
 * What a differential test changes of a certificate: one thing each, from the version to the
 * signature; the certificate is signed after the change.
 */
import { concatBytes, encodeUtf8 } from "@countersign/attestation";
import {
  basicConstraints,
  bitStringSignature,
  type CertificateParts,
  extension,
  extensions,
  hex,
  integer,
  keyUsage,
  MODULE_ID,
  OID,
  publicKeyInfo,
  tlv,
  USAGE,
  utcTime,
} from "../fakes/nitro.ts";

type Parts = Partial<CertificateParts>;

/** What a change is told of the certificate it changes. */
export interface Place {
  readonly leaf: boolean;
  /** 0 is the root. */
  readonly index: number;
  readonly point: Uint8Array;
}

const commonName = (tag: number, text: Uint8Array): Uint8Array =>
  tlv(0x30, tlv(0x06, hex("550403")), tlv(tag, text));
const rdn = (...attributes: readonly Uint8Array[]): Uint8Array => tlv(0x31, ...attributes);
const generalizedTime = (text: string): Uint8Array => tlv(0x18, encodeUtf8(text));
const validity = (from: Uint8Array, to: Uint8Array): Parts => ({ validity: tlv(0x30, from, to) });
const until = (to: Uint8Array): Parts => validity(utcTime("260101000000Z"), to);
const from = (start: Uint8Array): Parts => validity(start, utcTime("280101000000Z"));
/** FAKE_NOW_MS, 2027-01-15. */
const NOW = "270115080000Z";

const usageOf = ({ leaf }: Place): Uint8Array => keyUsage(leaf ? USAGE.sign : USAGE.both);
const constraintsOf = ({ leaf }: Place): Uint8Array => basicConstraints(!leaf, null);
/** The usual extensions and one more. */
const also = (place: Place, ...more: readonly Uint8Array[]): Parts => ({
  extensions: extensions(constraintsOf(place), usageOf(place), ...more),
});
const constrained = (place: Place, value: Uint8Array, critical = true): Parts => ({
  extensions: extensions(extension(OID.basicConstraints, critical, value), usageOf(place)),
});
const used = (place: Place, bits: string, critical = true): Parts => ({
  extensions: extensions(
    constraintsOf(place),
    extension(OID.keyUsage, critical, tlv(0x03, hex(bits))),
  ),
});
const TRUE = hex("0101ff");
/** The value of basic constraints without a path length. */
const roleOf = ({ leaf }: Place): Uint8Array => tlv(0x30, leaf ? new Uint8Array() : TRUE);
const algorithm = (der: Uint8Array): Parts => ({ algorithm: der, outerAlgorithm: der });
const nameOf = ({ leaf, index }: Place): string =>
  leaf ? `${MODULE_ID}.fake-1.aws` : `authority ${index}`;
const ORGANIZATION = tlv(0x30, tlv(0x06, hex("55040a")), tlv(0x0c, encodeUtf8("Fake")));

/** One full name: the URI "http:". */
const DISTRIBUTION_POINTS = hex("300d300ba009a0078605687474703a");

/** By what is changed. Of names the subject is: the issuer of the certificate below must follow. */
export const CHANGES: Readonly<Record<string, (place: Place) => Parts>> = {
  "version 1": () => ({ version: new Uint8Array() }),
  "version 2": () => ({ version: tlv(0xa0, integer(Uint8Array.of(1))) }),
  "version 4": () => ({ version: tlv(0xa0, integer(Uint8Array.of(3))) }),
  "serial zero": () => ({ serial: integer(Uint8Array.of(0)) }),
  "serial negative": () => ({ serial: hex("0201ff") }),
  "serial of 20 bytes": () => ({ serial: integer(new Uint8Array(20).fill(0x7f)) }),
  "serial of 21 bytes": () => ({ serial: integer(new Uint8Array(21).fill(0x7f)) }),
  "serial not minimal": () => ({ serial: hex("02020001") }),
  "algorithm with NULL": () => algorithm(hex("300c06082a8648ce3d0403030500")),
  "algorithm with NULL outside": () => ({ outerAlgorithm: hex("300c06082a8648ce3d0403030500") }),
  "algorithm SHA-256": () => algorithm(hex("300a06082a8648ce3d040302")),
  "algorithm SHA-512 outside": () => ({ outerAlgorithm: hex("300a06082a8648ce3d040304") }),
  "valid to the second": () => until(utcTime(NOW)),
  "valid from the second": () => from(utcTime(NOW)),
  "over for a second": () => until(utcTime("270115075959Z")),
  "not yet for a second": () => from(utcTime("270115080001Z")),
  "GeneralizedTime 2050": () => until(generalizedTime("20500101000000Z")),
  "GeneralizedTime 9999": () => until(generalizedTime("99991231235959Z")),
  "GeneralizedTime before 2050": () => until(generalizedTime("20280101000000Z")),
  "validity in a longer length": () => ({
    validity: concatBytes(hex("30811e"), utcTime("260101000000Z"), utcTime("280101000000Z")),
  }),
  "time without seconds": () => until(utcTime("2801010000Z")),
  "time with offset": () => until(utcTime("280101000000+0000")),
  "time with fraction": () => until(generalizedTime("20500101000000.5Z")),
  "time that does not exist": () => until(utcTime("280230000000Z")),
  "time with second 60": () => until(utcTime("271231235960Z")),
  "subject of two common names": (place) => ({
    subject: tlv(
      0x30,
      rdn(commonName(0x0c, encodeUtf8(nameOf(place)))),
      rdn(commonName(0x0c, encodeUtf8("second"))),
    ),
  }),
  "subject in one part": (place) => ({
    subject: tlv(0x30, rdn(ORGANIZATION, commonName(0x0c, encodeUtf8(nameOf(place))))),
  }),
  "subject in TeletexString": (place) => ({
    subject: tlv(0x30, rdn(commonName(0x14, encodeUtf8(nameOf(place))))),
  }),
  "subject in PrintableString": (place) => ({
    subject: tlv(0x30, rdn(commonName(0x13, encodeUtf8(nameOf(place))))),
  }),
  "subject not printable": (place) => ({
    subject: tlv(0x30, rdn(commonName(0x13, encodeUtf8(`${nameOf(place)}*`)))),
  }),
  "subject not UTF-8": () => ({ subject: tlv(0x30, rdn(commonName(0x0c, hex("c328")))) }),
  "subject empty": () => ({ subject: tlv(0x30) }),
  "subject without common name": () => ({ subject: tlv(0x30, rdn(ORGANIZATION)) }),
  "key point compressed": ({ point }) => ({
    publicKey: concatBytes(
      hex("3046301006072a8648ce3d020106052b81040022033200"),
      Uint8Array.of(2 + ((point[96] ?? 0) & 1)),
      point.subarray(1, 49),
    ),
  }),
  "key point off the curve": ({ point }) => {
    const off = point.slice();
    off[96] = (off[96] ?? 0) ^ 1;
    return { publicKey: publicKeyInfo(off) };
  },
  "key point at infinity": () => ({
    publicKey: hex("3015301006072a8648ce3d020106052b8104002203010000"),
  }),
  "key on secp256k1's identifier": ({ point }) => ({
    publicKey: concatBytes(hex("3076301006072a8648ce3d020106052b8104000a036200"), point),
  }),
  "no extensions": () => ({ extensions: new Uint8Array() }),
  "no basic constraints": (place) => ({ extensions: extensions(usageOf(place)) }),
  "no key usage": (place) => ({ extensions: extensions(constraintsOf(place)) }),
  "basic constraints not critical": (place) => constrained(place, roleOf(place), false),
  "basic constraints twice": (place) => also(place, constraintsOf(place)),
  "other role": ({ leaf }) => ({
    extensions: extensions(basicConstraints(leaf, null), keyUsage(USAGE.both)),
  }),
  "cA FALSE encoded": (place) => constrained(place, hex("3003010100")),
  "cA with trailing bytes": (place) => constrained(place, concatBytes(roleOf(place), hex("0500"))),
  "path length 0": (place) => constrained(place, tlv(0x30, TRUE, hex("020100"))),
  "path length 1": (place) => constrained(place, tlv(0x30, TRUE, hex("020101"))),
  "path length 300": (place) => constrained(place, tlv(0x30, TRUE, hex("0202012c"))),
  "path length without cA": (place) => constrained(place, tlv(0x30, hex("020105"))),
  "path length negative": (place) => constrained(place, tlv(0x30, TRUE, hex("0201ff"))),
  "key usage not critical": (place) => used(place, place.leaf ? USAGE.sign : USAGE.both, false),
  "key usage digitalSignature": (place) => used(place, USAGE.sign),
  "key usage keyCertSign": (place) => used(place, USAGE.certSign),
  "key usage both": (place) => used(place, USAGE.both),
  "key usage empty": (place) => used(place, "00"),
  "key usage not minimal": (place) => used(place, place.leaf ? "0080" : "0084"),
  "key usage of nine bits": (place) => used(place, place.leaf ? "078080" : "078480"),
  "extension unknown": (place) => also(place, extension(hex("2a0304"), false, hex("0500"))),
  "extension unknown and critical": (place) =>
    also(place, extension(hex("2a0304"), true, hex("0500"))),
  "extension with FALSE encoded": (place) =>
    also(place, tlv(0x30, tlv(0x06, hex("2a0304")), hex("010100"), tlv(0x04, hex("0500")))),
  "extended key usage": (place) =>
    also(place, extension(OID.extendedKeyUsage, false, hex("300a06082b06010505070301"))),
  "name constraints not critical": (place) =>
    also(place, extension(OID.nameConstraints, false, hex("3009a0073005820361777a"))),
  "name constraints critical": (place) =>
    also(place, extension(OID.nameConstraints, true, hex("3009a0073005820361777a"))),
  "policy constraints critical": (place) =>
    also(place, extension(hex("551d24"), true, hex("3003800100"))),
  "certificate policies critical": (place) =>
    also(place, extension(hex("551d20"), true, hex("3006300406022a03"))),
  "extension unknown twice": (place) =>
    also(
      place,
      extension(hex("2a0304"), false, hex("0500")),
      extension(hex("2a0304"), false, hex("0500")),
    ),
  "policy constraints not critical": (place) =>
    also(place, extension(hex("551d24"), false, hex("3003800100"))),
  "policy mappings not critical": (place) =>
    also(place, extension(hex("551d21"), false, hex("300a300806022a0306022a04"))),
  "inhibit any policy critical": (place) =>
    also(place, extension(hex("551d36"), true, hex("020100"))),
  "extended key usage critical": (place) =>
    also(place, extension(OID.extendedKeyUsage, true, hex("300a06082b06010505070301"))),
  "subject alternative name": (place) =>
    also(place, extension(hex("551d11"), false, hex("3005820361777a"))),
  "subject alternative name empty": (place) =>
    also(place, extension(hex("551d11"), false, hex("3000"))),
  "proxy certificate": (place) =>
    also(place, extension(hex("2b0601050507010e"), true, hex("300c300a06082b06010505071501"))),
  "subject key identifier": (place) =>
    also(place, extension(OID.subjectKeyIdentifier, false, tlv(0x04, new Uint8Array(20).fill(7)))),
  "subject key identifier critical": (place) =>
    also(place, extension(OID.subjectKeyIdentifier, true, tlv(0x04, new Uint8Array(20).fill(7)))),
  "subject key identifier malformed": (place) =>
    also(place, extension(OID.subjectKeyIdentifier, false, hex("0500"))),
  "authority key identifier of another key": (place) =>
    also(place, extension(OID.authorityKeyIdentifier, false, hex("30048002abcd"))),
  "authority key identifier critical": (place) =>
    also(place, extension(OID.authorityKeyIdentifier, true, hex("30048002abcd"))),
  "authority key identifier malformed": (place) =>
    also(place, extension(OID.authorityKeyIdentifier, false, hex("3004a002abcd"))),
  "authority key identifier of another tag": (place) =>
    also(place, extension(OID.authorityKeyIdentifier, false, hex("30020500"))),
  "CRL distribution points": (place) =>
    also(place, extension(OID.crlDistributionPoints, false, DISTRIBUTION_POINTS)),
  "CRL distribution points malformed": (place) =>
    also(place, extension(OID.crlDistributionPoints, false, hex("3004a0050000"))),
  "unique identifier": () => ({ rest: hex("810200ff") }),
  "trailing bytes in what is signed": () => ({ rest: hex("0500") }),
  "signature of another key": () => ({
    signature: () => bitStringSignature(new Uint8Array(96).fill(1)),
  }),
  "signature with r not minimal": () => ({
    signature: (raw) =>
      tlv(
        0x03,
        Uint8Array.of(0),
        tlv(0x30, tlv(0x02, hex("0000"), raw.subarray(0, 48)), integer(raw.subarray(48))),
      ),
  }),
  "signature with trailing bytes": () => ({
    signature: (raw) =>
      tlv(
        0x03,
        Uint8Array.of(0),
        tlv(0x30, integer(raw.subarray(0, 48)), integer(raw.subarray(48))),
        hex("0500"),
      ),
  }),
  "signature in raw form": () => ({ signature: (raw) => tlv(0x03, Uint8Array.of(0), raw) }),
  "signature with unused bits": () => ({
    signature: (raw) =>
      tlv(
        0x03,
        Uint8Array.of(1),
        tlv(0x30, integer(raw.subarray(0, 48)), integer(raw.subarray(48))),
      ),
  }),
};
