import { describe, expect, it } from "vitest";
import { requireBoundedJson } from "../../../enclave/api/json-bounds.ts";

const over = (text: string, wide = false): (() => void) => {
  return () => {
    requireBoundedJson(new TextEncoder().encode(text), wide);
  };
};

describe("the bounds of JSON", () => {
  it.each<[string, (count: number) => string, number]>([
    ["arrays in each other", (n) => "[".repeat(n), 32],
    ["objects in each other", (n) => '{"a":'.repeat(n), 32],
    ["arrays", (n) => `[${"[],".repeat(n - 1)}0]`, 1_048_576],
    ["objects", (n) => `[${"{},".repeat(n - 1)}0]`, 1_048_576],
    ["members", (n) => `{${'"a":0,'.repeat(n)}}`, 65_536],
  ])("take %s up to a number, and no more", (_, text, most) => {
    expect(over(text(most))).not.toThrow();
    expect(over(text(most + 1))).toThrow("request/structure: more than");
  });

  it("take values without end, but for 64-bit integers", () => {
    const values = `[${"0,".repeat(1_048_576)}0]`;
    expect(over(values, true)).not.toThrow();
    expect(over(`[0,${values}`, true)).toThrow("send them as binary data");
    expect(over(`[0,${values}`, false)).not.toThrow();
  });

  it("leave strings alone, wherever they end", () => {
    const inside = '[{:,"'.repeat(100);
    expect(over(JSON.stringify([inside, "\\", '\\"', inside]), true)).not.toThrow();
    expect(over(`"${"[".repeat(100)}`)).not.toThrow();
    expect(over(`"${"[".repeat(100)}\\"`)).not.toThrow();
    expect(over(`"\\\\"${"[".repeat(33)}`)).toThrow("request/structure");
    expect(over("")).not.toThrow();
  });

  it("count what is closed as closed", () => {
    expect(over("[]".repeat(100))).not.toThrow();
    expect(over('{"a":[]}'.repeat(100))).not.toThrow();
  });
});
