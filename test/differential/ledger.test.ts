import { describe, expect, it } from "vitest";
import { ACCEPTS, Ledger, refuses, type Rule } from "./ledger.ts";

const LENIENT: Rule = {
  ours: /^a\/code: /u,
  oracle: "accepts",
  reason: "it is lenient",
  clause: "§1",
};
const STRICT: Rule = {
  ours: "accepts",
  oracle: /^never$/u,
  of: /^odd /u,
  reason: "it is too strict",
  clause: "§2",
};

describe("a ledger", () => {
  it("counts what both say alike, whatever their reasons", () => {
    const ledger = new Ledger("oracle", []);
    ledger.enter("one", ACCEPTS, ACCEPTS);
    ledger.enter("two", refuses("a/code: this"), refuses("that"));
    expect(ledger.agreed).toEqual({ accepted: 1, refused: 1 });
    expect([ledger.compared, ledger.unexplained, ledger.stale]).toEqual([2, [], []]);
  });

  it("wants every disagreement explained, in either direction and in what is read", () => {
    const ledger = new Ledger("oracle", [LENIENT, STRICT]);
    ledger.enter("only we refuse", refuses("b/code: other"), ACCEPTS);
    ledger.enter("only we accept", ACCEPTS, refuses("never"));
    ledger.enter("odd, but for another reason", ACCEPTS, refuses("perhaps never"));
    ledger.enter("odd, read otherwise", ACCEPTS, ACCEPTS, "reads 1 for 2");
    expect(ledger.unexplained).toHaveLength(4);
    expect(ledger.unexplained[3]).toBe("odd, read otherwise: we accept; oracle reads 1 for 2");
    expect(ledger.agreed).toEqual({ accepted: 0, refused: 0 });
  });

  it("wants every rule to explain something", () => {
    const ledger = new Ledger("oracle", [LENIENT, STRICT]);
    expect(ledger.stale).toEqual(["it is lenient", "it is too strict"]);
    ledger.enter("one", refuses("a/code: this"), ACCEPTS);
    expect(ledger.stale).toEqual(["it is too strict"]);
    ledger.enter("odd two", ACCEPTS, refuses("never"));
    expect([ledger.unexplained, ledger.stale, ledger.compared]).toEqual([[], [], 2]);
    expect(ledger.report()).toContain("only we accept: 1 × it is too strict (§2)\n    odd two");
  });
});
