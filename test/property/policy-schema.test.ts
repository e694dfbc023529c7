import { readFileSync } from "node:fs";

import { AttestationError, parsePolicy, PLATFORMS, SUITES } from "@countersign/attestation";
import fc from "fast-check";
import { expect, it } from "vitest";

import { readCorpus } from "../corpus/files.ts";
import { createAttester, makeEpoch, NOW_MS, seededRandom } from "../fakes/attester.ts";
import { type Schema, satisfies, violation } from "../fakes/json-schema.ts";

const schemaFile = new URL("../../attestation/policy.schema.json", import.meta.url);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own file
const SCHEMA = JSON.parse(readFileSync(schemaFile, "utf8")) as Schema;
const epoch = await makeEpoch(createAttester({ random: seededRandom("schema"), nowMs: NOW_MS }));

/** What the parser refuses and a schema cannot say. */
const BEYOND_A_SCHEMA: readonly RegExp[] = [
  /: the same value twice$/u,
  /: measurement "[^"]*" twice$/u,
  /: model "[^"]*" with the same digest twice$/u,
  /: (?:measurement|model) "[^"]*" is allowed and revoked$/u,
  /: a register of a debug enclave \(zero\), while debug is false$/u,
  // A certificate that is none inside its armour, and a time that no calendar has.
  /: want a certificate in PEM /u,
  /: want a UTC time as in /u,
];

const PEM = epoch.attester.rootPem;
const DIGEST = "a".repeat(64);
const REGISTER = "b".repeat(96);
/** Values that are right somewhere, or almost. */
const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  -1,
  -0,
  0,
  1,
  1.5,
  2,
  3600,
  3601,
  604_800,
  604_801,
  1e30,
  "",
  "1",
  "any",
  "unchecked",
  "optional",
  "required",
  "digits",
  "two words",
  "x".repeat(128),
  "x".repeat(129),
  "\u00e9",
  DIGEST,
  DIGEST.toUpperCase(),
  `${DIGEST}\n`,
  REGISTER,
  "0".repeat(96),
  "g".repeat(64),
  "2027-06-30T00:00:00Z",
  "2027-06-30T00:00:00.123Z",
  "2027-06-30T00:00:00.1234Z",
  "2027-02-30T00:00:00Z",
  "2027-06-30T00:00:00+00:00",
  ...SUITES,
  PEM,
  `\n${PEM}`,
  ` ${PEM}`,
  `${PEM}\n\n`,
  `${PEM}${PEM}`,
  `a comment\n${PEM}`,
  PEM.replaceAll("\n", "\r\n"),
  PEM.replace("CERTIFICATE", "X509 CRL"),
  PEM.slice(0, 200),
  PEM.replace("\n", "\n\n"),
  PEM.replace(/(?<first>\n[^\n]{64})\n/u, "$<first>"),
  "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
  [],
  [PEM],
  [PEM, PEM],
  [DIGEST],
  [REGISTER],
  [...SUITES],
  Array(16).fill(DIGEST),
  Array.from({ length: 17 }, (_, i) => i.toString(16).padStart(64, "0")),
  Array.from({ length: 1025 }, (_, i) => i.toString(16).padStart(64, "0")),
  {},
  { id: "digits", digest: DIGEST },
  { name: "n", pcr0: REGISTER, pcr1: REGISTER, pcr2: REGISTER, pcr31: REGISTER },
  { maxAgeSeconds: 1, skewSeconds: 0, challenge: "optional" },
];
const KEYS = ["version", "debug", "name", "pcr3", "pcr31", "pcr32", "pcr03", "id", ...PLATFORMS];

type Edit = readonly ["set" | "delete" | "add", number, number, number];

/** One change to a JSON value, at a member or item that a number picks. */
function edit(root: unknown, [kind, where, value, key]: Edit): void {
  const places = membersOf(root);
  const place = places[where % places.length];
  if (place === undefined) return;
  const { parent, name } = place;
  const replacement: unknown = structuredClone(VALUES[value % VALUES.length]);
  if (kind === "set") Reflect.set(parent, name, replacement);
  if (kind === "add" && Array.isArray(parent)) parent.push(replacement);
  if (kind === "add" && !Array.isArray(parent)) {
    Reflect.set(parent, KEYS[key % KEYS.length] ?? "", replacement);
  }
  if (kind === "delete" && Array.isArray(parent)) parent.splice(Number(name), 1);
  if (kind === "delete" && !Array.isArray(parent)) Reflect.deleteProperty(parent, name);
}

function membersOf(value: unknown): { readonly parent: object; readonly name: string }[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => [
    { parent: value, name },
    ...membersOf(member),
  ]);
}

/** The parser's refusal, or null. */
function refusal(text: string): string | null {
  try {
    parsePolicy(text);
    return null;
  } catch (error) {
    if (error instanceof AttestationError) return error.message;
    throw error;
  }
}

/** Parser and schema agree, unless the parser alone refuses, for what a schema cannot say. */
function expectAgreement(text: string): "accepted" | "refused" | "beyond" {
  const refused = refusal(text);
  const value: unknown = JSON.parse(text);
  const against = violation(value, SCHEMA, SCHEMA);
  const beyond = refused !== null && BEYOND_A_SCHEMA.some((words) => words.test(refused));
  const agreed = (refused === null) === (against === null) || (beyond && against === null);
  expect(agreed, `the parser: ${refused}, the schema: ${against}`).toBe(true);
  if (refused === null) return "accepted";
  return against === null ? "beyond" : "refused";
}

it("refuses and accepts what the schema does, of any policy with a few changes", () => {
  const seen = { accepted: 0, refused: 0, beyond: 0 };
  const one = fc.tuple(
    fc.constantFrom("set" as const, "delete" as const, "add" as const),
    fc.nat(200),
    fc.nat(VALUES.length - 1),
    fc.nat(KEYS.length - 1),
  );
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 3 }), (edits) => {
      const file = structuredClone(epoch.policy);
      for (const each of edits) edit(file, each);
      seen[expectAgreement(JSON.stringify(file))] += 1;
    }),
    { numRuns: 5000 },
  );
  // The changes reach both sides of the border.
  expect(Math.min(seen.accepted, seen.refused)).toBeGreaterThan(20);
});

it("puts every single value at every place on the same side", () => {
  const places = membersOf(epoch.policy).length;
  const sides = new Set<string>();
  for (let where = 0; where < places; where++) {
    for (const [i] of VALUES.entries()) {
      const file = structuredClone(epoch.policy);
      edit(file, ["set", where, i, 0]);
      sides.add(expectAgreement(JSON.stringify(file)));
    }
  }
  expect(sides).toEqual(new Set(["accepted", "refused", "beyond"]));
});

it("accepts the policies of the examples and of the corpus as the schema does", () => {
  const example = new URL("../../examples/aws-nitro.policy.json", import.meta.url);
  expect(satisfies(JSON.parse(readFileSync(example, "utf8")), SCHEMA, SCHEMA)).toBe(true);
  const policies = readCorpus().filter(({ expected }) => expected.subject === "policy");
  const accepted = policies.filter(({ expected }) => expected.outcome.result === "verified");
  for (const { id, files } of accepted) {
    const value: unknown = JSON.parse(new TextDecoder().decode(files.get("policy.json")));
    expect(violation(value, SCHEMA, SCHEMA), id).toBeNull();
  }
});
