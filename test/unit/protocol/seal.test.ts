import { type CborValue, encodeCbor } from "@countersign/attestation";
import {
  encodeEnvelope,
  encodeManifest,
  encodeSeal,
  type Envelope,
  MAX_ENVELOPE_BYTES,
  MAX_SEAL_BYTES,
  MAX_WRAPPED_BYTES,
  parseEnvelope,
  parseKmsKeyArn,
  parseSeal,
  sealedBytes,
  sealedPath,
  SEGMENT_BYTES,
  segmentAad,
  segmentCount,
  segmentNonce,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { codeOf, hex, vectors } from "./support.ts";

interface KnownAnswer {
  readonly manifest: string;
  readonly keyId: string;
  readonly wrapped: string;
  readonly envelope: string;
  readonly seal: string;
  readonly kmsKey: string;
  readonly kmsWrapped: string;
  readonly kmsEnvelope: string;
  readonly files: readonly { readonly size: number; readonly sealedBytes: number }[];
}

const known = vectors<KnownAnswer>("seal/known-answer.json");
const UUID = "01234567-89ab-cdef-0123-456789abcdef";
const FILE_ENVELOPE: Envelope = {
  kind: "file",
  key: known.keyId,
  wrapped: hex(known.wrapped),
};
const KMS_ENVELOPE: Envelope = {
  kind: "aws-kms",
  key: known.kmsKey,
  wrapped: hex(known.kmsWrapped),
};
const MIB = 1 << 20;

function mapOf(...values: readonly CborValue[]): Uint8Array {
  return encodeCbor(new Map(values.map((value, i) => [i + 1, value] as const)));
}

describe("a seal", () => {
  it("has the bytes that another program gave it", () => {
    const seal = { manifest: hex(known.manifest), envelope: hex(known.envelope) };
    expect(encodeSeal(seal)).toEqual(hex(known.seal));
    expect(parseSeal(hex(known.seal))).toEqual(seal);
  });

  it("is refused in every other structure", async () => {
    const [m, e] = [hex(known.manifest), hex(known.envelope)];
    const bad = [
      hex(""),
      hex("80"),
      mapOf("countersign/seal/v2", m, e),
      mapOf("countersign/seal/v1", m),
      mapOf("countersign/seal/v1", m, e, 0),
      mapOf("countersign/seal/v1", "m", e),
      mapOf("countersign/seal/v1", m, [e]),
      mapOf("countersign/seal/v1", hex(""), e),
      mapOf("countersign/seal/v1", m, hex("")),
      mapOf("countersign/seal/v1", m, new Uint8Array(MAX_ENVELOPE_BYTES + 1)),
      mapOf("countersign/seal/v1", new Uint8Array(MIB + 1), e),
      new Uint8Array(MAX_SEAL_BYTES + 1),
      Buffer.concat([hex(known.seal), hex("00")]),
    ];
    for (const bytes of bad) expect(await codeOf(() => parseSeal(bytes))).toBe("seal/structure");
    const whole = hex(known.seal);
    for (let end = 0; end < whole.length; end++) {
      expect(await codeOf(() => parseSeal(whole.subarray(0, end)))).toBe("seal/structure");
    }
  });

  it("holds parts of their greatest size, and none longer", async () => {
    const most = {
      manifest: new Uint8Array(MIB),
      envelope: new Uint8Array(MAX_ENVELOPE_BYTES),
    };
    expect(parseSeal(encodeSeal(most))).toEqual(most);
    for (const seal of [
      { ...most, manifest: new Uint8Array(MIB + 1) },
      { ...most, envelope: new Uint8Array(MAX_ENVELOPE_BYTES + 1) },
      { ...most, manifest: new Uint8Array() },
      { ...most, envelope: new Uint8Array() },
    ]) {
      expect(await codeOf(() => encodeSeal(seal))).toBe("seal/structure");
    }
  });
});

describe("an envelope", () => {
  it("has the bytes that another program gave it", () => {
    expect(encodeEnvelope(FILE_ENVELOPE)).toEqual(hex(known.envelope));
    expect(parseEnvelope(hex(known.envelope))).toEqual(FILE_ENVELOPE);
    expect(encodeEnvelope(KMS_ENVELOPE)).toEqual(hex(known.kmsEnvelope));
    expect(parseEnvelope(hex(known.kmsEnvelope))).toEqual(KMS_ENVELOPE);
  });

  it("fits its limit where every part has its greatest size", async () => {
    const region = `${"a".repeat(8)}${"-abcdefghijklmnop".repeat(3)}-99`;
    const key = `arn:aws:kms:${region}:123456789012:key/${UUID}`;
    const most: Envelope = { kind: "aws-kms", key, wrapped: new Uint8Array(MAX_WRAPPED_BYTES) };
    expect(encodeEnvelope(most).length).toBeLessThanOrEqual(MAX_ENVELOPE_BYTES);
    expect(parseEnvelope(encodeEnvelope(most))).toEqual(most);
    for (const length of [0, MAX_WRAPPED_BYTES + 1]) {
      const wrapped = new Uint8Array(length);
      expect(await codeOf(() => encodeEnvelope({ ...most, wrapped }))).toBe("seal/envelope");
      const bytes = mapOf("aws-kms", key, wrapped);
      expect(await codeOf(() => parseEnvelope(bytes))).toBe("seal/envelope");
    }
  });

  it("is refused in every other structure, and with any other key", async () => {
    const { key, wrapped } = FILE_ENVELOPE;
    const bad = [
      hex("80"),
      mapOf("file", key),
      mapOf("file", key, wrapped, 0),
      mapOf("vault", key, wrapped),
      mapOf(1, key, wrapped),
      mapOf("file", hex(key), wrapped),
      mapOf("file", key, "wrapped"),
      mapOf("file", key.toUpperCase(), wrapped),
      mapOf("file", key.slice(1), wrapped),
      mapOf("file", `${key}0`, wrapped),
      mapOf("file", `${key}\n`, wrapped),
      mapOf("file", known.kmsKey, wrapped),
      mapOf("aws-kms", key, wrapped),
      new Uint8Array(MAX_ENVELOPE_BYTES + 1),
    ];
    for (const bytes of bad) expect(await codeOf(() => parseEnvelope(bytes))).toBe("seal/envelope");
    const whole = hex(known.envelope);
    for (let end = 0; end < whole.length; end++) {
      expect(await codeOf(() => parseEnvelope(whole.subarray(0, end)))).toBe("seal/envelope");
    }
  });
});

describe("the ARN of a KMS key", () => {
  it.each([
    [
      `arn:aws:kms:eu-central-1:123456789012:key/${UUID}`,
      { partition: "aws", region: "eu-central-1", account: "123456789012", keyId: UUID },
    ],
    [
      `arn:aws-cn:kms:cn-north-1:123456789012:key/${UUID}`,
      { partition: "aws-cn", region: "cn-north-1", account: "123456789012", keyId: UUID },
    ],
    [
      `arn:aws-us-gov:kms:us-gov-west-1:000000000000:key/mrk-${"0a".repeat(16)}`,
      {
        partition: "aws-us-gov",
        region: "us-gov-west-1",
        account: "000000000000",
        keyId: `mrk-${"0a".repeat(16)}`,
      },
    ],
  ])("%s is taken apart", (text, parts) => {
    expect(parseKmsKeyArn(text)).toEqual(parts);
  });

  it.each([
    "",
    UUID,
    "alias/models",
    "arn:aws:kms:eu-central-1:123456789012:alias/models",
    `arn:aws:kms:eu-central-1:12345678901:key/${UUID}`,
    `arn:aws:kms:eu-central-1:123456789012:key/${UUID.toUpperCase()}`,
    `arn:aws:kms:eu-central-1:123456789012:key/${UUID}/..`,
    `arn:aws:kms:eu-central-1:123456789012:key/${UUID}\n`,
    `arn:aws:kms::123456789012:key/${UUID}`,
    `arn:aws:kms:eu-central-0:123456789012:key/${UUID}`,
    `arn:aws:kms:eu:123456789012:key/${UUID}`,
    `arn:aws:kms:eu-central-1.evil.example:123456789012:key/${UUID}`,
    `arn:aws:kms:eu-central-1@evil-1:123456789012:key/${UUID}`,
    `arn:aws:kms:evil.example#-a-1:123456789012:key/${UUID}`,
    `arn:aws:s3:eu-central-1:123456789012:key/${UUID}`,
    `arn:aws-iso:kms:us-iso-east-1:123456789012:key/${UUID}`,
    // A partition that the region is not in.
    `arn:aws:kms:cn-north-1:123456789012:key/${UUID}`,
    `arn:aws-cn:kms:eu-central-1:123456789012:key/${UUID}`,
    `arn:aws:kms:us-gov-west-1:123456789012:key/${UUID}`,
    `arn:aws:kms:${"a".repeat(200)}-b-1:123456789012:key/${UUID}`,
  ])("%j is refused", async (text) => {
    expect(await codeOf(() => parseKmsKeyArn(text))).toBe("seal/envelope");
  });
});

describe("a sealed file", () => {
  it("is as long as another program made it", () => {
    for (const { size, sealedBytes: bytes } of known.files) expect(sealedBytes(size)).toBe(bytes);
    expect([0, 1, SEGMENT_BYTES, SEGMENT_BYTES + 1].map(segmentCount)).toEqual([1, 1, 1, 2]);
    for (const size of [-1, 0.5, NaN, 2 ** 53]) expect(() => sealedBytes(size)).toThrow(TypeError);
  });

  it("lies beside its manifest's path, which the suffix may make too long", async () => {
    expect(sealedPath("onnx/model.onnx")).toBe("onnx/model.onnx.sealed");
    expect(sealedPath("a".repeat(248))).toBe(`${"a".repeat(248)}.sealed`);
    for (const path of ["a".repeat(249), "../a"]) {
      expect(await codeOf(() => sealedPath(path))).toBe("manifest/path");
    }
  });

  it("says in nonce and associated data where a segment belongs", () => {
    expect(segmentNonce(1, 2)).toEqual(hex("000000010000000000000002"));
    const [file, segment] = [0xfeff_ffff, 2 ** 52 + 1];
    expect(segmentNonce(file, segment)).toEqual(hex("feffffff0010000000000001"));
    const digest = new Uint8Array(32).fill(7);
    const label = Buffer.from("countersign/segment/v1").toString("hex");
    const aad = `${label}${"07".repeat(32)}000000010000000000000002`;
    expect(segmentAad(digest, 1, 2, false)).toEqual(hex(`${aad}00`));
    expect(segmentAad(digest, 1, 2, true)).toEqual(hex(`${aad}01`));
  });

  it("takes no index that would not fit", () => {
    for (const file of [-1, 2 ** 32, 0.5]) expect(() => segmentNonce(file, 0)).toThrow(TypeError);
    for (const segment of [-1, 2 ** 53]) expect(() => segmentNonce(0, segment)).toThrow(TypeError);
    expect(() => segmentAad(new Uint8Array(31), 0, 0, true)).toThrow(TypeError);
  });
});

describe("a manifest of many files", () => {
  it("fits a seal with its envelope", () => {
    const sha256 = new Uint8Array(32);
    const entries = Array.from({ length: 4096 }, (_, i) => {
      return { path: `${"p".repeat(180)}${i}`, size: i, sha256 };
    });
    const manifest = encodeManifest(entries);
    const seal = { manifest, envelope: encodeEnvelope(KMS_ENVELOPE) };
    expect(parseSeal(encodeSeal(seal)).manifest).toEqual(manifest);
  });
});
