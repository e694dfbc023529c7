/** Every operator of a condition against what a request may have: nothing, one value, several. */
import { AttestationError, JsonNode, parseJson } from "@countersign/attestation/attester";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseConditions } from "../../../../sealing/dev-kms/condition.ts";
import { fitsGlob } from "../../../../sealing/dev-kms/glob.ts";

const PCR0 = "kms:RecipientAttestation:PCR0";
const KEYS = "kms:EncryptionContextKeys";

/** Of a request whose `key` has these values; null: it has no such key. */
function holds(
  operator: string,
  key: string,
  wanted: unknown,
  values: readonly string[] | null,
): boolean {
  const text = JSON.stringify({ [operator]: { [key]: wanted } });
  const conditions = parseConditions(new JsonNode("", parseJson(text)));
  expect(conditions).toHaveLength(1);
  const facts = new Map(values === null ? [] : [[key.toLowerCase(), values]]);
  return conditions.every((condition) => condition.holds(facts));
}

describe("an operator on one value", () => {
  it.each([
    // operator, wanted, of "ab", of "AB", of "abc", of a request without the key
    ["StringEquals", "ab", [true, false, false, false]],
    ["StringNotEquals", "ab", [false, true, true, true]],
    ["StringEqualsIgnoreCase", "Ab", [true, true, false, false]],
    ["StringNotEqualsIgnoreCase", "Ab", [false, false, true, true]],
    ["StringLike", "ab*", [true, false, true, false]],
    ["StringNotLike", "ab*", [false, true, false, true]],
    ["StringEqualsIfExists", "ab", [true, false, false, true]],
    ["StringNotEqualsIfExists", "ab", [false, true, true, true]],
    ["StringLikeIfExists", "a?", [true, false, false, true]],
  ] as const)("%s %s", (operator, wanted, [lower, upper, longer, absent]) => {
    expect(holds(operator, PCR0, wanted, ["ab"])).toBe(lower);
    expect(holds(operator, PCR0, wanted, ["AB"])).toBe(upper);
    expect(holds(operator, PCR0, wanted, ["abc"])).toBe(longer);
    expect(holds(operator, PCR0, wanted, null)).toBe(absent);
  });

  it("takes any of several wanted, and a negated one none of them", () => {
    expect(holds("StringEquals", PCR0, ["x", "ab"], ["ab"])).toBe(true);
    expect(holds("StringEquals", PCR0, ["x", "y"], ["ab"])).toBe(false);
    expect(holds("StringNotEquals", PCR0, ["x", "ab"], ["ab"])).toBe(false);
    expect(holds("StringNotEquals", PCR0, ["x", "y"], ["ab"])).toBe(true);
  });

  it.each([
    ["true", ["any"], false],
    ["true", null, true],
    ["false", ["any"], true],
    ["false", null, false],
    [true, null, true],
    [false, null, false],
  ] as const)("Null %j of %j is %j", (wanted, values, result) => {
    expect(holds("Null", PCR0, wanted, values)).toBe(result);
  });

  it.each([
    ["true", ["true"], true],
    [true, ["true"], true],
    ["false", ["true"], false],
    ["true", null, false],
  ] as const)("Bool %j of %j is %j", (wanted, values, result) => {
    expect(holds("Bool", "aws:SecureTransport", wanted, values)).toBe(result);
  });
});

describe("an operator on a set", () => {
  it.each([
    // of {a}, of {a, b}, of {c}, of none
    ["ForAllValues:StringEquals", ["a", "b"], [true, true, false, true]],
    ["ForAnyValue:StringEquals", ["a"], [true, true, false, false]],
    ["ForAllValues:StringNotEquals", ["b"], [true, false, true, true]],
    ["ForAnyValue:StringNotEquals", ["a"], [false, true, true, false]],
  ] as const)("%s %j", (operator, wanted, results) => {
    const sets = [["a"], ["a", "b"], ["c"], null];
    for (const [i, set] of sets.entries()) {
      expect(holds(operator, KEYS, wanted, set)).toBe(results[i]);
    }
  });
});

describe("what is refused rather than passed over", () => {
  it.each([
    ["an unknown operator", "StringMatches", PCR0, "x"],
    ["a known one, misspelt", "stringequals", PCR0, "x"],
    ["an operator on numbers", "NumericEquals", PCR0, "1"],
    ["one on addresses", "IpAddress", "aws:SourceIp", "10.0.0.0/8"],
    ["a key that we know nothing of", "StringEquals", "aws:SourceIp", "10.0.0.1"],
    ["a register that does not exist", "StringEquals", "kms:RecipientAttestation:PCR32", "x"],
    ["a register of another kind", "StringEquals", "kms:RecipientAttestation:NitroTPMPCR4", "x"],
    ["a key with the sign of Kelvin for a k", "StringEquals", PCR0.replace("k", "\u212A"), "x"],
    ["a context without a name", "StringEquals", "kms:EncryptionContext:", "x"],
    ["a set operator on one value", "ForAllValues:StringEquals", PCR0, "x"],
    ["a plain operator on a set", "StringEquals", KEYS, "x"],
    ["a variable", "StringEquals", "aws:PrincipalArn", "${aws:username}"],
    ["no value", "StringEquals", PCR0, []],
    ["a number", "StringEquals", PCR0, 1],
    ["a boolean where text is wanted", "StringEquals", PCR0, true],
    ["a word where a truth is wanted", "Null", PCR0, "maybe"],
    ["NullIfExists", "NullIfExists", PCR0, "true"],
    ["ForAllValues:Null", "ForAllValues:Null", KEYS, "true"],
  ])("%s", (_, operator, key, wanted) => {
    const read = () => holds(operator, key, wanted, ["x"]);
    expect(read).toThrow(AttestationError);
    expect(read).toThrow("policy/syntax");
  });
});

describe("wildcards", () => {
  it.each([
    ["", "", true],
    ["", "*", true],
    ["", "?", false],
    ["a", "?", true],
    ["abc", "a*c", true],
    ["abcbc", "a*bc", true],
    ["abc", "a*b", false],
    ["abc", "*b*", true],
    ["abc", "???", true],
    ["abc", "??", false],
    ["a*c", "a*c", true],
  ])("%j fits %j: %j", (text, pattern, result) => {
    expect(fitsGlob(text, pattern)).toBe(result);
  });

  it("are what a regular expression says they are", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
    const patterns = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 8 });
    fc.assert(
      fc.property(letters, patterns, (text, pattern) => {
        const expression = pattern.replaceAll("*", ".*").replaceAll("?", ".");
        expect(fitsGlob(text, pattern)).toBe(new RegExp(`^${expression}$`, "u").test(text));
      }),
    );
  });
});
