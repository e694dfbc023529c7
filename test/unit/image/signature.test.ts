import { createPrivateKey, X509Certificate } from "node:crypto";
import { encodeHex } from "@countersign/attestation";
import { parseSigningKey, type SigningKey } from "@countersign/image";
import { decode, encode } from "cborg";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeSignature, verifySignature } from "../../../image/signature.ts";
import { certificateRegister } from "../../../image/registers.ts";
import { missing } from "../../shared.ts";
import { imageOf, measureBytes, refusalOf, vectorImage } from "./eif-files.ts";
import { type Pems, selfSigned } from "./signing.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.now();
const pcr0 = new Uint8Array(48).fill(7);
const PLAIN = [
  ["kernel", "a kernel"],
  ["cmdline", "quiet"],
  ["ramdisk", "a ramdisk"],
] as const;

let pems: Pems;
let other: Pems;
let key: SigningKey;
beforeAll(() => {
  pems = selfSigned();
  other = selfSigned();
  key = parseSigningKey(pems.key, pems.certificate, NOW_MS + 1000);
});

interface Decoded {
  signing_certificate: number[];
  signature: number[];
}

/** The one signature of a section, as cborg reads it. */
function decoded(section: Uint8Array): Decoded {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- of a section that we made
  const [only] = decode(section) as Decoded[];
  if (only === undefined) throw new TypeError("no signature");
  return only;
}

/** All of a section that neither the key nor the image decides. */
function skeleton(section: Uint8Array): unknown {
  const { signing_certificate: pem, signature } = decoded(section);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- compared, whatever it is
  const [header, unprotected, payload, value] = decode(Uint8Array.from(signature)) as Uint8Array[];
  if (payload === undefined) throw new TypeError("no payload");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- compared, whatever it is
  const register = decode(payload) as Partial<Record<string, unknown[]>>;
  return {
    keys: Object.keys(decoded(section)),
    pem: String.fromCharCode(...pem.slice(0, 27)),
    header,
    unprotected,
    payload: payload.subarray(0, 34),
    index: register["register_index"],
    registerBytes: register["register_value"]?.length,
    signatureBytes: value?.length,
  };
}

function refusedCode(section: Uint8Array): string {
  try {
    verifySignature(section, pcr0);
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  throw new TypeError("the section was taken");
}

describe("a signature", () => {
  it("is verified, and PCR8 is the certificate's", async () => {
    const unsigned = await measureBytes(imageOf(...PLAIN));
    const section = encodeSignature(key, unsigned.pcr0);
    const signed = await measureBytes(imageOf(...PLAIN, ["signature", section]));
    expect([signed.pcr0, signed.pcr1, signed.pcr2]).toEqual([
      unsigned.pcr0,
      unsigned.pcr1,
      unsigned.pcr2,
    ]);
    const der = new Uint8Array(new X509Certificate(pems.certificate).raw);
    expect(signed.signature?.certificate).toEqual(der);
    expect(signed.pcr8).toEqual(certificateRegister(der));
    expect(signed.signature?.notAfterMs).toBe(
      Date.parse(new X509Certificate(pems.certificate).validTo),
    );
  });

  it("differs each time, PCR8 does not", async () => {
    const { pcr0: measured } = await measureBytes(imageOf(...PLAIN));
    const sections = [encodeSignature(key, measured), encodeSignature(key, measured)];
    expect(sections[0]).not.toEqual(sections[1]);
    const registers = sections.map(async (section) => {
      const { pcr8 } = await measureBytes(imageOf(...PLAIN, ["signature", section]));
      return encodeHex(pcr8 ?? new Uint8Array());
    });
    expect(new Set(await Promise.all(registers)).size).toBe(1);
  });

  it.skipIf(missing("qemu-nsm"))("has the form of the one that QEMU took", () => {
    const image = Buffer.from(vectorImage("tiny-signed.eif"));
    // The last of seven sections; its contents follow twelve bytes of its own header.
    const at = Number(image.readBigUInt64BE(28 + 8 * 6)) + 12;
    const theirs = new Uint8Array(image.subarray(at));
    const ours = encodeSignature(key, pcr0);
    expect(skeleton(ours)).toEqual(skeleton(theirs));
    // Head, key, and the head of an array of numbers that is as long as a PEM block.
    expect(ours.subarray(0, 23)).toEqual(theirs.subarray(0, 23));
  });

  it("over another image is refused, with its checksum mended", async () => {
    const { pcr0: measured } = await measureBytes(imageOf(...PLAIN));
    const section = encodeSignature(key, measured);
    const [kernel, cmdline] = PLAIN;
    const refusal = await refusalOf(
      imageOf(kernel, cmdline, ["ramdisk", "another"], ["signature", section]),
    );
    expect(refusal).toMatch(/^image\/signature: what is signed is not PCR0 of this image/u);
  });
});

describe("a signature section is refused", () => {
  it("for another certificate", () => {
    const section = encode([
      {
        ...decoded(encodeSignature(key, pcr0)),
        signing_certificate: [...Buffer.from(other.certificate)],
      },
    ]);
    expect(refusedCode(section)).toMatch(/^image\/signature: the signature is not by/u);
  });

  it("for any other byte in the signature", () => {
    const { signature } = decoded(encodeSignature(key, pcr0));
    for (let at = 0; at < signature.length; at++) {
      const bent = signature.map((byte, i) => (i === at ? byte ^ 1 : byte));
      const section = encode([{ ...decoded(encodeSignature(key, pcr0)), signature: bent }]);
      expect(refusedCode(section), `byte ${at}`).toMatch(/^image\/(?:signature|malformed): /u);
    }
  });

  it.each<readonly [what: string, section: (good: Decoded) => unknown]>([
    ["no array", (good) => good],
    ["no signature", () => []],
    ["two signatures", (good) => [good, good]],
    ["a third key", (good) => [{ ...good, more: 1 }]],
    ["no certificate", ({ signature }) => [{ signature }]],
    ["a byte of 256", (good) => [{ ...good, signature: [256] }]],
    ["a negative byte", (good) => [{ ...good, signature: [-1] }]],
    ["text for bytes", (good) => [{ ...good, signature: "x" }]],
    ["an empty certificate", (good) => [{ ...good, signing_certificate: [] }]],
    ["a certificate that is none", (good) => [{ ...good, signing_certificate: none() }]],
    ["a large certificate", (good) => [{ ...good, signing_certificate: Array(8193).fill(65) }]],
    ["a large signature", (good) => [{ ...good, signature: Array(1025).fill(0) }]],
    [
      "text before the certificate",
      (good) => [{ ...good, signing_certificate: [65, 10, ...good.signing_certificate] }],
    ],
  ])("for %s", (_, section) => {
    const good = decoded(encodeSignature(key, pcr0));
    expect(refusedCode(encode(section(good)))).toMatch(/^image\/malformed: signature section: /u);
  });

  it("for a certificate whose key or dates are none", () => {
    const der = Buffer.from(new X509Certificate(pems.certificate).raw);
    // The key: a bit string of an uncompressed point. The dates: two of UTCTime.
    const point = der.indexOf(Buffer.of(0x03, 0x62, 0x00, 0x04)) + 3;
    const date = der.indexOf(Buffer.of(0x17, 13)) + 2;
    for (const at of [point, point + 1, date, date + 2, date + 12]) {
      const bent = Buffer.from(der);
      bent[at] = 0x58;
      const certificate = [...Buffer.from(pemOf(bent))];
      const good = decoded(encodeSignature(key, pcr0));
      const section = encode([{ ...good, signing_certificate: certificate }]);
      expect(refusedCode(section), `byte ${at}`).toMatch(/^image\/malformed: signature section: /u);
    }
  });

  it("for a byte too few, and one too many", () => {
    const section = encodeSignature(key, pcr0);
    expect(refusedCode(section.subarray(0, -1))).toMatch(/^image\/malformed: /u);
    expect(refusedCode(Buffer.concat([section, Buffer.of(0)]))).toMatch(/^image\/malformed: /u);
  });

  it("for a certificate that OpenSSL would encode in another way, which has two digests", () => {
    const { raw } = new X509Certificate(pems.certificate);
    // Its last part is a bit string of one length byte; here it has two, and the whole one more.
    const at = raw.findLastIndex((byte, i) => byte === 3 && raw[i + 1] === raw.length - i - 2);
    const loose = Buffer.concat([raw.subarray(0, at), Buffer.of(3, 0x81), raw.subarray(at + 1)]);
    loose.writeUInt16BE(raw.length - 3, 2);
    const pem = pemOf(loose);
    expect(new X509Certificate(pem).raw.equals(raw)).toBe(true);
    const signer = { key: createPrivateKey(pems.key), certificatePem: pem };
    expect(refusedCode(encodeSignature(signer, pcr0))).toMatch(/^image\/malformed: .*not DER/u);
    expect(() => parseSigningKey(pems.key, pem, NOW_MS + 1000)).toThrow("cannot be read");
  });

  it("for a key on another curve", () => {
    const small = selfSigned("prime256v1");
    const section = encode([
      {
        ...decoded(encodeSignature(key, pcr0)),
        signing_certificate: [...Buffer.from(small.certificate)],
      },
    ]);
    // AWS's tools sign with that key, too: another algorithm, and a shorter signature.
    const signer = { key: createPrivateKey(small.key), certificatePem: small.certificate };
    for (const refused of [section, encodeSignature(signer, pcr0)]) {
      expect(refusedCode(refused)).toMatch(
        /^image\/signature: the certificate's key is not on P-384/u,
      );
    }
  });
});

describe("a signing key is refused", () => {
  it("on another curve, with another certificate, out of its time, or unreadable", () => {
    const small = selfSigned("prime256v1");
    const day = NOW_MS + DAY_MS;
    const cases = [
      [() => parseSigningKey(small.key, small.certificate, day), "is not on P-384"],
      [() => parseSigningKey(pems.key, other.certificate, day), "is for another key"],
      [() => parseSigningKey(pems.key, pems.certificate, NOW_MS + 31 * DAY_MS), "is valid from"],
      [() => parseSigningKey(pems.key, pems.certificate, NOW_MS - DAY_MS), "is valid from"],
      [() => parseSigningKey("", pems.certificate, day), "cannot be read"],
      [() => parseSigningKey(pems.key, "", day), "cannot be read"],
      [() => parseSigningKey(pems.key, pems.certificate.repeat(2), day), "cannot be read"],
    ] as const;
    for (const [run, message] of cases) {
      expect(run).toThrow(expect.objectContaining({ code: "image/input" }));
      expect(run).toThrow(message);
    }
  });
});

/** A PEM block around bytes that are no certificate. */
function none(): readonly number[] {
  return [...Buffer.from(pemOf(Buffer.of(0x30, 3, 2, 1, 1)))];
}

function pemOf(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/gu) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
