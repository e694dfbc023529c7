import {
  type AttestationErrorCode,
  AWS_NITRO_ROOT,
  certificateFromPem,
  concatBytes,
  encodeUtf8,
} from "@countersign/attestation";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_CERTIFICATE_BYTES, parseCertificate } from "../../../attestation/certificate.ts";
import {
  basicConstraints,
  bitStringSignature,
  type CertificateParts,
  defaultParts,
  extension,
  extensions,
  hex,
  integer,
  keyUsage,
  MODULE_ID,
  name,
  OID,
  publicKeyInfo,
  signerAt,
  tlv,
  USAGE,
  utcTime,
  writeCertificate,
} from "../../fakes/nitro.ts";
import { missing, readVector } from "../../shared.ts";
import { codeOf } from "./refused.ts";

/** A certificate in the middle of a fake chain, with changes. */
async function certificate(changes: Partial<CertificateParts> = {}): Promise<Uint8Array> {
  const parts = defaultParts(1, 3, (await signerAt(1)).point);
  return writeCertificate({ ...parts, ...changes }, await signerAt(0));
}

const BASIC = basicConstraints(true, 0);
const USAGE_BOTH = keyUsage(USAGE.both);
const raw = (oid: Uint8Array, flag: Uint8Array, value: Uint8Array): Uint8Array =>
  tlv(0x30, tlv(0x06, oid), flag, tlv(0x04, value));
const TRUE = tlv(0x01, Uint8Array.of(0xff));
const FALSE = tlv(0x01, Uint8Array.of(0));
const basic = (...content: readonly Uint8Array[]): Uint8Array =>
  extensions(raw(OID.basicConstraints, TRUE, tlv(0x30, ...content)), USAGE_BOTH);
const attribute = (oid: string, tag: number, value: Uint8Array): Uint8Array =>
  tlv(0x31, tlv(0x30, tlv(0x06, hex(oid)), tlv(tag, value)));

describe("parseCertificate", () => {
  it("reads what a certificate says", async () => {
    const { point } = await signerAt(1);
    expect(parseCertificate(await certificate())).toMatchObject({
      issuer: name("authority 0"),
      subject: name("authority 1"),
      commonName: "authority 1",
      notBeforeMs: Date.UTC(2026, 0),
      notAfterMs: Date.UTC(2028, 0),
      publicKey: point,
      constraints: { authority: true, pathLength: 0, keyUsage: 0x21 },
    });
  });

  it("reads the AWS root", () => {
    const root = parseCertificate(AWS_NITRO_ROOT.der);
    expect(root).toMatchObject({
      commonName: "aws.nitro-enclaves",
      notBeforeMs: Date.parse("2019-10-28T13:28:05Z"),
      notAfterMs: Date.parse("2049-10-28T14:28:05Z"),
      constraints: { authority: true, pathLength: null, keyUsage: 0x61 },
    });
    expect(root.issuer).toEqual(root.subject);
  });

  it("copies its input", async () => {
    const bytes = await certificate();
    const parsed = parseCertificate(bytes);
    const before = parsed.signed.slice();
    bytes.fill(0);
    expect(parsed.signed).toEqual(before);
  });

  it("takes up to 1024 bytes", async () => {
    // A signature of fixed length, so that the padding sets the size. It is not verified here.
    const signature = (): Uint8Array => bitStringSignature(new Uint8Array(96).fill(1));
    const padded = async (length: number): Promise<Uint8Array> => {
      const padding = extension(hex("2a03"), false, new Uint8Array(length));
      return certificate({ signature, extensions: extensions(BASIC, USAGE_BOTH, padding) });
    };
    const fill = 300 + MAX_CERTIFICATE_BYTES - (await padded(300)).length;
    const most = await padded(fill);
    expect(most).toHaveLength(MAX_CERTIFICATE_BYTES);
    expect(codeOf(() => parseCertificate(most))).toBe(null);
    const more = await padded(fill + 1);
    expect(codeOf(() => parseCertificate(more))).toBe("certificate/profile");
  });

  const cases: readonly (readonly [
    string,
    Partial<CertificateParts>,
    AttestationErrorCode | null,
  ])[] = [
    ["version 1", { version: new Uint8Array() }, "certificate/profile"],
    ["version 2", { version: tlv(0xa0, integer(Uint8Array.of(1))) }, "certificate/profile"],
    ["version 4", { version: tlv(0xa0, integer(Uint8Array.of(3))) }, "certificate/profile"],
    ["serial 0", { serial: integer(Uint8Array.of(0)) }, "certificate/profile"],
    ["a negative serial", { serial: tlv(0x02, Uint8Array.of(0x80)) }, "certificate/profile"],
    ["a padded serial", { serial: tlv(0x02, Uint8Array.of(0, 1)) }, "certificate/der"],
    ["a serial of 20 bytes", { serial: integer(new Uint8Array(20).fill(0x7f)) }, null],
    [
      "a serial of 21 bytes",
      { serial: integer(new Uint8Array(21).fill(0x7f)) },
      "certificate/profile",
    ],
    ["SHA-256 inside", { algorithm: hex("300a06082a8648ce3d040302") }, "certificate/profile"],
    ["SHA-256 outside", { outerAlgorithm: hex("300a06082a8648ce3d040302") }, "certificate/profile"],
    [
      "NULL parameters inside",
      { algorithm: hex("300c06082a8648ce3d0403030500") },
      "certificate/profile",
    ],
    [
      "NULL parameters outside",
      { outerAlgorithm: hex("300c06082a8648ce3d0403030500") },
      "certificate/profile",
    ],
    [
      "RSA outside",
      { outerAlgorithm: hex("300d06092a864886f70d01010c0500") },
      "certificate/profile",
    ],
    [
      "three times",
      {
        validity: tlv(
          0x30,
          utcTime("260101000000Z"),
          utcTime("280101000000Z"),
          utcTime("280101000000Z"),
        ),
      },
      "certificate/der",
    ],
    ["one time", { validity: tlv(0x30, utcTime("260101000000Z")) }, "certificate/der"],
    [
      "a time that is none",
      { validity: tlv(0x30, utcTime("261301000000Z"), utcTime("280101000000Z")) },
      "certificate/der",
    ],
    [
      "an issuer's unique id",
      { extensions: concatBytes(hex("810200aa"), extensions(BASIC, USAGE_BOTH)) },
      "certificate/profile",
    ],
    ["bytes after the extensions", { rest: hex("0500") }, "certificate/der"],
    ["no extensions", { extensions: new Uint8Array() }, "chain/extension"],
    [
      "two lists of extensions",
      { extensions: tlv(0xa3, tlv(0x30, BASIC, USAGE_BOTH), tlv(0x30, BASIC)) },
      "certificate/der",
    ],
    ["a name with an empty part", { subject: tlv(0x30, tlv(0x31)) }, "certificate/der"],
    [
      "a name with a third element",
      {
        subject: tlv(
          0x30,
          tlv(
            0x31,
            tlv(0x30, tlv(0x06, hex("550403")), tlv(0x0c, hex("41")), tlv(0x0c, hex("42"))),
          ),
        ),
      },
      "certificate/der",
    ],
    [
      "a common name in BMPString",
      { subject: tlv(0x30, attribute("550403", 0x1e, hex("0041"))) },
      "certificate/profile",
    ],
    [
      "a common name that is not UTF-8",
      { subject: tlv(0x30, attribute("550403", 0x0c, hex("ff"))) },
      "certificate/der",
    ],
    [
      "an issuer that is not UTF-8",
      { issuer: tlv(0x30, attribute("550403", 0x0c, hex("ff"))) },
      "certificate/der",
    ],
    [
      "a name of 17 parts",
      {
        subject: tlv(
          0x30,
          ...Array.from({ length: 17 }, () => attribute("55040b", 0x0c, hex("41"))),
        ),
      },
      "certificate/profile",
    ],
    [
      "a name of 16 parts",
      {
        subject: tlv(
          0x30,
          ...Array.from({ length: 16 }, () => attribute("55040b", 0x0c, hex("41"))),
        ),
      },
      null,
    ],
    ["no basic constraints", { extensions: extensions(USAGE_BOTH) }, "chain/extension"],
    ["no key usage", { extensions: extensions(BASIC) }, "chain/extension"],
    [
      "basic constraints twice",
      { extensions: extensions(BASIC, USAGE_BOTH, BASIC) },
      "chain/extension",
    ],
    [
      "key usage twice",
      { extensions: extensions(BASIC, USAGE_BOTH, USAGE_BOTH) },
      "chain/extension",
    ],
    [
      "an unknown extension twice",
      {
        extensions: extensions(
          BASIC,
          USAGE_BOTH,
          extension(hex("2a03"), false, new Uint8Array()),
          extension(hex("2a03"), false, new Uint8Array()),
        ),
      },
      "chain/extension",
    ],
    [
      "an unknown extension",
      {
        extensions: extensions(BASIC, USAGE_BOTH, extension(hex("2a03"), false, new Uint8Array())),
      },
      null,
    ],
    [
      "an unknown critical extension",
      { extensions: extensions(BASIC, USAGE_BOTH, extension(hex("2a03"), true, new Uint8Array())) },
      "chain/extension",
    ],
    [
      "critical name constraints",
      {
        extensions: extensions(BASIC, USAGE_BOTH, extension(OID.nameConstraints, true, tlv(0x30))),
      },
      "chain/extension",
    ],
    [
      "critical revocation lists",
      {
        extensions: extensions(
          BASIC,
          USAGE_BOTH,
          extension(OID.crlDistributionPoints, true, tlv(0x30)),
        ),
      },
      "chain/extension",
    ],
    [
      "revocation lists",
      {
        extensions: extensions(
          BASIC,
          USAGE_BOTH,
          extension(OID.crlDistributionPoints, false, tlv(0x30)),
        ),
      },
      null,
    ],
    [
      "a key identifier",
      {
        extensions: extensions(
          BASIC,
          USAGE_BOTH,
          extension(OID.subjectKeyIdentifier, false, tlv(0x04, hex("aa"))),
        ),
      },
      null,
    ],
    [
      "a malformed key identifier",
      {
        extensions: extensions(
          BASIC,
          USAGE_BOTH,
          extension(OID.subjectKeyIdentifier, false, hex("0402aa")),
        ),
      },
      "certificate/der",
    ],
    [
      "a malformed issuer's identifier",
      {
        extensions: extensions(
          BASIC,
          USAGE_BOTH,
          extension(OID.authorityKeyIdentifier, false, hex("300000")),
        ),
      },
      "certificate/der",
    ],
    [
      "16 extensions",
      {
        extensions: extensions(
          BASIC,
          USAGE_BOTH,
          ...Array.from({ length: 14 }, (_, i) =>
            extension(Uint8Array.of(42, i), false, new Uint8Array()),
          ),
        ),
      },
      null,
    ],
    [
      "17 extensions",
      {
        extensions: extensions(
          BASIC,
          USAGE_BOTH,
          ...Array.from({ length: 15 }, (_, i) =>
            extension(Uint8Array.of(42, i), false, new Uint8Array()),
          ),
        ),
      },
      "chain/extension",
    ],
    [
      "an encoded default of critical",
      { extensions: extensions(BASIC, USAGE_BOTH, raw(hex("2a03"), FALSE, new Uint8Array())) },
      "certificate/der",
    ],
    ["an encoded default of cA", { extensions: basic(FALSE) }, "certificate/der"],
    ["cA of one", { extensions: basic(tlv(0x01, Uint8Array.of(1))) }, "certificate/der"],
    [
      "a path length without cA",
      { extensions: basic(integer(Uint8Array.of(0))) },
      "chain/extension",
    ],
    [
      "a path length of 256",
      { extensions: basic(TRUE, integer(Uint8Array.of(1, 0))) },
      "chain/extension",
    ],
    [
      "a negative path length",
      { extensions: basic(TRUE, tlv(0x02, Uint8Array.of(0xff))) },
      "certificate/profile",
    ],
    [
      "more basic constraints",
      { extensions: basic(TRUE, integer(Uint8Array.of(0)), TRUE) },
      "certificate/der",
    ],
    [
      "key usage with trailing zeros",
      { extensions: extensions(BASIC, keyUsage("0084")) },
      "certificate/der",
    ],
    ["no key usage bits", { extensions: extensions(BASIC, keyUsage("00")) }, "certificate/der"],
    [
      "a signature with unused bits",
      {
        signature: (value) => {
          const encoded = bitStringSignature(value);
          encoded[2] = 1;
          return encoded;
        },
      },
      "certificate/der",
    ],
    [
      "a signature with a third value",
      {
        signature: (value) =>
          tlv(
            0x03,
            Uint8Array.of(0),
            tlv(
              0x30,
              integer(value.subarray(0, 48)),
              integer(value.subarray(48)),
              integer(Uint8Array.of(1)),
            ),
          ),
      },
      "certificate/der",
    ],
    [
      "a signature with a padded value",
      {
        signature: (value) =>
          tlv(
            0x03,
            Uint8Array.of(0),
            tlv(0x30, tlv(0x02, Uint8Array.of(0, 1)), integer(value.subarray(48))),
          ),
      },
      "certificate/der",
    ],
    [
      "a signature with a negative value",
      {
        signature: (value) =>
          tlv(
            0x03,
            Uint8Array.of(0),
            tlv(0x30, tlv(0x02, Uint8Array.of(0x81)), integer(value.subarray(48))),
          ),
      },
      "certificate/profile",
    ],
    [
      "a signature value of 49 bytes",
      {
        signature: (value) =>
          tlv(
            0x03,
            Uint8Array.of(0),
            tlv(0x30, integer(new Uint8Array(49).fill(1)), integer(value.subarray(48))),
          ),
      },
      "certificate/profile",
    ],
    [
      "a bare signature",
      { signature: (value) => tlv(0x03, Uint8Array.of(0), value) },
      "certificate/der",
    ],
  ];
  it.each(cases)("%s", async (_, changes, code) => {
    const bytes = await certificate(changes);
    expect(codeOf(() => parseCertificate(bytes))).toBe(code);
  });

  it("takes P-384 by name only, uncompressed", async () => {
    const { point } = await signerAt(1);
    const compressed = concatBytes(Uint8Array.of(2), point.subarray(1, 49));
    const info = publicKeyInfo(point);
    const hybrid = info.slice();
    hybrid[23] = 6;
    const keys = [
      // secp256k1, P-256, Ed25519 by their identifiers.
      tlv(0x30, hex("301006072a8648ce3d020106052b8104000a"), tlv(0x03, hex("00"), point)),
      tlv(0x30, hex("301306072a8648ce3d020106082a8648ce3d030107"), tlv(0x03, hex("00"), point)),
      tlv(0x30, hex("300506032b6570"), tlv(0x03, hex("00"), new Uint8Array(32))),
      tlv(0x30, hex("300906072a8648ce3d0201"), tlv(0x03, hex("00"), point)),
      tlv(0x30, hex("301006072a8648ce3d020106052b81040022"), tlv(0x03, hex("00"), compressed)),
      tlv(
        0x30,
        hex("301006072a8648ce3d020106052b81040022"),
        tlv(0x03, hex("00"), point, hex("00")),
      ),
      hybrid,
    ];
    for (const publicKey of keys) {
      const bytes = await certificate({ publicKey });
      expect(codeOf(() => parseCertificate(bytes))).toBe("certificate/key");
    }
  });

  it("takes a common name only where there is exactly one", async () => {
    const cn = attribute("550403", 0x0c, encodeUtf8(MODULE_ID));
    const printable = attribute("550403", 0x13, encodeUtf8("a.b"));
    const commonName = async (...parts: readonly Uint8Array[]): Promise<string | null> =>
      parseCertificate(await certificate({ subject: tlv(0x30, ...parts) })).commonName;
    expect(await commonName(cn)).toBe(MODULE_ID);
    expect(await commonName(printable)).toBe("a.b");
    expect(await commonName(cn, printable)).toBe(null);
    expect(await commonName(attribute("55040a", 0x0c, encodeUtf8("Fake")))).toBe(null);
    await expect(commonName()).rejects.toThrow("certificate/profile: empty name");
  });

  describe("any bytes", () => {
    let genuine = new Uint8Array();
    beforeAll(async () => {
      genuine = new Uint8Array(await certificate());
    });

    it("give a certificate or a refusal", () => {
      const arbitrary = fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.tuple(fc.nat(400), fc.nat(255)).map(([at, byte]) => {
          const bytes = genuine.slice();
          bytes[at % bytes.length] = byte;
          return bytes;
        }),
        fc
          .tuple(fc.nat(400), fc.uint8Array({ maxLength: 4 }))
          .map(([at, insert]) =>
            concatBytes(genuine.subarray(0, at), insert, genuine.subarray(at)),
          ),
      );
      fc.assert(
        fc.property(arbitrary, (bytes) => {
          const code = codeOf(() => parseCertificate(bytes));
          expect(code ?? "certificate/").toMatch(/^(certificate|chain)\//u);
        }),
        { numRuns: 3000 },
      );
    });

    it("cut anywhere is refused", () => {
      for (let length = 0; length < genuine.length; length++) {
        expect(codeOf(() => parseCertificate(genuine.subarray(0, length)))).toBe("certificate/der");
      }
    });
  });
});

describe("the built-in root", () => {
  it("has the fingerprint that AWS publishes", async () => {
    const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(AWS_NITRO_ROOT.der));
    expect(new Uint8Array(digest)).toEqual(AWS_NITRO_ROOT.sha256);
    expect(AWS_NITRO_ROOT.sha256).toEqual(
      hex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"),
    );
  });

  it.skipIf(missing("nitro"))("is the certificate in the vectors", () => {
    expect(AWS_NITRO_ROOT.der).toEqual(readVector("nitro/aws-nitro-root-g1.der"));
    const pem = new TextDecoder().decode(readVector("nitro/aws-nitro-root-g1.pem"));
    expect(certificateFromPem(pem)).toEqual(AWS_NITRO_ROOT.der);
  });
});

describe("certificateFromPem", () => {
  const BEGIN = "-----BEGIN CERTIFICATE-----";
  const END = "-----END CERTIFICATE-----";
  const base64 = Buffer.from(AWS_NITRO_ROOT.der).toString("base64");
  const lines = base64.match(/.{1,64}/gu) ?? [];
  const pem = [BEGIN, ...lines, END, ""].join("\n");

  it("takes either line end, with or without the last", () => {
    for (const text of [pem, pem.trimEnd(), pem.replaceAll("\n", "\r\n")]) {
      expect(certificateFromPem(text)).toEqual(AWS_NITRO_ROOT.der);
    }
  });

  it.each([
    ["nothing", ""],
    ["two certificates", pem + pem],
    ["text before", `subject=x\n${pem}`],
    ["text after", `${pem}x`],
    ["another type", pem.replaceAll("CERTIFICATE", "X509 CERTIFICATE")],
    ["one line", `${BEGIN}\n${base64}\n${END}\n`],
    ["a space", pem.replace("\n", " \n")],
    ["a line of 63", pem.replace(lines[0] ?? "", (lines[0] ?? "").slice(1))],
    ["a character outside the alphabet", pem.replace("MII", "M-I")],
    ["no padding", `${BEGIN}\nMAA\n${END}`],
    ["padding too long", `${BEGIN}\nMAA==\n${END}`],
    ["three padding characters", `${BEGIN}\nM===\n${END}`],
    ["unused bits that are set", `${BEGIN}\nMAB=\n${END}`],
    ["an integer", `${BEGIN}\nAgEB\n${END}`],
    ["bytes after the sequence", `${BEGIN}\nMAAA\n${END}`],
    ["nothing inside", `${BEGIN}\n\n${END}`],
    ["too much", `${BEGIN}\n${`${"A".repeat(64)}\n`.repeat(200)}${END}`],
  ])("refuses %s", (_, text) => {
    expect(codeOf(() => certificateFromPem(text))).toBe("certificate/der");
  });

  it("takes the smallest sequence", () => {
    expect(certificateFromPem(`${BEGIN}\nMAA=\n${END}`)).toEqual(hex("3000"));
  });
});
