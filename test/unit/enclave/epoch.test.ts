import {
  encodeHex,
  equalBytes,
  MODELS_REGISTER,
  parseBundle,
  parseEpochBinding,
  parseEvidence,
  parseKeyset,
} from "@countersign/attestation";
import { parseKeyConfig } from "@countersign/protocol";
import { createHash } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { type EpochTerms, openEpoch, sha256 } from "../../../enclave/epoch.ts";
import { Epochs } from "../../../enclave/epochs.ts";
import type { Nsm } from "../../../enclave/nsm/nsm.ts";
import { SimulatedNsm } from "../../../enclave/simulation/nsm.ts";
import {
  exchange,
  IMAGE,
  newVendor,
  open,
  type Ring,
  seal,
  send,
  startRing,
  TestClock,
  testTerms,
} from "../../fakes/ring.ts";

const START = Date.now();
const vendor = newVendor();
const app = { fetch: () => new Response("ok") };
const opened: Epochs[] = [];
afterEach(() => {
  for (const epochs of opened.splice(0)) epochs.close();
});

interface Setup {
  readonly epochs: Epochs;
  readonly clock: TestClock;
  readonly events: string[];
  readonly fail: { now: boolean };
}

async function setUp(terms: Partial<EpochTerms> = {}): Promise<Setup> {
  const clock = new TestClock(START);
  const module = new SimulatedNsm(vendor, IMAGE, clock.nowMs);
  const fail = { now: false };
  const nsm: Nsm = {
    describePcr: (index) => module.describePcr(index),
    extendPcr: (index, data) => module.extendPcr(index, data),
    lockPcr: (index) => module.lockPcr(index),
    random: () => module.random(),
    attest(request) {
      if (fail.now) throw new Error("the module is silent");
      return module.attest(request);
    },
  };
  const events: string[] = [];
  const log = (event: string): void => {
    events.push(event);
  };
  const epochs = await Epochs.open({ nsm, terms: testTerms(terms), clock, log });
  opened.push(epochs);
  return { epochs, clock, events, fail };
}

describe("an epoch", () => {
  it("has a bundle whose parts name each other", async () => {
    const { epochs } = await setUp({ firstKeyId: 254 });
    const epoch = epochs.current;
    const bundle = parseBundle(epoch.bundleBytes);
    const evidence = parseEvidence(bundle.evidence);
    const binding = parseEpochBinding(bundle.binding);
    expect(evidence.userData).toEqual(bundle.binding);
    expect(evidence.nonce).toBe(null);
    expect(binding.keysetDigest).toEqual(sha256(bundle.keyset));
    expect(binding.modelsDigest).toEqual(sha256(bundle.models));
    expect(binding.configDigest).toEqual(sha256(bundle.config));
    expect(binding).toMatchObject({ sequence: 1, previous: null });
    expect(binding.notBefore).toBe(Math.floor(START / 1000));
    expect(binding.notAfter).toBe(binding.notBefore + 7200);
    const config = parseKeyConfig(parseKeyset(bundle.keyset).keyConfig);
    expect(config).toMatchObject({ keyId: 255, kem: 0x647a, kdf: 1, aead: 2 });
    const digest = createHash("sha256").update(evidence.payload).digest();
    expect(equalBytes(epoch.documentDigest, digest)).toBe(true);
    expect(epoch.keysetHex).toBe(encodeHex(binding.keysetDigest));
    expect(MODELS_REGISTER).toBe(16);
  });

  it("counts without gaps and answers a challenge with its own binding", async () => {
    const { epochs } = await setUp();
    const epoch = epochs.current;
    expect([1, 2, 3].map(() => epoch.reserveIndex())).toEqual([0, 1, 2]);
    const nonce = new Uint8Array(32).fill(3);
    const bundle = parseBundle(await epochs.challenge(nonce));
    expect(parseEvidence(bundle.evidence).nonce).toEqual(nonce);
    expect(bundle.binding).toEqual(parseBundle(epoch.bundleBytes).binding);
  });

  it("has keys that no other has", async () => {
    const { epochs } = await setUp();
    const position = { sequence: 1, previous: null, nowMs: START };
    const module = new SimulatedNsm(vendor, IMAGE, () => START);
    const other = await openEpoch(module, testTerms(), position);
    expect(other.keysetHex).not.toBe(epochs.current.keysetHex);
    other.retire();
  });
});

describe("rotation", () => {
  it("opens the next in time, keeps the one before for the overlap, then ends it", async () => {
    const { epochs, clock, events } = await setUp();
    const first = epochs.current;
    await clock.advance(3_599_000);
    expect(epochs.current).toBe(first);
    await clock.advance(2_000);
    const second = epochs.current;
    expect(second.sequence).toBe(2);
    const { previous } = parseEpochBinding(parseBundle(second.bundleBytes).binding);
    expect(previous).toEqual(first.documentDigest);
    expect(epochs.byKeyId(first.keyId)).toBe(first);
    expect(epochs.byKeyId(second.keyId)).toBe(second);
    await clock.advance(3_598_000);
    expect(epochs.byKeyId(first.keyId)).toBe(first);
    await clock.advance(3_000);
    expect(epochs.byKeyId(first.keyId)).toBe(null);
    expect(epochs.current.sequence).toBe(3);
    expect(events.filter((event) => event === "epoch-ended").length).toBe(1);
    await expect((async () => first.recipient.decapsulate(new Uint8Array(1120)))()).rejects.toThrow(
      "hpke/destroyed",
    );
    expect(first.replay.testAndSet(new Uint8Array(32))).toBe("full");
  });

  it("does not accept a key for longer than its document says, however late a timer is", async () => {
    const { epochs, clock } = await setUp();
    const { keyId } = epochs.current;
    clock.jump(7_199_000);
    expect(epochs.byKeyId(keyId)).not.toBe(null);
    clock.jump(1_000);
    expect(epochs.byKeyId(keyId)).toBe(null);
  });

  it("runs once for many calls, and wraps key ids around", async () => {
    const { epochs } = await setUp({ firstKeyId: 255 });
    expect(epochs.current.keyId).toBe(0);
    await Promise.all([epochs.rotate(), epochs.rotate(), epochs.rotate()]);
    expect(epochs.current).toMatchObject({ sequence: 2, keyId: 1 });
  });

  it("never has more than four alive", async () => {
    const { epochs } = await setUp();
    for (let i = 0; i < 10; i++) await epochs.rotate();
    expect(epochs.live).toBe(4);
    expect(epochs.byKeyId(7)).toBe(null);
    expect(epochs.byKeyId(8)?.sequence).toBe(8);
  });

  it("tries again while the newest lives, then gives up", async () => {
    const { epochs, clock, fail, events } = await setUp({ epochSeconds: 60, overlapSeconds: 60 });
    fail.now = true;
    await clock.advance(62_000);
    expect(events).toContain("epoch-failed");
    fail.now = false;
    await clock.advance(5_000);
    expect(epochs.current.sequence).toBe(2);
    fail.now = true;
    await clock.advance(125_000);
    expect((await epochs.failure).code).toBe("epoch/failed");
  });

  it("is refused a lifetime that no certificate covers", async () => {
    await setUp({ epochSeconds: 5_100, overlapSeconds: 5_100 });
    await expect(setUp({ epochSeconds: 5_101, overlapSeconds: 5_100 })).rejects.toThrow(
      "epoch/lifetime",
    );
  });

  it("stops when closed", async () => {
    const { epochs, clock } = await setUp();
    epochs.close();
    await clock.advance(10_000_000);
    await epochs.rotate();
    expect(epochs.live).toBe(0);
    expect(epochs.current.sequence).toBe(1);
  });
});

describe("a replay set that fills up", () => {
  async function fill(ring: Ring, count: number): Promise<void> {
    for (let i = 0; i < count; i++) await exchange(ring, {});
  }

  it("starts a new epoch before it is full, and evicts nothing", async () => {
    const ring = await startRing({ app, vendor, terms: { replaySlots: 16 } });
    const first = ring.epochs.current;
    const kept = await seal(first, {});
    await send(ring, "POST", "/gateway", kept.body);
    await fill(ring, 13);
    expect(ring.epochs.current).toBe(first);
    await fill(ring, 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(ring.epochs.current.sequence).toBe(2);
    // The old one still takes the last of what it has room for, then sends clients to the new one.
    const last = await seal(first, {});
    expect((await open(last, (await send(ring, "POST", "/gateway", last.body)).body)).status).toBe(
      200,
    );
    const over = await send(ring, "POST", "/gateway", (await seal(first, {})).body);
    expect(new TextDecoder().decode(over.body)).toContain("unknown-key");
    expect((await send(ring, "POST", "/gateway", kept.body)).status).toBe(409);
    await fill(ring, 3);
    await ring.close();
  });

  it("serves an exchange to its end though its epoch ends meanwhile", async () => {
    let release: () => void = () => undefined;
    const slow = {
      fetch: async () => {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return new Response("ok");
      },
    };
    const clock = new TestClock(START);
    const ring = await startRing({ app: slow, vendor, clock });
    const { keyId } = ring.epochs.current;
    const sealed = await seal(ring.epochs.current, {}, START);
    const pending = send(ring, "POST", "/gateway", sealed.body);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await clock.advance(7_300_000);
    expect(ring.epochs.byKeyId(keyId)).toBe(null);
    release();
    expect((await open(sealed, (await pending).body)).status).toBe(200);
    await ring.close();
  });
});
