import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  appraiseProof,
  type AttestationErrorCode,
  type CborKey,
  type CborValue,
  type CheckId,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  encodeProof,
  encodeUtf8,
  EVIDENCE_CHECKS,
  EXCHANGE_CHECKS,
  type FailureClass,
  type Hashes,
  parsePolicy,
  parseProof,
  type Proof,
  type ProofAppraisal,
  webHashes,
} from "@countersign/attestation";
import {
  createAttester,
  type FakeExchange,
  headOf,
  makeEpoch,
  makeExchange,
  NOW_MS,
  seededRandom,
  signReceipt,
} from "../../fakes/attester.ts";
import { refusalOf } from "../../fakes/refusal.ts";

const random = seededRandom("proof");
const attester = createAttester({ random, nowMs: NOW_MS });
const epoch = await makeEpoch(attester, { suite: "X25519" });
epoch.policy.suites = ["X25519/HKDF-SHA256/AES-256-GCM"];
const policy = parsePolicy(JSON.stringify(epoch.policy));
const exchange = await makeExchange(epoch);
const LATER_MS = NOW_MS + 300 * 86_400_000;

const opening = (of: FakeExchange): Proof["opening"] => ({
  kc: of.kc,
  request: of.requestLeaves,
  response: of.responseLeaves,
});
const proofOf = (of: FakeExchange, change: Partial<Proof> = {}): Uint8Array =>
  encodeProof({ receipt: of.receipt, bundle: epoch.bundle, opening: opening(of), ...change });
const appraise = (bytes: Uint8Array, nowMs: number = LATER_MS): Promise<ProofAppraisal> =>
  appraiseProof(bytes, policy, { nowMs }, webHashes);

async function expectRejected(
  bytes: Uint8Array,
  id: CheckId,
  code: AttestationErrorCode,
  failure: FailureClass,
): Promise<void> {
  const { verdict, claims } = await appraise(bytes);
  expect(verdict.checks.map((check) => check.id)).toEqual([...EVIDENCE_CHECKS, ...EXCHANGE_CHECKS]);
  const failed = verdict.checks.filter(({ status }) => status === "fail");
  expect(failed.map((check) => [check.id, check.code])).toEqual([[id, code]]);
  expect([verdict.result, verdict.failure, claims]).toEqual(["rejected", failure, null]);
}

describe("a proof with its opening", () => {
  it("is verified offline, long after, and says that it judges an archive", async () => {
    const { verdict, proof, claims } = await appraise(proofOf(exchange));
    expect([verdict.result, verdict.mode, verdict.judgedAtMs]).toEqual([
      "verified",
      "archive",
      LATER_MS,
    ]);
    const skipped = verdict.checks.filter(({ status }) => status === "skip");
    expect(skipped.map(({ id }) => id)).toEqual(["freshness"]);
    expect(claims).toEqual(exchange.claims);
    expect(proof).toEqual({
      receipt: exchange.receipt,
      bundle: epoch.bundle,
      opening: opening(exchange),
    });
  });

  it("is rejected with any byte changed", async () => {
    const bytes = proofOf(exchange);
    const accepted: number[] = [];
    const flip = async (at: number): Promise<void> => {
      const flipped = bytes.with(at, (bytes[at] ?? 0) ^ (1 << ((at * 7) % 8)));
      const { verdict, claims } = await appraise(flipped);
      if (verdict.result !== "rejected" || claims !== null) accepted.push(at);
    };
    for (let at = 0; at < bytes.length; at += 8) {
      await Promise.all(
        Array.from({ length: 8 }, (_, i) => at + i)
          .filter((i) => i < bytes.length)
          .map(flip),
      );
    }
    expect(accepted).toEqual([]);
  }, 300_000);

  it("is rejected cut short or extended anywhere", async () => {
    const bytes = proofOf(exchange);
    for (let length = 0; length < bytes.length; length += 97) {
      await expectRejected(bytes.slice(0, length), "bundle", "cbor/truncated", "truncated");
    }
    const longer = Uint8Array.of(...bytes, 0);
    await expectRejected(longer, "bundle", "cbor/trailing", "malformed");
  });

  it("costs nothing to open before its receipt is verified", async () => {
    let hashed = 0;
    const counting: Hashes = {
      sha256: (bytes) => webHashes.sha256(bytes),
      hmacSha256(key, bytes) {
        hashed++;
        return webHashes.hmacSha256(key, bytes);
      },
    };
    const many = Array.from({ length: 65_536 }, () => new Uint8Array(0));
    const opened = { kc: exchange.kc, request: many, response: many };
    const judged = async (receipt: Uint8Array): Promise<AttestationErrorCode | null> => {
      const bytes = proofOf(exchange, { receipt, opening: opened });
      const { verdict } = await appraiseProof(bytes, policy, { nowMs: LATER_MS }, counting);
      return verdict.checks.find(({ status }) => status === "fail")?.code ?? null;
    };
    expect(await judged(Uint8Array.of(1))).toBe("cose/structure");
    // A good receipt for other counts: no leaf of them is hashed either.
    expect(await judged(exchange.receipt)).toBe("transcript/request");
    // As many leaves, of other sizes: nor of these.
    const sized = (leaves: readonly Uint8Array[]): readonly Uint8Array[] =>
      leaves.map((leaf) => new Uint8Array(leaf.length + 1));
    const { kc, requestLeaves, responseLeaves: response } = exchange;
    const bytes = proofOf(exchange, { opening: { kc, request: sized(requestLeaves), response } });
    const { verdict } = await appraiseProof(bytes, policy, { nowMs: LATER_MS }, counting);
    expect(verdict.checks.find(({ status }) => status === "fail")?.id).toBe("request");
    expect(hashed).toBe(0);
  });

  it("is judged at a time, or not at all", async () => {
    for (const nowMs of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
      await expect(appraise(new Uint8Array(3), nowMs)).rejects.toThrow(TypeError);
    }
  });

  it("shows the model that its own request asked for", async () => {
    // RFC 9292: indeterminate-length request (2); method, scheme, authority, path.
    const asking = (path: string): Uint8Array =>
      Buffer.concat([2, "POST", "https", "", path].map((part) => encoded(part)));
    const encoded = (part: string | number): Buffer =>
      typeof part === "number" ? Buffer.of(part) : Buffer.from([part.length, ...Buffer.from(part)]);
    const shown = async (
      path: string,
      ...content: readonly string[]
    ): Promise<AttestationErrorCode | null> => {
      const chunks = content.length === 0 ? [random(9)] : content.map((part) => encodeUtf8(part));
      const made = await makeExchange(epoch, { requestLeaves: [asking(path), ...chunks] });
      const { verdict } = await appraise(proofOf(made));
      return verdict.checks.find(({ status }) => status === "fail")?.code ?? null;
    };
    expect(await shown("/v2/models/digits/infer")).toBe(null);
    expect(await shown("/v2/models/digits/versions/1/infer")).toBe(null);
    expect(await shown("/v2/health/live")).toBe(null);
    expect(await shown("/v2/models/letters/infer")).toBe("receipt/model");
    expect(await shown("/v2/models/digits/versions/2/infer")).toBe("receipt/model");
    // OpenAI's API names it in the body, here in two chunks.
    const chat = "/v1/chat/completions";
    expect(await shown(chat)).toBe(null);
    expect(await shown(chat, '{"mod', 'el":"digits"}')).toBe(null);
    expect(await shown(chat, '{"model":"digits@1"}')).toBe(null);
    expect(await shown(chat, '{"mod', 'el":"letters"}')).toBe("receipt/model");
    expect(await shown(chat, '{"model":"digits@2"}')).toBe("receipt/model");
  });

  it("opens nothing with leaves lost, added, swapped or changed", async () => {
    const { kc, requestLeaves: request, responseLeaves: response } = exchange;
    const open = (change: Partial<NonNullable<Proof["opening"]>>): Uint8Array =>
      proofOf(exchange, { opening: { kc, request, response, ...change } });
    const changes = [request.slice(1), request.toReversed(), [...request, random(1)], []];
    for (const leaves of changes) {
      const bytes = open({ request: leaves });
      await expectRejected(bytes, "request", "transcript/request", "tampered");
    }
    for (const leaves of [response.slice(0, 1), [...response, new Uint8Array(0)]]) {
      const bytes = open({ response: leaves });
      await expectRejected(bytes, "response", "transcript/response", "tampered");
    }
    const otherKey = open({ kc: random(32) });
    await expectRejected(otherKey, "request", "transcript/request", "tampered");
  });

  it("shows the status that the receipt names", async () => {
    const leaves = [
      Uint8Array.of(3, 0x41, 0x2d, 0),
      Uint8Array.of(2, 0x40, 0xc8, 0),
      Uint8Array.of(3, 0x80, 0, 0, 0xc9),
      Uint8Array.of(3, 0xc0, 0, 0, 0, 0, 0, 1, 0xc8),
      Uint8Array.of(3, 0xc0, 0, 0, 0, 0, 0, 0),
      Uint8Array.of(3, 0x40),
      Uint8Array.of(3),
      new Uint8Array(0),
    ];
    for (const leaf of leaves) {
      const shown = await makeExchange(epoch, { responseLeaves: [leaf] });
      await expectRejected(proofOf(shown), "response", "receipt/status", "tampered");
    }
    const none = await makeExchange(epoch, { responseLeaves: [] });
    await expectRejected(proofOf(none), "response", "receipt/status", "tampered");
    for (const leaf of [
      Uint8Array.of(1, 0x40, 0xc8),
      Uint8Array.of(3, 0x80, 0, 0, 0xc8),
      Uint8Array.of(3, 0xc0, 0, 0, 0, 0, 0, 0, 0xc8),
    ]) {
      const shown = await makeExchange(epoch, { responseLeaves: [leaf] });
      expect((await appraise(proofOf(shown))).verdict.result).toBe("verified");
    }
  });

  it("of a refusal holds the leaves the receipt counts, and no others", async () => {
    const refused = await makeExchange(epoch, {
      responseLeaves: [Uint8Array.of(3, 0x41, 0x9d, 0)],
      claims: { outcome: { status: 413 }, model: null },
    });
    const request = refused.requestLeaves.slice(0, 1);
    const claims = { ...refused.claims, request: await headOf(refused.kc, "request", request) };
    const receipt = signReceipt(epoch.receiptKey, claims);
    const all = proofOf({ ...refused, receipt });
    await expectRejected(all, "request", "transcript/request", "tampered");
    const exact = proofOf({ ...refused, receipt, requestLeaves: request });
    expect((await appraise(exact)).verdict.result).toBe("verified");
  });
});

describe("a proof without an opening", () => {
  const bytes = proofOf(exchange, { opening: null });

  it("is verified for what the receipt claims, the rest visibly skipped", async () => {
    const { verdict, claims } = await appraise(bytes);
    expect(verdict.result).toBe("verified");
    const skipped = verdict.checks.filter(({ status }) => status === "skip");
    expect(skipped.map(({ id }) => id)).toEqual(["freshness", "request", "response", "complete"]);
    expect(skipped.at(-1)?.found).toBe("proof carries no opening");
    expect(claims).toEqual(exchange.claims);
  });

  it("is rejected for another epoch's receipt", async () => {
    const other = await makeEpoch(attester, { suite: "X25519" });
    const { receipt } = await makeExchange(other);
    const forged = proofOf(exchange, { opening: null, receipt });
    await expectRejected(forged, "receipt", "receipt/signature", "tampered");
  });

  it("is rejected for an aborted exchange", async () => {
    const aborted = await makeExchange(epoch, { claims: { phase: "aborted" } });
    const cut = proofOf(aborted, { opening: null });
    await expectRejected(cut, "complete", "receipt/phase", "truncated");
  });

  it("shows what a checkpoint covers, opened or not, and is not verified", async () => {
    const partial = await makeExchange(epoch, { claims: { phase: "checkpoint" } });
    for (const opening of [null, undefined]) {
      const bytes = proofOf(partial, opening === null ? { opening } : {});
      await expectRejected(bytes, "complete", "receipt/phase", "truncated");
      const judged = await appraise(bytes);
      expect([judged.claims, judged.unfinished?.phase]).toEqual([null, "checkpoint"]);
      expect(judged.unfinished?.response).toEqual(partial.claims.response);
    }
  });

  it("shows nothing of a checkpoint that does not hold", async () => {
    const partial = await makeExchange(epoch, { claims: { phase: "checkpoint", issuedAt: 1 } });
    const { verdict, unfinished } = await appraise(proofOf(partial));
    expect([verdict.failure, unfinished]).toEqual(["stale", null]);
  });
});

describe("the evidence in a proof", () => {
  it("is judged first; the exchange is then not reached", async () => {
    const { verdict, proof } = await appraiseProof(
      proofOf(exchange),
      policy,
      { nowMs: policy.expiresMs },
      webHashes,
    );
    expect([verdict.result, verdict.failure]).toEqual(["rejected", "expired"]);
    expect(verdict.checks.map(({ id }) => id)).toEqual([...EVIDENCE_CHECKS, ...EXCHANGE_CHECKS]);
    expect(verdict.checks.slice(1).every(({ found }) => found === "not reached")).toBe(true);
    expect(proof?.receipt).toEqual(exchange.receipt);
  });

  it("may be a bundle that was damaged", async () => {
    const bundle = epoch.bundle.slice(0, 1000);
    const broken = proofOf(exchange, { bundle });
    await expectRejected(broken, "bundle", "cbor/truncated", "truncated");
  });
});

describe("parseProof", () => {
  it("parses what is encoded", () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 });
    const leaves = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 });
    const kc = fc.uint8Array({ minLength: 32, maxLength: 32 });
    const proofs = fc.record({
      receipt: bytes,
      bundle: bytes,
      opening: fc.option(fc.record({ kc, request: leaves, response: leaves })),
    });
    fc.assert(
      fc.property(proofs, (proof) => {
        expect(parseProof(encodeProof(proof))).toEqual(proof);
      }),
    );
  });

  it("takes many leaves and large ones", () => {
    const request = Array.from({ length: 30_000 }, (_, i) => Uint8Array.of(i & 0xff));
    const response = [new Uint8Array(1 << 20)];
    const proof = {
      receipt: random(9),
      bundle: random(9),
      opening: { kc: random(32), request, response },
    };
    expect(parseProof(encodeProof(proof)).opening?.request.length).toBe(30_000);
  });

  it("refuses keys, types and sizes that are not as agreed", async () => {
    const leaf = new Uint8Array(1);
    const opened = (kc: CborValue, request: CborValue, response: CborValue): CborValue =>
      new Map<CborKey, CborValue>([
        [1, kc],
        [2, request],
        [3, response],
      ]);
    const changes: readonly (readonly [CborKey, CborValue])[] = [
      [1, "countersign/proof/v2"],
      [2, new Uint8Array(0)],
      [2, new Uint8Array(4097)],
      [2, "text"],
      [3, new Uint8Array(0)],
      [3, new Uint8Array(262_145)],
      [4, []],
      [4, new Map([[1, random(32)]])],
      [4, opened(random(31), [leaf], [leaf])],
      [4, opened(random(32), leaf, [leaf])],
      [4, opened(random(32), [leaf], ["text"])],
      [4, opened(random(32), Array<CborValue>(65_537).fill(0), [leaf])],
      [5, 0],
      ["text", 0],
    ];
    const genuine = decodeCbor(
      encodeProof({ receipt: leaf, bundle: leaf, opening: null }),
      DETERMINISTIC,
    );
    if (!(genuine instanceof Map)) throw new TypeError("no map");
    for (const [key, value] of changes) {
      const bytes = encodeCbor(new Map<CborKey, CborValue>([...genuine, [key, value]]));
      expect(await refusalOf(() => parseProof(bytes)), String(key)).toBe("proof/structure");
    }
    await expectRejected(encodeCbor(1), "bundle", "proof/structure", "malformed");
  });

  it("gives a value or our error for any bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        expect(await refusalOf(() => parseProof(bytes))).not.toBeNull();
      }),
    );
  });
});
