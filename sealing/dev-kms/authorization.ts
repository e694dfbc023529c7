/** Whether a key policy lets a caller do something: a Deny goes first, and silence is a no. */
import type { KmsAction } from "./actions.ts";
import type { Condition, Facts } from "./condition.ts";
import { fitsGlob, lowerCase } from "./glob.ts";
import { ACCOUNT } from "./names.ts";
import type { KeyPolicy, PrincipalPattern, Statement } from "./policy.ts";

export interface AccessRequest {
  /** The caller's ARN. */
  readonly principal: string;
  readonly action: KmsAction;
  readonly facts: Facts;
}

export type Decision =
  | { readonly allowed: true }
  | {
      readonly allowed: false;
      /** Whether a statement refused, or none allowed. */
      readonly explicit: boolean;
      /** For whoever wrote the policy: which statement, and which of its conditions. */
      readonly reason: string;
    };

/** IAM User Guide, "Policy evaluation logic", of one resource-based policy and nothing else. */
export function authorize(policy: KeyPolicy, request: AccessRequest): Decision {
  const applying = policy.filter((statement) => concerns(statement, request));
  const denial = applying.find(
    ({ effect, conditions }) => effect === "Deny" && unmet(conditions, request) === null,
  );
  if (denial !== undefined) {
    return { allowed: false, explicit: true, reason: `"${denial.name}" denies it` };
  }
  const grants = applying.filter(({ effect }) => effect === "Allow");
  if (grants.some(({ conditions }) => unmet(conditions, request) === null)) {
    return { allowed: true };
  }
  const near = grants.map((grant) => nearMiss(grant, request)).join("; ");
  const reason = near === "" ? "no statement allows this to this caller" : near;
  return { allowed: false, explicit: false, reason };
}

function concerns({ effect, principals, actions }: Statement, request: AccessRequest): boolean {
  const action = `kms:${request.action}`.toLowerCase();
  const named = actions.patterns.some((pattern) => fitsGlob(action, pattern));
  return (
    named === actions.named &&
    principals.some((pattern) => means(pattern, request.principal, effect))
  );
}

function means(pattern: PrincipalPattern, arn: string, effect: Statement["effect"]): boolean {
  switch (pattern.kind) {
    case "anybody":
      return true;
    case "identity":
      return pattern.arn === arn;
    case "account":
      // A grant to an account is one to its IAM policies; a refusal meets everybody in it.
      return effect === "Deny" && pattern.account === ACCOUNT;
    default:
      return pattern satisfies never;
  }
}

function unmet(conditions: readonly Condition[], { facts }: AccessRequest): Condition | null {
  return conditions.find((condition) => !condition.holds(facts)) ?? null;
}

function nearMiss({ name, conditions }: Statement, request: AccessRequest): string {
  const condition = unmet(conditions, request);
  if (condition === null) throw new TypeError("a grant that holds is no near miss");
  const found = request.facts.get(lowerCase(condition.key));
  const have =
    found === undefined ? "the request has none" : `the request's is ${found.join(", ")}`;
  return `"${name}" wants ${condition.operator} of ${condition.key}: ${have}`;
}
