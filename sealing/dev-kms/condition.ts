/**
 * Conditions of a key policy: what is known of a request, and how a policy asks for it.
 *
 * IAM User Guide, "IAM JSON policy elements: Condition operators" and "Single-valued vs. multivalued
 * context keys"; AWS KMS Developer Guide, "AWS KMS condition keys". An operator or a key that is not
 * here is refused where the policy is read: a condition that nobody judges would protect nothing.
 */
import type { JsonNode } from "@countersign/attestation/attester";

import { fitsGlob, lowerCase } from "./glob.ts";

/** What is known of one request, by the lower-case name of the condition key; absent is not empty. */
export type Facts = ReadonlyMap<string, readonly string[]>;

export interface Condition {
  /** As the policy writes them, for whoever reads why a statement did not hold. */
  readonly operator: string;
  readonly key: string;
  holds(facts: Facts): boolean;
}

const MAX_CONDITIONS = 64;
const MAX_VALUES = 256;
const MAX_VALUE_CHARACTERS = 4096;

/** "The condition key name isn't case-sensitive": IAM User Guide. */
const SINGLE_VALUED: readonly RegExp[] = [
  /^kms:recipientattestation:imagesha384$/u,
  /^kms:recipientattestation:pcr(?:[0-9]|[12][0-9]|3[01])$/u,
  /^kms:encryptioncontext:.{1,128}$/u,
  /^kms:(?:calleraccount|requestalias)$/u,
  // Never there: nothing calls us for an AWS service.
  /^kms:(?:viaservice|grantisforawsresource)$/u,
  /^aws:(?:principalarn|principalaccount|securetransport)$/u,
];
const MULTI_VALUED = "kms:encryptioncontextkeys";

type Match = (value: string, wanted: string) => boolean;

const equal: Match = (value, wanted) => value === wanted;
const equalIgnoringCase: Match = (value, wanted) => value.toLowerCase() === wanted.toLowerCase();

const TEXT_OPERATORS: ReadonlyMap<string, { readonly match: Match; readonly negated: boolean }> =
  new Map([
    ["StringEquals", { match: equal, negated: false }],
    ["StringNotEquals", { match: equal, negated: true }],
    ["StringEqualsIgnoreCase", { match: equalIgnoringCase, negated: false }],
    ["StringNotEqualsIgnoreCase", { match: equalIgnoringCase, negated: true }],
    ["StringLike", { match: fitsGlob, negated: false }],
    ["StringNotLike", { match: fitsGlob, negated: true }],
    ["Bool", { match: equalIgnoringCase, negated: false }],
  ]);

const OPERATOR =
  /^(?:(?<set>ForAllValues|ForAnyValue):)?(?<name>[A-Za-z]{1,32}?)(?<ifExists>IfExists)?$/u;

interface Operator {
  readonly text: string;
  readonly name: string;
  readonly set: "ForAllValues" | "ForAnyValue" | null;
  readonly ifExists: boolean;
}

/** @throws AttestationError `policy/syntax`, with a pointer to what is not known. */
export function parseConditions(node: JsonNode): readonly Condition[] {
  const conditions: Condition[] = [];
  for (const [text, keys] of node.members()) {
    const operator = parseOperator(text, keys);
    for (const [key, values] of keys.members()) {
      conditions.push(parseCondition(operator, key, values));
    }
  }
  if (conditions.length > MAX_CONDITIONS) {
    throw node.refusal(`${conditions.length} conditions, want at most ${MAX_CONDITIONS}`);
  }
  return conditions;
}

function parseOperator(text: string, node: JsonNode): Operator {
  const groups = OPERATOR.exec(text)?.groups;
  const name = groups?.["name"] ?? "";
  const set = groups?.["set"] ?? null;
  const ifExists = groups?.["ifExists"] !== undefined;
  const known = TEXT_OPERATORS.has(name) || (name === "Null" && set === null && !ifExists);
  if (!known) throw node.refusal(`operator "${text}" is not one that this KMS judges`);
  return {
    text,
    name,
    set: set === "ForAllValues" || set === "ForAnyValue" ? set : null,
    ifExists,
  };
}

function parseCondition(operator: Operator, key: string, node: JsonNode): Condition {
  const name = lowerCase(key);
  const multiple = name === MULTI_VALUED;
  if (!multiple && !SINGLE_VALUED.some((pattern) => pattern.test(name))) {
    throw node.refusal(`condition key "${key}" is not one that this KMS judges`);
  }
  // A set operator on one value reads like a demand and is none: ForAllValues holds of no value.
  if (operator.name !== "Null" && multiple !== (operator.set !== null)) {
    const wanted = multiple ? "wants ForAllValues: or ForAnyValue:" : "has one value, and no set";
    throw node.refusal(`condition key "${key}" ${wanted}`);
  }
  const wanted = parseValues(operator, node);
  return {
    operator: operator.text,
    key,
    holds: (facts) => holds(operator, facts.get(name) ?? null, wanted),
  };
}

function parseValues({ name }: Operator, node: JsonNode): readonly string[] {
  const nodes = Array.isArray(node.value) ? node.items(1, MAX_VALUES) : [node];
  return nodes.map((value) => {
    const truth = name === "Bool" || name === "Null";
    const text = truth && typeof value.value === "boolean" ? String(value.value) : value.text();
    if (truth && text !== "true" && text !== "false") throw value.refusal("want true or false");
    if (text.length > MAX_VALUE_CHARACTERS) throw value.refusal("too long");
    if (text.includes("${")) throw value.refusal("policy variables are not resolved here");
    return text;
  });
}

/** @param values - of the request; null where it has no such key. */
function holds(
  { name, set, ifExists }: Operator,
  values: readonly string[] | null,
  wanted: readonly string[],
): boolean {
  if (name === "Null") return wanted.includes(String(values === null));
  const operator = TEXT_OPERATORS.get(name);
  if (operator === undefined) throw new TypeError(`no operator ${name}`);
  const { match, negated } = operator;
  if (values === null) return ifExists || (set === null ? negated : set === "ForAllValues");
  const fits = (value: string): boolean => wanted.some((one) => match(value, one)) !== negated;
  return set === "ForAnyValue" ? values.some(fits) : values.every(fits);
}
