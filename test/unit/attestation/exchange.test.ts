import { describe, expect, it } from "vitest";
import {
  appraiseBundle,
  appraiseExchange,
  type AttestationErrorCode,
  type CheckId,
  encodeHex,
  EVIDENCE_CHECKS,
  EXCHANGE_CHECKS,
  type ExchangeEvidence,
  type FailureClass,
  type Head,
  lowS,
  parsePolicy,
  parseReceipt,
  type ReceiptClaims,
  type Verdict,
  type VerifiedEpoch,
} from "@countersign/attestation";
import {
  createAttester,
  type FakeExchange,
  headOf,
  makeEpoch,
  makeExchange,
  NOW_MS,
  type PolicyFile,
  seededRandom,
  sha256,
  signReceipt,
} from "../../fakes/attester.ts";
import { signingKey } from "../../fakes/x509.ts";

const random = seededRandom("exchange");
const attester = createAttester({ random, nowMs: NOW_MS });
const models = ["digits", "letters", "unlisted"].map((id) => ({
  id,
  version: "1",
  digest: sha256(id),
}));
const epoch = await makeEpoch(attester, { models });
const [digits, letters, unlisted] = models;
if (digits === undefined || letters === undefined || unlisted === undefined) throw new TypeError();

const file: PolicyFile = {
  ...structuredClone(epoch.policy),
  models: [digits, letters].map(({ id, digest }) => ({ id, digest: encodeHex(digest) })),
};
const policy = parsePolicy(JSON.stringify(file));
const verified = await verifiedEpoch();
const NOW = NOW_MS / 1000;

async function verifiedEpoch(): Promise<VerifiedEpoch<"live">> {
  const context = { mode: "live", nowMs: NOW_MS, nonce: null } as const;
  const { epoch: made } = await appraiseBundle(epoch.bundle, policy, context);
  if (made === null) throw new TypeError("the fake epoch is not accepted");
  return made;
}

async function evidenceOf(
  exchange: FakeExchange,
  change: Partial<ExchangeEvidence> = {},
): Promise<ExchangeEvidence> {
  const { kc, requestLeaves, responseLeaves } = exchange;
  return {
    receipt: exchange.receipt,
    phase: "final",
    previous: null,
    exchange: exchange.exchange,
    requestHead: (leaves) => headOf(kc, "request", requestLeaves.slice(0, leaves)),
    requestLeaves: requestLeaves.length,
    responseHead: () => headOf(kc, "response", responseLeaves),
    responseLeaves: responseLeaves.length,
    status: exchange.claims.outcome.status,
    complete: true,
    asked: { id: "digits", version: "1" },
    nowMs: NOW_MS,
    ...change,
  };
}

interface Case {
  readonly claims?: Partial<ReceiptClaims>;
  readonly evidence?: Partial<ExchangeEvidence>;
  /** Changes the policy that the exchange is judged by. */
  readonly policy?: (policy: PolicyFile) => void;
}

async function judge(what: Case): Promise<Verdict> {
  const exchange = await makeExchange(epoch, what.claims ? { claims: what.claims } : {});
  const changed = structuredClone(file);
  what.policy?.(changed);
  const judged = parsePolicy(JSON.stringify(changed));
  const context = { mode: "live", nowMs: NOW_MS, nonce: null } as const;
  const { epoch: held } = await appraiseBundle(epoch.bundle, judged, context);
  if (held === null) throw new TypeError("the epoch itself is refused");
  const verdict = await appraiseExchange(held, await evidenceOf(exchange, what.evidence ?? {}));
  expect(verdict.checks.map(({ id }) => id)).toEqual([...EVIDENCE_CHECKS, ...EXCHANGE_CHECKS]);
  return verdict;
}

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
  for (const check of verdict.checks.slice(ids.indexOf(id) + 1)) {
    expect([check.status, check.found], check.id).toEqual(["skip", "not reached"]);
  }
}

const head = (change: Partial<Head>): Head => ({
  leaves: 2,
  root: new Uint8Array(32),
  bytes: 112,
  ...change,
});

describe("a genuine exchange", () => {
  it("is verified, every check passed, after those of the epoch", async () => {
    const verdict = await judge({});
    expect(verdict).toMatchObject({
      result: "verified",
      failure: null,
      platform: "simulated",
      mode: "live",
      measurement: "test-build",
      judgedAtMs: NOW_MS,
    });
    expect(new Set(verdict.checks.map(({ status }) => status))).toEqual(new Set(["pass"]));
    expect(verdict.checks.slice(0, EVIDENCE_CHECKS.length)).toEqual(verified.verdict.checks);
  });

  it("is verified a hundred times with one imported key", async () => {
    const exchange = await makeExchange(epoch);
    const evidence = await evidenceOf(exchange);
    const verdicts = Array.from({ length: 100 }, () => appraiseExchange(verified, evidence));
    for (const verdict of await Promise.all(verdicts)) expect(verdict.result).toBe("verified");
  });

  it("keeps what the policy left unchecked at the epoch visible", async () => {
    const any = { ...policy, models: "any" } as const;
    const context = { mode: "live", nowMs: NOW_MS, nonce: null } as const;
    const { epoch: loose } = await appraiseBundle(epoch.bundle, any, context);
    if (loose === null) throw new TypeError("not accepted");
    const exchange = await makeExchange(epoch, { claims: { model: unlisted } });
    const evidence = await evidenceOf(exchange, { asked: { id: "unlisted", version: null } });
    const verdict = await appraiseExchange(loose, evidence);
    expect(verdict.result).toBe("verified");
    expect(verdict.checks.find(({ id }) => id === "models")?.status).toBe("skip");
    expect(verdict.checks.find(({ id }) => id === "model")?.wanted).toMatch(/policy allows any/u);
  });
});

describe("an epoch that no appraisal made", () => {
  it("judges nothing, be it a copy with another key or another mode", async () => {
    const exchange = await makeExchange(epoch);
    const evidence = await evidenceOf(exchange);
    const forged: typeof verified = { ...verified, receiptKey: epoch.receiptKey.point };
    await expect(appraiseExchange(forged, evidence)).rejects.toThrow(TypeError);
    expect(Object.isFrozen(verified)).toBe(true);
  });

  it("is judged by the evidence as it was given", async () => {
    const exchange = await makeExchange(epoch);
    const id = new Uint8Array(16);
    const evidence = await evidenceOf(exchange, { exchange: id });
    const pending = appraiseExchange(verified, evidence);
    id.set(exchange.exchange);
    expectRejected(await pending, "index", "receipt/exchange", "tampered");
  });
});

describe("each check fails for its reason", () => {
  const rows: readonly (readonly [CheckId, AttestationErrorCode, FailureClass, string, Case])[] = [
    ["receipt", "receipt/missing", "truncated", "no receipt", { evidence: { receipt: null } }],
    [
      "receipt",
      "cbor/truncated",
      "truncated",
      "an empty receipt",
      { evidence: { receipt: new Uint8Array(0) } },
    ],
    ["receipt", "receipt/index", "malformed", "an index below zero", { claims: { index: -1 } }],
    [
      "receipt",
      "receipt/structure",
      "malformed",
      "a status that is none",
      { claims: { outcome: { status: 20 } } },
    ],
    [
      "receipt",
      "cose/structure",
      "malformed",
      "no envelope",
      { evidence: { receipt: Uint8Array.of(0xa0) } },
    ],
    [
      "epoch",
      "receipt/epoch",
      "tampered",
      "another keyset",
      { claims: { keysetDigest: random(32) } },
    ],
    [
      "epoch",
      "receipt/epoch",
      "tampered",
      "another document",
      { claims: { documentDigest: random(32) } },
    ],
    [
      "index",
      "receipt/phase",
      "truncated",
      "an aborted exchange",
      { claims: { phase: "aborted" } },
    ],
    ["index", "receipt/phase", "truncated", "a checkpoint", { claims: { phase: "checkpoint" } }],
    ["index", "receipt/exchange", "tampered", "another id", { evidence: { exchange: random(16) } }],
    [
      "index",
      "receipt/previous",
      "tampered",
      "a receipt before it that was not seen",
      { claims: { previous: random(32) } },
    ],
    [
      "index",
      "receipt/previous",
      "tampered",
      "none before it, where one was seen",
      { evidence: { previous: random(32) } },
    ],
    [
      "index",
      "receipt/phase",
      "truncated",
      "the end, where a checkpoint has to be",
      { evidence: { phase: "checkpoint" } },
    ],
    [
      "index",
      "receipt/time",
      "stale",
      "a time before the epoch",
      { claims: { issuedAt: epoch.binding.notBefore - 61 } },
    ],
    ["index", "receipt/time", "stale", "a time to come", { claims: { issuedAt: NOW + 61 } }],
    ["index", "receipt/time", "stale", "no time", { evidence: { nowMs: NaN } }],
    [
      "index",
      "receipt/time",
      "stale",
      "a time after the epoch",
      {
        claims: { issuedAt: epoch.binding.notAfter + 61 },
        evidence: { nowMs: NOW_MS + 86_400_000 },
      },
    ],
    ["model", "receipt/model", "tampered", "another model", { claims: { model: letters } }],
    ["model", "receipt/model", "tampered", "no model", { claims: { model: null } }],
    [
      "model",
      "receipt/model",
      "tampered",
      "a model that is not of the epoch",
      { claims: { model: { ...digits, version: "2" } } },
    ],
    [
      "model",
      "receipt/model",
      "tampered",
      "another version than asked for",
      { evidence: { asked: { id: "digits", version: "2" } } },
    ],
    [
      "model",
      "receipt/model",
      "tampered",
      "another digest under the name",
      { claims: { model: { ...digits, digest: sha256("x") } } },
    ],
    [
      "model",
      "policy/model",
      "untrusted",
      "a model the policy does not list",
      { claims: { model: unlisted }, evidence: { asked: null } },
    ],
    ["request", "transcript/request", "tampered", "a root", { claims: { request: head({}) } }],
    [
      "request",
      "transcript/request",
      "tampered",
      "more",
      { claims: { request: head({ leaves: 3 }) } },
    ],
    [
      "request",
      "transcript/request",
      "tampered",
      "less",
      { claims: { request: head({ leaves: 1 }) } },
    ],
    [
      "request",
      "transcript/request",
      "tampered",
      "more leaves than were sent, though refused",
      {
        claims: { request: head({ leaves: 3 }), outcome: { status: 400 } },
        evidence: { status: 400 },
      },
    ],
    ["response", "transcript/response", "tampered", "a root", { claims: { response: head({}) } }],
    ["response", "receipt/status", "tampered", "another status", { evidence: { status: 201 } }],
    [
      "complete",
      "transcript/incomplete",
      "truncated",
      "no final chunk",
      { evidence: { complete: false } },
    ],
  ];

  it.each(rows)("%s: %s (%s), %s", async (id, code, failure, _, what) => {
    expectRejected(await judge(what), id, code, failure);
  });

  it("receipt: signed by another key, or with the other s", async () => {
    const exchange = await makeExchange(epoch);
    const other = signReceipt(signingKey("P-256", random(32)), exchange.claims);
    for (const receipt of [other, withHighS(exchange.receipt)]) {
      const evidence = await evidenceOf(exchange, { receipt });
      const verdict = await appraiseExchange(verified, evidence);
      expectRejected(verdict, "receipt", "receipt/signature", "tampered");
    }
  });

  it("heads: the byte count counts", async () => {
    const exchange = await makeExchange(epoch);
    for (const direction of ["request", "response"] as const) {
      const signed = exchange.claims[direction];
      const claims = { ...exchange.claims, [direction]: { ...signed, bytes: signed.bytes + 1 } };
      const receipt = signReceipt(epoch.receiptKey, claims);
      const evidence = await evidenceOf(exchange, { receipt });
      const verdict = await appraiseExchange(verified, evidence);
      expectRejected(verdict, direction, `transcript/${direction}`, "tampered");
    }
  });
});

describe("both sides of each limit of time", () => {
  it("a receipt is made within the epoch and not after now, but for the clocks' skew", async () => {
    const made = async (issuedAt: number): Promise<string> =>
      (await judge({ claims: { issuedAt } })).result;
    expect(await made(epoch.binding.notBefore - 60)).toBe("verified");
    expect(await made(NOW + 60)).toBe("verified");
    const end = { claims: { issuedAt: epoch.binding.notAfter + 60 } };
    const late = await judge({ ...end, evidence: { nowMs: NOW_MS + 86_400_000 } });
    expect(late.result).toBe("verified");
  });
});

describe("no model", () => {
  it("answers where none was asked for", async () => {
    const verdict = await judge({ claims: { model: null }, evidence: { asked: null } });
    expect(verdict.result).toBe("verified");
  });

  it("answers a refusal", async () => {
    const claims = { model: null, outcome: { status: 404 } };
    expect((await judge({ claims, evidence: { status: 404 } })).result).toBe("verified");
    const redirect = { model: null, outcome: { status: 399 } };
    const verdict = await judge({ claims: redirect, evidence: { status: 399 } });
    expectRejected(verdict, "model", "receipt/model", "tampered");
  });
});

describe("a refusal", () => {
  it("may commit to the first leaves only, or to none", async () => {
    const exchange = await makeExchange(epoch);
    for (const leaves of [0, 1, 2]) {
      const claims = {
        ...exchange.claims,
        request: await headOf(exchange.kc, "request", exchange.requestLeaves.slice(0, leaves)),
        outcome: { status: 413 },
      };
      const receipt = signReceipt(epoch.receiptKey, claims);
      const evidence = await evidenceOf(exchange, { receipt, status: 413 });
      expect((await appraiseExchange(verified, evidence)).result).toBe("verified");
    }
  });

  it("is held to the leaves it commits to", async () => {
    const claims = { request: head({ leaves: 1 }), outcome: { status: 413 } };
    const verdict = await judge({ claims, evidence: { status: 413 } });
    expectRejected(verdict, "request", "transcript/request", "tampered");
  });
});

describe("a checkpoint", () => {
  const claims = { phase: "checkpoint" } as const;
  const evidence = { phase: "checkpoint", complete: false } as const;

  it("leaves nothing open but the end", async () => {
    const previous = random(32);
    const verdict = await judge({
      claims: { ...claims, previous },
      evidence: { ...evidence, previous },
    });
    expect([verdict.result, verdict.failure]).toEqual(["incomplete", null]);
    const open = verdict.checks.filter(({ status }) => status !== "pass");
    expect(open.map(({ id, found }) => [id, found])).toEqual([["complete", "not reached"]]);
  });

  it("is never verified, not even where all has come", async () => {
    const whole = { ...evidence, complete: true };
    expect((await judge({ claims, evidence: whole })).result).toBe("incomplete");
  });

  it("may cover the beginning of the request, as far as it was read", async () => {
    const { kc, requestLeaves } = await makeExchange(epoch);
    for (const leaves of [0, 1]) {
      const first = requestLeaves.slice(0, leaves);
      const exchange = await makeExchange(epoch, {
        claims: { ...claims, request: await headOf(kc, "request", first) },
      });
      const held = await evidenceOf(exchange, {
        ...evidence,
        requestHead: (count) => headOf(kc, "request", requestLeaves.slice(0, count)),
      });
      expect((await appraiseExchange(verified, held)).result).toBe("incomplete");
    }
  });

  it.each<[CheckId, AttestationErrorCode, Partial<ExchangeEvidence>]>([
    ["index", "receipt/exchange", { exchange: random(16) }],
    ["index", "receipt/previous", { previous: random(32) }],
    ["model", "receipt/model", { asked: { id: "letters", version: null } }],
    ["request", "transcript/request", { requestLeaves: 1 }],
    ["response", "transcript/response", { responseLeaves: 3 }],
    ["response", "receipt/status", { status: 201 }],
  ])("is held to its %s: %s", async (id, code, change) => {
    const verdict = await judge({ claims, evidence: { ...evidence, ...change } });
    expectRejected(verdict, id, code, "tampered");
  });
});

describe("what is not known", () => {
  it("is not compared", async () => {
    const evidence = { exchange: null, status: null, asked: null };
    expect((await judge({ evidence })).result).toBe("verified");
  });
});

/** The same receipt with n − s, which ECDSA itself accepts. */
function withHighS(receipt: Uint8Array): Uint8Array {
  const { signature } = parseReceipt(receipt);
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const s = n - BigInt(`0x${encodeHex(signature.subarray(32))}`);
  const other = new Uint8Array(Buffer.from(s.toString(16).padStart(64, "0"), "hex"));
  const high = Uint8Array.of(...signature.subarray(0, 32), ...other);
  expect(lowS("P-256", high)).toEqual(signature);
  const changed = receipt.slice();
  changed.set(high, receipt.length - 64);
  return changed;
}
