import {
  CborTag,
  type CborKey,
  type CborProfile,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
} from "@countersign/attestation";
import { Decoder } from "cbor-x";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hex } from "../../fakes/nitro.ts";
import { missing, readVectorJson } from "../../shared.ts";
import { codeOf } from "./refused.ts";

const VENDOR: CborProfile = { ...DETERMINISTIC, form: "vendor" };

function decode(text: string, profile: CborProfile = DETERMINISTIC): CborValue {
  return decodeCbor(hex(text), profile);
}

/** Our values as JSON has them, integers beyond 53 bits rounded as JSON.parse rounds them. */
function plain(value: CborValue): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array || value instanceof CborTag) return value;
  if (Array.isArray(value)) return value.map((item: CborValue) => plain(item));
  if (value instanceof Map) {
    const members = [...value].map(([key, item]: [CborKey, CborValue]) => [key, plain(item)]);
    return Object.fromEntries(members) as unknown;
  }
  return value;
}

describe("RFC 8949 Appendix A", () => {
  interface Example {
    readonly hex: string;
    readonly roundtrip: boolean;
    readonly decoded?: unknown;
    readonly diagnostic?: string;
  }
  /** Supported, and written in diagnostic notation in the file. */
  const diagnosed: ReadonlyMap<string, CborValue> = new Map<string, CborValue>([
    ["c074323031332d30332d32315432303a30343a30305a", new CborTag(0, "2013-03-21T20:04:00Z")],
    ["c11a514b67b0", new CborTag(1, 1_363_896_240)],
    ["d74401020304", new CborTag(23, hex("01020304"))],
    ["d818456449455446", new CborTag(24, hex("6449455446"))],
    [
      "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
      new CborTag(32, "http://www.example.com"),
    ],
    ["40", new Uint8Array()],
    ["4401020304", hex("01020304")],
    [
      "a201020304",
      new Map([
        [1, 2],
        [3, 4],
      ]),
    ],
    ["c249010000000000000000", new CborTag(2, hex("010000000000000000"))],
    ["c349010000000000000000", new CborTag(3, hex("010000000000000000"))],
  ]);
  const first = (example: Example): number => parseInt(example.hex.slice(0, 2), 16);
  const SIMPLE = ["f4", "f5", "f6"];
  /** Floats, undefined and other simple values, the tagged float, indefinite lengths. */
  const unsupported = (example: Example): boolean =>
    (first(example) >= 0xe0 && !SIMPLE.includes(example.hex)) ||
    example.hex.startsWith("c1fb") ||
    (!example.roundtrip && first(example) < 0xe0);

  it.skipIf(missing("cbor"))("decodes the supported subset exactly and refuses the rest", () => {
    const examples = readVectorJson<readonly Example[]>("cbor/rfc8949-appendix-a.json");
    expect(examples).toHaveLength(82);
    const refused = examples.filter(unsupported);
    for (const example of refused) {
      const code = codeOf(() => decode(example.hex));
      expect(`${example.hex}: ${code}`).toMatch(/: cbor\/(unsupported|indefinite)$/u);
    }
    const supported = examples.filter((example) => !unsupported(example));
    for (const example of supported) {
      const value = decode(example.hex);
      const known = diagnosed.get(example.hex);
      const read = known === undefined ? plain(value) : value;
      expect([example.hex, read]).toEqual([example.hex, known ?? example.decoded]);
      expect(encodeCbor(value)).toEqual(hex(example.hex));
    }
    expect([supported.length, refused.length]).toEqual([44, 38]);
  });

  it("takes an indefinite map from a vendor only, outermost only", () => {
    const map = "bf6346756ef563416d7421ff";
    expect(decode(map, VENDOR)).toEqual(
      new Map<string, CborValue>([
        ["Fun", true],
        ["Amt", -2],
      ]),
    );
    expect(codeOf(() => decode(map))).toBe("cbor/indefinite");
    expect(codeOf(() => decode("826161bf61626163ff", VENDOR))).toBe("cbor/indefinite");
    expect(codeOf(() => decode("a16161bf61626163ff", VENDOR))).toBe("cbor/indefinite");
    expect(codeOf(() => decode("d2bf61626163ff", VENDOR))).toBe("cbor/indefinite");
    for (const other of ["9fff", "5f42010243030405ff", "7f657374726561646d696e67ff"]) {
      expect(codeOf(() => decode(other, VENDOR))).toBe("cbor/indefinite");
    }
    expect(codeOf(() => decode("bf6161", VENDOR))).toBe("cbor/truncated");
    expect(codeOf(() => decode("bf616101", VENDOR))).toBe("cbor/truncated");
    expect(codeOf(() => decode("bf6161ff", VENDOR))).toBe("cbor/unsupported");
    expect(codeOf(() => decode("bf616101616102ff", VENDOR))).toBe("cbor/duplicate-key");
    expect(decode("bfff", VENDOR)).toEqual(new Map());
  });
});

describe("decodeCbor", () => {
  it.each([
    ["1800", "cbor/non-minimal"],
    ["1817", "cbor/non-minimal"],
    ["1900ff", "cbor/non-minimal"],
    ["1a0000ffff", "cbor/non-minimal"],
    ["1b00000000ffffffff", "cbor/non-minimal"],
    ["3817", "cbor/non-minimal"],
    ["580100", "cbor/non-minimal"],
    ["780161", "cbor/non-minimal"],
    ["980100", "cbor/non-minimal"],
    ["b8010101", "cbor/non-minimal"],
    ["d81200", "cbor/non-minimal"],
    ["1c", "cbor/unsupported"],
    ["fd", "cbor/unsupported"],
    ["ff", "cbor/unsupported"],
    ["f814", "cbor/unsupported"],
    ["f7", "cbor/unsupported"],
    ["dbffffffffffffffff00", "cbor/unsupported"],
    ["1f", "cbor/indefinite"],
    ["dfff", "cbor/indefinite"],
    ["", "cbor/truncated"],
    ["18", "cbor/truncated"],
    ["1b00000001000000", "cbor/truncated"],
    ["4201", "cbor/truncated"],
    ["6261", "cbor/truncated"],
    ["8201", "cbor/truncated"],
    ["a101", "cbor/truncated"],
    ["d2", "cbor/truncated"],
    ["0000", "cbor/trailing"],
    ["a0f6", "cbor/trailing"],
    ["a201010102", "cbor/duplicate-key"],
    ["a2616101616102", "cbor/duplicate-key"],
    ["a202010101", "cbor/key-order"],
    ["a220010101", "cbor/key-order"],
    ["a26162016161ff", "cbor/key-order"],
    ["a2626161016162ff", "cbor/key-order"],
    ["a1400 1".replace(" ", ""), "cbor/key-type"],
    ["a18001", "cbor/key-type"],
    ["a1f501", "cbor/key-type"],
    ["a1c10101", "cbor/key-type"],
    ["61ff", "cbor/utf8"],
    ["62c080", "cbor/utf8"],
    ["63eda080", "cbor/utf8"],
    ["64f4908080", "cbor/utf8"],
  ] as const)("refuses %s: %s", (text, code) => {
    expect(codeOf(() => decode(text))).toBe(code);
  });

  it("takes unsorted keys from a vendor, never two equal ones", () => {
    expect(decode("a202010101", VENDOR)).toEqual(
      new Map([
        [2, 1],
        [1, 1],
      ]),
    );
    expect(codeOf(() => decode("a202010201", VENDOR))).toBe("cbor/duplicate-key");
  });

  it("keeps integers exact on both sides of 2^32, 2^53 and 2^64", () => {
    expect(decode("1affffffff")).toBe(0xffff_ffff);
    expect(decode("1b0000000100000000")).toBe(2 ** 32);
    expect(decode("1b001fffffffffffff")).toBe(Number.MAX_SAFE_INTEGER);
    expect(decode("1b0020000000000000")).toBe(2n ** 53n);
    expect(decode("1b0020000000000001")).toBe(2n ** 53n + 1n);
    expect(decode("1bffffffffffffffff")).toBe(2n ** 64n - 1n);
    expect(decode("3b001ffffffffffffe")).toBe(-Number.MAX_SAFE_INTEGER);
    expect(decode("3b001fffffffffffff")).toBe(-(2n ** 53n));
    expect(decode("3bffffffffffffffff")).toBe(-(2n ** 64n));
  });

  it("keeps a byte order mark and text that JSON would trip over", () => {
    expect(decode("64efbbbf61")).toBe("\uFEFFa");
    expect(decode("a1695f5f70726f746f5f5f01")).toEqual(new Map([["__proto__", 1]]));
  });

  it("gives copies, of a Node Buffer too", () => {
    const input = Buffer.from("43010203", "hex");
    const value = decodeCbor(input, DETERMINISTIC);
    input.fill(0);
    expect(value).toEqual(Uint8Array.of(1, 2, 3));
    expect(Buffer.isBuffer(value)).toBe(false);
  });

  it("holds its limits on both sides", () => {
    const limited = { ...DETERMINISTIC, maxBytes: 4, maxItems: 3, maxDepth: 1 };
    expect(decode("820101", limited)).toEqual([1, 1]);
    expect(codeOf(() => decode("83010101", limited))).toBe("cbor/too-large");
    expect(codeOf(() => decode("8443010203", limited))).toBe("cbor/too-large");
    expect(decode("8180", limited)).toEqual([[]]);
    expect(codeOf(() => decode("818100", limited))).toBe("cbor/too-deep");
    expect(codeOf(() => decode("81c100", limited))).toBe("cbor/too-deep");
    expect(codeOf(() => decode("a101a0", { ...limited, maxDepth: 0 }))).toBe("cbor/too-deep");
  });

  it("meets bombs without allocating for them", () => {
    const started = performance.now();
    for (const level of ["81", "a101", "d2"]) {
      expect(codeOf(() => decode(level.repeat(100_000)))).toBe("cbor/too-deep");
    }
    for (const length of [
      "5bffffffffffffffff",
      "7b001fffffffffffff",
      "9affffffff",
      "bb0010000000000000",
    ]) {
      expect(codeOf(() => decode(length))).toBe("cbor/truncated");
      expect(codeOf(() => decode(`${length}00`))).toBe("cbor/truncated");
    }
    const wide = new Uint8Array(70_004).fill(0);
    wide.set(hex("9a0001116f"));
    expect(codeOf(() => decodeCbor(wide, DETERMINISTIC))).toBe("cbor/too-large");
    expect(
      codeOf(() => decodeCbor(new Uint8Array(DETERMINISTIC.maxBytes + 1), DETERMINISTIC)),
    ).toBe("cbor/too-large");
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe("encodeCbor", () => {
  it("refuses what has no encoding of its own", () => {
    const unencodable: readonly CborValue[] = [
      1.5,
      Number.NaN,
      2 ** 53,
      2n ** 64n,
      -(2n ** 64n) - 1n,
      "\uD800",
      new Map<CborKey, CborValue>([
        [1, 1],
        [1n, 2],
      ]),
      new CborTag(-1, 0),
      new CborTag(1.5, 0),
    ];
    for (const value of unencodable) expect(() => encodeCbor(value)).toThrow(TypeError);
  });

  it("writes the extremes of 64 bits", () => {
    expect(encodeCbor(2n ** 64n - 1n)).toEqual(hex("1bffffffffffffffff"));
    expect(encodeCbor(-(2n ** 64n))).toEqual(hex("3bffffffffffffffff"));
  });

  it("writes lists too long for a call's arguments", () => {
    const list = Array.from({ length: 65_535 }, () => Uint8Array.of(7));
    const encoded = encodeCbor(list);
    expect(encoded).toHaveLength(3 + 2 * 65_535);
    expect(decodeCbor(encoded, DETERMINISTIC)).toEqual(list);
  });
});

/** Values with a deterministic encoding that cbor-x represents without loss. */
const key = fc.oneof(
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.string({ maxLength: 12, unit: "grapheme" }),
);
const { value: anyValue } = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.string({ unit: "grapheme" }),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array(),
    fc.array(tie("value"), { maxLength: 6 }),
    fc
      .uniqueArray(fc.tuple(key, tie("value")), { maxLength: 6, selector: ([k]) => k })
      .map((entries) => new Map<CborKey, CborValue>(entries)),
  ),
}));

/** cbor-x's reading of the same bytes, as our types. */
function oracle(bytes: Uint8Array): unknown {
  const decoder = new Decoder({ mapsAsObjects: false, int64AsType: "auto" } as object);
  return normal(decoder.decode(Buffer.from(bytes)));
}

function normal(value: unknown): unknown {
  if (typeof value === "bigint" && value <= Number.MAX_SAFE_INTEGER) {
    return value >= Number.MIN_SAFE_INTEGER ? Number(value) : value;
  }
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (Array.isArray(value)) return value.map(normal);
  if (value instanceof Map) {
    return new Map([...value].map(([k, v]: [unknown, unknown]) => [normal(k), normal(v)]));
  }
  return value;
}

describe("properties", () => {
  it("encode ∘ decode is the identity, and cbor-x reads the same", () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const encoded = encodeCbor(value);
        expect(decodeCbor(encoded, DETERMINISTIC)).toEqual(value);
        expect(oracle(encoded)).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it("any bytes give a value that encodes to them, or our error", () => {
    const structured = anyValue
      .map(encodeCbor)
      .chain((bytes) =>
        fc
          .tuple(fc.nat(Math.max(0, bytes.length - 1)), fc.nat(255))
          .map(([at, byte]) => bytes.map((old, index) => (index === at ? byte : old))),
      );
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), structured), (bytes) => {
        for (const profile of [DETERMINISTIC, VENDOR]) {
          let again: Uint8Array | null = null;
          const code = codeOf(() => {
            again = encodeCbor(decodeCbor(bytes, profile));
          });
          // codeOf rethrows what is not our error.
          expect(code ?? "cbor/").toMatch(/^cbor\//u);
          const identical = code !== null || profile === VENDOR ? bytes : again;
          expect(identical).toEqual(bytes);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe("maps", () => {
  const of = (entries: number): Uint8Array =>
    encodeCbor(new Map(Array.from({ length: entries }, (_, i): [CborKey, CborValue] => [i, 0])));

  it("hold at most 512 entries, which bounds what colliding keys can cost", () => {
    expect(decodeCbor(of(512), DETERMINISTIC)).toHaveProperty("size", 512);
    expect(codeOf(() => decodeCbor(of(513), DETERMINISTIC))).toBe("cbor/too-large");
    const indefinite = (entries: number): Uint8Array =>
      Uint8Array.of(0xbf, ...of(entries).subarray(3), 0xff);
    expect(decodeCbor(indefinite(512), VENDOR)).toHaveProperty("size", 512);
    expect(codeOf(() => decodeCbor(indefinite(513), VENDOR))).toBe("cbor/too-large");
  });
});
