/**
 * The key policy of AWS KMS under which a sealed model's key is given to an attested enclave only.
 *
 * It grants the least that a story needs: administration that cannot decrypt, an owner who seals, a
 * node that decrypts from the enclaves named, and a refusal that goes before every grant. AWS KMS
 * Developer Guide, "Condition keys for AWS Nitro Enclaves" and "AWS KMS condition keys".
 */
import { KMS_CONTEXT_NAME } from "@countersign/protocol";
import { SealingError } from "./errors.ts";

/** AWS KMS Developer Guide, "Quotas": a key policy document has at most 32 KiB. */
const MAX_POLICY_BYTES = 32_768;
const MAX_RELEASES = 16;
const REGISTER = /^[0-9a-f]{96}$/u;
const DIGEST = /^[0-9a-f]{64}$/u;
const ACCOUNT = /^\d{12}$/u;
/** IAM's own alphabet of names and paths; no session of a role, which ends while the policy stays. */
const PRINCIPAL = /^arn:(aws|aws-cn|aws-us-gov):iam::\d{12}:(?:role|user)\/[\w+=,.@/-]{1,512}$/u;
/** A register of a debug enclave says nothing of its code. */
const ZERO = /^0+$/u;

/** Encryption context of every sealed data key. PROTOCOL.md, "Sealed models". */
const CONTEXT_KEY = `kms:EncryptionContext:${KMS_CONTEXT_NAME}`;
const ATTESTATION = "kms:RecipientAttestation:";

/** All that keeps a key, and nothing that uses it: no cryptography, and no grant that would give it. */
const ADMINISTRATION = [
  "kms:CancelKeyDeletion",
  "kms:CreateAlias",
  "kms:DeleteAlias",
  "kms:DescribeKey",
  "kms:DisableKey",
  "kms:DisableKeyRotation",
  "kms:EnableKey",
  "kms:EnableKeyRotation",
  "kms:GetKeyPolicy",
  "kms:GetKeyRotationStatus",
  "kms:ListGrants",
  "kms:ListKeyPolicies",
  "kms:ListKeyRotations",
  "kms:ListResourceTags",
  "kms:PutKeyPolicy",
  "kms:RevokeGrant",
  "kms:RotateKeyOnDemand",
  "kms:ScheduleKeyDeletion",
  "kms:TagResource",
  "kms:UntagResource",
  "kms:UpdateAlias",
  "kms:UpdateKeyDescription",
] as const;
/** Of `model seal` and of `model reseal` from one KMS key to another. */
const SEALING = [
  "kms:DescribeKey",
  "kms:Encrypt",
  "kms:GenerateDataKey",
  "kms:ReEncryptFrom",
  "kms:ReEncryptTo",
] as const;

/** Reference values of one image, lower-case hex; PCR8 where a signer is to be demanded, too. */
export interface KeyPolicyRelease {
  readonly name: string;
  readonly pcr0: string;
  readonly pcr1: string;
  readonly pcr2: string;
  readonly pcr8: string | null;
}

export interface KeyPolicyOptions {
  /** Of the key. */
  readonly account: string;
  /** Whose credentials the host hands to the enclave; they may be of another account. */
  readonly nodeRole: string;
  readonly ownerRole: string;
  /** Whether the owner may decrypt without an enclave (`model unseal`). */
  readonly ownerDecrypts: boolean;
  readonly releases: readonly KeyPolicyRelease[];
  /** Digests of the models that the node may open; none: every model sealed under this key. */
  readonly models: readonly string[];
}

export type KeyPolicyConditions = Readonly<
  Record<string, Readonly<Record<string, string | readonly string[]>>>
>;

/** A statement as KMS reads it; its keys are AWS's. */
export interface KeyPolicyStatement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal: { readonly AWS: string };
  readonly Action: string | readonly string[];
  readonly Resource: "*";
  readonly Condition?: KeyPolicyConditions;
}

export interface KeyPolicy {
  readonly Version: "2012-10-17";
  readonly Id: "countersign-sealed-models";
  readonly Statement: readonly KeyPolicyStatement[];
}

/** A policy, and what each of its statements is for, in their order. */
export interface ExplainedKeyPolicy {
  readonly policy: KeyPolicy;
  readonly explanations: readonly { readonly sid: string; readonly text: string }[];
}

/** @throws SealingError `sealing/key-policy` where no safe policy can be made of `options`. */
export function kmsKeyPolicy(options: KeyPolicyOptions): ExplainedKeyPolicy {
  const partition = requireOptions(options);
  const explained = [
    administration(`arn:${partition}:iam::${options.account}:root`),
    owner(options),
    ...options.releases.map((release, i) => opening(options, release, i + 1)),
    ...refusals(options),
  ];
  const policy: KeyPolicy = {
    Version: "2012-10-17",
    Id: "countersign-sealed-models",
    Statement: explained.map(({ statement }) => statement),
  };
  const bytes = new TextEncoder().encode(encodeKeyPolicy(policy)).length;
  if (bytes > MAX_POLICY_BYTES) {
    throw refused(`the policy has ${bytes} bytes, and KMS takes ${MAX_POLICY_BYTES}: fewer models`);
  }
  return {
    policy,
    explanations: explained.map(({ statement, text }) => ({ sid: statement.Sid, text })),
  };
}

/** The text to paste: ASCII, two spaces. */
export function encodeKeyPolicy(policy: KeyPolicy): string {
  return `${JSON.stringify(policy, null, 2)}\n`;
}

interface Explained {
  readonly statement: KeyPolicyStatement;
  readonly text: string;
}

function administration(root: string): Explained {
  return {
    statement: {
      Sid: "Administration",
      Effect: "Allow",
      Principal: { AWS: root },
      Action: ADMINISTRATION,
      Resource: "*",
    },
    text:
      "The key's account keeps it: who in it, IAM decides. Nothing here encrypts, decrypts or grants. " +
      "Whoever may kms:PutKeyPolicy can write another policy: give that to as few as the weights themselves.",
  };
}

function owner({ ownerRole, ownerDecrypts }: KeyPolicyOptions): Explained {
  const unseals =
    "It may also decrypt, anywhere: take kms:Decrypt away again when it has unsealed.";
  const seals = "It cannot decrypt by this key, so it keeps the weights elsewhere.";
  return {
    statement: {
      Sid: "OwnerSeals",
      Effect: "Allow",
      Principal: { AWS: ownerRole },
      Action: ownerDecrypts ? ["kms:Decrypt", ...SEALING] : SEALING,
      Resource: "*",
    },
    text:
      'The owner makes data keys ("model seal") and moves them to another key ("model reseal"), ' +
      `which may be one that it can decrypt by. ${ownerDecrypts ? unseals : seals}`,
  };
}

function opening(
  { nodeRole, models }: KeyPolicyOptions,
  { name, pcr0, pcr1, pcr2, pcr8 }: KeyPolicyRelease,
  number: number,
): Explained {
  const registers = {
    [`${ATTESTATION}PCR0`]: pcr0,
    [`${ATTESTATION}PCR1`]: pcr1,
    [`${ATTESTATION}PCR2`]: pcr2,
    ...(pcr8 === null ? {} : { [`${ATTESTATION}PCR8`]: pcr8 }),
  };
  const context: KeyPolicyConditions =
    models.length === 0
      ? { Null: { [CONTEXT_KEY]: "false" } }
      : { StringEquals: { [CONTEXT_KEY]: models } };
  const signer = pcr8 === null ? "" : " PCR8: signed by that certificate.";
  const which =
    models.length === 0
      ? "Any model that was sealed under this key; --model names some."
      : `${models.length === 1 ? "The one model" : "The models"} of that digest.`;
  return {
    statement: {
      Sid: `EnclaveOpens${number}`,
      Effect: "Allow",
      Principal: { AWS: nodeRole },
      Action: "kms:Decrypt",
      Resource: "*",
      Condition: { StringEqualsIgnoreCase: registers, ...context },
    },
    text:
      `The enclave "${name}" decrypts, by the node's role. PCR0: the whole image. PCR1: kernel and ` +
      `platform. PCR2: the enclave's code and the key services that it may speak to.${signer} ${which}`,
  };
}

/** What goes before every grant, of this policy or of any other. */
function refusals(options: KeyPolicyOptions): readonly Explained[] {
  const { nodeRole, ownerRole, ownerDecrypts, releases } = options;
  const common = { Effect: "Deny", Resource: "*" } as const;
  const images = new Set(releases.map(({ pcr0 }) => pcr0));
  const notOwner = { StringNotEquals: { "aws:PrincipalArn": ownerRole } };
  const node: Explained = {
    statement: {
      Sid: "NodeNothingUnattested",
      Principal: { AWS: nodeRole },
      Action: "kms:*",
      Condition: { Null: { [`${ATTESTATION}ImageSha384`]: "true" } },
      ...common,
    },
    text:
      "The node's role does nothing by this key without an enclave's attestation, whatever else " +
      "allows it: its credentials alone are worth nothing.",
  };
  const nobody: Explained = {
    statement: {
      Sid: "NobodyDecryptsUnattested",
      Principal: { AWS: "*" },
      Action: "kms:Decrypt",
      // A negated operator holds of a request without the key, too. That there is an attestation is not
      // enough: whoever has a grant from before this policy has an enclave soon.
      Condition: {
        StringNotEqualsIgnoreCase: { [`${ATTESTATION}PCR0`]: [...images] },
        ...(ownerDecrypts ? notOwner : {}),
      },
      ...common,
    },
    text:
      "Nobody decrypts by this key without the attestation of an enclave named above: no role, no " +
      `grant, ${ownerDecrypts ? "but the owner" : "not the owner"}.`,
  };
  const moving: Explained = {
    statement: {
      Sid: "OnlyOwnerMovesKeys",
      Principal: { AWS: "*" },
      Action: "kms:ReEncryptFrom",
      Condition: notOwner,
      ...common,
    },
    text:
      "Nobody else moves a data key to a key of their own, which needs no attestation: no role, and no " +
      "grant that was made before this policy.",
  };
  return [node, nobody, moving];
}

/** The partition that all ARNs are of. */
function requireOptions(options: KeyPolicyOptions): string {
  const { account, nodeRole, ownerRole, releases, models } = options;
  if (!ACCOUNT.test(account)) throw refused(`the account is "${account}", want 12 digits`);
  const partition = partitionOf(nodeRole, "the node's role");
  if (partitionOf(ownerRole, "the owner's role") !== partition) {
    throw refused("the node's role and the owner's role are of different AWS partitions");
  }
  if (nodeRole === ownerRole) {
    throw refused(
      "the node's role is the owner's: whoever runs the node could do what the owner does",
    );
  }
  if (releases.length === 0 || releases.length > MAX_RELEASES) {
    throw refused(`${releases.length} releases, want 1 to ${MAX_RELEASES}`);
  }
  for (const release of releases) requireRelease(release);
  for (const model of models) {
    if (!DIGEST.test(model)) throw refused(`the model digest "${model}" is not 64 digits, 0 to f`);
  }
  return partition;
}

function partitionOf(principal: string, what: string): string {
  const [, partition] = PRINCIPAL.exec(principal) ?? [];
  if (partition !== undefined) return partition;
  throw refused(`${what} is "${principal}", want the ARN of a role or a user of IAM`);
}

function requireRelease({ name, pcr0, pcr1, pcr2, pcr8 }: KeyPolicyRelease): void {
  for (const register of [pcr0, pcr1, pcr2, ...(pcr8 === null ? [] : [pcr8])]) {
    if (!REGISTER.test(register)) throw refused(`release "${name}": a register is not 96 digits`);
    if (ZERO.test(register)) {
      throw refused(`release "${name}": a register is zero, as every debug enclave's is`);
    }
  }
}

function refused(message: string): SealingError {
  return new SealingError("sealing/key-policy", message);
}
