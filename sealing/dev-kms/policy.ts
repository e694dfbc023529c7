/**
 * A key policy, in the language of IAM: read strictly, nothing in it is passed over.
 *
 * IAM User Guide, "Grammar of the IAM JSON policy language"; AWS KMS Developer Guide, "Key policies".
 */
import { JsonNode, parseJson } from "@countersign/attestation/attester";

import { ACTIONS } from "./actions.ts";
import { type Condition, parseConditions } from "./condition.ts";
import { fitsGlob, lowerCase } from "./glob.ts";

export interface Statement {
  /** Its `Sid`, or its place. */
  readonly name: string;
  readonly effect: "Allow" | "Deny";
  readonly principals: readonly PrincipalPattern[];
  /** Whether its actions are those named, or all others. */
  readonly actions: { readonly named: boolean; readonly patterns: readonly string[] };
  readonly conditions: readonly Condition[];
}

export type PrincipalPattern =
  | { readonly kind: "anybody" }
  /** A role or a user. */
  | { readonly kind: "identity"; readonly arn: string }
  /** In a grant it leaves the decision to the account's own policies, of which there are none here. */
  | { readonly kind: "account"; readonly account: string };

export type KeyPolicy = readonly Statement[];

/** AWS KMS Developer Guide, "Quotas". */
export const MAX_POLICY_BYTES = 32_768;
const MAX_STATEMENTS = 64;
const MAX_ITEMS = 64;

const VERSIONS = ["2012-10-17", "2008-10-17"] as const;
const IDENTITY = /^arn:aws(?:-cn|-us-gov)?:iam::\d{12}:(?:role|user)\/[\w+=,.@/-]{1,512}$/u;
const ROOT = /^arn:aws(?:-cn|-us-gov)?:iam::(\d{12}):root$/u;
const ACCOUNT = /^\d{12}$/u;

/**
 * @param arn - of the key that the policy stands for: what `Resource` may say besides `*`.
 * @throws AttestationError `policy/syntax` with a JSON pointer.
 */
export function parseKeyPolicy(text: string, arn: string): KeyPolicy {
  const root = new JsonNode("", parseJson(text));
  const policy = root.object(["Version", "Statement"], ["Id"]);
  policy.get("Version").oneOf(VERSIONS);
  policy.find("Id")?.text();
  return oneOrMore(policy.get("Statement"), MAX_STATEMENTS).map((statement, i) =>
    parseStatement(statement, i, arn),
  );
}

function parseStatement(node: JsonNode, index: number, arn: string): Statement {
  const statement = node.object(
    ["Effect", "Principal", "Resource"],
    ["Sid", "Action", "NotAction", "Condition"],
  );
  requireResource(statement.get("Resource"), arn);
  const [action, notAction] = [statement.find("Action"), statement.find("NotAction")];
  const actions = action ?? notAction;
  if (actions === null || (action !== null && notAction !== null)) {
    throw node.refusal('want "Action" or "NotAction"');
  }
  const condition = statement.find("Condition");
  return {
    name: statement.find("Sid")?.text() ?? `statement ${index + 1}`,
    effect: statement.get("Effect").oneOf(["Allow", "Deny"]),
    principals: parsePrincipals(statement.get("Principal")),
    actions: {
      named: action !== null,
      patterns: oneOrMore(actions, MAX_ITEMS).map((pattern) => parseAction(pattern)),
    },
    conditions: condition === null ? [] : parseConditions(condition),
  };
}

/** In a key policy, "*" is the key itself. */
function requireResource(node: JsonNode, arn: string): void {
  for (const resource of oneOrMore(node, MAX_ITEMS)) {
    const text = resource.text();
    if (text !== "*" && text !== arn) throw resource.refusal('want "*", which is this key');
  }
}

function parsePrincipals(node: JsonNode): readonly PrincipalPattern[] {
  if (node.value === "*") return [{ kind: "anybody" }];
  const listed = node.object(["AWS"]).get("AWS");
  return oneOrMore(listed, MAX_ITEMS).map((principal) => {
    const text = principal.text();
    if (text === "*") return { kind: "anybody" };
    const account = ROOT.exec(text)?.[1] ?? (ACCOUNT.test(text) ? text : null);
    if (account !== null) return { kind: "account", account };
    if (!IDENTITY.test(text)) throw principal.refusal("want the ARN of a role, a user or a root");
    return { kind: "identity", arn: text };
  });
}

/** Lower case: IAM does not tell `kms:decrypt` from `kms:Decrypt`. */
function parseAction(node: JsonNode): string {
  const pattern = lowerCase(node.text());
  if (!/^(?:\*|kms:[a-z*?]{1,64})$/u.test(pattern)) throw node.refusal('want "kms:" and an action');
  if (!ACTIONS.some((action) => fitsGlob(`kms:${action.toLowerCase()}`, pattern))) {
    throw node.refusal("KMS has no such action");
  }
  return pattern;
}

function oneOrMore(node: JsonNode, most: number): readonly JsonNode[] {
  return Array.isArray(node.value) ? node.items(1, most) : [node];
}
