import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AppraisalContext,
  appraiseBundle,
  appraiseDocument,
  type AttestationErrorCode,
  AWS_NITRO_ROOT,
  type Bundle,
  type CheckId,
  encodeBundle,
  encodeCbor,
  encodeEpochBinding,
  encodeHex,
  encodeUtf8,
  EVIDENCE_CHECKS,
  EXCHANGE_CHECKS,
  type FailureClass,
  type RuntimeConfig,
  incompleteVerdict,
  parsePolicy,
  type Verdict,
} from "@countersign/attestation";
import {
  createAttester,
  type EpochOptions,
  type FakeEpoch,
  makeEpoch,
  NOW_MS,
  type PolicyFile,
  seededRandom,
  sha256,
} from "../../fakes/attester.ts";

const attester = createAttester({ random: seededRandom("appraisal"), nowMs: NOW_MS });
const epoch = await makeEpoch(attester);
const LIVE: AppraisalContext<"live"> = { mode: "live", nowMs: NOW_MS, nonce: null };
const ARCHIVE: AppraisalContext<"archive"> = { mode: "archive", nowMs: NOW_MS, nonce: null };
const NONCE = seededRandom("nonce")(32);
const SECOND = 1000;
const DAY = 86_400 * SECOND;

interface Case {
  readonly epoch?: FakeEpoch;
  readonly options?: EpochOptions;
  /** Parts of the bundle to replace. */
  readonly parts?: (parts: Bundle) => Partial<Bundle>;
  readonly bytes?: Uint8Array;
  readonly policy?: (policy: PolicyFile) => void;
  readonly context?: Partial<AppraisalContext>;
}

async function judge(what: Case): Promise<Verdict> {
  const made = what.epoch ?? (await makeEpoch(attester, what.options ?? {}));
  const file = structuredClone(made.policy);
  what.policy?.(file);
  const parts = { ...made.parts, ...what.parts?.(made.parts) };
  const policy = parsePolicy(JSON.stringify(file));
  const bytes = what.bytes ?? encodeBundle(parts);
  const { verdict, epoch: verified } = await appraiseBundle(bytes, policy, {
    ...LIVE,
    ...what.context,
  });
  expect(verified !== null).toBe(verdict.result === "verified");
  expect(verdict.checks.map(({ id }) => id)).toEqual(EVIDENCE_CHECKS);
  return verdict;
}

const statusOf = (verdict: Verdict, id: CheckId): string =>
  verdict.checks.find((check) => check.id === id)?.status ?? "absent";
const foundOf = (verdict: Verdict, id: CheckId): string =>
  verdict.checks.find((check) => check.id === id)?.found ?? "absent";

/** Rejected by exactly this check, code and class; passed before it, not reached after it. */
function expectRejected(
  verdict: Verdict,
  id: CheckId,
  code: AttestationErrorCode,
  failure: FailureClass,
): void {
  const failed = verdict.checks.filter(({ status }) => status === "fail");
  expect(failed.map((check) => [check.id, check.code])).toEqual([[id, code]]);
  expect([verdict.result, verdict.failure]).toEqual(["rejected", failure]);
  const ids = verdict.checks.map((check) => check.id);
  for (const check of verdict.checks) {
    for (const text of [check.why, check.fix, check.found, check.wanted]) {
      expect(text.length, `${check.id}`).toBeGreaterThan(0);
    }
    if (ids.indexOf(check.id) <= ids.indexOf(id)) continue;
    expect([check.status, check.found], check.id).toEqual(["skip", "not reached"]);
  }
}

const configWith = (padding?: string | boolean): RuntimeConfig => ({
  engine: "none",
  engineVersion: "0",
  limits: new Map(),
  features: new Map(padding === undefined ? [] : [["padding", padding]]),
});

const platformOf = (policy: PolicyFile): Record<string, unknown> => {
  const platform = policy.platforms["simulated"];
  if (platform === undefined) throw new TypeError("no platform");
  return platform;
};

describe("a genuine bundle", () => {
  it("is verified where padding is required and there", async () => {
    const padded = await makeEpoch(attester, { config: configWith("buckets") });
    const policy = parsePolicy(JSON.stringify({ ...padded.policy, padding: "required" }));
    expect((await appraiseBundle(padded.bundle, policy, LIVE)).verdict.result).toBe("verified");
  });

  it("is verified, every check passed", async () => {
    const policy = parsePolicy(epoch.policyText);
    const { verdict, epoch: verified } = await appraiseBundle(epoch.bundle, policy, LIVE);
    expect(verdict).toMatchObject({
      result: "verified",
      failure: null,
      platform: "simulated",
      mode: "live",
      judgedAtMs: NOW_MS,
      measurement: "test-build",
    });
    expect(verdict.checks.map(({ id }) => id)).toEqual(EVIDENCE_CHECKS);
    expect(new Set(verdict.checks.map(({ status }) => status))).toEqual(new Set(["pass"]));
    expect(verified).toMatchObject({
      mode: "live",
      platform: "simulated",
      measurement: "test-build",
      bundle: epoch.bundle,
      documentDigest: epoch.documentDigest,
      keysetDigest: sha256(epoch.parts.keyset),
      receiptKey: epoch.receiptKey.point,
      models: epoch.models,
      binding: epoch.binding,
      verdict,
    });
    expect(verified?.config.engine).toBe("onnxruntime");
    expect(verified?.keyConfig.length).toBe(1225);
  });

  it("is judged by the bytes that were given, not by what they become", async () => {
    const bytes = epoch.bundle.slice();
    const pending = appraiseBundle(bytes, parsePolicy(epoch.policyText), LIVE);
    bytes.fill(0);
    const { epoch: verified } = await pending;
    expect(verified?.bundle).toEqual(epoch.bundle);
  });

  it("is verified under aws-nitro, too, where its root is named there", async () => {
    const options = { platform: "aws-nitro", suite: "X25519" } as const;
    const policy = (file: PolicyFile): void => {
      file.suites = ["X25519/HKDF-SHA256/AES-256-GCM"];
    };
    const leafName = "i-0123456789abcdef0-enc0123456789abcdef.test-lab.aws";
    const lab = createAttester({ random: seededRandom("aws"), nowMs: NOW_MS, leafName });
    const verdict = await judge({ epoch: await makeEpoch(lab, options), policy });
    expect([verdict.result, verdict.platform]).toEqual(["verified", "aws-nitro"]);
  });

  it("is no hardware's where its leaf says that it is simulated, whatever the policy lists", async () => {
    const verdict = await judge({ options: { platform: "aws-nitro" } });
    expectRejected(verdict, "chain", "evidence/platform", "untrusted");
    const leafName = "i-0123456789abcdef0-enc0123456789abcdef.test-lab.aws";
    const lab = createAttester({ random: seededRandom("aws"), nowMs: NOW_MS, leafName });
    const other = await judge({ epoch: await makeEpoch(lab) });
    expectRejected(other, "chain", "evidence/platform", "untrusted");
  });
});

describe("a context that is none", () => {
  it.each([
    ["no time", { nowMs: Number.NaN }],
    ["no time at all", { nowMs: Number.NEGATIVE_INFINITY }],
    ["a time before all documents", { nowMs: -1 }],
    ["an empty nonce", { nonce: new Uint8Array(0) }],
    ["a nonce of 15 bytes", { nonce: new Uint8Array(15) }],
  ])("is the caller's mistake: %s", async (_, change) => {
    const policy = parsePolicy(epoch.policyText);
    const context = { ...LIVE, ...change };
    await expect(appraiseBundle(epoch.bundle, policy, context)).rejects.toThrow(TypeError);
    await expect(appraiseDocument(epoch.parts.evidence, policy, context)).rejects.toThrow(
      TypeError,
    );
  });

  it.each(["LIVE", "", undefined])("is the caller's mistake: mode %s", async (mode) => {
    const policy = parsePolicy(epoch.policyText);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as JavaScript would call it
    const context = { ...LIVE, mode } as AppraisalContext;
    await expect(appraiseBundle(epoch.bundle, policy, context)).rejects.toThrow(TypeError);
    await expect(appraiseDocument(epoch.parts.evidence, policy, context)).rejects.toThrow(
      TypeError,
    );
  });

  it("is taken as it was when it was given", async () => {
    const nonce = NONCE.slice();
    const asked = await makeEpoch(attester, { nonce: seededRandom("another")(32) });
    const context = { ...LIVE, nonce };
    const pending = appraiseBundle(asked.bundle, parsePolicy(asked.policyText), context);
    nonce.set(seededRandom("another")(32));
    expectRejected((await pending).verdict, "freshness", "freshness/nonce", "stale");
  });
});

describe("each check fails for its reason", () => {
  const rows: readonly (readonly [CheckId, AttestationErrorCode, FailureClass, string, Case])[] = [
    [
      "policy",
      "policy/expired",
      "expired",
      "at its very time",
      { context: { nowMs: NOW_MS + 365 * DAY } },
    ],
    [
      "policy",
      "policy/syntax",
      "malformed",
      "a root without certificate",
      { policy: (file) => (platformOf(file)["roots"] = [encodeHex(AWS_NITRO_ROOT.sha256)]) },
    ],
    ["bundle", "cbor/truncated", "truncated", "nothing", { bytes: new Uint8Array(0) }],
    ["bundle", "cbor/truncated", "truncated", "a part", { bytes: epoch.bundle.slice(0, 900) }],
    [
      "bundle",
      "cbor/trailing",
      "malformed",
      "a surplus byte",
      { bytes: Uint8Array.of(...epoch.bundle, 0) },
    ],
    ["bundle", "bundle/structure", "malformed", "another thing", { bytes: encodeCbor([1]) }],
    [
      "bundle",
      "bundle/structure",
      "malformed",
      "endorsements, which Nitro has none of",
      { parts: () => ({ endorsements: new Map([["vcek", new Uint8Array(1)]]) }) },
    ],
    [
      "bundle",
      "cose/structure",
      "malformed",
      "a document that is none",
      { parts: () => ({ evidence: encodeCbor([1]) }) },
    ],
    [
      "platform",
      "policy/platform",
      "untrusted",
      "one we do not know",
      { parts: () => ({ platform: "amd-sev-snp" }) },
    ],
    [
      "platform",
      "policy/platform",
      "untrusted",
      "one the policy does not name",
      { parts: () => ({ platform: "aws-nitro" }) },
    ],
    [
      "signature",
      "cose/signature",
      "tampered",
      "a signed byte changed",
      { parts: ({ evidence }) => ({ evidence: flipUserData(evidence) }) },
    ],
    [
      "chain",
      "chain/root",
      "untrusted",
      "a root of somebody else",
      { policy: (file) => trustOnlyAnother(file) },
    ],
    [
      "chain",
      "chain/validity",
      "expired",
      "a leaf that has expired",
      { context: { nowMs: NOW_MS + 4 * 3600 * SECOND } },
    ],
    [
      "debug",
      "policy/debug",
      "untrusted",
      "zero registers, though measurements are unchecked",
      {
        options: { pcrs: zeros() },
        policy: (file) => (platformOf(file)["measurements"] = "unchecked"),
      },
    ],
    [
      "debug",
      "policy/debug",
      "untrusted",
      "one zero register",
      {
        options: { pcrs: new Map([[1, new Uint8Array(48)]]) },
        policy: (file) => (platformOf(file)["measurements"] = "unchecked"),
      },
    ],
    [
      "measurement",
      "policy/measurement",
      "untrusted",
      "another build",
      { policy: (file) => replaceRegister(file, "pcr0") },
    ],
    [
      "measurement",
      "policy/measurement",
      "untrusted",
      "another register 2",
      { policy: (file) => replaceRegister(file, "pcr2") },
    ],
    [
      "measurement",
      "policy/measurement",
      "untrusted",
      "another register 8",
      { policy: (file) => replaceRegister(file, "pcr8") },
    ],
    [
      "measurement",
      "policy/measurement",
      "untrusted",
      "a register that is not there",
      { policy: (file) => replaceRegister(file, "pcr20") },
    ],
    [
      "measurement",
      "policy/revoked",
      "untrusted",
      "a revoked kernel, even unchecked",
      {
        epoch,
        policy: (file) => {
          platformOf(file)["measurements"] = "unchecked";
          file.revoked["measurements"] = [encodeHex(epoch.pcrs.get(1) ?? new Uint8Array(48))];
        },
      },
    ],
    ["binding", "binding/tag", "untrusted", "no user_data", { options: { userData: null } }],
    [
      "binding",
      "binding/tag",
      "untrusted",
      "a document for a KMS",
      { options: { userData: encodeCbor(new Map([[1, "countersign/kms/v1"]])) } },
    ],
    [
      "binding",
      "binding/structure",
      "malformed",
      "a tag and nothing more",
      { options: { userData: encodeCbor(new Map([[1, "countersign/epoch/v1"]])) } },
    ],
    ["binding", "binding/tag", "untrusted", "half a map", { options: { userData: half() } }],
    [
      "binding",
      "cbor/truncated",
      "truncated",
      "half a map, and the same in the bundle",
      { options: { userData: half() }, parts: () => ({ binding: half() }) },
    ],
    [
      "binding",
      "binding/tag",
      "untrusted",
      "another application's JSON",
      { options: { userData: encodeUtf8('{"a":1}') } },
    ],
    [
      "keyset",
      "keyset/structure",
      "malformed",
      "a receipt key that is not on its curve",
      keysetOf((bytes) => bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte))),
    ],
    [
      "keyset",
      "keyset/structure",
      "malformed",
      "a keyset that the enclave vouches for and that ends early",
      keysetOf((bytes) => bytes.subarray(0, -1)),
    ],
    [
      "binding",
      "binding/document",
      "tampered",
      "another binding beside it",
      { parts: () => ({ binding: encodeEpochBinding({ ...epoch.binding, sequence: 1 }) }) },
    ],
    [
      "lifetime",
      "binding/lifetime",
      "stale",
      "an epoch that is over",
      { context: { nowMs: NOW_MS + 7200 * SECOND + 1 } },
    ],
    [
      "lifetime",
      "binding/lifetime",
      "stale",
      "an epoch to come",
      { options: { binding: { notBefore: NOW_MS / SECOND + 61 } } },
    ],
    [
      "keyset",
      "binding/keyset",
      "tampered",
      "another keyset",
      { parts: ({ models }) => ({ keyset: models }) },
    ],
    [
      "keyset",
      "keyset/structure",
      "malformed",
      "a keyset that is none",
      {
        options: { binding: { keysetDigest: sha256(encodeCbor(new Map())) } },
        parts: () => ({ keyset: encodeCbor(new Map()) }),
      },
    ],
    [
      "keyset",
      "policy/revoked",
      "untrusted",
      "a revoked keyset",
      {
        epoch,
        policy: (file) => {
          file.revoked["keysets"] = [encodeHex(epoch.binding.keysetDigest)];
        },
      },
    ],
    [
      "modelset",
      "binding/models",
      "tampered",
      "another list of models",
      { parts: ({ config }) => ({ models: config }) },
    ],
    [
      "modelset",
      "models/structure",
      "malformed",
      "a list that is none",
      {
        options: { binding: { modelsDigest: sha256(encodeCbor(new Map())) } },
        parts: () => ({ models: encodeCbor(new Map()) }),
      },
    ],
    [
      "config",
      "binding/config",
      "tampered",
      "another configuration",
      { parts: ({ models }) => ({ config: models }) },
    ],
    [
      "config",
      "config/structure",
      "malformed",
      "a configuration that is none",
      {
        options: { binding: { configDigest: sha256(encodeCbor(new Map())) } },
        parts: () => ({ config: encodeCbor(new Map()) }),
      },
    ],
    ...([["none"], [true], []] as const).map(
      ([padding]) =>
        [
          "config",
          "policy/padding",
          "untrusted",
          `padding ${String(padding)} where it is required`,
          {
            options: { config: configWith(padding) },
            policy: (file: PolicyFile) => (file["padding"] = "required"),
          },
        ] as const,
    ),
    [
      "register",
      "binding/register",
      "tampered",
      "other models measured",
      { options: { pcrs: new Map([[16, new Uint8Array(48).fill(1)]]) } },
    ],
    [
      "register",
      "binding/register",
      "tampered",
      "no models measured",
      { options: { pcrs: new Map([[16, null]]) } },
    ],
    [
      "models",
      "policy/model",
      "untrusted",
      "none of the policy's",
      { policy: (file) => (file.models = [{ id: "letters", digest: "ab".repeat(32) }]) },
    ],
    [
      "models",
      "policy/model",
      "untrusted",
      "no model at all",
      {
        options: { models: [] },
        policy: (file) => (file.models = [{ id: "letters", digest: "ab".repeat(32) }]),
      },
    ],
    [
      "models",
      "policy/revoked",
      "untrusted",
      "a revoked one beside an allowed one",
      { options: { models: twoModels() }, policy: (file) => revokeSecond(file, false) },
    ],
    [
      "models",
      "policy/revoked",
      "untrusted",
      "a revoked one where any is allowed",
      { options: { models: twoModels() }, policy: (file) => revokeSecond(file, true) },
    ],
    [
      "suite",
      "policy/suite",
      "untrusted",
      "a suite the policy does not name",
      { options: { suite: "X25519" } },
    ],
    ["freshness", "freshness/nonce", "stale", "no nonce", { context: { nonce: NONCE } }],
    [
      "freshness",
      "freshness/nonce",
      "stale",
      "another nonce",
      { options: { nonce: NONCE.toReversed() }, context: { nonce: NONCE } },
    ],
    [
      "freshness",
      "freshness/nonce",
      "stale",
      "another nonce, though freshness is unchecked",
      {
        options: { nonce: NONCE.slice(1) },
        context: { nonce: NONCE },
        policy: (file) => (file.freshness = "unchecked"),
      },
    ],
    [
      "freshness",
      "policy/challenge",
      "stale",
      "no challenge where one is required",
      { policy: (file) => freshness(file, { challenge: "required" }), options: { nonce: NONCE } },
    ],
    [
      "freshness",
      "freshness/age",
      "stale",
      "a document too old",
      {
        options: { timestampMs: NOW_MS - 361 * SECOND },
        policy: (file) => freshness(file, { maxAgeSeconds: 300 }),
      },
    ],
    [
      "freshness",
      "freshness/future",
      "stale",
      "a document from the future",
      { options: { timestampMs: NOW_MS + 60 * SECOND + 1 } },
    ],
  ];

  it.each(rows)("%s: %s (%s), %s", async (id, code, failure, _, what) => {
    expectRejected(await judge(what), id, code, failure);
  });

  it("names the platform only once it is known to be trusted", async () => {
    expect((await judge({ parts: () => ({ platform: "aws-nitro" }) })).platform).toBeNull();
    const verdict = await judge({ policy: trustOnlyAnother });
    expect([verdict.platform, verdict.measurement]).toEqual(["simulated", null]);
  });

  it("uses the code's own words where it has some", async () => {
    const expired = await judge({ context: { nowMs: NOW_MS + 400 * DAY } });
    expect(expired.checks[0]?.why).toMatch(/date has passed/u);
    const root = await judge({ policy: trustOnlyAnother });
    expect(root.checks.find(({ id }) => id === "chain")?.fix).toMatch(/published/u);
  });
});

describe("both sides of each limit of time", () => {
  const verified = async (what: Case): Promise<boolean> =>
    (await judge(what)).result === "verified";

  it("policy and epoch", async () => {
    const soon = new Date(NOW_MS + SECOND).toISOString();
    const expires = (file: PolicyFile): void => {
      file.expires = soon;
    };
    expect(await verified({ policy: expires })).toBe(true);
    expect(await verified({ policy: expires, context: { nowMs: NOW_MS + SECOND } })).toBe(false);
    const at = (nowMs: number): Promise<boolean> => verified({ context: { nowMs } });
    expect(await at(NOW_MS + 7200 * SECOND)).toBe(true);
    expect(await at(NOW_MS + 7200 * SECOND + 1)).toBe(false);
    const begins = (seconds: number): Promise<boolean> =>
      verified({ options: { binding: { notBefore: NOW_MS / SECOND + seconds } } });
    expect(await begins(60)).toBe(true);
    expect(await begins(61)).toBe(false);
  });

  it("age", async () => {
    const made = (timestampMs: number, maxAgeSeconds: number): Promise<boolean> =>
      verified({ options: { timestampMs }, policy: (file) => freshness(file, { maxAgeSeconds }) });
    expect(await made(NOW_MS - 360 * SECOND, 300)).toBe(true);
    expect(await made(NOW_MS - 360 * SECOND - 1, 300)).toBe(false);
    expect(await made(NOW_MS + 60 * SECOND, 300)).toBe(true);
    expect(await made(NOW_MS + 60 * SECOND + 1, 300)).toBe(false);
  });
});

describe("what the policy switches off in words", () => {
  it("is skipped, says so, and does not hinder", async () => {
    const verdict = await judge({
      options: { models: [], timestampMs: NOW_MS - 7000 * SECOND },
      policy: (file) => {
        platformOf(file)["measurements"] = "unchecked";
        file.models = "any";
        file.freshness = "unchecked";
      },
    });
    expect([verdict.result, verdict.measurement]).toEqual(["verified", null]);
    const skipped = verdict.checks.filter(({ status }) => status === "skip");
    expect(skipped.map(({ id }) => id)).toEqual(["measurement", "models", "freshness"]);
    for (const check of skipped) {
      expect(check.code).toBe("policy/unchecked");
      expect(check.found).toMatch(
        /^unchecked: (?:pcr0 [0-9a-f]{96}, pcr1|no model$|document of )/u,
      );
    }
  });

  it("gives the epoch no measurement's name", async () => {
    const file = structuredClone(epoch.policy);
    platformOf(file)["measurements"] = "unchecked";
    const policy = parsePolicy(JSON.stringify(file));
    const { epoch: verified } = await appraiseBundle(epoch.bundle, policy, LIVE);
    expect(verified?.measurement).toBe("unchecked");
  });

  it("debug mode is accepted only where the policy says so and lists zeros, or nothing", async () => {
    const options = { pcrs: zeros() };
    const debug = (file: PolicyFile): void => {
      platformOf(file)["debug"] = true;
    };
    const listed = await judge({ options, policy: debugListed });
    expect([listed.result, foundOf(listed, "debug")]).toEqual(["verified", "debug mode"]);
    const other = (file: PolicyFile): void => {
      debug(file);
      platformOf(file)["measurements"] = structuredClone(platformMeasurements(epoch.policy));
    };
    expectRejected(
      await judge({ options, policy: other }),
      "measurement",
      "policy/measurement",
      "untrusted",
    );
    expect((await judge({ policy: debug })).result).toBe("verified");
  });

  it("a node may serve unlisted models beside listed ones", async () => {
    const verdict = await judge({
      options: { models: twoModels() },
      policy: (file) => (file.models = [{ id: "a", digest: encodeHex(sha256("a")) }]),
    });
    expect([verdict.result, foundOf(verdict, "models")]).toEqual([
      "verified",
      `a ${encodeHex(sha256("a"))}`,
    ]);
  });
});

describe("challenges", () => {
  it("are answered by an equal nonce", async () => {
    const verdict = await judge({
      options: { nonce: NONCE },
      context: { nonce: NONCE },
      policy: (file) => freshness(file, { challenge: "required" }),
    });
    expect(verdict.result).toBe("verified");
    expect(foundOf(verdict, "freshness")).toMatch(/^our nonce, /u);
  });

  it("count where freshness is unchecked", async () => {
    const verdict = await judge({
      options: { nonce: NONCE },
      context: { nonce: NONCE },
      policy: (file) => (file.freshness = "unchecked"),
    });
    expect(statusOf(verdict, "freshness")).toBe("pass");
  });

  it("of others are no harm", async () => {
    expect((await judge({ options: { nonce: NONCE } })).result).toBe("verified");
  });

  it("do not excuse an old document", async () => {
    const verdict = await judge({
      options: { nonce: NONCE, timestampMs: NOW_MS - 7000 * SECOND },
      context: { nonce: NONCE },
      policy: (file) => freshness(file, { maxAgeSeconds: 300 }),
    });
    expectRejected(verdict, "freshness", "freshness/age", "stale");
  });
});

describe("an archived bundle", () => {
  const later = { ...ARCHIVE, nowMs: NOW_MS + 300 * DAY };

  it("is judged at the document's own time, and the verdict says so", async () => {
    const verdict = await judge({ context: later });
    expect([verdict.result, verdict.mode, verdict.judgedAtMs]).toEqual([
      "verified",
      "archive",
      later.nowMs,
    ]);
    expect(foundOf(verdict, "chain")).toMatch(/at the document's time/u);
    expect(foundOf(verdict, "lifetime")).toMatch(/the document's time is/u);
    expect(statusOf(verdict, "freshness")).toBe("skip");
    expect(foundOf(verdict, "freshness")).toMatch(/judged at its own time/u);
    const policy = parsePolicy(epoch.policyText);
    const { epoch: archived } = await appraiseBundle(epoch.bundle, policy, later);
    expect(archived?.mode).toBe("archive");
  });

  it("does not need the challenge a live one needs", async () => {
    const policy = (file: PolicyFile): void => freshness(file, { challenge: "required" });
    expect((await judge({ context: later, policy })).result).toBe("verified");
    const nonced = { ...later, nonce: NONCE };
    const answered = await judge({ options: { nonce: NONCE }, context: nonced, policy });
    expect(statusOf(answered, "freshness")).toBe("pass");
    expectRejected(await judge({ context: nonced }), "freshness", "freshness/nonce", "stale");
  });

  it("is refused where the document is not of its epoch, its chain's time, or the past", async () => {
    const early = { options: { timestampMs: NOW_MS - 200 * SECOND }, context: later };
    expectRejected(await judge(early), "lifetime", "binding/lifetime", "stale");
    const old = { options: { timestampMs: NOW_MS - DAY }, context: later };
    expectRejected(await judge(old), "chain", "chain/validity", "expired");
    const future = { context: { ...ARCHIVE, nowMs: NOW_MS - 3600 * SECOND } };
    expectRejected(await judge(future), "freshness", "freshness/future", "stale");
  });

  it("needs a policy that has not expired", async () => {
    const context = { ...ARCHIVE, nowMs: NOW_MS + 366 * DAY };
    expectRejected(await judge({ context }), "policy", "policy/expired", "expired");
  });
});

describe("a bare document", () => {
  const judgeBare = async (
    made: FakeEpoch,
    context: AppraisalContext = LIVE,
    change: (file: PolicyFile) => void = () => undefined,
  ): Promise<Verdict> => {
    const file = structuredClone(made.policy);
    change(file);
    const policy = parsePolicy(JSON.stringify(file));
    const { verdict } = await appraiseDocument(made.parts.evidence, policy, context);
    expect(verdict.checks.map(({ id }) => id)).toEqual(EVIDENCE_CHECKS);
    return verdict;
  };
  const skipped = (verdict: Verdict): readonly string[] =>
    verdict.checks.filter(({ status }) => status === "skip").map(({ id }) => id);

  it("is verified as evidence, what needs preimages visibly skipped", async () => {
    const verdict = await judgeBare(epoch);
    expect([verdict.result, verdict.platform]).toEqual(["verified", "simulated"]);
    expect(skipped(verdict)).toEqual(["keyset", "modelset", "config", "models", "suite"]);
    expect(foundOf(verdict, "keyset")).toBe("a bare document carries no preimages");
    expect(foundOf(verdict, "platform")).toBe("simulated, by its root");
  });

  it("may be another application's", async () => {
    for (const userData of [null, new Uint8Array(0), encodeCbor("hello")]) {
      const verdict = await judgeBare(await makeEpoch(attester, { userData }));
      expect(verdict.result).toBe("verified");
      expect(skipped(verdict)).toEqual([
        "binding",
        "lifetime",
        "keyset",
        "modelset",
        "config",
        "register",
        "models",
        "suite",
      ]);
    }
  });

  it("is still held to what it says of itself", async () => {
    const wrong = await makeEpoch(attester, { pcrs: new Map([[16, null]]) });
    expectRejected(await judgeBare(wrong), "register", "binding/register", "tampered");
    const revoked = (file: PolicyFile): void => {
      file.revoked["keysets"] = [encodeHex(epoch.binding.keysetDigest)];
    };
    const verdict = await judgeBare(epoch, LIVE, revoked);
    expectRejected(verdict, "keyset", "policy/revoked", "untrusted");
    const over = await judgeBare(epoch, { ...LIVE, nowMs: NOW_MS + 7300 * SECOND });
    expectRejected(over, "lifetime", "binding/lifetime", "stale");
    const stranger = await judgeBare(epoch, LIVE, trustOnlyAnother);
    expectRejected(stranger, "platform", "chain/root", "untrusted");
    const nonce = await judgeBare(epoch, { ...LIVE, nonce: NONCE });
    expectRejected(nonce, "freshness", "freshness/nonce", "stale");
  });

  it("is refused where it is none", async () => {
    const policy = parsePolicy(epoch.policyText);
    const { verdict } = await appraiseDocument(epoch.bundle, policy, LIVE);
    expectRejected(verdict, "bundle", "cose/structure", "malformed");
  });
});

it("gives any bytes a verdict, and none of them verified", async () => {
  const policy = parsePolicy(epoch.policyText);
  const { bundle } = epoch;
  const spliced = fc
    .tuple(fc.nat(bundle.length), fc.uint8Array({ minLength: 1, maxLength: 9 }))
    .map(([at, bytes]) => Uint8Array.of(...bundle.slice(0, at), ...bytes, ...bundle.slice(at)));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 99 }), spliced), async (bytes) => {
      const whole = await appraiseBundle(bytes, policy, LIVE);
      const bare = await appraiseDocument(bytes, policy, ARCHIVE);
      expect([whole.verdict.result, bare.verdict.result]).toEqual(["rejected", "rejected"]);
    }),
  );
});

it("is incomplete where nothing could be judged", () => {
  for (const failure of ["unreachable", "rotated"] as const) {
    const verdict = incompleteVerdict(failure, "live", NOW_MS);
    expect([verdict.result, verdict.failure]).toEqual(["incomplete", failure]);
    expect(new Set(verdict.checks.map(({ found }) => found))).toEqual(new Set(["not reached"]));
  }
});

it("has one id for each check", () => {
  const ids = [...EVIDENCE_CHECKS, ...EXCHANGE_CHECKS];
  expect(new Set(ids).size).toBe(23);
});

/** The byte before the end of user_data: inside the signed payload, still the same CBOR. */
function flipUserData(evidence: Uint8Array): Uint8Array {
  const at = Buffer.from(evidence).indexOf(Buffer.from(epoch.binding.configDigest));
  if (at < 0) throw new TypeError("no binding in the document");
  return evidence.with(at, (evidence[at] ?? 0) ^ 1);
}

function trustOnlyAnother(file: PolicyFile): void {
  const other = createAttester({ random: seededRandom("another vendor"), nowMs: NOW_MS });
  platformOf(file)["roots"] = [encodeHex(other.rootSha256)];
  platformOf(file)["rootCertificates"] = [other.rootPem];
}

function zeros(): ReadonlyMap<number, Uint8Array> {
  return new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)]));
}

/** The epoch's keyset, changed before the enclave vouches for it. */
function keysetOf(change: (bytes: Uint8Array) => Uint8Array): Case {
  return { options: { preimages: { keyset: change(epoch.parts.keyset) } } };
}

function half(): Uint8Array {
  return encodeEpochBinding(epoch.binding).slice(0, 40);
}

function platformMeasurements(policy: PolicyFile): unknown {
  return platformOf(policy)["measurements"];
}

function debugListed(file: PolicyFile): void {
  const zero = "00".repeat(48);
  platformOf(file)["debug"] = true;
  platformOf(file)["measurements"] = [{ name: "debug", pcr0: zero, pcr1: zero, pcr2: zero }];
}

function replaceRegister(file: PolicyFile, key: string): void {
  const list = platformMeasurements(file);
  if (!Array.isArray(list)) throw new TypeError("no measurements");
  platformOf(file)["measurements"] = list.map((entry: unknown) =>
    Object.assign({}, entry, { [key]: "ab".repeat(48) }),
  );
}

function freshness(file: PolicyFile, change: Record<string, unknown>): void {
  file.freshness = Object.assign({}, file.freshness, change);
}

function twoModels(): readonly { id: string; version: string; digest: Uint8Array }[] {
  return ["a", "b"].map((id) => ({ id, version: "1", digest: sha256(id) }));
}

function revokeSecond(file: PolicyFile, any: boolean): void {
  file.models = any ? "any" : [{ id: "a", digest: encodeHex(sha256("a")) }];
  file.revoked["models"] = [encodeHex(sha256("b"))];
}
