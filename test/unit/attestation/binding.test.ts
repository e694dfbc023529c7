import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AttestationErrorCode,
  type CborKey,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  encodeEpochBinding,
  encodeKeyset,
  encodeModelSet,
  encodeRuntimeConfig,
  type EpochBinding,
  type ModelRef,
  modelsRegister,
  parseEpochBinding,
  parseKeyset,
  parseModelSet,
  parseRuntimeConfig,
  suiteOf,
} from "@countersign/attestation";
import { fakeKeyConfig, seededRandom } from "../../fakes/attester.ts";
import { refusalOf } from "../../fakes/refusal.ts";
import { signingKey } from "../../fakes/x509.ts";

const random = seededRandom("binding");
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const name = fc.stringMatching(/^[!-~]{1,128}$/u);
const uint = fc.maxSafeNat();

/** The map in `bytes`, changed and encoded again. */
function changed(bytes: Uint8Array, change: (map: Map<CborKey, CborValue>) => void): Uint8Array {
  const value = decodeCbor(bytes, DETERMINISTIC);
  if (!(value instanceof Map)) throw new TypeError("no map");
  const map = new Map<CborKey, CborValue>(value);
  change(map);
  return encodeCbor(map);
}

type Change = (map: Map<CborKey, CborValue>) => void;
const put =
  (key: CborKey, value: CborValue): Change =>
  (map) =>
    map.set(key, value);
const drop =
  (key: CborKey): Change =>
  (map) =>
    map.delete(key);

async function expectRefusals(
  bytes: Uint8Array,
  parse: (bytes: Uint8Array) => unknown,
  code: AttestationErrorCode,
  changes: readonly Change[],
): Promise<void> {
  expect(await refusalOf(() => parse(bytes))).toBeNull();
  for (const change of changes) {
    expect(await refusalOf(() => parse(changed(bytes, change))), change.toString()).toBe(code);
  }
}

/** Bytes give a value or our error, nothing else. */
function expectTotal(parse: (bytes: Uint8Array) => unknown, genuine: Uint8Array): Promise<void> {
  const flipped = fc
    .tuple(fc.nat(genuine.length - 1), fc.integer({ min: 1, max: 255 }))
    .map(([at, bits]) => genuine.map((byte, i) => (i === at ? byte ^ bits : byte)));
  return fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), flipped), async (bytes) => {
      await refusalOf(() => parse(bytes));
    }),
  );
}

const BINDING: EpochBinding = {
  keysetDigest: random(32),
  modelsDigest: random(32),
  configDigest: random(32),
  sequence: 3,
  notBefore: 1_795_262_400,
  notAfter: 1_795_269_600,
  previous: random(32),
};

describe("EpochBinding", () => {
  it("parses what it encodes", () => {
    const binding = fc
      .record({
        keysetDigest: digest,
        modelsDigest: digest,
        configDigest: digest,
        sequence: uint,
        notBefore: fc.nat(),
        lasts: fc.integer({ min: 1, max: 10_200 }),
        previous: fc.option(digest),
      })
      .map(({ lasts, ...rest }) => ({ ...rest, notAfter: rest.notBefore + lasts }));
    fc.assert(
      fc.property(binding, (value) => {
        expect(parseEpochBinding(encodeEpochBinding(value))).toEqual(value);
      }),
    );
  });

  it("fits user_data of the attestation process, 512 bytes", () => {
    const most = Number.MAX_SAFE_INTEGER;
    const large = { ...BINDING, sequence: most, notBefore: most - 1, notAfter: most };
    expect(encodeEpochBinding(large).length).toBeLessThanOrEqual(512);
  });

  it("takes no document for another purpose", async () => {
    const bytes = encodeEpochBinding(BINDING);
    await expectRefusals(bytes, parseEpochBinding, "binding/tag", [
      put(1, "countersign/kms/v1"),
      put(1, 1),
      drop(1),
    ]);
    expect(await refusalOf(() => parseEpochBinding(encodeCbor("text")))).toBe("binding/tag");
  });

  it("refuses keys, types and sizes that are not as agreed", async () => {
    await expectRefusals(encodeEpochBinding(BINDING), parseEpochBinding, "binding/structure", [
      ...[2, 3, 4, 5, 6, 7].map(drop),
      ...[2, 3, 4, 8].map((key) => put(key, new Uint8Array(31))),
      ...[2, 3, 4, 8].map((key) => put(key, new Uint8Array(33))),
      ...[5, 6, 7].map((key) => put(key, -1)),
      ...[5, 6, 7].map((key) => put(key, 1n << 60n)),
      put(8, null),
      put(9, 0),
      put("text", 0),
      put(7, BINDING.notBefore),
    ]);
    expect(await refusalOf(() => parseEpochBinding(new Uint8Array(513)))).toBe("binding/structure");
    expect(await refusalOf(() => parseEpochBinding(new Uint8Array(0)))).toBe("cbor/truncated");
  });

  it("gives a value or our error for any bytes", () =>
    expectTotal(parseEpochBinding, encodeEpochBinding(BINDING)));

  it("extends register 16 from zero", async () => {
    const models = random(32);
    const expected = createHash("sha384").update(new Uint8Array(48)).update(models).digest();
    expect(await modelsRegister(models)).toEqual(new Uint8Array(expected));
    expect(() => modelsRegister(random(31))).toThrow(TypeError);
  });
});

describe("Keyset", () => {
  const receiptKey = signingKey("P-256", random(32)).point;
  const keyset = { keyConfig: fakeKeyConfig("MLKEM768-X25519", random), receiptKey };
  const bytes = encodeKeyset(keyset);
  const coseKey = (change: Change): Change => {
    const { receiptKey: point } = keyset;
    const inner = encodeCbor(
      new Map<CborKey, CborValue>([
        [1, 2],
        [3, -7],
        [-1, 1],
        [-2, point.slice(1, 33)],
        [-3, point.slice(33)],
      ]),
    );
    return put(3, changed(inner, change));
  };

  it("parses what it encodes", () => {
    expect(parseKeyset(bytes)).toEqual(keyset);
    const x25519 = { keyConfig: fakeKeyConfig("X25519", random), receiptKey };
    expect(parseKeyset(encodeKeyset(x25519))).toEqual(x25519);
  });

  it("refuses keys, types and sizes that are not as agreed", async () => {
    await expectRefusals(bytes, parseKeyset, "keyset/structure", [
      put(1, "countersign/keyset/v2"),
      put(2, new Uint8Array(8)),
      put(2, new Uint8Array(4097)),
      put(2, "text"),
      put(4, 0),
      drop(2),
      drop(3),
      put(3, new Uint8Array(0)),
      put(3, encodeCbor(7)),
      coseKey(put(1, 1)),
      coseKey(put(3, -35)),
      coseKey(put(-1, 2)),
      coseKey(put(-2, random(31))),
      coseKey(put(-3, random(33))),
      coseKey(put(4, [2])),
      coseKey(drop(3)),
    ]);
    expect(await refusalOf(() => encodeKeyset({ ...keyset, receiptKey: random(65) }))).toBe(
      "keyset/structure",
    );
  });

  it("gives a value or our error for any bytes", () => expectTotal(parseKeyset, bytes));

  it("names the suites", () => {
    expect(suiteOf(fakeKeyConfig("X25519", random))).toBe("X25519/HKDF-SHA256/AES-256-GCM");
    const hybrid = "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM";
    expect(suiteOf(keyset.keyConfig)).toBe(hybrid);
  });

  it("refuses other algorithms, and any length but the one that fits", async () => {
    const config = keyset.keyConfig;
    const at = (offset: number, byte: number): Uint8Array => config.with(offset, byte);
    const end = config.length;
    expect(await refusalOf(() => suiteOf(at(1, 0x65)))).toBe("policy/suite");
    expect(await refusalOf(() => suiteOf(at(end - 1, 3)))).toBe("policy/suite");
    expect(await refusalOf(() => suiteOf(at(end - 3, 2)))).toBe("policy/suite");
    expect(await refusalOf(() => suiteOf(at(end - 5, 8)))).toBe("policy/suite");
    for (let length = 3; length < end; length++) {
      expect(await refusalOf(() => suiteOf(config.slice(0, length)))).toBe("keyset/structure");
    }
    expect(await refusalOf(() => suiteOf(Uint8Array.of(...config, 0)))).toBe("keyset/structure");
  });
});

describe("ModelSet", () => {
  const model = (id: string, version: string): ModelRef => ({ id, version, digest: random(32) });
  const set = [model("a", "1"), model("a", "2"), model("b", "1")];
  const bytes = encodeModelSet(set);
  const entry = (id: CborValue, version: CborValue, value: CborValue): Change =>
    put(2, [[id, version, value]]);

  it("parses what it encodes, sorted", () => {
    const models = fc.uniqueArray(fc.record({ id: name, version: name, digest }), {
      selector: ({ id, version }) => `${id} ${version}`,
      maxLength: 8,
    });
    fc.assert(
      fc.property(models, (value) => {
        const parsed = parseModelSet(encodeModelSet(value));
        expect(new Set(parsed)).toEqual(new Set(value));
        expect(parseModelSet(encodeModelSet(value.toReversed()))).toEqual(parsed);
      }),
    );
    expect(parseModelSet(bytes)).toEqual(set);
    expect(parseModelSet(encodeModelSet([]))).toEqual([]);
  });

  it("refuses what is unsorted, twice or malformed", async () => {
    await expectRefusals(bytes, parseModelSet, "models/structure", [
      put(1, "countersign/models/v2"),
      put(2, 0),
      put(2, [0]),
      put(2, [["a", "1"]]),
      put(2, [["a", "1", random(32), 0]]),
      put(2, [
        ["b", "1", random(32)],
        ["a", "1", random(32)],
      ]),
      put(2, [
        ["a", "1", random(32)],
        ["a", "1", random(32)],
      ]),
      entry("", "1", random(32)),
      entry("a b", "1", random(32)),
      entry("a\n", "1", random(32)),
      entry("é", "1", random(32)),
      entry("a".repeat(129), "1", random(32)),
      entry("a", "", random(32)),
      entry("a", 1, random(32)),
      entry("a", "1", random(31)),
      entry("a", "1", "digest"),
      put(3, 0),
      drop(2),
      put(
        2,
        Array.from({ length: 1025 }, (_, i) => [`m${String(i).padStart(4, "0")}`, "1", random(32)]),
      ),
    ]);
    expect(await refusalOf(() => encodeModelSet([model("a", "1"), model("a", "1")]))).toBe(
      "models/structure",
    );
  });

  it("gives a value or our error for any bytes", () => expectTotal(parseModelSet, bytes));
});

describe("RuntimeConfig", () => {
  const config = {
    engine: "onnxruntime",
    engineVersion: "1.30.0",
    limits: new Map([["maxRequestBytes", 1024]]),
    features: new Map<string, string | number | boolean>([
      ["padding", true],
      ["threads", 2],
      ["note", "a phrase"],
    ]),
  };
  const bytes = encodeRuntimeConfig(config);

  it("parses what it encodes", () => {
    const phrase = fc.stringMatching(/^[ -~]{0,256}$/u);
    const map = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<Map<string, T>> =>
      fc.array(fc.tuple(name, value), { maxLength: 5 }).map((entries) => new Map(entries));
    const configs = fc.record({
      engine: name,
      engineVersion: name,
      limits: map(uint),
      features: map(fc.oneof(phrase, uint, fc.boolean())),
    });
    fc.assert(
      fc.property(configs, (value) => {
        expect(parseRuntimeConfig(encodeRuntimeConfig(value))).toEqual(value);
      }),
    );
    expect(parseRuntimeConfig(bytes)).toEqual(config);
  });

  it("refuses keys, types and sizes that are not as agreed", async () => {
    const many = Array.from({ length: 257 }, (_, i): [string, number] => [`k${i}`, i]);
    await expectRefusals(bytes, parseRuntimeConfig, "config/structure", [
      put(1, "countersign/config/v2"),
      put(2, 1),
      put(3, "two words"),
      put(4, []),
      put(4, new Map([["a", -1]])),
      put(4, new Map([["a", "1"]])),
      put(4, new Map([[1, 1]])),
      put(4, new Map(many)),
      put(5, new Map([["a", -1]])),
      put(5, new Map([["a", null]])),
      put(5, new Map([["a", "line\n"]])),
      put(5, new Map([["a", "x".repeat(257)]])),
      put(5, new Map([["a b", 1]])),
      put(6, 0),
      drop(5),
    ]);
  });

  it("gives a value or our error for any bytes", () => expectTotal(parseRuntimeConfig, bytes));
});
