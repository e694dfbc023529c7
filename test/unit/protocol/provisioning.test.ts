import { type CborValue, encodeCbor } from "@countersign/attestation";
import {
  encodeProvisioning,
  LIMIT_RANGES,
  MAX_ENVELOPE_BYTES,
  MAX_MODELS,
  parseProvisioning,
  type Provisioning,
  type ProvisioningLimits,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { codeOf, hex } from "./support.ts";

const LIMITS: ProvisioningLimits = {
  maxRequestBytes: 1 << 20,
  queueLength: 64,
  epochSeconds: 3600,
  epochOverlapSeconds: 3600,
  inferenceTimeoutMs: 30_000,
  replaySlots: 65_536,
  intraOpThreads: 0,
  cacheBytes: 1 << 30,
  maxSequences: 8,
};
const MODEL = {
  id: "digits",
  version: "1",
  digest: new Uint8Array(32).fill(1),
  manifest: Uint8Array.of(0x80),
  envelope: null,
};
const WHOLE: Provisioning = { models: [MODEL, { ...MODEL, version: "2" }], limits: LIMITS };

function structure(models: CborValue, limits: CborValue): Uint8Array {
  return encodeCbor(
    new Map<number, CborValue>([
      [1, "countersign/provisioning/v1"],
      [2, models],
      [3, limits],
    ]),
  );
}

const ROW = [MODEL.id, MODEL.version, MODEL.digest, MODEL.manifest] as const;
const LIMIT_MAP = new Map(Object.entries(LIMITS));

describe("provisioning", () => {
  it("parses what it encodes", () => {
    expect(parseProvisioning(encodeProvisioning(WHOLE))).toEqual(WHOLE);
  });

  it("carries the envelope of a version that is sealed", async () => {
    const sealed = { ...MODEL, version: "2", envelope: Uint8Array.of(0xa0) };
    const mixed: Provisioning = { models: [MODEL, sealed], limits: LIMITS };
    expect(parseProvisioning(encodeProvisioning(mixed))).toEqual(mixed);
    const row = [...ROW, sealed.envelope] as const;
    expect(parseProvisioning(structure([row], LIMIT_MAP)).models).toEqual([
      { ...MODEL, envelope: sealed.envelope },
    ]);
    for (const envelope of [null, "envelope", [sealed.envelope]]) {
      const bytes = structure([[...ROW, envelope]], LIMIT_MAP);
      expect(await codeOf(() => parseProvisioning(bytes))).toBe("provisioning/structure");
    }
    const long = structure([[...row, 0]], LIMIT_MAP);
    expect(await codeOf(() => parseProvisioning(long))).toBe("provisioning/structure");
    for (const length of [0, MAX_ENVELOPE_BYTES + 1]) {
      const envelope = new Uint8Array(length);
      const models = [{ ...MODEL, envelope }];
      expect(await codeOf(() => encodeProvisioning({ ...WHOLE, models }))).toBe(
        "provisioning/model",
      );
      const bytes = structure([[...ROW, envelope]], LIMIT_MAP);
      expect(await codeOf(() => parseProvisioning(bytes))).toBe("provisioning/model");
    }
  });

  it("takes each limit's range and nothing beyond", async () => {
    for (const [name, [least, most]] of Object.entries(LIMIT_RANGES)) {
      for (const value of [least, most]) {
        const limits = { ...LIMITS, [name]: value };
        expect(parseProvisioning(encodeProvisioning({ ...WHOLE, limits })).limits).toEqual(limits);
      }
      for (const value of [least - 1, most + 1, least + 0.5]) {
        const limits = { ...LIMITS, [name]: value };
        expect(await codeOf(() => encodeProvisioning({ ...WHOLE, limits }))).toBe(
          "provisioning/limit",
        );
        if (!Number.isInteger(value)) continue;
        const bytes = structure([ROW], new Map([...LIMIT_MAP, [name, value]]));
        expect(await codeOf(() => parseProvisioning(bytes))).toBe("provisioning/limit");
      }
    }
  });

  it("refuses limits that are missing, unknown or no numbers", async () => {
    const without = new Map(LIMIT_MAP);
    without.delete("queueLength");
    const renamed = new Map([...without, ["queueLenght", 1] as const]);
    const more = new Map([...LIMIT_MAP, ["x", 1] as const]);
    const text = new Map<string, CborValue>([...LIMIT_MAP, ["queueLength", "64"] as const]);
    expect(await codeOf(() => parseProvisioning(structure([ROW], without)))).toBe(
      "provisioning/structure",
    );
    expect(await codeOf(() => parseProvisioning(structure([ROW], more)))).toBe(
      "provisioning/structure",
    );
    expect(await codeOf(() => parseProvisioning(structure([ROW], renamed)))).toBe(
      "provisioning/limit",
    );
    expect(await codeOf(() => parseProvisioning(structure([ROW], text)))).toBe(
      "provisioning/limit",
    );
  });

  it("refuses names that could leave their directory, and a model twice", async () => {
    const names = [
      "",
      ".",
      "..",
      "../a",
      "a/b",
      "a\\b",
      "-a",
      ".a",
      "a b",
      "a\u0000",
      "\u00e9",
      "a".repeat(129),
    ];
    for (const id of names) {
      const models = [{ ...MODEL, id }];
      expect(await codeOf(() => encodeProvisioning({ ...WHOLE, models }))).toBe(
        "provisioning/model",
      );
      const bytes = structure([[id, "1", MODEL.digest, MODEL.manifest]], LIMIT_MAP);
      expect(await codeOf(() => parseProvisioning(bytes))).toBe("provisioning/model");
    }
    for (const version of ["", "..", "1/2", "a".repeat(65)]) {
      const models = [{ ...MODEL, version }];
      expect(await codeOf(() => encodeProvisioning({ ...WHOLE, models }))).toBe(
        "provisioning/model",
      );
    }
    const many = Array.from({ length: MAX_MODELS + 1 }, (_, i) => ({ ...MODEL, version: `${i}` }));
    for (const models of [[], [MODEL, MODEL], many, [{ ...MODEL, digest: new Uint8Array(31) }]]) {
      expect(await codeOf(() => encodeProvisioning({ ...WHOLE, models }))).toBe(
        "provisioning/model",
      );
    }
  });

  it("refuses another structure", async () => {
    const bad: readonly Uint8Array[] = [
      hex(""),
      hex("80"),
      encodeCbor(new Map<number, CborValue>([[1, "countersign/provisioning/v1"]])),
      encodeCbor(
        new Map<number, CborValue>([
          [1, "countersign/provisioning/v2"],
          [2, [ROW]],
          [3, LIMIT_MAP],
        ]),
      ),
      encodeCbor(
        new Map<number, CborValue>([
          [1, "countersign/provisioning/v1"],
          [2, [ROW]],
          [3, LIMIT_MAP],
          [4, 1],
        ]),
      ),
      structure("", LIMIT_MAP),
      structure([ROW], []),
      structure([MODEL.id], LIMIT_MAP),
      structure([ROW.slice(1)], LIMIT_MAP),
      structure([[1, "1", MODEL.digest, MODEL.manifest]], LIMIT_MAP),
      structure([["a", "1", "digest", MODEL.manifest]], LIMIT_MAP),
    ];
    for (const bytes of bad) {
      expect(await codeOf(() => parseProvisioning(bytes))).toBe("provisioning/structure");
    }
    const whole = encodeProvisioning(WHOLE);
    for (let end = 0; end < whole.length; end++) {
      expect(await codeOf(() => parseProvisioning(whole.subarray(0, end)))).toBe(
        "provisioning/structure",
      );
    }
  });
});
