/** Making a receipt and judging one, each beside the one signature that it cannot do without. */
import {
  appraiseBundle,
  appraiseExchange,
  encodeModelSet,
  encodeRuntimeConfig,
  type ExchangeEvidence,
  type ModelRef,
  MODELS_REGISTER,
  parsePolicy,
  parseReceipt,
  type Policy,
  type ReceiptClaims,
  receiptToBeSigned,
  type VerifiedEpoch,
} from "@countersign/attestation";
import { generateKeyPairSync, sign } from "node:crypto";
import { composePolicy, encodePolicy } from "../client/cli/policies.ts";
import { type Epoch, openEpoch, sha256 } from "../enclave/epoch.ts";
import { SimulatedNsm } from "../enclave/simulation/nsm.ts";
import { certificatePem, createVendor, rootDigest } from "../enclave/simulation/vendor.ts";
import type { Settings } from "./settings.ts";
import { median } from "./statistics.ts";
import { asRatio, asUs, bounded, type Findings, reported } from "./table.ts";
import { ratioOf, takeTurns } from "./turns.ts";

const MAX_RECEIPT_US = 500;
const CURVE = { name: "ECDSA", namedCurve: "P-256" } as const;
const ALGORITHM = { name: "ECDSA", hash: "SHA-256" } as const;

export async function measureReceipts({ rounds, calls }: Settings): Promise<Findings> {
  const { epoch, verified, model } = await makeEpoch();
  const claims = claimsOf(epoch, model);
  const receipt = epoch.sign(claims);
  const evidence = evidenceOf(receipt, claims);
  const { payload, signature } = parseReceipt(receipt);
  const message = new Uint8Array(receiptToBeSigned(payload));
  const bareSignature = new Uint8Array(signature);
  const point = new Uint8Array(verified.receiptKey);
  const key = await crypto.subtle.importKey("raw", point, CURVE, false, ["verify"]);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const timesOf = await takeTurns(
    {
      judging: async () => {
        const { result } = await appraiseExchange(verified, evidence);
        if (result !== "verified") throw new TypeError("a good receipt is refused");
      },
      verification: async () => {
        const good = await crypto.subtle.verify(ALGORITHM, key, bareSignature, message);
        if (!good) throw new TypeError("a good signature is refused");
      },
      making: () => epoch.sign(claims),
      signing: () => sign("sha256", message, privateKey),
    },
    { rounds: 2 * rounds, calls: 5 * calls },
  );
  const [judging, verification] = [timesOf("judging"), timesOf("verification")];
  const [making, signing] = [timesOf("making"), timesOf("signing")];
  const judgingRatio = asRatio(ratioOf(judging.wallUs, verification.wallUs));
  const makingRatio = asRatio(ratioOf(making.wallUs, signing.wallUs));
  return {
    rows: [
      bounded("judging a receipt", median(judging.wallUs), "<", MAX_RECEIPT_US, asUs),
      reported("judging a receipt ÷ one ES256 verification", judgingRatio),
      bounded("making a receipt", median(making.wallUs), "<", MAX_RECEIPT_US, asUs),
      reported("making a receipt ÷ one ES256 signature", makingRatio),
    ],
    parts: [
      `Receipt: ${receipt.length} bytes. Judging takes ${asUs(median(judging.wallUs))} (CPU time ` +
        `${asUs(median(judging.cpuUs))}), one ES256 verification ${asUs(median(verification.wallUs))} ` +
        `(${asUs(median(verification.cpuUs))}); making ${asUs(median(making.wallUs))}, one ES256 ` +
        `signature ${asUs(median(signing.wallUs))}. Without transcripts: those grow with what is sent.`,
    ],
  };
}

/** An epoch of the enclave's own making, and what a client's verification makes of its bundle. */
async function makeEpoch(): Promise<{
  readonly epoch: Epoch;
  readonly verified: VerifiedEpoch;
  readonly policy: Policy;
  readonly model: ModelRef;
}> {
  const nowMs = Date.now();
  const vendor = createVendor(nowMs);
  const register = new Uint8Array(48).fill(1);
  const nsm = new SimulatedNsm(
    vendor,
    { pcr0: register, pcr1: register, pcr2: register },
    () => nowMs,
  );
  const model: ModelRef = { id: "digits", version: "1", digest: sha256(register) };
  const models = encodeModelSet([model]);
  nsm.extendPcr(MODELS_REGISTER, sha256(models));
  nsm.lockPcr(MODELS_REGISTER);
  const config = encodeRuntimeConfig({
    engine: "none",
    engineVersion: "0",
    limits: new Map(),
    features: new Map(),
  });
  const terms = {
    platform: "simulated",
    models,
    config,
    epochSeconds: 3600,
    overlapSeconds: 3600,
    replaySlots: 1,
    firstKeyId: 0,
  };
  const epoch = await openEpoch(nsm, terms, { sequence: 1, previous: null, nowMs });
  const measured = Buffer.from(register).toString("hex");
  const trust = {
    roots: [rootDigest(vendor)],
    rootCertificates: [certificatePem(vendor.certificate)],
    measurements: [{ name: "bench", pcr0: measured, pcr1: measured, pcr2: measured }],
    debug: false,
  };
  const policy = parsePolicy(encodePolicy(composePolicy("simulated", trust, [model], nowMs)));
  const context = { mode: "live", nowMs, nonce: null } as const;
  const appraisal = await appraiseBundle(epoch.bundleBytes, policy, context);
  if (appraisal.epoch === null) throw new TypeError("a good bundle is refused");
  return { epoch, verified: appraisal.epoch, policy, model };
}

/** What the enclave says of an ordinary exchange: a request and a response of two leaves each. */
function claimsOf(epoch: Epoch, model: ModelRef): ReceiptClaims {
  const head = { leaves: 2, root: sha256(new Uint8Array(1)), bytes: 1000 };
  return {
    issuedAt: epoch.notBefore,
    exchange: sha256(new Uint8Array(2)).slice(0, 16),
    keysetDigest: epoch.keysetDigest,
    documentDigest: epoch.documentDigest,
    index: 0,
    phase: "final",
    model,
    request: head,
    response: head,
    outcome: { status: 200 },
    previous: null,
  };
}

/** The same exchange as its client saw it. */
function evidenceOf(receipt: Uint8Array, claims: ReceiptClaims): ExchangeEvidence {
  return {
    receipt,
    phase: "final",
    previous: null,
    exchange: claims.exchange,
    requestHead: () => claims.request,
    requestLeaves: claims.request.leaves,
    responseHead: () => claims.response,
    responseLeaves: claims.response.leaves,
    status: claims.outcome.status,
    complete: true,
    asked: { id: "digits", version: null },
    nowMs: claims.issuedAt * 1000,
  };
}
