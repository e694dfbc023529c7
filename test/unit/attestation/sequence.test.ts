import { beforeAll, describe, expect, it } from "vitest";
import {
  appraiseBundle,
  type AttestationErrorCode,
  parsePolicy,
  type VerifiedEpoch,
  verifyReceiptSequence,
} from "@countersign/attestation";
import {
  createAttester,
  type FakeEpoch,
  makeEpoch,
  makeExchange,
  NOW_MS,
  seededRandom,
} from "../../fakes/attester.ts";
import { codeOfAsync } from "./refused.ts";

const attester = createAttester({ random: seededRandom("sequence"), nowMs: NOW_MS });
let made: FakeEpoch;
let epoch: VerifiedEpoch;

beforeAll(async () => {
  made = await makeEpoch(attester);
  const context = { mode: "live", nowMs: NOW_MS, nonce: null } as const;
  const judged = await appraiseBundle(made.bundle, parsePolicy(made.policyText), context);
  if (judged.epoch === null) throw new TypeError("the fake epoch is refused");
  ({ epoch } = judged);
});

async function receipts(...indexes: readonly number[]): Promise<Uint8Array[]> {
  const exchanges = indexes.map((index) => makeExchange(made, { claims: { index } }));
  return (await Promise.all(exchanges)).map(({ receipt }) => receipt);
}

function codeFor(list: readonly Uint8Array[], first = 0): Promise<AttestationErrorCode | null> {
  return codeOfAsync(() => verifyReceiptSequence(epoch, list, first, NOW_MS));
}

describe("verifyReceiptSequence", () => {
  it("gives the claims of receipts without a gap, from any index on", async () => {
    const claims = await verifyReceiptSequence(epoch, await receipts(0, 1, 2), 0, NOW_MS);
    expect(claims.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(await codeFor(await receipts(41, 42), 41)).toBe(null);
    expect(await codeFor([])).toBe(null);
  });

  it("takes no epoch that no appraisal made", async () => {
    const forged: VerifiedEpoch = { ...epoch };
    await expect(verifyReceiptSequence(forged, [], 0, NOW_MS)).rejects.toThrow(TypeError);
  });

  it("takes an aborted exchange for one, and no checkpoint", async () => {
    const aborted = await makeExchange(made, { claims: { index: 1, phase: "aborted" } });
    const [zero, two] = await receipts(0, 2);
    if (zero === undefined || two === undefined) throw new TypeError("no receipts");
    expect(await codeFor([zero, aborted.receipt, two])).toBe(null);
    const checkpoint = await makeExchange(made, { claims: { index: 1, phase: "checkpoint" } });
    expect(await codeFor([zero, checkpoint.receipt, two])).toBe("receipt/phase");
  });

  it("refuses a gap, a repetition, another order, another start", async () => {
    for (const indexes of [
      [0, 2],
      [0, 0],
      [0, 1, 1],
      [1, 0],
      [1, 2],
      [0, 1, 3, 2],
    ]) {
      expect(await codeFor(await receipts(...indexes)), indexes.join(" ")).toBe("receipt/index");
    }
    expect(await codeFor(await receipts(0, 1), 1)).toBe("receipt/index");
  });

  it("refuses one exchange at two indexes, and a receipt from outside the epoch", async () => {
    const [zero] = await receipts(0);
    const same = await makeExchange(made, { claims: { index: 0 } });
    const again = await makeExchange(made, { claims: { ...same.claims, index: 1 } });
    if (zero === undefined) throw new TypeError("no receipts");
    expect(await codeFor([same.receipt, again.receipt])).toBe("receipt/exchange");
    const early = await makeExchange(made, { claims: { index: 1, issuedAt: 1 } });
    expect(await codeFor([zero, early.receipt])).toBe("receipt/time");
  });

  it("refuses a receipt of another epoch, or by another key, between honest ones", async () => {
    const next = await makeEpoch(attester, { binding: { sequence: 1 } });
    const foreign = await makeExchange(next, { claims: { index: 1 } });
    const [zero, two] = await receipts(0, 2);
    if (zero === undefined || two === undefined) throw new TypeError("no receipts");
    expect(await codeFor([zero, foreign.receipt, two])).toBe("receipt/signature");
    // The right key, for what another document vouches for.
    const other = await makeExchange(made, {
      claims: { index: 1, documentDigest: new Uint8Array(32) },
    });
    expect(await codeFor([zero, other.receipt, two])).toBe("receipt/epoch");
  });
});
