/** Bodies of requests: any text ends in an answer or in an error that AWS has a name for. */
import { randomUUID } from "node:crypto";
import * as sdk from "@aws-sdk/client-kms";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ACTIONS } from "../../../../sealing/dev-kms/actions.ts";
import { KmsFailure } from "../../../../sealing/dev-kms/failure.ts";
import type { KmsKey } from "../../../../sealing/dev-kms/keyring.ts";
import { type Custody, performOperation } from "../../../../sealing/dev-kms/operations.ts";

const KEY: KmsKey = {
  id: randomUUID(),
  alias: "alias/countersign",
  createdMs: 0,
  material: new Uint8Array(32),
};
/** Everybody may do anything. */
const CUSTODY: Custody = {
  keys: [KEY],
  recipient: async () => {
    throw new KmsFailure("ValidationException", "no document here");
  },
  requireAccess: async () => undefined,
};
const OPERATIONS = ["GenerateDataKey", "Encrypt", "Decrypt", "ReEncrypt", "DescribeKey"] as const;
const NAMES = [
  "KeyId",
  "KeySpec",
  "NumberOfBytes",
  "Plaintext",
  "CiphertextBlob",
  "EncryptionContext",
  "EncryptionAlgorithm",
  "Recipient",
  "SourceKeyId",
  "DestinationKeyId",
] as const;

async function outcomeOf(operation: string, body: string): Promise<string> {
  return performOperation(operation, body, CUSTODY).then(
    () => "answered",
    (error: unknown) => {
      if (!(error instanceof KmsFailure)) throw error;
      return error.code;
    },
  );
}

describe("any body", () => {
  const values = fc.oneof(
    fc.constantFrom("alias/countersign", "AES_256", "AAAA", "SYMMETRIC_DEFAULT", 32),
    fc.jsonValue({ maxDepth: 2 }),
  );
  it.each(OPERATIONS)("of %s is answered or refused by name", async (operation) => {
    const members = fc.dictionary(fc.constantFrom(...NAMES), values);
    const bodies = fc.oneof(
      fc.string(),
      members.map((one) => JSON.stringify(one)),
    );
    const names = ["answered", "SerializationException", "ValidationException"];
    const others = ["NotFoundException", "InvalidCiphertextException"];
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        expect([...names, ...others]).toContain(await outcomeOf(operation, body));
      }),
    );
  });
});

describe("a parameter", () => {
  const key = '"KeyId":"alias/countersign"';
  it.each([
    ["well made", "Encrypt", `{${key},"Plaintext":"AAAA"}`, "answered"],
    ["base64 without padding", "Encrypt", `{${key},"Plaintext":"AA"}`, "ValidationException"],
    ["base64 for URLs", "Encrypt", `{${key},"Plaintext":"_-__"}`, "ValidationException"],
    ["base64 with bits over", "Encrypt", `{${key},"Plaintext":"AB=="}`, "ValidationException"],
    ["empty", "Encrypt", `{${key},"Plaintext":""}`, "ValidationException"],
    ["null", "Encrypt", `{${key},"Plaintext":null}`, "ValidationException"],
    [
      "another algorithm",
      "Encrypt",
      `{${key},"Plaintext":"AAAA","EncryptionAlgorithm":"RSA"}`,
      "ValidationException",
    ],
    ["a name of nobody's", "DescribeKey", '{"KeyId":""}', "ValidationException"],
    ["a long name", "DescribeKey", `{"KeyId":"${"a".repeat(2049)}"}`, "ValidationException"],
    ["a longest name", "DescribeKey", `{"KeyId":"${"a".repeat(2048)}"}`, "NotFoundException"],
    [
      "a context that is no Unicode",
      "Encrypt",
      String.raw`{${key},"Plaintext":"AAAA","EncryptionContext":{"a":"\ud800"}}`,
      "ValidationException",
    ],
    [
      "a context of numbers",
      "Encrypt",
      `{${key},"Plaintext":"AAAA","EncryptionContext":{"a":1}}`,
      "ValidationException",
    ],
    [
      "a recipient without a document",
      "GenerateDataKey",
      `{${key},"KeySpec":"AES_256","Recipient":{}}`,
      "ValidationException",
    ],
    [
      "a recipient of another algorithm",
      "GenerateDataKey",
      `{${key},"KeySpec":"AES_256","Recipient":{"AttestationDocument":"AAAA","KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_1"}}`,
      "ValidationException",
    ],
  ])("%s", async (_, operation, body, outcome) => {
    expect(await outcomeOf(operation, body)).toBe(outcome);
  });
});

describe("the actions of a policy", () => {
  it("are all that the SDK has, and the two halves of ReEncrypt", () => {
    const known: ReadonlySet<string> = new Set(ACTIONS);
    const commands = Object.keys(sdk).filter((name) => /^[A-Z]\w+Command$/u.test(name));
    const actions = commands.map((name) => name.slice(0, -"Command".length));
    expect(actions.filter((name) => !known.has(name))).toEqual(["ReEncrypt"]);
    expect(ACTIONS.filter((name) => !actions.includes(name))).toEqual([
      "ReEncryptFrom",
      "ReEncryptTo",
      "SynchronizeMultiRegionKey",
    ]);
  });
});
