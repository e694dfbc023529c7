import { decodeCbor, decodeHex, encodeHex, encodeUtf8 } from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { encodeNsmRequest, type NsmRequest, parseNsmResponse } from "../../../enclave/nsm/codec.ts";
import { listVectors, missing, readVector, readVectorJson } from "../../shared.ts";

const GROUP = "qemu-nsm";
const absent = missing(GROUP);
const answers = listVectors(GROUP).filter((name) => name.startsWith("nsm-response-"));

describe.skipIf(absent)("answers of QEMU's module", () => {
  const parse = (name: string): ReturnType<typeof parseNsmResponse> =>
    parseNsmResponse(readVector(`${GROUP}/nsm-response-${name}.bin`));

  it("are all there", () => {
    expect(answers.length).toBe(20);
  });

  it.each(answers)("%s is read, and none of its beginnings is", (name) => {
    const bytes = readVector(`${GROUP}/${name}`);
    expect(name).toContain(`nsm-response-${nameInFile(parseNsmResponse(bytes))}`);
    for (let length = 0; length < Math.min(bytes.length, 300); length++) {
      expect(() => parseNsmResponse(bytes.subarray(0, length))).toThrow("nsm/malformed");
    }
    const surplus = Uint8Array.of(...bytes, 0);
    expect(() => parseNsmResponse(surplus)).toThrow("nsm/malformed");
  });

  function nameInFile(answer: ReturnType<typeof parseNsmResponse>): string {
    if (answer.name !== "Error") return answer.name;
    return answer.error === "InvalidIndex" ? "DescribePCR32" : "ExtendPCR0";
  }

  it.each([0, 1, 2, 3, 4, 8])("give PCR%i as the image's writer computed it", (index) => {
    const expected = readVectorJson(`${GROUP}/expected-pcrs.json`) as Record<string, string>;
    const answer = parse(`DescribePCR${index}`);
    expect(answer).toEqual({
      name: "DescribePCR",
      pcr: { locked: true, value: decodeHex(expected[`PCR${index}`] ?? "") },
    });
  });

  it("give a description, an extension, a lock, random bytes and refusals", () => {
    expect(parse("DescribeNSM")).toMatchObject({
      name: "DescribeNSM",
      description: {
        moduleId: "i-0123456789abcdef0-enc0123456789abcde",
        maxPcrs: 32,
        lockedPcrs: Array.from({ length: 16 }, (_, index) => index),
      },
    });
    const { value } = { value: new Uint8Array(0), ...parse("ExtendPCR16") };
    expect(encodeHex(value).slice(0, 16)).toBe("30e84b2d7eeffe6d");
    expect(parse("LockPCR16")).toEqual({ name: "LockPCR" });
    const { random } = { random: new Uint8Array(0), ...parse("GetRandom") };
    expect(random.length).toBe(256);
    expect(parse("DescribePCR32")).toEqual({ name: "Error", error: "InvalidIndex" });
    expect(parse("ExtendPCR0")).toEqual({ name: "Error", error: "ReadOnlyIndex" });
  });

  it.each(["all", "nulls", "order2", "max", "toolong"])("carry document %s", (name) => {
    const answer = parse(`Attestation_${name}`);
    expect(answer).toEqual({
      name: "Attestation",
      document: readVector(`${GROUP}/attestation-doc-${name}.bin`),
    });
  });
});

describe("requests", () => {
  const profile = { form: "vendor", maxBytes: 4096, maxDepth: 3, maxItems: 16 } as const;
  const decode = (request: NsmRequest): unknown => decodeCbor(encodeNsmRequest(request), profile);

  it("are what the NSM API takes", () => {
    expect(decode({ name: "DescribeNSM" })).toBe("DescribeNSM");
    expect(decode({ name: "GetRandom" })).toBe("GetRandom");
    const index = new Map([["index", 16]]);
    expect(decode({ name: "DescribePCR", index: 16 })).toEqual(new Map([["DescribePCR", index]]));
    expect(decode({ name: "LockPCR", index: 16 })).toEqual(new Map([["LockPCR", index]]));
    const data = encodeUtf8("hello");
    expect(decode({ name: "ExtendPCR", index: 16, data })).toEqual(
      new Map([
        [
          "ExtendPCR",
          new Map<string, unknown>([
            ["index", 16],
            ["data", data],
          ]),
        ],
      ]),
    );
    const nonce = new Uint8Array(32);
    expect(decode({ name: "Attestation", userData: null, nonce, publicKey: null })).toEqual(
      new Map([
        [
          "Attestation",
          new Map<string, unknown>([
            ["user_data", null],
            ["nonce", nonce],
            ["public_key", null],
          ]),
        ],
      ]),
    );
  });

  it.each([
    ["userData", 512],
    ["nonce", 512],
    ["publicKey", 1024],
  ])("take %s of %i bytes, and not one more", (field, limit) => {
    const none = { userData: null, nonce: null, publicKey: null };
    const ask = (length: number): Uint8Array =>
      encodeNsmRequest({ name: "Attestation", ...none, [field]: new Uint8Array(length) });
    expect(ask(limit).length).toBeGreaterThan(limit);
    expect(() => ask(limit + 1)).toThrow("nsm/refused");
  });
});

describe("answers that no module gives", () => {
  it.each([
    ["an unknown error", "a1654572726f72674e6f5468696e67"],
    ["an unknown name", "a1634164646101"],
    ["an empty map", "a0"],
    ["two answers", "a2674c6f636b504352f6654572726f7264"],
    ["a short register", "a169457874656e64504352a164646174614100"],
    ["a lock that is no boolean", "a16b4465736372696265504352a264646174614100646c6f636b01"],
    ["a field too many", "a169457874656e64504352a26464617461410061780a"],
    ["a number", "01"],
    ["nothing", ""],
  ])("are refused: %s", (_, hex) => {
    expect(() => parseNsmResponse(decodeHex(hex) ?? new Uint8Array(0))).toThrow("nsm/malformed");
  });
});
