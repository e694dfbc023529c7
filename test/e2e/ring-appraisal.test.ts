import {
  appraiseBundle,
  appraiseExchange,
  encodeHex,
  exchangeId,
  parsePolicy,
  type Policy,
} from "@countersign/attestation";
import { nativePrimitives } from "@countersign/protocol/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { certificatePem, rootDigest } from "../../enclave/simulation/vendor.ts";
import {
  IMAGE,
  MODEL,
  newVendor,
  open,
  type Opened,
  type Ring,
  seal,
  type SealedExchange,
  send,
  startRing,
  testTerms,
  utf8,
} from "../fakes/ring.ts";

const vendor = newVendor();
let ring: Ring;

beforeAll(async () => {
  ring = await startRing({
    vendor,
    app: {
      async fetch(request, { exchange }) {
        exchange.model = MODEL;
        return new Response(await request.arrayBuffer());
      },
    },
  });
});
afterAll(() => ring.close());

function policy(pcr0 = IMAGE.pcr0): Policy {
  const measurement = {
    name: "test",
    pcr0: encodeHex(pcr0),
    pcr1: encodeHex(IMAGE.pcr1),
    pcr2: encodeHex(IMAGE.pcr2),
  };
  return parsePolicy(
    JSON.stringify({
      version: 1,
      expires: "2099-01-01T00:00:00Z",
      platforms: {
        simulated: {
          roots: [rootDigest(vendor)],
          rootCertificates: [certificatePem(vendor.certificate)],
          measurements: [measurement],
          debug: false,
        },
      },
      models: [{ id: MODEL.id, digest: encodeHex(MODEL.digest) }],
      freshness: { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "optional" },
      suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
      revoked: { measurements: [], models: [], keysets: [] },
    }),
  );
}

describe("a bundle of the simulation", () => {
  it("is verified where the policy pins its root and its code, and nowhere else", async () => {
    const { body } = await send(ring, "GET", "/bundle");
    const live = { mode: "live", nowMs: Date.now(), nonce: null } as const;
    const { verdict, epoch } = await appraiseBundle(body, policy(), live);
    expect(verdict.checks.filter(({ status }) => status === "fail")).toEqual([]);
    expect([verdict.result, verdict.platform]).toEqual(["verified", "simulated"]);
    expect(epoch?.models).toEqual([MODEL]);
    const other = await appraiseBundle(body, policy(new Uint8Array(48).fill(9)), live);
    expect(other.verdict.result).toBe("rejected");
  });

  it("answers a challenge, and no other", async () => {
    const nonce = new Uint8Array(32).fill(6);
    const { body } = await send(ring, "POST", "/challenge", nonce);
    const live = { mode: "live", nowMs: Date.now() } as const;
    const good = await appraiseBundle(body, policy(), { ...live, nonce });
    expect(good.verdict.result).toBe("verified");
    const bad = await appraiseBundle(body, policy(), { ...live, nonce: new Uint8Array(32) });
    expect(bad.verdict.result).toBe("rejected");
  });
});

describe("an exchange with the simulation", () => {
  const judge = async (sealed: SealedExchange, opened: Opened): Promise<string> => {
    const nowMs = Date.now();
    const live = { mode: "live", nowMs, nonce: null } as const;
    const { epoch } = await appraiseBundle(sealed.epoch.bundleBytes, policy(), live);
    if (epoch === null) throw new Error("the bundle is not verified");
    const verdict = await appraiseExchange(epoch, {
      receipt: opened.receipt,
      phase: "final",
      previous: null,
      exchange: await exchangeId(nativePrimitives, sealed.sealed.enc),
      requestHead: (leaves) => sealed.request.head(leaves),
      requestLeaves: sealed.request.leaves,
      responseHead: () => opened.responseHead,
      responseLeaves: opened.responseHead.leaves,
      status: opened.status,
      complete: true,
      asked: { id: MODEL.id, version: null },
      nowMs,
    });
    return verdict.result;
  };

  it("is verified, a refusal too, and not with another answer", async () => {
    const wanted = { method: "POST", path: "/echo", chunks: [utf8("a"), utf8("b")] };
    const sealed = await seal(ring.epochs.current, wanted);
    const opened = await open(sealed, (await send(ring, "POST", "/gateway", sealed.body)).body);
    expect(await judge(sealed, opened)).toBe("verified");
    const { responseHead } = opened;
    const altered = { ...opened, responseHead: { ...responseHead, bytes: responseHead.bytes + 1 } };
    expect(await judge(sealed, altered)).toBe("rejected");

    const refused = await seal(ring.epochs.current, { ...wanted, method: "GET" });
    const refusal = await open(refused, (await send(ring, "POST", "/gateway", refused.body)).body);
    expect(refusal.status).toBe(400);
    expect(await judge(refused, refusal)).toBe("verified");
  });

  it("is bound to the terms that the bundle shows", () => {
    expect(ring.epochs.current.notAfter - ring.epochs.current.notBefore).toBe(
      testTerms().epochSeconds + testTerms().overlapSeconds,
    );
  });
});
