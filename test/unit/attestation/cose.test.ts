import {
  type CborValue,
  CborTag,
  type CoseAlgorithm,
  type CoseProfile,
  concatBytes,
  DETERMINISTIC,
  decodeCbor,
  encodeCbor,
  encodeCoseSign1,
  importPoint,
  isLowS,
  isSignature,
  lowS,
  parseCoseSign1,
  sigStructure,
  verifyCoseSign1,
  verifyEcdsa,
} from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { pointBytes } from "../../../attestation/ecdsa.ts";
import { generateSigner, hex } from "../../fakes/nitro.ts";
import { missing, readVectorJson } from "../../shared.ts";
import { codeOf, codeOfAsync } from "./refused.ts";

const ES384: CoseProfile = { algorithm: "ES384", tag: "optional", maxBytes: 4096 };
const PROTECTED = hex("a1013822");
const EMPTY = new Map<never, never>();
const PAYLOAD = Uint8Array.of(1, 2, 3);
const SIGNATURE = new Uint8Array(96).fill(1);
const ORDER_384 = hex(
  "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
);

function envelope(...fields: readonly CborValue[]): Uint8Array {
  return encodeCbor(fields);
}

describe("parseCoseSign1", () => {
  it("takes the one form", () => {
    const bytes = envelope(PROTECTED, EMPTY, PAYLOAD, SIGNATURE);
    expect(parseCoseSign1(bytes, ES384)).toEqual({
      algorithm: "ES384",
      payload: PAYLOAD,
      signature: SIGNATURE,
    });
    const tagged = concatBytes(Uint8Array.of(0xd2), bytes);
    expect(parseCoseSign1(tagged, { ...ES384, tag: "required" }).payload).toEqual(PAYLOAD);
    expect(encodeCoseSign1(parseCoseSign1(bytes, ES384))).toEqual(tagged);
  });

  const head = (index: number, ...bytes: readonly string[]): Uint8Array => {
    const parts = ["44a1013822", "a0", "43010203", `5860${"01".repeat(96)}`];
    parts[index] = bytes.join("");
    return hex(`84${parts.join("")}`);
  };
  const half = (value: Uint8Array, at: 0 | 48): Uint8Array => {
    const signature = SIGNATURE.slice();
    signature.set(value, at);
    return envelope(PROTECTED, EMPTY, PAYLOAD, signature);
  };
  it.each([
    ["a map", hex("a0"), "cose/structure"],
    ["three fields", envelope(PROTECTED, EMPTY, PAYLOAD), "cose/structure"],
    ["five fields", envelope(PROTECTED, EMPTY, PAYLOAD, SIGNATURE, null), "cose/structure"],
    [
      "tag 17",
      encodeCbor(new CborTag(17, [PROTECTED, EMPTY, PAYLOAD, SIGNATURE])),
      "cose/structure",
    ],
    ["tag 18 twice", hex("d2d280"), "cose/structure"],
    ["detached payload", envelope(PROTECTED, EMPTY, null, SIGNATURE), "cose/structure"],
    ["text payload", envelope(PROTECTED, EMPTY, "a", SIGNATURE), "cose/structure"],
    ["no protected header", head(0, "40"), "cose/protected"],
    ["protected header as map", head(0, "a1013822"), "cose/protected"],
    ["empty protected map", head(0, "41a0"), "cose/protected"],
    ["ES256", head(0, "43a10126"), "cose/protected"],
    ["ES512", head(0, "44a1013823"), "cose/protected"],
    ["non-minimal algorithm", head(0, "45a101390022"), "cose/protected"],
    ["a critical header", head(0, "46a20138220280"), "cose/protected"],
    ["key id outside", head(1, "a10441aa"), "cose/unprotected"],
    ["algorithm outside", head(1, "a1013822"), "cose/unprotected"],
    ["null headers", head(1, "f6"), "cose/unprotected"],
    ["list of headers", head(1, "80"), "cose/unprotected"],
    ["indefinite headers", head(1, "bfff"), "cbor/indefinite"],
    ["non-minimal headers", head(1, "b800"), "cbor/non-minimal"],
    ["indefinite payload", head(2, "5f43010203ff"), "cbor/indefinite"],
    ["indefinite array", hex(`9f44a1013822a0430102035860${"01".repeat(96)}ff`), "cbor/indefinite"],
    ["a byte after", concatBytes(head(0, "44a1013822"), Uint8Array.of(0)), "cbor/trailing"],
    ["95 bytes", envelope(PROTECTED, EMPTY, PAYLOAD, SIGNATURE.slice(1)), "cose/signature-format"],
    [
      "97 bytes",
      envelope(PROTECTED, EMPTY, PAYLOAD, new Uint8Array(97).fill(1)),
      "cose/signature-format",
    ],
    [
      "64 bytes",
      envelope(PROTECTED, EMPTY, PAYLOAD, new Uint8Array(64).fill(1)),
      "cose/signature-format",
    ],
    ["no signature", envelope(PROTECTED, EMPTY, PAYLOAD, null), "cose/signature-format"],
    ["r = 0", half(new Uint8Array(48), 0), "cose/signature-format"],
    ["s = 0", half(new Uint8Array(48), 48), "cose/signature-format"],
    ["r = n", half(ORDER_384, 0), "cose/signature-format"],
    ["s = n", half(ORDER_384, 48), "cose/signature-format"],
    ["s = 2^384 - 1", half(new Uint8Array(48).fill(255), 48), "cose/signature-format"],
  ] as const)("refuses %s", (_, bytes, code) => {
    expect(codeOf(() => parseCoseSign1(bytes, ES384))).toBe(code);
  });

  it("takes r and s up to n - 1", () => {
    const most = ORDER_384.slice();
    most[47] = (most[47] ?? 0) - 1;
    expect(codeOf(() => parseCoseSign1(half(most, 0), ES384))).toBe(null);
    expect(codeOf(() => parseCoseSign1(half(most, 48), ES384))).toBe(null);
  });

  it("wants the tag where the profile does, and keeps the size limit", () => {
    const bytes = envelope(PROTECTED, EMPTY, PAYLOAD, SIGNATURE);
    expect(codeOf(() => parseCoseSign1(bytes, { ...ES384, tag: "required" }))).toBe(
      "cose/structure",
    );
    expect(codeOf(() => parseCoseSign1(bytes, { ...ES384, maxBytes: bytes.length }))).toBe(null);
    const less = { ...ES384, maxBytes: bytes.length - 1 };
    expect(codeOf(() => parseCoseSign1(bytes, less))).toBe("cbor/too-large");
  });
});

describe("verification", () => {
  it("is over the received payload, by one key only", async () => {
    const [signer, other] = [await generateSigner(), await generateSigner()];
    const signature = await signer.sign(sigStructure("ES384", PAYLOAD));
    const sign1 = { algorithm: "ES384", payload: PAYLOAD, signature } as const;
    const key = await importPoint("P-384", signer.point);
    expect(await verifyCoseSign1(sign1, key)).toBe(true);
    expect(await verifyCoseSign1(sign1, await importPoint("P-384", other.point))).toBe(false);
    expect(await verifyCoseSign1({ ...sign1, payload: Uint8Array.of(1, 2, 4) }, key)).toBe(false);
    await expect(verifyCoseSign1({ ...sign1, algorithm: "ES256" }, key)).rejects.toThrow(TypeError);
  });

  it("writes Sig_structure as RFC 9052 §4.4 does", () => {
    expect(sigStructure("ES384", PAYLOAD)).toEqual(
      hex("846a5369676e61747572653144a1013822404301020 3".replace(" ", "")),
    );
  });

  it("refuses keys that are no uncompressed points on the curve", async () => {
    const { point } = await generateSigner();
    const compressed = concatBytes(
      Uint8Array.of(2 + ((point[96] ?? 0) & 1)),
      point.subarray(1, 49),
    );
    const hybrid = concatBytes(Uint8Array.of(6 + ((point[96] ?? 0) & 1)), point.subarray(1));
    const off = point.slice();
    off[96] = (off[96] ?? 0) ^ 1;
    const zero = new Uint8Array(97);
    zero[0] = 4;
    const beyondField = concatBytes(
      Uint8Array.of(4),
      new Uint8Array(48).fill(255),
      point.subarray(49),
    );
    const infinity = Uint8Array.of(0);
    const swapped = concatBytes(Uint8Array.of(4), point.subarray(49), point.subarray(1, 49));
    const cut = point.subarray(0, 96);
    for (const bad of [compressed, hybrid, off, zero, beyondField, infinity, swapped, cut]) {
      expect(await codeOfAsync(() => importPoint("P-384", bad))).toBe("certificate/key");
    }
    expect(await codeOfAsync(() => importPoint("P-256", point))).toBe("certificate/key");
    expect(await codeOfAsync(() => importPoint("P-384", point))).toBe(null);
    expect([pointBytes("P-256"), pointBytes("P-384")]).toEqual([65, 97]);
  });

  it("makes s low without changing what verifies", async () => {
    const signer = await generateSigner();
    const key = await importPoint("P-384", signer.point);
    const seen = new Set<boolean>();
    for (let i = 0; i < 40; i++) {
      const message = Uint8Array.of(i);
      const signature = await signer.sign(message);
      const low = lowS("P-384", signature);
      seen.add(isLowS("P-384", signature));
      expect(isLowS("P-384", low)).toBe(true);
      expect(lowS("P-384", low)).toEqual(low);
      expect(await verifyEcdsa(key, low, message)).toBe(true);
    }
    expect(seen.size).toBe(2);
  });
});

describe("COSE WG examples", () => {
  interface Example {
    readonly path: string;
    readonly data: {
      readonly title: string;
      readonly fail?: boolean;
      readonly input: {
        readonly sign0?: {
          readonly key: { readonly x: string; readonly y: string };
          readonly external?: string;
        };
      };
      readonly output: { readonly cbor: string };
    };
  }
  /** What the strict envelope says; none has an empty unprotected header, so none is taken as it is. */
  const expected: Readonly<Record<string, string>> = {
    "sign-fail-01": "cose/structure",
    "sign-fail-02": "cose/unprotected",
    "sign-fail-04": "cose/protected",
    "sign-fail-06": "cose/protected",
    "sign-pass-01": "cose/protected",
    "sign-pass-02": "cose/unprotected",
    "ecdsa-sig-01": "cose/protected",
    "ecdsa-sig-02": "cose/unprotected",
    "ecdsa-sig-03": "cose/protected",
    "ecdsa-sig-04": "cose/protected",
  };
  /** With the key id taken out of the unprotected header: does the signature verify? */
  const withoutKeyId: Readonly<Record<string, boolean>> = {
    "sign-fail-02": false,
    // Signed over external data, which our profile does not have.
    "sign-pass-02": false,
    "ecdsa-sig-02": true,
    "sign-pass-03": true,
  };

  it.skipIf(missing("cose"))(
    "get the strict verdict, and the right one without their key ids",
    async () => {
      const examples = [
        "cose/cose-wg-sign1-tests.json",
        "cose/cose-wg-ecdsa-examples.json",
      ].flatMap((path) => readVectorJson<readonly Example[]>(path));
      const seen: string[] = [];
      for (const { path, data } of examples) {
        const { sign0 } = data.input;
        if (sign0 === undefined) continue;
        const id = /([^/]+)\.json$/u.exec(path)?.[1] ?? path;
        const bytes = hex(data.output.cbor);
        const algorithm: CoseAlgorithm = id === "ecdsa-sig-02" ? "ES384" : "ES256";
        const profile: CoseProfile = { algorithm, tag: "optional", maxBytes: 4096 };
        expect([id, codeOf(() => parseCoseSign1(bytes, profile))]).toEqual([id, expected[id]]);
        seen.push(id);
        const verifies = withoutKeyId[id];
        if (verifies === undefined) continue;
        const value = decodeCbor(bytes, { ...DETERMINISTIC, form: "vendor" });
        if (!(value instanceof CborTag) || !Array.isArray(value.value)) throw new TypeError(id);
        const [header, , payload, signature] = value.value as readonly CborValue[];
        const bare = encodeCbor([header ?? null, EMPTY, payload ?? null, signature ?? null]);
        const sign1 = parseCoseSign1(bare, profile);
        const { x, y } = sign0.key;
        const point = Buffer.concat([
          Buffer.of(4),
          Buffer.from(x, "base64url"),
          Buffer.from(y, "base64url"),
        ]);
        const key = await importPoint(
          algorithm === "ES384" ? "P-384" : "P-256",
          new Uint8Array(point),
        );
        expect([id, await verifyCoseSign1(sign1, key)]).toEqual([id, verifies]);
      }
      expect(seen.toSorted()).toEqual(Object.keys(expected).toSorted());
    },
  );
});

describe("Wycheproof", () => {
  interface Suite {
    readonly numberOfTests: number;
    readonly testGroups: readonly {
      readonly publicKey: { readonly uncompressed: string };
      readonly tests: readonly {
        readonly tcId: number;
        readonly msg: string;
        readonly sig: string;
        readonly result: "valid" | "invalid";
      }[];
    }[];
  }

  it.skipIf(missing("wycheproof"))("ECDSA over P-384 with SHA-384, fixed width", async () => {
    const suite = readVectorJson<Suite>("wycheproof/ecdsa_secp384r1_sha384_p1363_test.json");
    let count = 0;
    for (const group of suite.testGroups) {
      const key = await importPoint("P-384", hex(group.publicKey.uncompressed));
      for (const test of group.tests) {
        const signature = hex(test.sig);
        const valid = await verifyEcdsa(key, signature, hex(test.msg));
        expect([test.tcId, valid]).toEqual([test.tcId, test.result === "valid"]);
        // Whatever verifies has the form that the parsers ask for.
        expect(!valid || isSignature("P-384", signature)).toBe(true);
        count++;
      }
    }
    expect(count).toBe(suite.numberOfTests);
  });
});
