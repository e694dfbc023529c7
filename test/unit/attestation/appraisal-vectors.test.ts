import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  appraiseDocument,
  type AttestationErrorCode,
  AWS_NITRO_ROOT,
  encodeHex,
  parsePolicy,
  type Policy,
} from "@countersign/attestation";

const VECTORS = new URL("../../../../shared/vectors/nitro/", import.meta.url);
const present = existsSync(VECTORS);
if (!present) console.warn("nitro vectors are absent: their appraisals are skipped");

const AT_MS = Date.UTC(2026, 10, 21);

interface Vector {
  readonly file: string;
  readonly timestamp_ms: number;
  readonly pcr_field: string;
  readonly pcrs: Readonly<Record<string, string>>;
  readonly debug_mode: boolean;
}

function readIndex(): readonly Vector[] {
  if (!present) return [];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a vector file of known shape
  return JSON.parse(readFileSync(new URL("index.json", VECTORS), "utf8")) as readonly Vector[];
}

const documents = readIndex().filter(({ pcr_field }) => pcr_field === "pcrs");
const production = documents.filter(({ file }) => file.startsWith("prod-"));
const debug = documents.filter(({ file }) => file.startsWith("debug-"));

/** Trusts AWS's root and, where given, one document's registers. */
function policyFor(vector: Vector | null, debugAllowed: boolean): Policy {
  const measurements =
    vector === null
      ? "unchecked"
      : [
          {
            name: "vector",
            pcr0: vector.pcrs["0"],
            pcr1: vector.pcrs["1"],
            pcr2: vector.pcrs["2"],
          },
        ];
  return parsePolicy(
    JSON.stringify({
      version: 1,
      expires: "2030-01-01T00:00:00Z",
      platforms: {
        "aws-nitro": {
          roots: [encodeHex(AWS_NITRO_ROOT.sha256)],
          measurements,
          debug: debugAllowed,
        },
      },
      models: "any",
      freshness: { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "optional" },
      suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
      revoked: { measurements: [], models: [], keysets: [] },
    }),
  );
}

async function judged(
  file: string,
  policy: Policy,
  mode: "live" | "archive",
  nowMs: number = AT_MS,
): Promise<readonly [string, AttestationErrorCode | null, string | null]> {
  const bytes = new Uint8Array(readFileSync(new URL(file, VECTORS)));
  const { verdict } = await appraiseDocument(bytes, policy, { mode, nowMs, nonce: null });
  const code = verdict.checks.find(({ status }) => status === "fail")?.code ?? null;
  return [verdict.result, code, verdict.measurement];
}

describe.skipIf(!present)("genuine documents of AWS", () => {
  it("are verified at their own time, by the policy that lists them", async () => {
    expect(production.length).toBeGreaterThan(5);
    for (const vector of production) {
      const verdict = await judged(vector.file, policyFor(vector, false), "archive");
      expect(verdict, vector.file).toEqual(["verified", null, "vector"]);
    }
  });

  it("are verified live in their hour, and expired today", async () => {
    for (const vector of production) {
      const policy = policyFor(vector, false);
      const then = await judged(vector.file, policy, "live", vector.timestamp_ms + 1000);
      expect(then, vector.file).toEqual(["verified", null, "vector"]);
      const today = await judged(vector.file, policy, "live");
      expect(today, vector.file).toEqual(["rejected", "chain/validity", null]);
    }
  });

  it("are refused by a policy that lists others", async () => {
    const [first, second] = production;
    if (first === undefined || second === undefined) throw new TypeError("no vectors");
    const verdict = await judged(first.file, policyFor(second, false), "archive");
    expect(verdict).toEqual(["rejected", "policy/measurement", null]);
  });

  it("in debug mode are refused, unless the policy says so in words", async () => {
    expect(debug.length).toBeGreaterThan(2);
    for (const { file } of debug) {
      const strict = await judged(file, policyFor(null, false), "archive");
      expect(strict, file).toEqual(["rejected", "policy/debug", null]);
      const lenient = await judged(file, policyFor(null, true), "archive");
      expect(lenient, file).toEqual(["verified", null, null]);
    }
  });
});

describe.skipIf(!present)("documents that are not to be believed", () => {
  it.each([
    ["bad-root-marlin-custom.cbor", /^chain\/root$/u],
    ["bad-tampered-signature.cbor", /^cose\/signature$/u],
    ["bad-tampered-certificate.cbor", /^(?:chain|certificate)\//u],
    ["bad-selfsigned-nitrite.cbor", /^(?:cose\/unprotected|evidence\/|chain\/root)/u],
    ["nitrotpm-2026-a.cbor", /^evidence\/platform$/u],
    ["nitrotpm-2026-b.cbor", /^evidence\/platform$/u],
  ])("%s", async (file, wanted) => {
    const [result, code] = await judged(file, policyFor(null, true), "archive");
    expect(result).toBe("rejected");
    expect(code).toMatch(wanted);
  });
});
