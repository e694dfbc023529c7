/** JSON as a tree that can hold mistakes: members twice, tokens that are none. */
import type { Random } from "../random.ts";

/** Tokens stay text, so that they can be wrong. */
export type Json =
  | { readonly kind: "object"; readonly members: [key: string, value: Json][] }
  | { readonly kind: "array"; readonly items: Json[] }
  | { readonly kind: "token"; text: string };

/** Words of a policy, numbers at the ends of ranges, and what is almost JSON. */
const TOKENS = [
  ..."null true false 0 -0 1 2 1.0 1e0 -1 3600 3601 604800 604801 1e999 01 +1 .5 NaN".split(" "),
  ...'"" "any" "unchecked" "optional" "required" "aws-nitro" "simulated"'.split(" "),
  ...'"\\u0000" "\\ud800" "\\u0061ny" "\\x" "é" \'any\' [] {} [,]'.split(" "),
  '"2027-06-30T00:00:00Z"',
  '"2028-02-30T00:00:00Z"',
  '"9999-12-31T23:59:59.999Z"',
  '"X25519/HKDF-SHA256/AES-256-GCM"',
  ...[64, 96].flatMap((digits) => ["0", "a", "F"].map((digit) => `"${digit.repeat(digits)}"`)),
];
const MOST_CHANGES = 3;

/** The tree of a text; null where it is no JSON. */
export function readJson(text: string): Json | null {
  try {
    return fromValue(JSON.parse(text));
  } catch {
    return null;
  }
}

export function writeJson(json: Json): string {
  switch (json.kind) {
    case "object":
      return `{${json.members.map(([key, value]) => `${key}:${writeJson(value)}`).join(",")}}`;
    case "array":
      return `[${json.items.map(writeJson).join(",")}]`;
    case "token":
      return json.text;
    default:
      return json satisfies never;
  }
}

/** Changes `root`; parts come from `other`. */
export function mutateJson(random: Random, root: Json, other: Json): void {
  const times = 1 + random.below(MOST_CHANGES);
  for (let i = 0; i < times; i++) mutatePart(random, random.pick(all(root)), all(other));
}

function mutatePart(random: Random, part: Json, others: readonly Json[]): void {
  switch (part.kind) {
    case "object": {
      const at = random.below(part.members.length + 1);
      const [key = '"name"', value = random.pick(others)] = part.members[at] ?? [];
      const added: [string, Json][] = [
        [key, copy(value)],
        [key, copy(random.pick(others))],
        [random.pick(TOKENS), copy(value)],
      ];
      const into = random.below(part.members.length + 1);
      if (random.once(3)) part.members.splice(at, 1);
      if (!random.once(3)) part.members.splice(into, random.below(2), random.pick(added));
      return;
    }
    case "array": {
      const at = random.below(part.items.length + 1);
      const added = [random.pick(others), part.items[at] ?? random.pick(others)];
      if (random.once(3)) part.items.splice(at, 1);
      if (!random.once(3)) part.items.splice(at, random.below(2), copy(random.pick(added)));
      return;
    }
    case "token": {
      const tokens = others.filter((json) => json.kind === "token");
      const at = random.below(part.text.length + 1);
      const typed = String.fromCodePoint(random.below(random.once(8) ? 0xd800 : 0x7f));
      const texts = [
        random.pick(TOKENS),
        tokens.length === 0 ? "null" : random.pick(tokens).text,
        part.text.slice(0, at) + typed + part.text.slice(at + random.below(2)),
      ];
      part.text = random.pick(texts);
      return;
    }
    default:
      part satisfies never;
  }
}

function all(json: Json): readonly Json[] {
  if (json.kind === "object") return [json, ...json.members.flatMap(([, value]) => all(value))];
  return json.kind === "array" ? [json, ...json.items.flatMap(all)] : [json];
}

function copy(json: Json): Json {
  if (json.kind === "token") return { ...json };
  if (json.kind === "array") return { kind: "array", items: json.items.map(copy) };
  return {
    kind: "object",
    members: json.members.map(([key, value]): [string, Json] => [key, copy(value)]),
  };
}

function fromValue(value: unknown): Json {
  if (Array.isArray(value)) return { kind: "array", items: value.map(fromValue) };
  if (typeof value !== "object" || value === null) {
    return { kind: "token", text: JSON.stringify(value) };
  }
  const members = Object.entries(value).map(([key, member]): [string, Json] => {
    return [JSON.stringify(key), fromValue(member)];
  });
  return { kind: "object", members };
}
