/** One request's way to the keys: what its caller may do, by the policy as it stands now. */
import { AttestationError } from "@countersign/attestation";

import { type Facts } from "./condition.ts";
import { authorize } from "./authorization.ts";
import { KmsFailure } from "./failure.ts";
import { lowerCase } from "./glob.ts";
import { keyArn, type KmsKey } from "./keyring.ts";
import { ACCOUNT, ALIAS, arnOf } from "./names.ts";
import type { Access, Custody } from "./operations.ts";
import { type KeyPolicy, parseKeyPolicy } from "./policy.ts";
import { verifyRecipient } from "./recipient.ts";

export interface CustodyOptions {
  readonly keys: readonly KmsKey[];
  /** The text of a key's policy, read anew for each request. */
  readonly policyText: (key: KmsKey) => Promise<string>;
  /** SHA-256 of each root that may vouch for an enclave. */
  readonly attestationRoots: () => Promise<readonly Uint8Array[]>;
}

/**
 * @param principal - the caller's ARN, whose signature was verified.
 * @param onAccess - hears of each key that is asked for, before it is given.
 */
export function createCustody(
  { keys, policyText, attestationRoots }: CustodyOptions,
  principal: string,
  nowMs: number,
  onAccess: (access: Access) => void,
): Custody {
  return {
    keys,
    recipient: async (document) => verifyRecipient(document, await attestationRoots(), nowMs),
    async requireAccess(access) {
      onAccess(access);
      const { key, action } = access;
      const policy = readPolicy(await policyText(key).catch(unreadable), keyArn(key));
      const decision = authorize(policy, { principal, action, facts: factsOf(access, principal) });
      if (decision.allowed) return;
      const why = decision.explicit
        ? "with an explicit deny in a resource-based policy"
        : `because no resource-based policy allows the kms:${action} action`;
      throw new KmsFailure(
        "AccessDeniedException",
        `User: ${principal} is not authorized to perform: kms:${action} on resource: ${keyArn(key)} ${why}`,
        decision.reason,
      );
    },
  };
}

/** AWS refuses a bad policy when it is put; here it is a file, and refused when it is needed. */
function readPolicy(text: string, arn: string): KeyPolicy {
  try {
    return parseKeyPolicy(text, arn);
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    const where = error.message.replace(/^policy\/syntax: /u, "");
    throw new KmsFailure("MalformedPolicyDocumentException", `The key policy: ${where}`);
  }
}

/** Without its policy a key is nobody's, and asking again does not help. */
function unreadable(error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  const message = "The key policy cannot be read";
  throw new KmsFailure("MalformedPolicyDocumentException", message, reason);
}

/** What conditions can ask for. Of the recipient only what its vendor's root vouches for. */
function factsOf({ context, recipient, reference }: Access, principal: string): Facts {
  const facts = new Map<string, readonly string[]>([
    ["aws:principalaccount", [ACCOUNT]],
    ["aws:principalarn", [principal]],
    ["aws:securetransport", ["true"]],
    ["kms:calleraccount", [ACCOUNT]],
  ]);
  const alias =
    reference?.startsWith(arnOf("")) === true ? reference.slice(arnOf("").length) : reference;
  if (alias !== null && ALIAS.test(alias)) facts.set("kms:requestalias", [alias]);
  if (context.size > 0) facts.set("kms:encryptioncontextkeys", [...context.keys()]);
  for (const [name, value] of context) {
    facts.set(`kms:encryptioncontext:${lowerCase(name)}`, [value]);
  }
  for (const [index, register] of recipient?.pcrs ?? []) {
    facts.set(`kms:recipientattestation:pcr${index}`, [register]);
    if (index === 0) facts.set("kms:recipientattestation:imagesha384", [register]);
  }
  return facts;
}
