/** The unmodified SDK against dev-kms: what each action does, and how it is refused. */
import { randomBytes } from "node:crypto";
import type { GenerateDataKeyCommandInput } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KmsWorld } from "../../../fakes/dev-kms.ts";

const CONTEXT = { "countersign-model-digest": "ab".repeat(32) };
const OTHER_CONTEXT = { "countersign-model-digest": "cd".repeat(32) };
const KEY = "alias/countersign";

let world: KmsWorld;
beforeAll(async () => {
  world = await KmsWorld.start({ aliases: ["alias/second"] });
});
afterAll(async () => {
  await world.close();
});

async function dataKey() {
  const made = await world.owner.generateDataKey({
    KeyId: KEY,
    KeySpec: "AES_256",
    EncryptionContext: CONTEXT,
  });
  const { CiphertextBlob, Plaintext } = made;
  if (CiphertextBlob === undefined || Plaintext === undefined) throw new TypeError("no data key");
  return { ...made, CiphertextBlob, Plaintext };
}

async function failureOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "it went through",
    (error: unknown) => (error instanceof Error ? error.name : String(error)),
  );
}

describe("GenerateDataKey", () => {
  it("gives a key of 32 bytes, and the ciphertext that Decrypt gives it back for", async () => {
    const made = await dataKey();
    expect(made.Plaintext).toHaveLength(32);
    expect(made.KeyId).toBe(world.kms.keys[0].arn);
    const opened = await world.owner.decrypt({
      CiphertextBlob: made.CiphertextBlob,
      EncryptionContext: CONTEXT,
    });
    expect(opened.Plaintext).toEqual(made.Plaintext);
    expect(opened.KeyId).toBe(made.KeyId);
    expect(opened.EncryptionAlgorithm).toBe("SYMMETRIC_DEFAULT");
  });

  it("never gives the same key twice", async () => {
    const [a, b] = [await dataKey(), await dataKey()];
    expect(a.Plaintext).not.toEqual(b.Plaintext);
  });

  it.each([
    [{ KeySpec: "AES_128" }, 16],
    [{ NumberOfBytes: 64 }, 64],
    [{ NumberOfBytes: 1024 }, 1024],
  ] as const)("%j is %d bytes", async (wanted, length) => {
    const made = await world.owner.generateDataKey({ KeyId: KEY, ...wanted });
    expect(made.Plaintext).toHaveLength(length);
  });

  const refused: readonly Partial<GenerateDataKeyCommandInput>[] = [
    {},
    { KeySpec: "AES_256", NumberOfBytes: 32 },
    { NumberOfBytes: 0 },
    { NumberOfBytes: 1025 },
    { KeySpec: "AES_256", DryRun: true },
    { KeySpec: "AES_256", GrantTokens: ["token"] },
  ];
  it.each(refused)("refuses %j", async (wanted) => {
    const call = world.owner.generateDataKey({ KeyId: KEY, ...wanted });
    expect(await failureOf(call)).toBe("ValidationException");
  });
});

describe("which key", () => {
  it.each(["alias", "ARN of the alias", "id", "ARN"])("is named by its %s", async (form) => {
    const { arn } = world.kms.keys[0];
    const id = arn.slice(arn.lastIndexOf("/") + 1);
    const names: Record<string, string> = {
      alias: KEY,
      "ARN of the alias": arn.replace(/key\/.*$/u, KEY),
      id,
      ARN: arn,
    };
    const described = await world.owner.describeKey({ KeyId: names[form] });
    expect(described.KeyMetadata?.Arn).toBe(arn);
    expect(described.KeyMetadata).toMatchObject({
      AWSAccountId: "000000000000",
      Enabled: true,
      KeySpec: "SYMMETRIC_DEFAULT",
      KeyUsage: "ENCRYPT_DECRYPT",
    });
    expect(described.KeyMetadata?.CreationDate?.getTime()).toBeLessThanOrEqual(Date.now());
  });

  it.each([
    "alias/none",
    "00000000-0000-0000-0000-000000000000",
    "arn:aws:kms:dev-local-1:000000000000:countersign",
    "arn:aws:kms:eu-central-1:000000000000:alias/countersign",
    "countersign",
    "constructor",
  ])("is not %s", async (name) => {
    expect(await failureOf(world.owner.describeKey({ KeyId: name }))).toBe("NotFoundException");
  });
});

describe("Encrypt and Decrypt", () => {
  it("takes up to 4096 bytes, and gives them back", async () => {
    const plaintext = new Uint8Array(randomBytes(4096));
    const made = await world.owner.encrypt({ KeyId: KEY, Plaintext: plaintext });
    const opened = await world.owner.decrypt({ CiphertextBlob: made.CiphertextBlob });
    expect(opened.Plaintext).toEqual(plaintext);
    const longer = world.owner.encrypt({ KeyId: KEY, Plaintext: new Uint8Array(4097) });
    expect(await failureOf(longer)).toBe("ValidationException");
  });

  it("wants the same context, whatever its order", async () => {
    const context = { b: "2", a: "1" };
    const made = await world.owner.encrypt({
      KeyId: KEY,
      Plaintext: Uint8Array.of(1),
      EncryptionContext: context,
    });
    const open = async (wanted: Record<string, string>) =>
      failureOf(
        world.owner.decrypt({ CiphertextBlob: made.CiphertextBlob, EncryptionContext: wanted }),
      );
    expect(await open({ a: "1", b: "2" })).toBe("it went through");
    for (const other of [{}, { a: "1" }, { a: "1", b: "3" }, { a: "12", b: "" }, { ab: "12" }]) {
      expect(await open(other)).toBe("InvalidCiphertextException");
    }
    expect(await open({ a: "1", A: "2" })).toBe("ValidationException");
  });

  it("refuses a ciphertext in which any one byte was changed", async () => {
    const { CiphertextBlob } = await dataKey();
    for (let i = 0; i < CiphertextBlob.length; i++) {
      const changed = CiphertextBlob.slice();
      changed[i] = (changed[i] ?? 0) ^ 1;
      const call = world.owner.decrypt({ CiphertextBlob: changed, EncryptionContext: CONTEXT });
      expect(await failureOf(call)).toBe("InvalidCiphertextException");
    }
  });

  it("refuses a ciphertext of any other length, and none at all", async () => {
    const { CiphertextBlob } = await dataKey();
    for (const length of [1, 16, 44, 45, CiphertextBlob.length - 1]) {
      const cut = world.owner.decrypt({
        CiphertextBlob: CiphertextBlob.subarray(0, length),
        EncryptionContext: CONTEXT,
      });
      expect(await failureOf(cut)).toBe("InvalidCiphertextException");
    }
    const empty = world.owner.decrypt({ CiphertextBlob: new Uint8Array() });
    expect(await failureOf(empty)).toBe("ValidationException");
    const long = world.owner.decrypt({ CiphertextBlob: new Uint8Array(6145) });
    expect(await failureOf(long)).toBe("ValidationException");
  });

  it("refuses to open by another key than the one named", async () => {
    const { CiphertextBlob } = await dataKey();
    const call = world.owner.decrypt({
      CiphertextBlob,
      KeyId: "alias/second",
      EncryptionContext: CONTEXT,
    });
    expect(await failureOf(call)).toBe("IncorrectKeyException");
  });

  it("refuses contexts that are too large", async () => {
    const values = Array.from({ length: 65 }, (_, i) => [`key ${i}`, "value"] as const);
    const many = world.owner.encrypt({
      KeyId: KEY,
      Plaintext: Uint8Array.of(1),
      EncryptionContext: Object.fromEntries(values),
    });
    expect(await failureOf(many)).toBe("ValidationException");
    const long = world.owner.encrypt({
      KeyId: KEY,
      Plaintext: Uint8Array.of(1),
      EncryptionContext: { key: "v".repeat(8193) },
    });
    expect(await failureOf(long)).toBe("ValidationException");
  });
});

describe("ReEncrypt", () => {
  it("moves a data key to another key, without giving it away", async () => {
    const made = await dataKey();
    const moved = await world.owner.reEncrypt({
      CiphertextBlob: made.CiphertextBlob,
      SourceEncryptionContext: CONTEXT,
      DestinationKeyId: "alias/second",
      DestinationEncryptionContext: OTHER_CONTEXT,
    });
    const [first, second] = world.kms.keys;
    expect(moved.SourceKeyId).toBe(first.arn);
    expect(moved.KeyId).toBe(second?.arn);
    const opened = await world.owner.decrypt({
      CiphertextBlob: moved.CiphertextBlob,
      KeyId: "alias/second",
      EncryptionContext: OTHER_CONTEXT,
    });
    expect(opened.Plaintext).toEqual(made.Plaintext);
  });

  it("wants the source's context", async () => {
    const made = await dataKey();
    const call = world.owner.reEncrypt({
      CiphertextBlob: made.CiphertextBlob,
      SourceEncryptionContext: OTHER_CONTEXT,
      DestinationKeyId: "alias/second",
    });
    expect(await failureOf(call)).toBe("InvalidCiphertextException");
  });
});

describe("what the log says", () => {
  it("names caller, action and key, and neither keys nor plaintext", async () => {
    world.entries.length = 0;
    const made = await dataKey();
    expect(world.entries).toEqual([
      {
        principal: world.kms.owner.arn,
        action: "GenerateDataKey",
        key: world.kms.keys[0].arn,
        pcr0: null,
        outcome: "ok",
        reason: null,
      },
    ]);
    const text = JSON.stringify(world.entries);
    for (const secret of [made.Plaintext, made.CiphertextBlob]) {
      expect(text).not.toContain(Buffer.from(secret).toString("base64").slice(0, 16));
    }
    expect(text).not.toContain(world.kms.owner.credentials.secretAccessKey);
  });
});
