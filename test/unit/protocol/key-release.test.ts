import { encodeCbor, encodeHex, encodeUtf8 } from "@countersign/attestation";
import {
  encodeKeyChallenge,
  encodeKeyRequest,
  generateRecipientKey,
  importRecipientKey,
  KEM_MLKEM768_X25519,
  type KeyRequest,
  MAX_KEY_ANSWER_BYTES,
  MAX_KEY_REQUEST_BYTES,
  openDataKey,
  parseKeyChallenge,
  parseKeyRequest,
  ProtocolError,
  sealDataKey,
} from "@countersign/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hex, native, providers, vectors } from "./support.ts";

const bytes = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value);

function codeOf(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

const CHALLENGE = { nonce: bytes(32), expires: 1_795_262_400 };
const REQUEST: KeyRequest = {
  platform: "aws-nitro",
  document: bytes(5000, 2),
  publicKey: bytes(1216, 3),
  modelDigest: bytes(32, 4),
  envelope: bytes(100, 5),
};

type Rows = readonly (readonly [number, Parameters<typeof encodeCbor>[0]])[];
const CHALLENGE_ROWS: Rows = [
  [1, "countersign/key-challenge/v1"],
  [2, CHALLENGE.nonce],
  [3, CHALLENGE.expires],
];
const REQUEST_ROWS: Rows = [
  [1, "countersign/key-request/v1"],
  [2, REQUEST.platform],
  [3, REQUEST.document],
  [4, REQUEST.publicKey],
  [5, REQUEST.modelDigest],
  [6, REQUEST.envelope],
];
const written = (rows: Rows): Uint8Array => encodeCbor(new Map(rows));
const changed = (rows: Rows, key: number, value: Rows[number][1]): Uint8Array =>
  written(rows.map(([other, old]) => [other, other === key ? value : old]));

describe("challenge and request", () => {
  it("are deterministic CBOR, and read as they were written", () => {
    expect(encodeKeyChallenge(CHALLENGE)).toEqual(written(CHALLENGE_ROWS));
    expect(encodeKeyRequest(REQUEST)).toEqual(written(REQUEST_ROWS));
    expect(parseKeyChallenge(encodeKeyChallenge(CHALLENGE))).toEqual(CHALLENGE);
    expect(parseKeyRequest(encodeKeyRequest(REQUEST))).toEqual(REQUEST);
  });

  it("are refused with a key less, a key more, or a byte behind them", () => {
    for (const [rows, parse] of [
      [CHALLENGE_ROWS, parseKeyChallenge],
      [REQUEST_ROWS, parseKeyRequest],
    ] as const) {
      for (const [key] of rows) {
        const rest = rows.filter(([other]) => other !== key);
        expect(codeOf(() => parse(written(rest)))).toBe("key-release/structure");
      }
      const more = written([...rows, [7, 1]]);
      expect(codeOf(() => parse(more))).toBe("key-release/structure");
      const longer = Uint8Array.of(...written(rows), 0);
      expect(codeOf(() => parse(longer))).toBe("key-release/structure");
    }
  });

  it("are not taken for each other", () => {
    expect(codeOf(() => parseKeyRequest(written(CHALLENGE_ROWS)))).toBe("key-release/structure");
    expect(codeOf(() => parseKeyChallenge(written(REQUEST_ROWS)))).toBe("key-release/structure");
  });
});

describe("a challenge", () => {
  it.each([
    [2, bytes(31)],
    [2, bytes(33)],
    [2, "text"],
    [3, -1],
    [3, "soon"],
    [3, 2n ** 60n],
  ] as const)("is refused where key %i is %s", (key, value) => {
    const wrong = changed(CHALLENGE_ROWS, key, value);
    expect(codeOf(() => parseKeyChallenge(wrong))).toBe("key-release/structure");
  });
});

describe("a request", () => {
  it.each([
    [2, ""],
    [2, "two words"],
    [2, "x".repeat(129)],
    [2, bytes(3)],
    [3, bytes(0)],
    [3, bytes(65_537)],
    [4, bytes(1215)],
    [4, bytes(1217)],
    [5, bytes(31)],
    [5, bytes(33)],
    [6, bytes(0)],
    [6, bytes(8193)],
  ] as const)("is refused where key %i is wrong", (key, value) => {
    const wrong = changed(REQUEST_ROWS, key, value);
    expect(codeOf(() => parseKeyRequest(wrong))).toBe("key-release/structure");
  });

  it("fits its limit with the longest parts, and is refused beyond it", () => {
    const longest = { ...REQUEST, platform: "x".repeat(128), document: bytes(65_536) };
    const encoded = encodeKeyRequest({ ...longest, envelope: bytes(8192) });
    expect(encoded.length).toBeLessThanOrEqual(MAX_KEY_REQUEST_BYTES);
    const beyond = new Uint8Array(MAX_KEY_REQUEST_BYTES + 1);
    expect(() => parseKeyRequest(beyond)).toThrow("cbor/too-large");
  });

  it("of any bytes is a value or our error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (any) => {
        for (const parse of [parseKeyRequest, parseKeyChallenge]) {
          expect(["key-release/structure", null]).toContain(codeOf(() => parse(any)));
        }
      }),
    );
  });
});

describe.each(providers)("a data key over %s", (_, p) => {
  const document = encodeUtf8("an attestation document");
  const dataKey = Uint8Array.from({ length: 32 }, (__, index) => index);

  it("is for the holder of the private key and this document", async () => {
    const key = await generateRecipientKey(p, KEM_MLKEM768_X25519);
    const response = await sealDataKey(p, key.publicKey, document, dataKey);
    expect(response.length).toBeLessThanOrEqual(MAX_KEY_ANSWER_BYTES);
    expect(Buffer.from(response).includes(Buffer.from(dataKey))).toBe(false);
    expect(await openDataKey(p, key, document, response)).toEqual(dataKey);
    const again = await sealDataKey(p, key.publicKey, document, dataKey);
    expect(encodeHex(again)).not.toBe(encodeHex(response));
  });

  it("opens for nobody else and for no other document", async () => {
    const key = await generateRecipientKey(p, KEM_MLKEM768_X25519);
    const other = await generateRecipientKey(p, KEM_MLKEM768_X25519);
    const response = await sealDataKey(p, key.publicKey, document, dataKey);
    await expect(openDataKey(p, other, document, response)).rejects.toThrow("hpke/open");
    const another = encodeUtf8("another document");
    await expect(openDataKey(p, key, another, response)).rejects.toThrow("hpke/open");
    key.destroy();
    await expect(openDataKey(p, key, document, response)).rejects.toThrow("hpke/destroyed");
  });
});

describe("a response", () => {
  const document = encodeUtf8("an attestation document");

  it("opens only as it was sent: each of its bytes counts", async () => {
    const key = await generateRecipientKey(native, KEM_MLKEM768_X25519);
    const response = await sealDataKey(native, key.publicKey, document, bytes(32));
    for (let at = 0; at < response.length; at += 5) {
      const wrong = response.slice();
      wrong[at] = (wrong[at] ?? 0) ^ 0x10;
      await expect(openDataKey(native, key, document, wrong)).rejects.toThrow(ProtocolError);
      await expect(openDataKey(native, key, document, response.subarray(0, at))).rejects.toThrow(
        "key-release/structure",
      );
    }
  });

  it("is not made for a public key that is none, nor of a data key that is none", async () => {
    const noKey = bytes(1216, 0xff);
    await expect(sealDataKey(native, noKey, document, bytes(32))).rejects.toThrow("hpke/key");
    const key = await generateRecipientKey(native, KEM_MLKEM768_X25519);
    await expect(sealDataKey(native, key.publicKey, document, bytes(31))).rejects.toThrow(
      TypeError,
    );
  });

  it.each(providers)("made by another implementation opens, over %s", async (_, p) => {
    const vector = vectors<Readonly<Record<string, string>>>("key-release/response.json");
    const of = (field: string): Uint8Array => hex(vector[field] ?? "");
    const key = await importRecipientKey(p, KEM_MLKEM768_X25519, of("privateKey"));
    const opened = await openDataKey(p, key, of("document"), of("response"));
    expect(encodeHex(opened)).toBe(vector["dataKey"]);
  });
});
