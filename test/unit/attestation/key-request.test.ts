import {
  type AttestationErrorCode,
  encodeCbor,
  encodeEpochBinding,
  encodeHex,
  encodeUtf8,
  parseEpochBinding,
  parsePolicy,
} from "@countersign/attestation";
import {
  appraiseKeyRequest,
  encodeReleaseBinding,
  type KeyRequestClaims,
  parseReleaseBinding,
} from "@countersign/attestation/key-request";
import { describe, expect, it } from "vitest";
import {
  type Attester,
  createAttester,
  type DocumentFields,
  NOW_MS,
  policyFor,
  type PolicyFile,
  seededRandom,
  sha256,
} from "../../fakes/attester.ts";
import { codeOf, codeOfAsync } from "./refused.ts";

const random = seededRandom("key request");
const attester = createAttester({ random, nowMs: NOW_MS });
const NONCE = random(32);
const MODEL = { id: "digits", version: "1", digest: sha256("digits") };
const PCRS: ReadonlyMap<number, Uint8Array> = new Map(
  Array.from({ length: 16 }, (_, index) => [index, index < 3 ? random(48) : new Uint8Array(48)]),
);
const POLICY = policyFor(attester, "simulated", PCRS, [MODEL]);
const DAY_MS = 86_400_000;
const BINDING = {
  publicKeyDigest: sha256("public key"),
  modelDigest: MODEL.digest,
  envelopeDigest: sha256("envelope"),
};
const EPOCH = {
  keysetDigest: sha256("keyset"),
  modelsDigest: sha256("models"),
  configDigest: sha256("config"),
  sequence: 0,
  notBefore: NOW_MS / 1000,
  notAfter: NOW_MS / 1000 + 3600,
  previous: null,
};

interface Case {
  readonly attester?: Attester;
  readonly document?: Partial<DocumentFields>;
  /** What is sent, where the document says otherwise. */
  readonly sent?: Partial<KeyRequestClaims>;
  readonly policy?: (file: PolicyFile) => void;
  readonly nonce?: Uint8Array;
  readonly nowMs?: number;
}

function ask({ attester: by = attester, document, sent, policy, nonce = NONCE, nowMs }: Case = {}) {
  const file = structuredClone(POLICY);
  policy?.(file);
  const evidence = by.document({
    timestampMs: NOW_MS - 1000,
    pcrs: PCRS,
    userData: encodeReleaseBinding(BINDING),
    nonce: NONCE,
    ...document,
  });
  const claims = {
    platform: "simulated",
    document: evidence,
    publicKey: encodeUtf8("public key"),
    modelDigest: MODEL.digest,
    envelope: encodeUtf8("envelope"),
    ...sent,
  };
  const context = { nonce, nowMs: nowMs ?? NOW_MS };
  return appraiseKeyRequest(claims, parsePolicy(JSON.stringify(file)), context);
}

const simulated = (file: PolicyFile): Record<string, unknown> => file.platforms["simulated"] ?? {};

describe("a request for a key", () => {
  it("is granted to listed code, for a listed model, in answer to the challenge", async () => {
    expect(await ask()).toMatchObject({
      platform: "simulated",
      measurement: "test-build",
      modelDigest: MODEL.digest,
      publicKey: encodeUtf8("public key"),
      envelope: encodeUtf8("envelope"),
    });
  });

  it("is granted to an enclave of AWS under a policy for AWS", async () => {
    const nitro = attester.sibling({ moduleId: "i-0-enc0", domain: ".eu-north-1.aws" });
    const granted = await ask({
      attester: nitro,
      sent: { platform: "aws-nitro" },
      policy: (file) => (file.platforms = { "aws-nitro": simulated(file) }),
    });
    expect(granted).toMatchObject({ platform: "aws-nitro", measurement: "test-build" });
  });

  it("is granted for any model where the policy says so in words", async () => {
    const granted = await ask({ policy: (file) => (file.models = "any") });
    expect(granted.measurement).toBe("test-build");
  });

  it("is judged as it was when it came", async () => {
    const claims = { ...(await ask()) };
    const document = claims.document.slice();
    const pending = appraiseKeyRequest(
      { ...claims, document },
      parsePolicy(JSON.stringify(POLICY)),
      { nonce: NONCE, nowMs: NOW_MS },
    );
    document.fill(0);
    expect((await pending).document).toEqual(claims.document);
  });

  it("needs a challenge of 32 bytes and a time", async () => {
    await expect(ask({ nonce: NONCE.subarray(1) })).rejects.toThrow(TypeError);
    await expect(ask({ nowMs: NaN })).rejects.toThrow(TypeError);
  });
});

const DEBUG: ReadonlyMap<number, Uint8Array> = new Map(
  [...PCRS].map(([index]) => [index, new Uint8Array(48)]),
);
const OTHER_CODE: ReadonlyMap<number, Uint8Array> = new Map([...PCRS, [2, random(48)]]);
const stranger = createAttester({ random: seededRandom("stranger"), nowMs: NOW_MS });

const REFUSED: readonly (readonly [string, AttestationErrorCode, Case])[] = [
  ["an expired policy", "policy/expired", { nowMs: NOW_MS + 366 * DAY_MS }],
  [
    "a root that no certificate is known of",
    "policy/syntax",
    { policy: (file) => (simulated(file)["roots"] = [encodeHex(sha256("root"))]) },
  ],
  ["bytes that are no document", "cbor/truncated", { sent: { document: new Uint8Array(0) } }],
  ["a document of more than 16 KiB", "cbor/too-large", { sent: { document: random(16_385) } }],
  [
    "a platform that the policy does not have",
    "policy/platform",
    { sent: { platform: "aws-nitro" } },
  ],
  ["a platform that nobody has", "policy/platform", { sent: { platform: "abacus" } }],
  ["an enclave of another vendor", "chain/root", { attester: stranger }],
  [
    "an enclave of AWS under a root of the simulation's",
    "evidence/platform",
    { attester: attester.sibling({ moduleId: "i-0-enc0", domain: ".eu-north-1.aws" }) },
  ],
  ["a chain that has ended", "chain/validity", { nowMs: NOW_MS + 2 * DAY_MS }],
  ["a debug enclave", "policy/debug", { document: { pcrs: DEBUG } }],
  ["changed code", "policy/measurement", { document: { pcrs: OTHER_CODE } }],
  [
    "any code, as a client's policy may have it",
    "policy/measurement",
    { policy: (file) => (simulated(file)["measurements"] = "unchecked") },
  ],
  [
    "code that is revoked",
    "policy/revoked",
    {
      document: { pcrs: OTHER_CODE },
      policy: (file) => {
        file.revoked["measurements"] = [encodeHex(OTHER_CODE.get(2) ?? new Uint8Array(0))];
      },
    },
  ],
  ["no user_data", "binding/tag", { document: { userData: null } }],
  ["user_data that is no CBOR", "binding/tag", { document: { userData: encodeUtf8("hello") } }],
  ["an epoch", "binding/tag", { document: { userData: encodeEpochBinding(EPOCH) } }],
  [
    "a request to a KMS",
    "binding/tag",
    { document: { userData: encodeCbor(new Map([[1, "countersign/kms/v1"]])) } },
  ],
  ["another public key", "binding/document", { sent: { publicKey: encodeUtf8("mine") } }],
  ["another model", "binding/document", { sent: { modelDigest: sha256("other") } }],
  ["another envelope", "binding/document", { sent: { envelope: encodeUtf8("other") } }],
  ["an empty digest", "binding/document", { sent: { modelDigest: new Uint8Array(0) } }],
  [
    "a model that the policy does not list",
    "policy/model",
    { policy: (file) => (file.models = [{ id: "digits", digest: encodeHex(sha256("other")) }]) },
  ],
  [
    "a revoked model",
    "policy/revoked",
    {
      policy: (file) => {
        file.models = "any";
        file.revoked["models"] = [encodeHex(MODEL.digest)];
      },
    },
  ],
  ["another challenge", "freshness/nonce", { nonce: random(32) }],
  ["no challenge", "freshness/nonce", { document: { nonce: null } }],
  [
    "another challenge, where the policy leaves freshness unchecked",
    "freshness/nonce",
    { nonce: random(32), policy: (file) => (file.freshness = "unchecked") },
  ],
  [
    "a document of three hours ago",
    "freshness/age",
    { document: { timestampMs: NOW_MS - 10_800_000 } },
  ],
  ["a document of tomorrow", "freshness/future", { document: { timestampMs: NOW_MS + DAY_MS } }],
];

describe("no key is given for", () => {
  it.each(REFUSED)("%s (%s)", async (_, code, what) => {
    expect(await codeOfAsync(() => ask(what))).toBe(code);
  });

  it("a document of which any byte was changed", async () => {
    const { document } = await ask();
    for (let at = 0; at < document.length; at += 37) {
      const changed = document.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(await codeOfAsync(() => ask({ sent: { document: changed } }))).not.toBeNull();
    }
  });

  it("a debug enclave whose zeros a policy without debug would list", () => {
    const file = policyFor(attester, "simulated", DEBUG, [MODEL]);
    expect(codeOf(() => parsePolicy(JSON.stringify(file)))).toBe("policy/syntax");
  });
});

describe("a debug enclave", () => {
  it("gets a key where the policy says so twice: debug, and its registers", async () => {
    const granted = await ask({
      document: { pcrs: DEBUG },
      policy: (file) => {
        const zero = "00".repeat(48);
        simulated(file)["debug"] = true;
        simulated(file)["measurements"] = [{ name: "debug", pcr0: zero, pcr1: zero, pcr2: zero }];
      },
    });
    expect(granted.measurement).toBe("debug");
  });
});

describe("a ReleaseBinding", () => {
  const fields: readonly (readonly [number, string | Uint8Array])[] = [
    [1, "countersign/key-release/v1"],
    [2, BINDING.publicKeyDigest],
    [3, BINDING.modelDigest],
    [4, BINDING.envelopeDigest],
  ];
  const written = (entries: readonly (readonly [number, string | Uint8Array])[]): Uint8Array =>
    encodeCbor(new Map(entries));

  it("is read as it was written, in 135 bytes", () => {
    const bytes = encodeReleaseBinding(BINDING);
    expect(parseReleaseBinding(bytes)).toEqual(BINDING);
    expect(bytes).toEqual(written(fields));
    expect(bytes).toHaveLength(135);
  });

  it("is never taken for an epoch, nor an epoch for it", () => {
    expect(codeOf(() => parseEpochBinding(encodeReleaseBinding(BINDING)))).toBe("binding/tag");
    expect(codeOf(() => parseReleaseBinding(encodeEpochBinding(EPOCH)))).toBe("binding/tag");
  });

  it.each([1, 2, 3, 4])("is refused without key %i", (key) => {
    const code = key === 1 ? "binding/tag" : "binding/structure";
    const rest = fields.filter(([other]) => other !== key);
    expect(codeOf(() => parseReleaseBinding(written(rest)))).toBe(code);
  });

  it.each([2, 3, 4])("is refused with a digest of 31 or 33 bytes at key %i", (key) => {
    for (const length of [31, 33]) {
      const changed = fields.map(
        ([other, value]) => [other, other === key ? new Uint8Array(length) : value] as const,
      );
      expect(codeOf(() => parseReleaseBinding(written(changed)))).toBe("binding/structure");
    }
  });

  it("is refused with one key more, with a byte behind it, and beyond 512 bytes", () => {
    const more = written([...fields, [5, new Uint8Array(1)]]);
    expect(codeOf(() => parseReleaseBinding(more))).toBe("binding/structure");
    const longer = Uint8Array.of(...encodeReleaseBinding(BINDING), 0);
    expect(codeOf(() => parseReleaseBinding(longer))).toBe("cbor/trailing");
    expect(codeOf(() => parseReleaseBinding(new Uint8Array(513)))).toBe("binding/structure");
  });
});
