import fc from "fast-check";
import { expect, it } from "vitest";
import {
  type Bundle,
  type CborKey,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeBundle,
  encodeCbor,
  MAX_BUNDLE_BYTES,
  parseBundle,
} from "@countersign/attestation";
import { refusalOf } from "../../fakes/refusal.ts";

const part = fc.uint8Array({ minLength: 1, maxLength: 300 });
const bundles: fc.Arbitrary<Bundle> = fc.record({
  platform: fc.stringMatching(/^[!-~]{1,128}$/u),
  evidence: part,
  binding: part,
  keyset: part,
  models: part,
  config: part,
  endorsements: fc
    .array(fc.tuple(fc.stringMatching(/^[!-~]{1,20}$/u), fc.uint8Array({ maxLength: 50 })), {
      maxLength: 4,
    })
    .map((entries) => new Map(entries)),
});

const BUNDLE: Bundle = {
  platform: "simulated",
  evidence: new Uint8Array(9),
  binding: new Uint8Array(1),
  keyset: new Uint8Array(2),
  models: new Uint8Array(3),
  config: new Uint8Array(4),
  endorsements: new Map([["vcek", new Uint8Array(5)]]),
};

it("parses what it encodes", () => {
  fc.assert(
    fc.property(bundles, (bundle) => {
      expect(parseBundle(encodeBundle(bundle))).toEqual(bundle);
    }),
  );
});

it("gives a value or our error for any bytes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      await refusalOf(() => parseBundle(bytes));
    }),
  );
});

it("gives every truncation our error", async () => {
  const bytes = encodeBundle(BUNDLE);
  for (let length = 0; length < bytes.length; length++) {
    expect(await refusalOf(() => parseBundle(bytes.slice(0, length)))).toBe("cbor/truncated");
  }
});

it("refuses keys, types and sizes that are not as agreed", async () => {
  const with1 = (key: CborKey, value: CborValue): readonly [CborKey, CborValue] => [key, value];
  const many = new Map(Array.from({ length: 17 }, (_, i) => [`e${i}`, new Uint8Array(1)] as const));
  const changes = [
    with1(1, "countersign/bundle/v2"),
    with1(2, "two words"),
    with1(2, 1),
    ...[3, 4, 5, 6, 7].map((key) => with1(key, new Uint8Array(0))),
    ...[3, 4, 5, 6, 7].map((key) => with1(key, "text")),
    with1(3, new Uint8Array(65_537)),
    with1(6, new Uint8Array(131_073)),
    with1(8, []),
    with1(8, new Map([["a", "text"]])),
    with1(8, new Map([["a b", new Uint8Array(1)]])),
    with1(8, many),
    with1(9, 0),
    with1("1", 0),
  ];
  for (const [key, value] of changes) {
    const map = decodeCbor(encodeBundle(BUNDLE), DETERMINISTIC);
    if (!(map instanceof Map)) throw new TypeError("no map");
    const bytes = encodeCbor(new Map<CborKey, CborValue>([...map, [key, value]]));
    expect(await refusalOf(() => parseBundle(bytes)), String(key)).toBe("bundle/structure");
  }
  const large = { ...BUNDLE, keyset: new Uint8Array(131_072), models: new Uint8Array(131_072) };
  expect(await refusalOf(() => encodeBundle(large))).toBe("cbor/too-large");
  expect(await refusalOf(() => parseBundle(new Uint8Array(MAX_BUNDLE_BYTES + 1)))).toBe(
    "cbor/too-large",
  );
});

it("gives copies: what is received may change afterwards", () => {
  const bytes = encodeBundle(BUNDLE);
  const parsed = parseBundle(bytes);
  bytes.fill(0xff);
  expect(parsed).toEqual(BUNDLE);
});
