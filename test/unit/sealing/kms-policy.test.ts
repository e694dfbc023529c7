import { describe, expect, it } from "vitest";
import {
  encodeKeyPolicy,
  type KeyPolicyOptions,
  type KeyPolicyRelease,
  kmsKeyPolicy,
  SealingError,
} from "@countersign/sealing";
import type { KmsAction } from "../../../sealing/dev-kms/actions.ts";
import { authorize } from "../../../sealing/dev-kms/authorization.ts";
import { parseKeyPolicy } from "../../../sealing/dev-kms/policy.ts";

const NODE = "arn:aws:iam::444455556666:role/enclaves/node";
const OWNER = "arn:aws:iam::111122223333:role/owner";
const RELEASE: KeyPolicyRelease = {
  name: "1.5.0",
  pcr0: "a0".repeat(48),
  pcr1: "a1".repeat(48),
  pcr2: "a2".repeat(48),
  pcr8: null,
};
const OPTIONS: KeyPolicyOptions = {
  account: "111122223333",
  nodeRole: NODE,
  ownerRole: OWNER,
  ownerDecrypts: false,
  releases: [RELEASE],
  models: [],
};

function statements(changes: Partial<KeyPolicyOptions> = {}) {
  return kmsKeyPolicy({ ...OPTIONS, ...changes }).policy.Statement;
}

function refusal(changes: Partial<KeyPolicyOptions>): string {
  try {
    kmsKeyPolicy({ ...OPTIONS, ...changes });
  } catch (error) {
    if (error instanceof SealingError && error.code === "sealing/key-policy") return error.message;
    throw error;
  }
  throw new TypeError("it was not refused");
}

/** Every action that a principal is allowed, whatever the conditions. */
function allowed(principal: string, changes: Partial<KeyPolicyOptions> = {}): readonly string[] {
  return statements(changes)
    .filter(({ Effect, Principal }) => Effect === "Allow" && Principal.AWS === principal)
    .flatMap(({ Action }) => Action);
}

describe("a key policy", () => {
  it("lets the node decrypt, from the released enclave only, and nothing else", () => {
    expect(allowed(NODE)).toEqual(["kms:Decrypt"]);
    const [opening] = statements().filter(({ Principal }) => Principal.AWS === NODE);
    expect(opening?.Condition).toEqual({
      StringEqualsIgnoreCase: {
        "kms:RecipientAttestation:PCR0": RELEASE.pcr0,
        "kms:RecipientAttestation:PCR1": RELEASE.pcr1,
        "kms:RecipientAttestation:PCR2": RELEASE.pcr2,
      },
      Null: { "kms:EncryptionContext:countersign-model-digest": "false" },
    });
  });

  it("lets the owner seal and move, and not decrypt", () => {
    const seals = ["DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo"];
    expect(allowed(OWNER)).toEqual(seals.map((name) => `kms:${name}`));
    expect(allowed(OWNER, { ownerDecrypts: true })).toContain("kms:Decrypt");
  });

  it("lets the account keep the key, by actions that use none of it", () => {
    const kept = allowed("arn:aws:iam::111122223333:root");
    expect(kept).toContain("kms:PutKeyPolicy");
    const using = /Encrypt|Decrypt|Generate|Grant$|Sign|Mac|Derive|Replicate|Import|\*/u;
    expect(kept.filter((action) => using.test(action))).toEqual(["kms:RevokeGrant"]);
  });

  it("refuses the node everything without an attestation, and everybody decryption without this one", () => {
    const next = { ...RELEASE, pcr0: "b0".repeat(48) };
    const unattested = { Null: { "kms:RecipientAttestation:ImageSha384": "true" } };
    const unnamed = {
      StringNotEqualsIgnoreCase: { "kms:RecipientAttestation:PCR0": [RELEASE.pcr0, next.pcr0] },
    };
    const denied = statements({ releases: [RELEASE, next] }).filter(
      ({ Effect }) => Effect === "Deny",
    );
    expect(
      denied.map(({ Principal, Action, Condition }) => [Principal, Action, Condition]),
    ).toEqual([
      [{ AWS: NODE }, "kms:*", unattested],
      [{ AWS: "*" }, "kms:Decrypt", unnamed],
      [{ AWS: "*" }, "kms:ReEncryptFrom", { StringNotEquals: { "aws:PrincipalArn": OWNER } }],
    ]);
  });

  it("has a statement for each of several releases, and the signer of one that is signed", () => {
    const next = { ...RELEASE, name: "1.6.0", pcr2: "b2".repeat(48), pcr8: "b8".repeat(48) };
    const opening = statements({ releases: [RELEASE, next] }).filter(
      ({ Effect, Principal }) => Effect === "Allow" && Principal.AWS === NODE,
    );
    expect(opening.map(({ Sid }) => Sid)).toEqual(["EnclaveOpens1", "EnclaveOpens2"]);
    const registers = opening.map(({ Condition }) => Condition?.["StringEqualsIgnoreCase"]);
    expect(registers[0]).not.toHaveProperty("kms:RecipientAttestation:PCR8");
    expect(registers[1]).toMatchObject({
      "kms:RecipientAttestation:PCR2": next.pcr2,
      "kms:RecipientAttestation:PCR8": next.pcr8,
    });
  });

  it("names the models that may be opened", () => {
    const models = ["c1".repeat(32), "c2".repeat(32)];
    const [opening] = statements({ models }).filter(({ Sid }) => Sid === "EnclaveOpens1");
    expect(opening?.Condition).toMatchObject({
      StringEquals: { "kms:EncryptionContext:countersign-model-digest": models },
    });
    expect(opening?.Condition).not.toHaveProperty("Null");
  });

  it("is of the partition of its roles", () => {
    const [first] = statements({
      nodeRole: NODE.replace("aws", "aws-cn"),
      ownerRole: OWNER.replace("aws", "aws-cn"),
    });
    expect(first?.Principal.AWS).toBe("arn:aws-cn:iam::111122223333:root");
  });

  it("explains each of its statements, by names that IAM takes", () => {
    const { policy, explanations } = kmsKeyPolicy({ ...OPTIONS, ownerDecrypts: true });
    expect(explanations.map(({ sid }) => sid)).toEqual(policy.Statement.map(({ Sid }) => Sid));
    for (const { sid, text } of explanations) {
      expect(sid).toMatch(/^[A-Za-z0-9]+$/u);
      expect(text.length).toBeGreaterThan(40);
    }
    expect(JSON.parse(encodeKeyPolicy(policy))).toEqual(policy);
  });
});

describe("no key policy", () => {
  it("is made of names that IAM would not take, or that say another thing", () => {
    expect(refusal({ account: "11112222333" })).toContain("12 digits");
    expect(refusal({ account: "1111222233334" })).toContain("12 digits");
    for (const nodeRole of [
      "*",
      "arn:aws:iam::444455556666:root",
      "arn:aws:sts::444455556666:assumed-role/node/i-1",
      "arn:aws:iam::444455556666:role/",
      "arn:aws:iam::444455556666:role/*",
      'arn:aws:iam::444455556666:role/node","x',
      `${NODE}\n`,
    ]) {
      expect(refusal({ nodeRole }), nodeRole).toContain("want the ARN of a role");
    }
    expect(refusal({ ownerRole: OWNER.replace("aws", "aws-cn") })).toContain("partitions");
    expect(refusal({ ownerRole: NODE })).toContain("the node's role is the owner's");
  });

  it("gives a key to a debug enclave, to none, or to anything that is no register", () => {
    expect(refusal({ releases: [] })).toContain("0 releases");
    expect(refusal({ releases: Array.from({ length: 17 }, () => RELEASE) })).toContain(
      "17 releases",
    );
    for (const register of ["pcr0", "pcr1", "pcr2", "pcr8"] as const) {
      const zero = { ...RELEASE, [register]: "0".repeat(96) };
      expect(refusal({ releases: [zero] })).toContain("zero");
      for (const value of ["", "*", "a".repeat(95), "A".repeat(96)]) {
        expect(refusal({ releases: [{ ...RELEASE, [register]: value }] })).toContain("96 digits");
      }
    }
  });

  it("names a model by anything but its digest, or is larger than KMS takes", () => {
    expect(refusal({ models: ["*"] })).toContain("model digest");
    expect(refusal({ models: ["C1".repeat(32)] })).toContain("model digest");
    const digest = (i: number): string => i.toString(16).padStart(64, "0");
    const models = (count: number) => ({
      models: Array.from({ length: count }, (_, i) => digest(i)),
    });
    expect(statements(models(300)).length).toBe(6);
    expect(refusal(models(500))).toContain("KMS takes 32768");
  });
});

describe("a key policy, judged as IAM would", () => {
  const models = ["c1".repeat(32)];
  const attested = {
    "kms:recipientattestation:imagesha384": RELEASE.pcr0,
    "kms:recipientattestation:pcr0": RELEASE.pcr0,
    "kms:recipientattestation:pcr1": RELEASE.pcr1,
    "kms:recipientattestation:pcr2": RELEASE.pcr2,
    "kms:recipientattestation:pcr8": "0".repeat(96),
  };
  const of = { "kms:encryptioncontext:countersign-model-digest": models[0] ?? "" };
  const NOTHING = {};

  function judge(
    principal: string,
    action: KmsAction,
    facts: Readonly<Record<string, string>>,
    changes: Partial<KeyPolicyOptions> = {},
  ) {
    const { policy } = kmsKeyPolicy({ ...OPTIONS, models, ...changes });
    const arn = "arn:aws:kms:eu-central-1:111122223333:key/1";
    const all = { "aws:principalarn": principal, ...facts };
    const known = new Map(Object.entries(all).map(([key, value]) => [key, [value]]));
    return authorize(parseKeyPolicy(encodeKeyPolicy(policy), arn), {
      principal,
      action,
      facts: known,
    });
  }

  it("opens the model for the released enclave, by the node's role", () => {
    expect(judge(NODE, "Decrypt", { ...attested, ...of })).toMatchObject({ allowed: true });
    const twice = { releases: [{ ...RELEASE, pcr2: "b2".repeat(48) }, RELEASE] };
    expect(judge(NODE, "Decrypt", { ...attested, ...of }, twice)).toMatchObject({ allowed: true });
    expect(judge(NODE, "Decrypt", { ...attested, ...of }, { models: [] }).allowed).toBe(true);
  });

  it("opens nothing for any other enclave, model or role", () => {
    for (const index of [0, 1, 2]) {
      for (const value of ["5a".repeat(48), "0".repeat(96)]) {
        const other = { ...attested, ...of, [`kms:recipientattestation:pcr${index}`]: value };
        expect(judge(NODE, "Decrypt", other).allowed, `pcr${index} ${value}`).toBe(false);
      }
    }
    const another = { "kms:encryptioncontext:countersign-model-digest": "c2".repeat(32) };
    expect(judge(NODE, "Decrypt", { ...attested, ...another }).allowed).toBe(false);
    expect(judge(NODE, "Decrypt", attested).allowed).toBe(false);
    expect(judge(NODE, "Decrypt", attested, { models: [] }).allowed).toBe(false);
    expect(judge(`${NODE}2`, "Decrypt", { ...attested, ...of }).allowed).toBe(false);
    expect(judge(OWNER, "Decrypt", { ...attested, ...of }).allowed).toBe(false);
    const signed = { releases: [{ ...RELEASE, pcr8: "b8".repeat(48) }] };
    expect(judge(NODE, "Decrypt", { ...attested, ...of }, signed).allowed).toBe(false);
  });

  it("refuses in words, whatever else might allow it, whoever has no enclave", () => {
    const refusal = { allowed: false, explicit: true };
    expect(judge(NODE, "Decrypt", of)).toMatchObject(refusal);
    expect(judge(OWNER, "Decrypt", of)).toMatchObject(refusal);
    for (const action of ["Encrypt", "GenerateDataKey", "PutKeyPolicy", "CreateGrant"] as const) {
      expect(judge(NODE, action, NOTHING), action).toMatchObject(refusal);
    }
    const unsealing = { ownerDecrypts: true };
    expect(judge(OWNER, "Decrypt", of, unsealing).allowed).toBe(true);
    for (const other of [NODE, `${NODE}2`, `${OWNER}2`]) {
      expect(judge(other, "Decrypt", of, unsealing), other).toMatchObject(refusal);
    }
  });

  it("refuses in words to move a key for anybody but the owner: a grant would let them", () => {
    for (const other of [NODE, `${NODE}2`, `${OWNER}2`]) {
      expect(judge(other, "ReEncryptFrom", { ...attested, ...of }), other).toMatchObject({
        allowed: false,
        explicit: true,
      });
    }
  });

  it("refuses in words another enclave, whoever runs it: a grant would let it", () => {
    const refusal = { allowed: false, explicit: true };
    for (const value of ["5a".repeat(48), "0".repeat(96)]) {
      const other = {
        ...attested,
        ...of,
        "kms:recipientattestation:imagesha384": value,
        "kms:recipientattestation:pcr0": value,
      };
      for (const principal of [NODE, OWNER, `${NODE}2`]) {
        expect(judge(principal, "Decrypt", other), principal).toMatchObject(refusal);
      }
    }
  });

  it("lets the owner seal and move, without an enclave, and the node not even with one", () => {
    const using = ["GenerateDataKey", "Encrypt", "ReEncryptFrom", "ReEncryptTo"] as const;
    for (const action of using) {
      expect(judge(OWNER, action, of).allowed, action).toBe(true);
      expect(judge(NODE, action, { ...attested, ...of }).allowed, action).toBe(false);
    }
    for (const action of ["CreateGrant", "PutKeyPolicy", "ScheduleKeyDeletion"] as const) {
      expect(judge(OWNER, action, NOTHING).allowed, action).toBe(false);
    }
  });
});
