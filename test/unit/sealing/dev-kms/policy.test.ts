/** Key policies: what is read, what is refused, and how they decide. */
import { AttestationError } from "@countersign/attestation";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { KmsAction } from "../../../../sealing/dev-kms/actions.ts";
import { authorize, type Decision } from "../../../../sealing/dev-kms/authorization.ts";
import { initialPolicy } from "../../../../sealing/dev-kms/initial-policy.ts";
import { parseKeyPolicy } from "../../../../sealing/dev-kms/policy.ts";

const ARN = "arn:aws:kms:dev-local-1:000000000000:key/00000000-0000-0000-0000-000000000001";
const OWNER = "arn:aws:iam::000000000000:role/countersign-owner";
const NODE = "arn:aws:iam::000000000000:role/countersign-node";
const ROOT = "arn:aws:iam::000000000000:root";

/** Stands for a text that is a policy. */
const NO_FAILURE = new AttestationError("policy/syntax", "none");

function failureOf(text: string): unknown {
  try {
    parseKeyPolicy(text, ARN);
    return null;
  } catch (error) {
    return error;
  }
}

type Json = Readonly<Record<string, unknown>>;

const GRANT: Json = {
  Sid: "NodeDecrypts",
  Effect: "Allow",
  Principal: { AWS: NODE },
  Action: "kms:Decrypt",
  Resource: "*",
};

function without(name: string): Json {
  return Object.fromEntries(Object.entries(GRANT).filter(([key]) => key !== name));
}

function policyText(...statements: readonly Json[]): string {
  return JSON.stringify({ Version: "2012-10-17", Statement: statements });
}

function decide(
  statements: readonly Json[],
  action: KmsAction = "Decrypt",
  principal: string = NODE,
  facts: Readonly<Record<string, string>> = {},
): Decision {
  const values = Object.entries(facts).map(([key, value]) => [key, [value]] as const);
  const request = { principal, action, facts: new Map(values) };
  return authorize(parseKeyPolicy(policyText(...statements), ARN), request);
}

describe("a decision", () => {
  it("is no, where nothing says yes", () => {
    expect(decide([GRANT]).allowed).toBe(true);
    expect(decide([GRANT], "Encrypt")).toMatchObject({ allowed: false, explicit: false });
    expect(decide([GRANT], "Decrypt", OWNER)).toMatchObject({ allowed: false, explicit: false });
  });

  it("is no, where one statement denies, wherever it stands", () => {
    const deny = { ...GRANT, Sid: "Never", Effect: "Deny" };
    for (const statements of [
      [GRANT, deny],
      [deny, GRANT],
    ]) {
      expect(decide(statements)).toEqual({
        allowed: false,
        explicit: true,
        reason: '"Never" denies it',
      });
    }
  });

  it("takes all conditions of a statement, and says which one failed", () => {
    const PCR = "kms:RecipientAttestation:PCR0";
    const Condition = {
      StringEquals: { [PCR]: "aa" },
      Bool: { "aws:SecureTransport": "true" },
    };
    const statement = { ...GRANT, Condition };
    const both = { [PCR.toLowerCase()]: "aa", "aws:securetransport": "true" };
    expect(decide([statement], "Decrypt", NODE, both).allowed).toBe(true);
    const one = { ...both, [PCR.toLowerCase()]: "bb" };
    expect(decide([statement], "Decrypt", NODE, one)).toMatchObject({
      allowed: false,
      reason: `"NodeDecrypts" wants StringEquals of ${PCR}: the request's is bb`,
    });
    const other = { ...both, "aws:securetransport": "false" };
    expect(decide([statement], "Decrypt", NODE, other).allowed).toBe(false);
  });

  it.each([
    ["*", true],
    ["kms:*", true],
    ["kms:Dec*", true],
    ["kms:decrypt", true],
    ["KMS:Decryp?", true],
    [["kms:Encrypt", "kms:Decrypt"], true],
    ["kms:DescribeKey", false],
    ["kms:ReEncrypt*", false],
  ] as const)("lets %j decrypt: %j", (Action, allowed) => {
    expect(decide([{ ...GRANT, Action }]).allowed).toBe(allowed);
  });

  it("of NotAction concerns all others", () => {
    const statement = { ...without("Action"), NotAction: ["kms:Encrypt", "kms:ReEncrypt*"] };
    expect(decide([statement]).allowed).toBe(true);
    expect(decide([statement], "Encrypt").allowed).toBe(false);
    expect(decide([statement], "ReEncryptTo").allowed).toBe(false);
  });

  it("for anybody is for everybody", () => {
    for (const Principal of ["*", { AWS: "*" }, { AWS: [OWNER, "*"] }]) {
      expect(decide([{ ...GRANT, Principal }]).allowed).toBe(true);
    }
  });

  it("for the account grants nothing here, and denies it to all in it", () => {
    for (const AWS of [ROOT, "000000000000"]) {
      const statement = { ...GRANT, Principal: { AWS } };
      expect(decide([statement]).allowed).toBe(false);
      expect(decide([GRANT, { ...statement, Effect: "Deny" }]).allowed).toBe(false);
    }
    const other = { ...GRANT, Effect: "Deny", Principal: { AWS: "111122223333" } };
    expect(decide([GRANT, other]).allowed).toBe(true);
  });
});

describe("the first policy of a key", () => {
  it("is the owner's, for what sealing needs, and no node's", () => {
    const policy = parseKeyPolicy(initialPolicy(OWNER, ARN), ARN);
    const allowed = (principal: string, action: KmsAction) =>
      authorize(policy, { principal, action, facts: new Map() }).allowed;
    const actions = [
      "GenerateDataKey",
      "Encrypt",
      "Decrypt",
      "ReEncryptFrom",
      "DescribeKey",
    ] as const;
    for (const action of actions) {
      expect(allowed(OWNER, action)).toBe(true);
      expect(allowed(NODE, action)).toBe(false);
    }
    expect(allowed(OWNER, "ScheduleKeyDeletion")).toBe(false);
  });
});

describe("what is refused rather than passed over", () => {
  const role = (name: string) => ({ ...GRANT, Principal: { AWS: name } });
  it.each([
    ["an unknown member", { ...GRANT, Effects: "Allow" }],
    ["another effect", { ...GRANT, Effect: "allow" }],
    ["no effect", without("Effect")],
    ["no principal", without("Principal")],
    ["NotPrincipal", { ...without("Principal"), NotPrincipal: { AWS: NODE } }],
    ["a service", { ...GRANT, Principal: { Service: "ec2.amazonaws.com" } }],
    ["an account and a service", { ...GRANT, Principal: { AWS: NODE, Service: "x" } }],
    ["a principal with a wildcard", role("arn:aws:iam::000000000000:role/*")],
    ["a session of a role", role("arn:aws:sts::000000000000:assumed-role/node/session")],
    ["no action", without("Action")],
    ["both kinds of action", { ...GRANT, NotAction: "kms:Encrypt" }],
    ["an action that is none", { ...GRANT, Action: "kms:Decypt" }],
    ["an action with the sign of Kelvin", { ...GRANT, Action: "\u212Ams:Decrypt" }],
    ["an action of another service", { ...GRANT, Action: "s3:GetObject" }],
    ["an empty list of actions", { ...GRANT, Action: [] }],
    ["another key", { ...GRANT, Resource: ARN.replace(/1$/u, "2") }],
    ["no resource", without("Resource")],
    ["conditions that are no object", { ...GRANT, Condition: [] }],
  ])("%s", (_, statement) => {
    const read = () => parseKeyPolicy(policyText(statement), ARN);
    expect(read).toThrow(AttestationError);
    expect(read).toThrow("policy/syntax");
  });

  it.each([
    ["no JSON", "{"],
    ["no object", "[]"],
    ["no version", JSON.stringify({ Statement: [GRANT] })],
    ["another version", JSON.stringify({ Version: "2030-01-01", Statement: [GRANT] })],
    ["no statement", JSON.stringify({ Version: "2012-10-17", Statement: [] })],
    [
      "a member twice",
      `{"Version":"2012-10-17","Statement":[],"Statement":[${JSON.stringify(GRANT)}]}`,
    ],
    ["65 statements", policyText(...Array.from({ length: 65 }, () => GRANT))],
    [
      "65 conditions",
      policyText({
        ...GRANT,
        Condition: {
          StringEquals: Object.fromEntries(
            Array.from({ length: 65 }, (_, i) => [`kms:EncryptionContext:${i}`, "x"]),
          ),
        },
      }),
    ],
  ])("%s", (_, text) => {
    expect(() => parseKeyPolicy(text, ARN)).toThrow("policy/syntax");
  });

  it("any other text, with our error and no other", () => {
    const members = fc.dictionary(
      fc.constantFrom("Sid", "Effect", "Principal", "Action", "Resource", "Condition"),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          members.map((one) => policyText(one)),
        ),
        (text) => {
          expect(failureOf(text) ?? NO_FAILURE).toBeInstanceOf(AttestationError);
        },
      ),
    );
  });

  it("reads a statement alone as a list of one, and the key's own ARN as the key", () => {
    const text = JSON.stringify({
      Version: "2008-10-17",
      Statement: { ...GRANT, Resource: [ARN] },
    });
    expect(parseKeyPolicy(text, ARN)).toHaveLength(1);
  });
});
