import fc from "fast-check";
import { expect, it } from "vitest";
import {
  assembleReceipt,
  type CborKey,
  CborTag,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  encodeHex,
  encodeReceiptClaims,
  exchangeId,
  importReceiptKey,
  isLowS,
  lowS,
  parseReceipt,
  PHASES,
  type ReceiptClaims,
  receiptToBeSigned,
  verifyReceipt,
  webHashes,
} from "@countersign/attestation";
import { seededRandom, sha256, signReceipt } from "../../fakes/attester.ts";
import { refusalOf } from "../../fakes/refusal.ts";
import { ecdsa, signingKey } from "../../fakes/x509.ts";

const random = seededRandom("receipt");
const KEY = signingKey("P-256", random(32));

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const uint = fc.maxSafeNat();
const name = fc.stringMatching(/^[!-~]{1,128}$/u);
const head = fc.record({ leaves: uint, root: digest, bytes: uint });
const claimsArbitrary: fc.Arbitrary<ReceiptClaims> = fc.record({
  issuedAt: uint,
  exchange: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  keysetDigest: digest,
  documentDigest: digest,
  index: uint,
  phase: fc.constantFrom(...PHASES),
  model: fc.option(fc.record({ id: name, version: name, digest })),
  request: head,
  response: head,
  outcome: fc.record(
    {
      status: fc.integer({ min: 200, max: 999 }),
      finishReason: name,
      promptTokens: uint,
      completionTokens: uint,
      seed: fc.maxSafeInteger(),
      parameters: digest,
    },
    { requiredKeys: ["status"] },
  ),
  previous: fc.option(digest),
});

const CLAIMS: ReceiptClaims = {
  issuedAt: 1_795_262_400,
  exchange: random(16),
  keysetDigest: random(32),
  documentDigest: random(32),
  index: 7,
  phase: "final",
  model: { id: "digits", version: "1", digest: random(32) },
  request: { leaves: 2, root: random(32), bytes: 120 },
  response: { leaves: 3, root: random(32), bytes: 240 },
  outcome: { status: 200 },
  previous: null,
};

it("parses what it assembles", () => {
  fc.assert(
    fc.property(claimsArbitrary, (claims) => {
      const payload = encodeReceiptClaims(claims);
      const signature = lowS("P-256", new Uint8Array(64).fill(1));
      const receipt = assembleReceipt(payload, signature);
      expect(parseReceipt(receipt)).toEqual({ claims, payload, signature });
    }),
  );
});

it("is about as small as it can be", () => {
  expect(signReceipt(KEY, CLAIMS).length).toBeLessThan(600);
});

it("verifies under its key, whichever s the signer made", async () => {
  const key = await importReceiptKey(KEY.point);
  const payload = encodeReceiptClaims(CLAIMS);
  const seen = new Set<boolean>();
  for (let i = 0; i < 64 && seen.size < 2; i++) {
    const signature = ecdsa("sha256", KEY.privateKey, receiptToBeSigned(payload));
    seen.add(isLowS("P-256", signature));
    const receipt = parseReceipt(assembleReceipt(payload, signature));
    expect(isLowS("P-256", receipt.signature)).toBe(true);
    expect(await refusalOf(() => verifyReceipt(receipt, key))).toBeNull();
  }
  expect(seen.size).toBe(2);
});

it("refuses the other s, another key and any change", async () => {
  const key = await importReceiptKey(KEY.point);
  const bytes = signReceipt(KEY, CLAIMS);
  const receipt = parseReceipt(bytes);
  const high = { ...receipt, signature: negatedS(receipt.signature) };
  expect(isLowS("P-256", high.signature)).toBe(false);
  expect(await refusalOf(() => verifyReceipt(high, key))).toBe("receipt/signature");
  const other = await importReceiptKey(signingKey("P-256", random(32)).point);
  expect(await refusalOf(() => verifyReceipt(receipt, other))).toBe("receipt/signature");
  for (let i = 0; i < bytes.length; i++) {
    const changed = bytes.with(i, (bytes[i] ?? 0) ^ (1 << (i % 8)));
    expect(await refusalOf(() => verifyReceipt(parseReceipt(changed), key)), `byte ${i}`).not.toBe(
      null,
    );
  }
});

it("refuses a key that is not on the curve", async () => {
  const point = KEY.point.with(64, (KEY.point[64] ?? 0) ^ 1);
  expect(await refusalOf(() => importReceiptKey(point))).toBe("keyset/structure");
});

it("signs what RFC 9052 §4.4 says", () => {
  const payload = Uint8Array.of(0xa0);
  const hex = "846a5369676e61747572653143a10126" + "40" + "41a0";
  expect(encodeHex(receiptToBeSigned(payload))).toBe(hex);
});

it("assembles no signature that is out of range", () => {
  const payload = encodeReceiptClaims(CLAIMS);
  for (const length of [0, 63, 65]) {
    expect(() => assembleReceipt(payload, new Uint8Array(length).fill(1))).toThrow(TypeError);
  }
  expect(() => assembleReceipt(payload, new Uint8Array(64))).toThrow(TypeError);
  expect(() => assembleReceipt(payload, new Uint8Array(64).fill(0xff))).toThrow(TypeError);
});

type Change = (claims: Map<CborKey, CborValue>) => void;
const put =
  (key: CborKey, value: CborValue): Change =>
  (map) =>
    map.set(key, value);
const drop =
  (key: CborKey): Change =>
  (map) =>
    map.delete(key);

function changedClaims(change: Change): Uint8Array {
  const value = decodeCbor(encodeReceiptClaims(CLAIMS), DETERMINISTIC);
  if (!(value instanceof Map)) throw new TypeError("no map");
  const map = new Map<CborKey, CborValue>(value);
  change(map);
  const payload = encodeCbor(map);
  return assembleReceipt(payload, ecdsa("sha256", KEY.privateKey, receiptToBeSigned(payload)));
}

it("refuses claims that are not as agreed, signed or not", async () => {
  const root = random(32);
  const keys = [6, 7, 265, -70001, -70002, -70003, -70004, -70005, -70006, -70007];
  const changes = [
    ...keys.map(drop),
    put(6, -1),
    put(6, 1n << 60n),
    put(7, random(15)),
    put(7, random(17)),
    put(265, "countersign/receipt/v2"),
    put(-70001, [random(32)]),
    put(-70001, [random(32), random(31)]),
    put(-70001, [random(32), random(32), random(32)]),
    put(-70003, "done"),
    put(-70003, 1),
    put(-70004, []),
    put(-70004, ["digits", "1", random(31)]),
    put(-70004, ["two words", "1", root]),
    put(-70005, [1, root]),
    put(-70005, [-1, root, 0]),
    put(-70005, [1, root, -1]),
    put(-70006, [1, random(31), 0]),
    put(-70006, ["1", root, 0]),
    put(-70007, 200),
    put(-70007, new Map()),
    put(-70007, new Map([[1, 99]])),
    put(-70007, new Map([[1, 1000]])),
    put(-70007, outcome(2, "two words")),
    put(-70007, outcome(3, -1)),
    put(-70007, outcome(4, "1")),
    put(-70007, outcome(5, "1")),
    put(-70007, outcome(6, random(31))),
    put(-70007, outcome(7, 0)),
    put(-70008, random(31)),
    put(-70008, null),
    put(-70009, 0),
    put("extra", 0),
  ];
  for (const change of changes) {
    const code = await refusalOf(() => parseReceipt(changedClaims(change)));
    expect(code, change.toString()).toBe("receipt/structure");
  }
  expect(await refusalOf(() => parseReceipt(changedClaims(put(-70002, -1))))).toBe("receipt/index");
});

function outcome(key: number, value: CborValue): CborValue {
  return new Map<CborKey, CborValue>([
    [1, 200],
    [key, value],
  ]);
}

it("refuses every other envelope", async () => {
  const payload = encodeReceiptClaims(CLAIMS);
  const signature = new Uint8Array(64).fill(1);
  const header = Uint8Array.of(0xa1, 0x01, 0x26);
  const genuine: readonly CborValue[] = [header, new Map(), payload, signature];
  const at = (i: number, value: CborValue): Uint8Array =>
    encodeCbor(new CborTag(18, genuine.with(i, value)));
  const cases = [
    [encodeCbor(genuine), "cose/structure"],
    [encodeCbor(new CborTag(17, genuine)), "cose/structure"],
    [at(0, Uint8Array.of(0xa1, 0x01, 0x38, 0x22)), "cose/protected"],
    [at(1, new Map([[4, new Uint8Array(1)]])), "cose/unprotected"],
    [at(2, null), "cose/structure"],
    [at(3, new Uint8Array(63).fill(1)), "cose/signature-format"],
    [at(3, new Uint8Array(64)), "cose/signature-format"],
    [at(2, new Uint8Array(4096)), "cbor/too-large"],
  ] as const;
  expect(await refusalOf(() => parseReceipt(at(0, header)))).toBeNull();
  for (const [bytes, code] of cases) expect(await refusalOf(() => parseReceipt(bytes))).toBe(code);
});

it("gives a value or our error for any bytes", async () => {
  const genuine = signReceipt(KEY, CLAIMS);
  const cut = fc.nat(genuine.length - 1).map((length) => genuine.slice(0, length));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), cut), async (bytes) => {
      expect(await refusalOf(() => parseReceipt(bytes))).not.toBeNull();
    }),
  );
});

it("names an exchange by its encapsulation", async () => {
  const enc = random(1120);
  const wanted = sha256(Buffer.concat([Buffer.from("countersign/exchange/v1\0"), enc]));
  expect(await exchangeId(webHashes, enc)).toEqual(wanted.slice(0, 16));
});

/** n − s, by BigInt. */
function negatedS(signature: Uint8Array): Uint8Array {
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const s = BigInt(`0x${encodeHex(signature.subarray(32))}`);
  const other = Buffer.from((n - s).toString(16).padStart(64, "0"), "hex");
  return new Uint8Array(Buffer.concat([signature.subarray(0, 32), other]));
}
