import { randomBytes } from "node:crypto";
import { encodeHex, encodeUtf8, parseEvidence, type Policy } from "@countersign/attestation";
import { encodeReleaseBinding } from "@countersign/attestation/key-request";
import {
  encodeEnvelope,
  encodeKeyRequest,
  generateRecipientKey,
  KEM_MLKEM768_X25519,
  type KeyRequest,
  MAX_KEY_REQUEST_BYTES,
  openDataKey,
  parseKeyChallenge,
} from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { type KeyBroker, keyFileId, startKeyBroker } from "@countersign/sealing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { brokerRelease } from "../../../enclave/keys/broker.ts";
import { DEBUG_IMAGE } from "../../../enclave/simulation/nsm.ts";
import type { PolicyFile } from "../../fakes/attester.ts";
import {
  type Asker,
  BrokerWorld,
  type EnclaveOptions,
  MODEL_DIGEST,
  ownersPolicy,
  wrappedUnder,
  type Wrapped,
} from "../../fakes/key-broker.ts";
import { IMAGE, newVendor } from "../../fakes/ring.ts";

const OTHER_DIGEST = new Uint8Array(32).fill(5);
const CHANGED = { ...IMAGE, pcr2: new Uint8Array(48).fill(9) };

let world: BrokerWorld;
let wrapped: Wrapped;

beforeEach(async () => {
  world = new BrokerWorld();
  wrapped = await wrappedUnder(world.key);
  await world.start();
});

afterEach(async () => {
  await world.close();
});

function releaseTo(
  { context }: Asker,
  what: Wrapped = wrapped,
  modelDigest: Uint8Array = MODEL_DIGEST,
): Promise<Uint8Array> {
  return brokerRelease(context).release(what.envelope, what.envelopeBytes, modelDigest);
}

function judgeBy(change: (file: PolicyFile) => void): void {
  world.policy = () => Promise.resolve(ownersPolicy(change));
}

describe("the enclave of the policy", () => {
  it("gets the data key, which nobody on the way can see", async () => {
    expect(await releaseTo(world.enclave())).toEqual(wrapped.dataKey);
    const seen = (bytes: Uint8Array): boolean => world.traffic.includes(Buffer.from(bytes));
    expect(seen(wrapped.envelopeBytes)).toBe(true);
    expect(seen(wrapped.dataKey)).toBe(false);
    expect(seen(world.key)).toBe(false);
  });

  it("is logged by its code's name, its model and the key's id, and no secret is", async () => {
    await releaseTo(world.enclave());
    const { at, ...entry } = world.entries[0] ?? { at: 0 };
    expect(Date.now() - at).toBeLessThan(60_000);
    expect([world.entries.length, entry]).toEqual([
      1,
      {
        event: "key-released",
        peer: "127.0.0.1",
        model: encodeHex(MODEL_DIGEST),
        measurement: "release-7",
        key: keyFileId(world.key),
        code: null,
        detail: null,
        dropped: 0,
      },
    ]);
    const text = JSON.stringify(world.entries);
    for (const secret of [wrapped.dataKey, world.key]) {
      expect(text).not.toContain(encodeHex(secret));
      expect(text).not.toContain(Buffer.from(secret).toString("base64"));
    }
  });

  it("gets it as often as it boots", async () => {
    for (let boot = 0; boot < 3; boot++) {
      expect(await releaseTo(world.enclave())).toEqual(wrapped.dataKey);
    }
  });
});

interface Denied {
  readonly enclave?: Partial<EnclaveOptions>;
  readonly policy?: (file: PolicyFile) => void;
}

const DENIED: readonly (readonly [string, string, Denied])[] = [
  ["changed code", "policy/measurement", { enclave: { image: CHANGED } }],
  ["a debug enclave", "policy/debug", { enclave: { image: DEBUG_IMAGE } }],
  ["another vendor's enclave", "chain/root", { enclave: { vendor: newVendor() } }],
  ["another platform", "policy/platform", { enclave: { platform: "aws-nitro" } }],
  [
    "an older release, since it was revoked",
    "policy/revoked",
    {
      policy: (file) => {
        const measurements = [{ name: "release-8", ...hexRegisters(CHANGED) }];
        file.platforms["simulated"] = { ...file.platforms["simulated"], measurements };
        file.revoked["measurements"] = [encodeHex(IMAGE.pcr2)];
      },
    },
  ],
  [
    "a model that the policy does not list",
    "policy/model",
    { policy: (file) => (file.models = [{ id: "x", digest: encodeHex(OTHER_DIGEST) }]) },
  ],
  [
    "anybody, once the policy has expired",
    "policy/expired",
    { policy: (file) => (file.expires = "2020-01-01T00:00:00Z") },
  ],
];

function hexRegisters(image: typeof IMAGE): Readonly<Record<string, string>> {
  return {
    pcr0: encodeHex(image.pcr0),
    pcr1: encodeHex(image.pcr1),
    pcr2: encodeHex(image.pcr2),
  };
}

describe("nothing is released to", () => {
  it.each(DENIED)("%s (%s)", async (_, code, { enclave = {}, policy }) => {
    if (policy !== undefined) judgeBy(policy);
    const asker = world.enclave(enclave);
    await expect(releaseTo(asker)).rejects.toMatchObject({ code: "key/denied" });
    expect(asker.lines).toEqual([]);
    const model = encodeHex(MODEL_DIGEST);
    expect(world.entries).toMatchObject([
      { event: "key-refused", code, model, measurement: null, key: null },
    ]);
  });

  it("the enclave of yesterday's policy: a change counts at once", async () => {
    expect(await releaseTo(world.enclave())).toEqual(wrapped.dataKey);
    judgeBy((file) => {
      file.models = "any";
      file.revoked["models"] = [encodeHex(MODEL_DIGEST)];
    });
    await expect(releaseTo(world.enclave())).rejects.toMatchObject({ code: "key/denied" });
  });

  it("anybody without a policy, and the owner is told why", async () => {
    world.policy = () => Promise.reject(new Error("policy.json: no such file"));
    await expect(releaseTo(world.enclave())).rejects.toMatchObject({ code: "key/unreachable" });
    expect(world.entries).toHaveLength(5);
    const refused = { code: "broker/policy", detail: "policy.json: no such file" };
    expect(world.entries[4]).toMatchObject(refused);
  });
});

describe("a key", () => {
  it("of another owner's is not here", async () => {
    const other = await wrappedUnder(new Uint8Array(randomBytes(32)));
    await expect(releaseTo(world.enclave(), other)).rejects.toMatchObject({ code: "key/refused" });
    expect(world.entries).toMatchObject([{ code: "broker/key", measurement: "release-7" }]);
  });

  it("of a KMS is not here either", async () => {
    const key = "arn:aws:kms:eu-north-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const envelope = { kind: "aws-kms", key, wrapped: new Uint8Array(60) } as const;
    const what = { ...wrapped, envelope, envelopeBytes: encodeEnvelope(envelope) };
    await expect(releaseTo(world.enclave(), what)).rejects.toMatchObject({ code: "key/refused" });
    expect(world.entries).toMatchObject([{ code: "broker/key" }]);
  });

  it("that was wrapped for another model does not open for this one", async () => {
    const other = await wrappedUnder(world.key, OTHER_DIGEST);
    await expect(releaseTo(world.enclave(), other)).rejects.toMatchObject({ code: "key/refused" });
    expect(world.entries).toMatchObject([{ code: "broker/envelope" }]);
  });

  it("whose envelope was changed does not open", async () => {
    const { envelope } = wrapped;
    const bytes = envelope.wrapped.slice();
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    const changed = { ...envelope, wrapped: bytes };
    const what = { ...wrapped, envelope: changed, envelopeBytes: encodeEnvelope(changed) };
    await expect(releaseTo(world.enclave(), what)).rejects.toMatchObject({ code: "key/refused" });
    expect(world.entries).toMatchObject([{ code: "broker/envelope" }]);
  });
});

interface Answered {
  readonly status: number;
  readonly type: string | null;
  readonly body: Uint8Array;
  /** Of a problem document. */
  readonly code: string | null;
}

async function post(path: string, body: Uint8Array, init: RequestInit = {}): Promise<Answered> {
  const response = await fetch(`${world.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/cbor" },
    body: Buffer.from(body),
    ...init,
  });
  const bytes = await response.bytes();
  const type = response.headers.get("content-type");
  expect(response.headers.get("cache-control")).toBe("no-store");
  if (type !== "application/problem+json") {
    return { status: response.status, type, body: bytes, code: null };
  }
  const text = Buffer.from(bytes).toString();
  const [, code = ""] = /"code":"([a-z/-]+)"/u.exec(text) ?? [];
  const kind = `urn:countersign:problem:${code.replace("/", "-")}`;
  expect(JSON.parse(text)).toMatchObject({ status: response.status, type: kind, code });
  return { status: response.status, type, body: bytes, code };
}

async function nonceOf(): Promise<Uint8Array> {
  const { body } = await post("/challenge", new Uint8Array(0));
  return parseKeyChallenge(body).nonce;
}

const recipient = await generateRecipientKey(nativePrimitives, KEM_MLKEM768_X25519);

/** A request as an enclave makes it, for `attested`; `change` is what the host does to it. */
async function requestFor(
  nonce: Uint8Array,
  change: Partial<KeyRequest> = {},
  attested: Partial<Pick<KeyRequest, "publicKey" | "envelope">> = {},
): Promise<KeyRequest> {
  const sha256 = (bytes: Uint8Array) => nativePrimitives.sha256(bytes);
  const asked = {
    publicKey: recipient.publicKey,
    modelDigest: MODEL_DIGEST,
    envelope: wrapped.envelopeBytes,
    ...attested,
  };
  const userData = encodeReleaseBinding({
    publicKeyDigest: await sha256(asked.publicKey),
    modelDigest: asked.modelDigest,
    envelopeDigest: await sha256(asked.envelope),
  });
  const { nsm, platform } = world.enclave().context;
  const document = await nsm.attest({ userData, nonce, publicKey: null });
  return { platform, document, ...asked, ...change };
}

describe("a request on the wire", () => {
  it("is answered once, however often it is sent", async () => {
    const request = await requestFor(await nonceOf());
    const bytes = encodeKeyRequest(request);
    const first = await post("/release", bytes);
    expect(first).toMatchObject({ status: 200, type: "application/cbor" });
    const opened = openDataKey(nativePrimitives, recipient, request.document, first.body);
    expect(await opened).toEqual(wrapped.dataKey);
    expect(await post("/release", bytes)).toMatchObject({ status: 409, code: "broker/challenge" });
  });

  it("is answered once where it is sent many times at the same moment", async () => {
    const bytes = encodeKeyRequest(await requestFor(await nonceOf()));
    const answers = await Promise.all(Array.from({ length: 8 }, () => post("/release", bytes)));
    const count = (wanted: number): number =>
      answers.filter(({ status }) => status === wanted).length;
    expect([count(200), count(409)]).toEqual([1, 7]);
  });

  it("is refused with a challenge that we did not give, or none", async () => {
    const unknown = encodeKeyRequest(await requestFor(new Uint8Array(32).fill(1)));
    expect(await post("/release", unknown)).toMatchObject({
      status: 409,
      code: "broker/challenge",
    });
    const { nsm } = world.enclave().context;
    const document = await nsm.attest({ userData: null, nonce: null, publicKey: null });
    const none = encodeKeyRequest(await requestFor(new Uint8Array(32), { document }));
    expect(await post("/release", none)).toMatchObject({ status: 409, code: "broker/challenge" });
  });

  it("is refused where the host puts in a key, model or envelope of its own", async () => {
    const own = await generateRecipientKey(nativePrimitives, KEM_MLKEM768_X25519);
    const envelope = (await wrappedUnder(world.key)).envelopeBytes;
    for (const change of [
      { publicKey: own.publicKey },
      { modelDigest: OTHER_DIGEST },
      { envelope },
    ]) {
      const bytes = encodeKeyRequest(await requestFor(await nonceOf(), change));
      const answer = await post("/release", bytes);
      expect(answer).toMatchObject({ status: 403, code: "binding/document" });
    }
  });

  it("with an epoch's document is refused: it has no challenge of ours, nor our tag", async () => {
    const { nsm } = world.enclave().context;
    const nonce = await nonceOf();
    const userData = encodeUtf8("countersign/epoch/v1");
    const document = await nsm.attest({ userData, nonce, publicKey: null });
    expect(parseEvidence(document).nonce).toEqual(nonce);
    const bytes = encodeKeyRequest(await requestFor(nonce, { document }));
    expect(await post("/release", bytes)).toMatchObject({ status: 403, code: "binding/tag" });
  });

  it("uses its challenge up, also where it is refused", async () => {
    const nonce = await nonceOf();
    const wrong = encodeKeyRequest(await requestFor(nonce, { modelDigest: OTHER_DIGEST }));
    expect(await post("/release", wrong)).toMatchObject({ status: 403 });
    const right = encodeKeyRequest(await requestFor(nonce));
    expect(await post("/release", right)).toMatchObject({ status: 409 });
  });

  it.each([
    // A coefficient of 0xfff is beyond ML-KEM's modulus: FIPS 203 §7.2.
    ["a public key", { publicKey: new Uint8Array(1216).fill(0xff) }],
    ["an envelope", { envelope: encodeUtf8("an envelope") }],
  ])("with %s that is none, and attested all the same, is refused", async (_, attested) => {
    const bytes = encodeKeyRequest(await requestFor(await nonceOf(), {}, attested));
    expect(await post("/release", bytes)).toMatchObject({ status: 400, code: "broker/request" });
  });
});

describe("over HTTP", () => {
  const nothing = new Uint8Array(0);

  it("there are two resources, which take POST", async () => {
    expect(await post("/", nothing)).toMatchObject({ status: 404, code: "broker/path" });
    expect(await post("/challenge?a", nothing)).toMatchObject({ status: 404 });
    const response = await fetch(`${world.url}/release`);
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
    expect(await response.json()).toMatchObject({ code: "broker/method" });
  });

  it.each([
    ["garbage", () => randomBytes(100)],
    ["nothing", () => nothing],
    ["more than there can be", () => new Uint8Array(MAX_KEY_REQUEST_BYTES + 1)],
  ])("%s is no request", async (_, body) => {
    expect(await post("/release", body())).toMatchObject({ status: 400, code: "broker/request" });
    expect(world.entries).toMatchObject([
      { event: "key-refused", code: "broker/request", model: null },
    ]);
  });

  it("a document that is none is refused with the code of its reading", async () => {
    const document = encodeUtf8("a document");
    const bytes = encodeKeyRequest(await requestFor(await nonceOf(), { document }));
    const answer = await post("/release", bytes);
    expect(answer.status).toBe(403);
    expect(answer.code).toMatch(/^(?:cbor|cose)\//u);
  });

  it("a request of another type is none, and a challenge takes no body", async () => {
    const headers = { "content-type": "text/plain" };
    const typed = await post("/release", encodeKeyRequest(await requestFor(await nonceOf())), {
      headers,
    });
    expect(typed).toMatchObject({ status: 400, code: "broker/request" });
    const filled = await post("/challenge", Uint8Array.of(1));
    expect(filled).toMatchObject({ status: 400, code: "broker/request" });
  });

  it("an address that asks without end is told to wait", async () => {
    const answers: number[] = [];
    for (let count = 0; count < 513; count++)
      answers.push((await post("/challenge", nothing)).status);
    expect(new Set(answers.slice(0, 512))).toEqual(new Set([200]));
    const last = await fetch(`${world.url}/challenge`, { method: "POST" });
    expect([answers[512], last.status, last.headers.get("retry-after")]).toEqual([429, 429, "1"]);
    expect(await last.json()).toMatchObject({ code: "broker/busy" });
  });

  it("requests without a challenge are logged sixty times a minute, and then counted", async () => {
    for (let count = 0; count < 70; count++) await post("/release", nothing);
    expect(world.entries).toHaveLength(60);
    // What answers a challenge is logged all the same.
    expect(await releaseTo(world.enclave())).toEqual(wrapped.dataKey);
    expect(world.entries).toHaveLength(61);
    expect(world.entries.at(-1)).toMatchObject({ event: "key-released", dropped: 0 });
  });

  it("and so are those whose challenge a forged document answers", async () => {
    const forger = newVendor();
    for (let count = 0; count < 61; count++) {
      await expect(releaseTo(world.enclave({ vendor: forger }))).rejects.toMatchObject({
        code: "key/denied",
      });
    }
    expect(world.entries).toHaveLength(60);
    expect(world.entries.at(-1)).toMatchObject({ event: "key-refused", code: "chain/root" });
    // A genuine enclave that the policy does not list is no noise.
    await expect(releaseTo(world.enclave({ image: CHANGED }))).rejects.toMatchObject({
      code: "key/denied",
    });
    expect(world.entries.at(-1)).toMatchObject({ code: "policy/measurement" });
  });

  it("no more than sixteen requests are judged at a time", async () => {
    const { promise, resolve } = Promise.withResolvers<Policy>();
    let judged = 0;
    world.policy = () => {
      judged++;
      return promise;
    };
    const requests: Uint8Array[] = [];
    for (let count = 0; count < 17; count++) {
      requests.push(encodeKeyRequest(await requestFor(await nonceOf())));
    }
    const waiting = requests.slice(0, 16).map((bytes) => post("/release", bytes));
    await expect.poll(() => judged).toBe(16);
    const beyond = await post("/release", requests[16] ?? nothing);
    expect(beyond).toMatchObject({ status: 429, code: "broker/busy" });
    resolve(ownersPolicy());
    const answers = await Promise.all(waiting);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  });
});

describe("a broker", () => {
  async function start(port: number, keys: readonly Uint8Array[]): Promise<KeyBroker> {
    const policy = () => Promise.resolve(ownersPolicy());
    return startKeyBroker({ host: "127.0.0.1", port, keys, policy, log: () => undefined });
  }

  it("says where it listens and which keys it has, and overwrites them when it is closed", async () => {
    const keys = [randomBytes(32), randomBytes(32)].map((key) => new Uint8Array(key));
    const ids = keys.map(keyFileId);
    const broker = await start(0, keys);
    expect(broker.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/u);
    expect(broker.keys).toEqual(ids);
    await broker.close();
    expect(keys).toEqual([new Uint8Array(32), new Uint8Array(32)]);
  });

  it("does not start at a port that is taken", async () => {
    const port = Number(new URL(world.url).port);
    await expect(start(port, [])).rejects.toMatchObject({ code: "broker/listen" });
  });
});
