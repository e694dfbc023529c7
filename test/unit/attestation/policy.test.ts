import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AWS_NITRO_ROOT,
  decodeHex,
  encodeHex,
  formatTime,
  modelStanding,
  parsePolicy,
  parseTimestamp,
  requireKnownRoots,
} from "@countersign/attestation";
import {
  createAttester,
  makeEpoch,
  NOW_MS,
  type PolicyFile,
  seededRandom,
  sha256,
} from "../../fakes/attester.ts";
import { satisfies, type Schema } from "../../fakes/json-schema.ts";
import { refusalOf } from "../../fakes/refusal.ts";
import { certificatePem } from "../../fakes/x509.ts";

const attester = createAttester({ random: seededRandom("policy"), nowMs: NOW_MS });
const epoch = await makeEpoch(attester);
const schemaFile = new URL("../../../attestation/policy.schema.json", import.meta.url);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own file
const SCHEMA = JSON.parse(readFileSync(schemaFile, "utf8")) as Schema;

const hex = (length: number, fill: string): string => fill.repeat(length);
const simulated = (policy: PolicyFile): Record<string, unknown> => {
  const platform = policy.platforms["simulated"];
  if (platform === undefined) throw new TypeError("no platform");
  return platform;
};
const measurement = (change: Record<string, unknown>): Record<string, unknown> => ({
  name: "a",
  pcr0: hex(96, "a"),
  pcr1: hex(96, "b"),
  pcr2: hex(96, "c"),
  ...change,
});

/** The message of the refusal. */
function refusal(text: string): string {
  try {
    parsePolicy(text);
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return "accepted";
}

type Mistake = readonly [pointer: string, change: (policy: PolicyFile) => void];
const set =
  (key: string, value: unknown): ((policy: PolicyFile) => void) =>
  (policy) => {
    policy[key] = value;
  };
const setPlatform =
  (key: string, value: unknown): ((policy: PolicyFile) => void) =>
  (policy) => {
    simulated(policy)[key] = value;
  };

/** Mistakes that a schema can say, too. */
const MISTAKES: readonly Mistake[] = [
  ...["version", "expires", "platforms", "models", "freshness", "suites", "revoked"].map(
    (key): Mistake => ["/", (policy) => Reflect.deleteProperty(policy, key)],
  ),
  ["/surplus", set("surplus", 1)],
  ["/padding", set("padding", "unchecked")],
  ["/padding", set("padding", true)],
  ["/padding", set("padding", null)],
  ["/version", set("version", 2)],
  ["/version", set("version", "1")],
  ["/expires", set("expires", 1)],
  ["/expires", set("expires", "tomorrow")],
  ["/expires", set("expires", "2027-06-30")],
  ["/expires", set("expires", "2027-06-30T00:00:00+02:00")],
  ["/platforms", set("platforms", {})],
  ["/platforms", set("platforms", [])],
  ["/platforms/intel-tdx", set("platforms", { "intel-tdx": {} })],
  ["/platforms/simulated", set("platforms", { simulated: {} })],
  ["/platforms/simulated/pcrs", setPlatform("pcrs", [])],
  ["/platforms/simulated/debug", setPlatform("debug", "false")],
  ["/platforms/simulated/roots", setPlatform("roots", [])],
  ["/platforms/simulated/roots", setPlatform("roots", "any")],
  ["/platforms/simulated/roots/0", setPlatform("roots", [hex(62, "a")])],
  ["/platforms/simulated/roots/0", setPlatform("roots", [hex(64, "g")])],
  ["/platforms/simulated/roots/0", setPlatform("roots", [null])],
  ["/platforms/simulated/roots/1", setPlatform("roots", [hex(64, "a"), hex(64, "a")])],
  ["/platforms/simulated/rootCertificates", setPlatform("rootCertificates", [])],
  ["/platforms/simulated/rootCertificates/0", setPlatform("rootCertificates", ["MIIB"])],
  ["/platforms/simulated/measurements", setPlatform("measurements", [])],
  ["/platforms/simulated/measurements", setPlatform("measurements", "any")],
  ["/platforms/simulated/measurements/0", setPlatform("measurements", [{ name: "a" }])],
  ...[
    ["pcr0", hex(95, "a")],
    ["pcr1", hex(98, "a")],
    ["pcr2", 0],
    ["pcr8", hex(64, "a")],
    ["pcr32", hex(96, "a")],
    ["pcr01", hex(96, "a")],
    ["name", ""],
    ["name", "two words"],
    ["name", "unchecked"],
    ["tcb", 1],
  ].map(([key = "", value]): Mistake => [
    `/platforms/simulated/measurements/0/${key}`,
    setPlatform("measurements", [measurement({ [key]: value })]),
  ]),
  ["/models", set("models", [])],
  ["/models", set("models", "unchecked")],
  ["/models", set("models", { digits: hex(64, "a") })],
  ["/models/0", set("models", [{ id: "digits" }])],
  ["/models/0/version", set("models", [{ id: "a", version: "1", digest: hex(64, "a") }])],
  ["/models/0/id", set("models", [{ id: "a\n", digest: hex(64, "a") }])],
  ["/models/0/digest", set("models", [{ id: "a", digest: hex(96, "a") }])],
  ["/freshness", set("freshness", "any")],
  ["/freshness", set("freshness", {})],
  ...[
    ["maxAgeSeconds", 0],
    ["maxAgeSeconds", 604_801],
    ["maxAgeSeconds", 1.5],
    ["maxAgeSeconds", "7200"],
    ["skewSeconds", -1],
    ["skewSeconds", 3601],
    ["challenge", "never"],
    ["challenge", true],
  ].map(([key = "", value]): Mistake => [
    `/freshness/${String(key)}`,
    set("freshness", {
      maxAgeSeconds: 7200,
      skewSeconds: 60,
      challenge: "optional",
      [String(key)]: value,
    }),
  ]),
  ["/suites", set("suites", [])],
  ["/suites", set("suites", "any")],
  ["/suites/0", set("suites", ["P-256/HKDF-SHA256/AES-128-GCM"])],
  ["/suites/1", set("suites", Array(2).fill("X25519/HKDF-SHA256/AES-256-GCM"))],
  ["/revoked", set("revoked", [])],
  ["/revoked", set("revoked", { measurements: [], models: [] })],
  [
    "/revoked/keysets/0",
    (policy) => {
      policy.revoked["keysets"] = [hex(96, "a")];
    },
  ],
  [
    "/revoked/measurements/0",
    (policy) => {
      policy.revoked["measurements"] = [hex(64, "a")];
    },
  ],
  [
    "/revoked/models/1",
    (policy) => {
      policy.revoked["models"] = [hex(64, "a"), hex(64, "a")];
    },
  ],
];

/** Mistakes that a schema cannot say. */
const CONTRADICTIONS: readonly Mistake[] = [
  ["/expires", set("expires", "2027-02-29T00:00:00Z")],
  ["/expires", set("expires", "2027-06-30T24:00:00Z")],
  [
    "/platforms/simulated/rootCertificates/0",
    setPlatform("rootCertificates", [certificatePem(Uint8Array.of(1, 2, 3))]),
  ],
  ["/platforms/simulated/roots/1", setPlatform("roots", [hex(64, "a"), hex(64, "A")])],
  [
    "/platforms/simulated/measurements/1/name",
    setPlatform("measurements", [measurement({}), measurement({ pcr0: hex(96, "d") })]),
  ],
  [
    "/platforms/simulated/measurements/0",
    setPlatform("measurements", [measurement({ pcr0: hex(96, "0") })]),
  ],
  [
    "/models/1",
    set("models", [
      { id: "a", digest: hex(64, "a") },
      { id: "a", digest: hex(64, "A") },
    ]),
  ],
  [
    "/models/0/digest",
    (policy) => {
      policy.revoked["models"] = [encodeHex(sha256("digits"))];
    },
  ],
  [
    "/platforms/simulated/measurements/0/pcr1",
    (policy) => {
      policy.revoked["measurements"] = [encodeHex(epoch.pcrs.get(1) ?? new Uint8Array(0))];
    },
  ],
  // A root that vouches for two platforms would let the one pass for the other.
  [
    "/platforms/simulated/roots/0",
    (policy) => {
      policy.platforms["aws-nitro"] = {
        ...policy.platforms["simulated"],
        measurements: "unchecked",
      };
    },
  ],
  [
    "/platforms/simulated/rootCertificates/0",
    setPlatform("rootCertificates", [
      certificatePem(attester.rootDer.map((b, i) => (i === 9 ? 9 : b))),
    ]),
  ],
];

describe("padding in a policy", () => {
  it("is optional where the file does not say, as it may", () => {
    const policyOf = (padding: object): unknown =>
      parsePolicy(JSON.stringify({ ...epoch.policy, ...padding })).padding;
    expect(policyOf({})).toBe("optional");
    expect(policyOf({ padding: "optional" })).toBe("optional");
    expect(policyOf({ padding: "required" })).toBe("required");
    expect(satisfies({ ...epoch.policy, padding: "required" }, SCHEMA, SCHEMA)).toBe(true);
  });
});

describe("parsePolicy", () => {
  it("reads the policy of the design", () => {
    const policy = parsePolicy(epoch.policyText);
    expect(policy.expiresMs).toBe(NOW_MS + 365 * 86_400_000);
    expect(policy.platforms.get("simulated")?.roots).toEqual([attester.rootSha256]);
    expect(policy.platforms.get("simulated")?.rootCertificates).toEqual([attester.rootDer]);
    expect(policy.models).toEqual([{ id: "digits", digest: sha256("digits") }]);
    expect(satisfies(epoch.policy, SCHEMA, SCHEMA)).toBe(true);
  });

  it("reads each word that switches a check off", () => {
    const file = structuredClone(epoch.policy);
    simulated(file)["measurements"] = "unchecked";
    file.models = "any";
    file.freshness = "unchecked";
    const policy = parsePolicy(JSON.stringify(file));
    expect(policy.platforms.get("simulated")?.measurements).toBe("unchecked");
    expect([policy.models, policy.freshness]).toEqual(["any", "unchecked"]);
    expect(satisfies(file, SCHEMA, SCHEMA)).toBe(true);
  });

  it("reads other registers, and zeros where debug is allowed", () => {
    const file = structuredClone(epoch.policy);
    const zero = hex(96, "0");
    simulated(file)["debug"] = true;
    simulated(file)["measurements"] = [
      { name: "debug", pcr0: zero, pcr1: zero, pcr2: zero, pcr8: hex(96, "8") },
    ];
    const [only] = parsePolicy(JSON.stringify(file)).platforms.get("simulated")?.measurements ?? [];
    expect(typeof only === "object" && [...only.registers.keys()]).toEqual([0, 1, 2, 8]);
    expect(satisfies(file, SCHEMA, SCHEMA)).toBe(true);
  });

  it.each(MISTAKES.map(([pointer, change], i) => [i, pointer, change] as const))(
    "refuses mistake %i at %s, as the schema does",
    (_, pointer, change) => {
      const file = structuredClone(epoch.policy);
      change(file);
      expect(refusal(JSON.stringify(file))).toMatch(`policy/syntax: ${pointer}: `);
      // The schema says the same, but for a PEM's content.
      expect(satisfies(file, SCHEMA, SCHEMA)).toBe(false);
    },
  );

  it.each(CONTRADICTIONS.map(([pointer, change], i) => [i, pointer, change] as const))(
    "refuses contradiction %i at %s",
    (_, pointer, change) => {
      const file = structuredClone(epoch.policy);
      change(file);
      expect(refusal(JSON.stringify(file))).toMatch(`policy/syntax: ${pointer}: `);
    },
  );

  it("refuses a key twice, which JSON.parse does not", () => {
    const text = epoch.policyText.replace('"debug":false', '"debug":false,"debug":true');
    expect(refusal(text)).toMatch("policy/syntax: /platforms/simulated/debug: key twice");
    const escaped = epoch.policyText.replace('"debug":false', '"debug":false,"\\u0064ebug":true');
    expect(refusal(escaped)).toMatch("policy/syntax: /platforms/simulated/debug: key twice");
  });

  it("says where the text is no JSON", () => {
    expect(refusal("")).toBe(
      "policy/syntax: /: the end where a value was wanted, line 1, column 1",
    );
    expect(refusal('{\n  "version": 01 }')).toBe(
      'policy/syntax: /: something else where "," or "}" was wanted, line 2, column 15',
    );
    for (const text of [
      "{",
      "[1,]",
      '{"a":}',
      '{"a" 1}',
      "{a:1}",
      "nul",
      '"\n"',
      "1 2",
      "'a'",
      "{}x",
    ]) {
      expect(refusal(text)).toMatch("policy/syntax: /");
    }
    expect(refusal("[".repeat(100_000))).toMatch("nested deeper than 16");
    expect(refusal(`"${"x".repeat(1 << 20)}"`)).toMatch("characters, want ≤ 1048576");
  });

  it("reads any JSON as JSON.parse does, or refuses it", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        expect(refusal(text)).toMatch("policy/syntax: /");
        expect(refusal(text)).not.toMatch("was wanted, line");
      }),
    );
  });

  it("gives a value or our error for any text", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(epoch.policyText.length - 1),
        fc.string({ unit: "binary", minLength: 1, maxLength: 3 }),
        async (at, text) => {
          const { policyText } = epoch;
          await refusalOf(() => parsePolicy(policyText.slice(0, at) + text + policyText.slice(at)));
        },
      ),
    );
  });
});

describe("requireKnownRoots", () => {
  const judged = (change: (policy: PolicyFile) => void): Promise<string | null> => {
    const file = structuredClone(epoch.policy);
    change(file);
    return refusalOf(() => requireKnownRoots(parsePolicy(JSON.stringify(file))));
  };

  it("takes named and built-in roots", async () => {
    expect(await judged(() => undefined)).toBeNull();
    const aws = (policy: PolicyFile): void => {
      const { rootCertificates: _, ...rest } = simulated(policy);
      policy.platforms = { "aws-nitro": { ...rest, roots: [encodeHex(AWS_NITRO_ROOT.sha256)] } };
    };
    expect(await judged(aws)).toBeNull();
  });

  it("refuses a digest without certificate, and a certificate without digest", async () => {
    const aws = encodeHex(AWS_NITRO_ROOT.sha256);
    expect(await judged(setPlatform("roots", [aws]))).toBe("policy/syntax");
    const both = [encodeHex(attester.rootSha256), hex(64, "a")];
    expect(await judged(setPlatform("roots", both))).toBe("policy/syntax");
    const awsPem = certificatePem(AWS_NITRO_ROOT.der);
    const pems = [attester.rootPem, awsPem];
    expect(await judged(setPlatform("rootCertificates", pems))).toBe("policy/syntax");
  });
});

it("says how a policy stands to a model", () => {
  const file = structuredClone(epoch.policy);
  file.revoked["models"] = [hex(64, "a")];
  const policy = parsePolicy(JSON.stringify(file));
  const digest = sha256("digits");
  const bad = decodeHex(hex(64, "a")) ?? new Uint8Array(0);
  expect(modelStanding(policy, { id: "digits", digest })).toBe("allowed");
  expect(modelStanding(policy, { id: "letters", digest })).toBe("unlisted");
  expect(modelStanding(policy, { id: "digits", digest: sha256("other") })).toBe("unlisted");
  expect(modelStanding(policy, { id: "digits", digest: bad })).toBe("revoked");
  const any = { ...policy, models: "any" } as const;
  expect(modelStanding(any, { id: "letters", digest })).toBe("unchecked");
  expect(modelStanding(any, { id: "digits", digest: bad })).toBe("revoked");
});

it("reads and writes times as the calendar has them", () => {
  const times = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) / 1000 });
  fc.assert(
    fc.property(times, (seconds) => {
      const text = new Date(seconds * 1000).toISOString();
      expect(parseTimestamp(text)).toBe(seconds * 1000);
      expect(formatTime(seconds * 1000)).toBe(text.replace(".000", ""));
    }),
    { numRuns: 1000 },
  );
  expect(parseTimestamp("2024-02-29T23:59:59.5Z")).toBe(Date.parse("2024-02-29T23:59:59.500Z"));
  const none = [
    "2023-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2023-04-31T00:00:00Z",
    "2023-13-01T00:00:00Z",
    "2023-00-01T00:00:00Z",
    "2023-01-00T00:00:00Z",
    "2023-01-01T24:00:00Z",
    "2023-01-01T00:60:00Z",
    "2023-01-01T00:00:60Z",
    "2023-01-01 00:00:00Z",
    "2023-01-01T00:00:00",
  ];
  for (const text of none) expect(parseTimestamp(text), text).toBeNull();
  expect(formatTime(NaN)).toBe("NaN ms");
  expect(formatTime(-1)).toBe("-1 ms");
});
