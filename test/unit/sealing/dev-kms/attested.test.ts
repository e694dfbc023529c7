/** Answers for an enclave: whom dev-kms believes, what the policy asks of it, and what comes back. */
import { generateKeyPairSync } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createAttester, type DocumentFields, seededRandom } from "../../../fakes/attester.ts";
import {
  ENCLAVE_KEY,
  KmsWorld,
  openEnvelope,
  registerHex,
  registers,
  spki,
} from "../../../fakes/dev-kms.ts";

const CONTEXT = { "countersign-model-digest": "ab".repeat(32) };
const MINUTE_MS = 60_000;
const DENIED = "AccessDeniedException";
const INVALID = "ValidationException";

let world: KmsWorld;
let dataKey: Uint8Array;
let ciphertext: Uint8Array;
beforeAll(async () => {
  world = await KmsWorld.start();
  const made = await world.owner.generateDataKey({
    KeyId: "alias/countersign",
    KeySpec: "AES_256",
    EncryptionContext: CONTEXT,
  });
  if (made.Plaintext === undefined || made.CiphertextBlob === undefined) throw new TypeError();
  dataKey = made.Plaintext;
  ciphertext = made.CiphertextBlob;
});
beforeEach(async () => {
  await world.resetPolicy();
});
afterAll(async () => {
  await world.close();
});

async function decrypt(document: Uint8Array | null, context: Record<string, string> = CONTEXT) {
  const recipient = {
    Recipient: {
      AttestationDocument: document ?? new Uint8Array(),
      KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
    },
  } as const;
  return world.node.decrypt({
    CiphertextBlob: ciphertext,
    EncryptionContext: context,
    ...(document === null ? {} : recipient),
  });
}

async function outcome(
  document: Uint8Array | null,
  context: Record<string, string> = CONTEXT,
): Promise<string> {
  return decrypt(document, context).then(
    () => "released",
    (error: unknown) => (error instanceof Error ? error.name : String(error)),
  );
}

const attestation = (condition: string): string => `kms:RecipientAttestation:${condition}`;

async function allowRegister(name = "PCR0", value = registerHex(0)): Promise<void> {
  const Condition = { StringEqualsIgnoreCase: { [attestation(name)]: value } };
  await world.allow({ Action: "kms:Decrypt", Condition });
}

describe("an attested enclave", () => {
  it("gets the data key, encrypted to its own key, and nobody sees it in clear", async () => {
    await allowRegister();
    const answer = await decrypt(world.document());
    expect(answer.Plaintext).toBeUndefined();
    expect(answer.KeyId).toBe(world.kms.keys[0].arn);
    expect([...openEnvelope(answer.CiphertextForRecipient, ENCLAVE_KEY.privateKey)]).toEqual([
      ...dataKey,
    ]);
    expect(world.entries.at(-1)).toMatchObject({ outcome: "ok", pcr0: registerHex(0) });
  });

  it("may have a fresh data key that only it can read", async () => {
    await world.allow({ Action: "kms:GenerateDataKey" });
    const answer = await world.node.generateDataKey({
      KeyId: "alias/countersign",
      KeySpec: "AES_256",
      Recipient: {
        AttestationDocument: world.document(),
        KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
      },
    });
    expect(answer.Plaintext).toBeUndefined();
    const fresh = openEnvelope(answer.CiphertextForRecipient, ENCLAVE_KEY.privateKey);
    const opened = await world.owner.decrypt({ CiphertextBlob: answer.CiphertextBlob });
    expect([...(opened.Plaintext ?? [])]).toEqual([...fresh]);
  });

  it.each(["ImageSha384", "PCR0", "pcr0", "imagesha384"])("is known by %s", async (name) => {
    await allowRegister(name);
    expect(await outcome(world.document())).toBe("released");
    const other = registers(new Map([[0, new Uint8Array(48).fill(1)]]));
    expect(await outcome(world.document({ pcrs: other }))).toBe(DENIED);
  });

  it("is known by any register that its document has, from 0 to 31", async () => {
    const value = new Uint8Array(48).fill(7);
    for (const index of [1, 2, 8, 16, 31]) {
      const hex = Buffer.from(value).toString("hex").toUpperCase();
      await allowRegister(`PCR${index}`, hex);
      const pcrs = registers(new Map([[index, value]]));
      expect(await outcome(world.document())).toBe(DENIED);
      expect(await outcome(world.document({ pcrs }))).toBe("released");
      await world.resetPolicy();
    }
  });

  it("in debug mode has registers of zero, which no image has", async () => {
    await allowRegister();
    const zero = new Uint8Array(48);
    const pcrs = registers(
      new Map([
        [0, zero],
        [1, zero],
        [2, zero],
      ]),
    );
    expect(await outcome(world.document({ pcrs }))).toBe(DENIED);
  });

  it("gets nothing for another model's context, whatever the policy says", async () => {
    await allowRegister();
    const other = { "countersign-model-digest": "cd".repeat(32) };
    expect(await outcome(world.document(), other)).toBe("InvalidCiphertextException");
  });

  it("gets only the models that the policy names", async () => {
    const key = "kms:EncryptionContext:countersign-model-digest";
    const allow = async (digest: string) =>
      world.allow({ Action: "kms:Decrypt", Condition: { StringEquals: { [key]: [digest] } } });
    await allow("cd".repeat(32));
    expect(await outcome(world.document())).toBe(DENIED);
    expect(world.entries.at(-1)?.reason).toContain(key);
    await allow("ab".repeat(32));
    expect(await outcome(world.document())).toBe("released");
  });
});

describe("without an enclave", () => {
  it("the node's credentials are worth nothing", async () => {
    await allowRegister();
    expect(await outcome(null)).toBe(DENIED);
    expect(world.entries.at(-1)?.reason).toContain("the request has none");
  });

  it("a Deny of what is not attested goes before any grant", async () => {
    await world.allow({ Action: "kms:*" });
    expect(await outcome(null)).toBe("released");
    const Condition = { Null: { [attestation("ImageSha384")]: "true" } };
    await world.allow({ Effect: "Deny", Principal: "*", Action: "kms:Decrypt", Condition });
    expect(await outcome(null)).toBe(DENIED);
    expect(await outcome(world.document())).toBe("released");
  });
});

describe("a document that is not acceptable", () => {
  const key = (bits: number) => spki(generateKeyPairSync("rsa", { modulusLength: bits }).publicKey);
  const cases: readonly [string, () => Partial<DocumentFields>][] = [
    ["is more than five minutes old", () => ({ timestampMs: Date.now() - 5 * MINUTE_MS - 1000 })],
    ["is from the future", () => ({ timestampMs: Date.now() + 2 * MINUTE_MS })],
    ["names no key", () => ({ publicKey: null })],
    ["names what is no key", () => ({ publicKey: Uint8Array.of(1, 2, 3) })],
    ["names an RSA key of 1024 bits", () => ({ publicKey: key(1024) })],
    [
      "names an RSA key and a byte more",
      () => ({ publicKey: Buffer.concat([key(2048), Buffer.of(0)]) }),
    ],
    [
      "names a key of another kind",
      () => ({ publicKey: spki(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey) }),
    ],
    [
      "names an RSA key of exponent 3",
      () => {
        const made = generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 });
        return { publicKey: spki(made.publicKey) };
      },
    ],
  ];
  it.each(cases)("%s", async (_, fields) => {
    await world.allow({ Action: "kms:Decrypt" });
    expect(await outcome(world.document())).toBe("released");
    expect(await outcome(world.document(fields()))).toBe(INVALID);
  });

  it("is up to five minutes old, or a minute ahead", async () => {
    await world.allow({ Action: "kms:Decrypt" });
    for (const age of [-4.5 * MINUTE_MS, 0.5 * MINUTE_MS]) {
      expect(await outcome(world.document({ timestampMs: Date.now() + age }))).toBe("released");
    }
  });

  it("is of another vendor, or changed, or garbage", async () => {
    await world.allow({ Action: "kms:Decrypt" });
    const other = createAttester({ random: seededRandom("another"), nowMs: Date.now() });
    const fields = { timestampMs: Date.now(), pcrs: registers(), userData: null, nonce: null };
    const foreign = other.document({ ...fields, publicKey: spki(ENCLAVE_KEY.publicKey) });
    expect(await outcome(foreign)).toBe(INVALID);
    const changed = world.document();
    changed[400] = (changed[400] ?? 0) ^ 1;
    expect(await outcome(changed)).toBe(INVALID);
    expect(await outcome(Uint8Array.of(0x84, 1, 2, 3))).toBe(INVALID);
    expect(await outcome(new Uint8Array(16_385))).toBe(INVALID);
  });
});

describe("a policy on disk", () => {
  it("counts as it is now: an edit at once, a slip in it for nobody", async () => {
    await allowRegister();
    expect(await outcome(world.document())).toBe("released");
    await writeFile(world.kms.keys[0].policyPath, "{");
    expect(await outcome(world.document())).toBe("MalformedPolicyDocumentException");
    await rm(world.kms.keys[0].policyPath);
    expect(await outcome(world.document())).toBe("MalformedPolicyDocumentException");
    expect(world.entries.at(-1)?.reason).toContain("ENOENT");
  });
});
