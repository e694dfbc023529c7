import { createHash, createPublicKey, randomBytes } from "node:crypto";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { decodeCbor, DETERMINISTIC } from "@countersign/attestation";
import { encodeEnvelope, type Envelope } from "@countersign/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { EnclaveError } from "../../../../enclave/errors.ts";
import { kmsRelease } from "../../../../enclave/keys/kms.ts";
import type { KeyReleaseContext } from "../../../../enclave/keys/release.ts";
import { kmsEnvelope } from "../../../fakes/recipient-envelope.ts";
import {
  type AskedKms,
  CREDENTIALS,
  type KmsAnswer,
  refusal,
  ScriptedKms,
  STRANGER,
} from "../../../fakes/scripted-kms.ts";

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/0f6e1ab2-5d0f-4c1e-9d0a-6f5e4d3c2b1a";
const ENVELOPE: Envelope = { kind: "aws-kms", key: ARN, wrapped: randomBytes(184) };
const DIGEST = new Uint8Array(randomBytes(32));
const DATA_KEY = new Uint8Array(randomBytes(32));
const MOST = 5;

const sha256 = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

function genuine({ publicKey }: AskedKms, changes: object = {}): KmsAnswer {
  const ciphertext = kmsEnvelope(publicKey, sha256(publicKey), DATA_KEY);
  return {
    status: 200,
    body: {
      KeyId: ARN,
      EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      Plaintext: null,
      CiphertextForRecipient: Buffer.from(ciphertext).toString("base64"),
      ...changes,
    },
  };
}

let open: ScriptedKms | null = null;
afterEach(async () => {
  await open?.close();
  open = null;
});

async function started(
  answer: (asked: AskedKms, number: number) => KmsAnswer | Promise<KmsAnswer>,
): Promise<ScriptedKms> {
  open = await ScriptedKms.start(answer);
  return open;
}

function release(kms: ScriptedKms, changes: Partial<KeyReleaseContext> = {}): Promise<Uint8Array> {
  return kmsRelease(kms.context(changes)).release(ENVELOPE, encodeEnvelope(ENVELOPE), DIGEST);
}

async function failure(promise: Promise<unknown>): Promise<EnclaveError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof EnclaveError)) throw new TypeError(`not refused: ${String(error)}`);
  return error;
}

describe("a KMS that answers", () => {
  it("gives the data key, which it was asked for by attestation, for this model", async () => {
    const kms = await started((asked) => genuine(asked));
    expect(await release(kms)).toEqual(DATA_KEY);
    const [{ headers, input, publicKey } = fail()] = kms.asked;
    expect(headers["x-amz-target"]).toBe("TrentService.Decrypt");
    expect(input).toEqual({
      KeyId: ARN,
      CiphertextBlob: Buffer.from(ENVELOPE.wrapped).toString("base64"),
      EncryptionContext: { "countersign-model-digest": Buffer.from(DIGEST).toString("hex") },
      Recipient: {
        AttestationDocument: Buffer.from(publicKey).toString("base64"),
        KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
      },
    });
    const [attested = fail()] = kms.attested;
    expect(attested.nonce).toBeNull();
    const key = Buffer.from(attested.publicKey ?? []);
    const { asymmetricKeyDetails, asymmetricKeyType } = createPublicKey({
      key,
      format: "der",
      type: "spki",
    });
    expect([asymmetricKeyType, asymmetricKeyDetails?.modulusLength]).toEqual(["rsa", 2048]);
    expect(decodeCbor(attested.userData ?? new Uint8Array(), DETERMINISTIC)).toEqual(
      new Map([[1, "countersign/kms/v1"]]),
    );
  });

  it("is asked in the node's name, for the region of the key", async () => {
    const kms = await started((asked) => genuine(asked));
    await release(kms);
    const { authorization, ...headers } = kms.asked[0]?.headers ?? {};
    const scope = /Credential=ASIAQQQQQQQQQQQQQQQQ\/\d{8}\/eu-central-1\/kms\/aws4_request/u;
    expect(authorization).toMatch(scope);
    expect(headers["x-amz-security-token"]).toBe(CREDENTIALS["sessionToken"]);
    expect(headers.host).toBe(kms.service.url.slice("https://".length));
    expect(headers["user-agent"]).toMatch(/^countersign/u);
  });

  it("gives several keys to one RSA key, on a document each", async () => {
    const kms = await started((asked) => genuine(asked));
    const keys = kmsRelease(kms.context());
    const ask = (): Promise<Uint8Array> => keys.release(ENVELOPE, encodeEnvelope(ENVELOPE), DIGEST);
    const released = await Promise.all([ask(), ask()]);
    expect(released).toEqual([DATA_KEY, DATA_KEY]);
    expect(released[0]?.buffer).not.toBe(released[1]?.buffer);
    expect(kms.attested).toHaveLength(2);
    expect(new Set(kms.attested.map(({ publicKey }) => publicKey)).size).toBe(1);
    expect(kms.credentialsAsked).toBe(1);
  });

  it("is asked with new credentials when the old ones are about to expire", async () => {
    const kms = await started((asked) => genuine(asked));
    const soon = new Date(Date.now() + 240_000).toISOString();
    kms.credentials = { ...CREDENTIALS, expiration: soon };
    const keys = kmsRelease(kms.context());
    await keys.release(ENVELOPE, encodeEnvelope(ENVELOPE), DIGEST);
    kms.credentials = { ...CREDENTIALS, sessionToken: "the-next-one" };
    await keys.release(ENVELOPE, encodeEnvelope(ENVELOPE), DIGEST);
    const tokens = kms.asked.map(({ headers }) => headers["x-amz-security-token"]);
    expect(tokens).toEqual([CREDENTIALS["sessionToken"], "the-next-one"]);
  });

  it.each([["empty"], ["null"], ["absent"]])("with a plaintext that is %s", async (form) => {
    const plaintext = { empty: "", null: null, absent: undefined }[form];
    const kms = await started((asked) => genuine(asked, { Plaintext: plaintext }));
    expect(await release(kms)).toEqual(DATA_KEY);
  });
});

function fail(): never {
  throw new TypeError("nothing was asked");
}

type Case = readonly [what: string, answer: KmsAnswer, code: string, times: number];

const bytes = (text: string): KmsAnswer => ({ status: 200, body: Buffer.from(text) });

describe("a KMS that always", () => {
  const cases: readonly Case[] = [
    ["throttles", refusal(400, "ThrottlingException"), "key/throttled", MOST],
    ["throttles with 429", refusal(429, "Busy"), "key/throttled", MOST],
    ["throttles by its limits", refusal(400, "LimitExceededException"), "key/throttled", MOST],
    ["fails inside", refusal(500, "KMSInternalException"), "key/unreachable", MOST],
    ["waits for others", refusal(503, "DependencyTimeoutException"), "key/unreachable", MOST],
    ["lacks the key for now", refusal(500, "KeyUnavailableException"), "key/unreachable", MOST],
    ["fails in front", { status: 502, body: Buffer.from("<html>") }, "key/unreachable", MOST],
    ["cuts the connection", "cut", "key/unreachable", MOST],
    ["cuts its answer", "cut-answer", "key/unreachable", MOST],
    ["denies", refusal(400, "AccessDeniedException"), "key/denied", 1],
    ["finds no such key", refusal(400, "NotFoundException"), "key/refused", 1],
    ["has disabled the key", refusal(400, "DisabledException"), "key/refused", 1],
    ["cannot open the wrapped key", refusal(400, "InvalidCiphertextException"), "key/refused", 1],
    ["says another key", refusal(400, "IncorrectKeyException"), "key/refused", 1],
    ["is about to delete it", refusal(400, "KMSInvalidStateException"), "key/refused", 1],
    ["takes no such document", refusal(400, "ValidationException"), "key/refused", 1],
    ["says what nobody knows", refusal(418, "New\n<b>Exception"), "key/refused", 1],
    ["is throttled in front", { status: 429, body: Buffer.from("<p>") }, "key/throttled", MOST],
    ["refuses in front", { status: 400, body: Buffer.from("<p>") }, "key/refused", 1],
    ["refuses without words", { status: 400, body: Buffer.from("") }, "key/refused", 1],
    ["sends it elsewhere", refusal(302, "Found"), "key/refused", 1],
    ["finds the token expired", refusal(400, "ExpiredTokenException"), "key/credentials", 1],
    ["does not know the caller", refusal(400, "UnrecognizedClientException"), "key/credentials", 1],
    ["finds the signature wrong", refusal(400, "InvalidSignatureException"), "key/credentials", 1],
    ["answers nothing", bytes(""), "key/answer", 1],
    ["answers no JSON", bytes("<html>"), "key/answer", 1],
    ["answers half of it", bytes('{"KeyId":"'), "key/answer", 1],
    ["answers null", bytes("null"), "key/answer", 1],
    ["answers a list", bytes("[1,2]"), "key/answer", 1],
    ["answers an empty object", bytes("{}"), "key/answer", 1],
    ["answers too much", bytes(" ".repeat(65_537)), "key/answer", 1],
  ];
  it.each(cases)("%s", async (_, answer, code, times) => {
    const kms = await started(() => answer);
    const error = await failure(release(kms));
    expect([error.code, kms.asked.length]).toEqual([code, times]);
    expect(kms.lines.filter(({ event }) => event === "key-attempt-failed")).toHaveLength(
      times === 1 ? 0 : times,
    );
  });

  const lies: readonly (readonly [what: string, changes: object, code: string])[] = [
    ["used another key", { KeyId: ARN.replace(/.$/u, "b") }, "key/answer"],
    ["does not say which key", { KeyId: undefined }, "key/answer"],
    ["answers in clear", { Plaintext: "c2VjcmV0" }, "key/answer"],
    ["answers in clear, in a list", { Plaintext: [115, 101] }, "key/answer"],
    ["answers with a number in clear", { Plaintext: 0 }, "key/answer"],
    [
      "answers in clear only",
      { Plaintext: "c2VjcmV0", CiphertextForRecipient: undefined },
      "key/answer",
    ],
    ["answers without an envelope", { CiphertextForRecipient: undefined }, "key/answer"],
    ["answers null for it", { CiphertextForRecipient: null }, "key/answer"],
    ["answers with a number for it", { CiphertextForRecipient: 7 }, "key/answer"],
    ["answers with an empty envelope", { CiphertextForRecipient: "" }, "key/envelope"],
    ["answers with no envelope at all", { CiphertextForRecipient: "AAAA" }, "key/envelope"],
  ];
  it.each(lies)("%s", async (_, changes, code) => {
    const kms = await started((asked) => genuine(asked, changes));
    const error = await failure(release(kms));
    expect([error.code, kms.asked.length]).toEqual([code, 1]);
  });

  it("answers what is for another enclave", async () => {
    const others = await started((asked) => genuine(asked));
    await release(others);
    const [{ publicKey } = fail()] = others.asked;
    await others.close();
    const kms = await started((asked) => genuine({ ...asked, publicKey }));
    expect(await failure(release(kms))).toMatchObject({ code: "key/envelope" });
  });

  it("says nothing", async () => {
    const kms = await started(() => {
      setImmediate(() => open?.clock.pass(10_000));
      return "silence";
    });
    const error = await failure(release(kms));
    expect([error.code, kms.asked.length]).toEqual(["key/unreachable", MOST]);
  });

  it("takes so long that no minute is enough for five attempts", async () => {
    const kms = await started(() => {
      setImmediate(() => open?.clock.pass(29_000));
      return "silence";
    });
    const error = await failure(release(kms));
    expect(error.code).toBe("key/unreachable");
    expect(kms.asked.length).toBeLessThan(MOST);
    expect(kms.clock.monotonicMs()).toBeLessThan(90_000);
  });
});

describe("a KMS that comes round", () => {
  const passing: readonly (readonly [what: string, answer: KmsAnswer])[] = [
    ["throttled", refusal(400, "ThrottlingException")],
    ["failed inside", refusal(500, "KMSInternalException")],
    ["was not there", "cut"],
    ["broke off", "cut-answer"],
  ];
  it.each(passing)("%s four times", async (_, answer) => {
    const kms = await started((asked, number) => (number < MOST ? answer : genuine(asked)));
    expect(await release(kms)).toEqual(DATA_KEY);
    expect(kms.asked).toHaveLength(MOST);
    // Full jitter: anything from nothing to a bound that doubles.
    const bounds = [500, 1000, 2000, 4000];
    expect(kms.clock.pauses).toHaveLength(bounds.length);
    for (const [i, pause] of kms.clock.pauses.entries()) {
      expect(pause).toBeLessThanOrEqual(bounds[i] ?? 0);
    }
  });

  it("whose clock differs from ours by an hour", async () => {
    const theirs = Date.now() + 3_600_000;
    const kms = await started((asked) => {
      const signed = String(asked.headers["x-amz-date"]).replace(
        /^(....)(..)(..)T(..)(..)(..)Z$/u,
        "$1-$2-$3T$4:$5:$6Z",
      );
      if (Math.abs(Date.parse(signed) - theirs) < 300_000) return genuine(asked);
      const body = { __type: "InvalidSignatureException", message: "Signature not yet current" };
      return { status: 400, body, headers: { date: new Date(theirs).toUTCString() } };
    });
    expect(await release(kms)).toEqual(DATA_KEY);
    expect(kms.asked).toHaveLength(2);
  });

  it("whose clock differs, each time by another hour", async () => {
    const kms = await started((_, number) => ({
      status: 400,
      body: { __type: "InvalidSignatureException", message: "Signature expired" },
      headers: { date: new Date(Date.now() + number * 3_600_000).toUTCString() },
    }));
    const error = await failure(release(kms));
    expect([error.code, kms.asked.length]).toEqual(["key/credentials", MOST]);
  });

  const definite = [
    ["denies", "AccessDeniedException", "key/denied", 2],
    ["finds no such key", "NotFoundException", "key/refused", 2],
    ["does not know the caller", "UnrecognizedClientException", "key/credentials", 2],
    ["throttles", "ThrottlingException", "key/throttled", MOST],
  ] as const;
  it.each(definite)("whose clock differs, and that then %s", async (_, type, code, times) => {
    const kms = await started((_asked, number) => ({
      status: 400,
      body: { __type: number === 1 ? "InvalidSignatureException" : type },
      // A second more each time, as a clock goes.
      headers: { date: new Date(Date.now() + 3_600_000 + number * 1000).toUTCString() },
    }));
    const error = await failure(release(kms));
    expect([error.code, kms.asked.length]).toEqual([code, times]);
  });
});

describe("a way there", () => {
  it.each([403, 502, 503])("that the host refuses with %i", async (status) => {
    const kms = await started((asked) => genuine(asked));
    kms.tunnelStatus = status;
    const error = await failure(release(kms));
    expect([error.code, kms.connects, kms.asked.length]).toEqual(["key/unreachable", MOST, 0]);
  });

  it("that ends at somebody else: another root, no root", async () => {
    const kms = await started((asked) => genuine(asked));
    for (const roots of [[STRANGER.certificate], []]) {
      expect(await failure(release(kms, { roots }))).toMatchObject({ code: "key/unreachable" });
    }
    expect(kms.asked).toEqual([]);
  });

  it("that ends at another name than the certificate's", async () => {
    const kms = await started((asked) => genuine(asked));
    const { port } = kms.service;
    for (const host of ["127.0.0.1", "kms.example"]) {
      const service = { ...kms.service, host, url: `https://${host}:${port}` };
      const error = await failure(release(kms, { service }));
      expect(error.code).toBe("key/unreachable");
    }
    expect(kms.asked).toEqual([]);
  });

  it("for which the host has no credentials", async () => {
    const kms = await started((asked) => genuine(asked));
    kms.credentials = null;
    const error = await failure(release(kms));
    expect([error.code, kms.asked.length]).toEqual(["key/credentials", 0]);
    // Not one that answers, and not one that is there.
    const dial = (): Duplex => connect({ path: "/nonexistent/countersign" });
    const gone = await failure(release(kms, { transport: { ...kms.context().transport, dial } }));
    expect(gone.code).toBe("key/credentials");
  });

  it("to a KMS of no region", async () => {
    const kms = await started((asked) => genuine(asked));
    const service = { ...kms.service, region: null };
    expect(() => kmsRelease(kms.context({ service }))).toThrow(/^key\/services/u);
  });
});
