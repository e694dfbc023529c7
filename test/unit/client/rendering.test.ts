import type { Check, Verdict } from "@countersign/attestation";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { renderEvent } from "../../../client/cli/host-log.ts";
import { parseModelMetadata } from "../../../client/cli/model-metadata.ts";
import { parsePrediction, renderPrediction } from "../../../client/cli/prediction.ts";
import { hangingLines, PLAIN, usableColumns, wrapText } from "../../../client/cli/layout.ts";
import {
  exitCodeOf,
  renderChain,
  renderHeadline,
  renderResult,
  verdictNotes,
} from "../../../client/cli/rendering.ts";
import {
  createTerminal,
  jsonLine,
  type Paint,
  printable,
  wantsColour,
} from "../../../client/cli/terminal.ts";
import { PAINT } from "./command-line.ts";

function check(id: Check["id"], status: Check["status"], found: string): Check {
  return {
    id,
    status,
    found,
    wanted: "what we want",
    why: "a reason",
    fix: "a remedy",
    code: null,
  };
}

const VERDICT: Verdict = {
  result: "verified",
  failure: null,
  checks: [
    check("chain", "pass", `root ${"ab".repeat(32)}`),
    check("models", "skip", "unchecked by the policy"),
    check("complete", "pass", "the final chunk"),
  ],
  platform: "simulated",
  mode: "live",
  judgedAtMs: 0,
  measurement: "development",
};

describe("renderChain", () => {
  it("goes from the answer to the root, one line a check, with short digests", () => {
    expect(renderChain(VERDICT.checks, "from-answer", PAINT)).toEqual([
      "  ✓ complete  the final chunk",
      "  – models    unchecked by the policy",
      "  ✓ chain     root abababababababab…",
    ]);
  });

  it("says of a failed check what was found and wanted, why, and what to do", () => {
    expect(renderChain([check("debug", "fail", "debug mode")], "from-root", PAINT)).toEqual([
      "  ✗ debug  debug mode",
      "      wanted  what we want",
      "      why     a reason",
      "      fix     a remedy",
    ]);
  });

  it("shows the whole value of a failure, which is there to be copied", () => {
    const digest = "ab".repeat(32);
    const failed = renderChain([check("chain", "fail", `root ${digest}`)], "from-root", PAINT);
    expect(failed[0]).toBe(`  ✗ chain  root ${digest}`);
  });

  it("says, where asked, of every check what was wanted and what it shows", () => {
    const verbose = { columns: null, detail: "all" } as const;
    expect(renderChain(VERDICT.checks.slice(0, 2), "from-root", PAINT, verbose)).toEqual([
      `  ✓ chain   root ${"ab".repeat(32)}`,
      "      wanted  what we want",
      "      shows   a reason",
      "  – models  unchecked by the policy",
      "      wanted  what we want",
      "      why     a reason",
      "      fix     a remedy",
    ]);
  });

  it("names in one line what was not reached, in order", () => {
    const unreached = ["models", "suite"] as const;
    const checks = unreached.map((id) => check(id, "skip", "not reached"));
    expect(renderChain(checks, "from-root", PAINT)).toEqual(["  – not reached: models, suite"]);
  });

  it("paints its own mark, not one that a node wrote", () => {
    const paint: Paint = { ...PAINT, good: (text) => `<${text}>` };
    const checks = [check("chain", "pass", `a ✓${" word ✓".repeat(20)}`)];
    const lines = renderChain(checks, "from-root", paint, { columns: 40, detail: "found" });
    expect(lines.length).toBeGreaterThan(2);
    expect(lines.join("\n").match(/</gu)).toHaveLength(1);
    expect(lines[0]).toMatch(/^ {2}<✓> chain {2}a ✓/u);
  });

  it("stays within the columns of a terminal, but for words that are longer", () => {
    const words = fc.array(fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 24 }));
    const status = fc.constantFrom("pass", "fail", "skip");
    const detailLevel = fc.constantFrom("found", "wanted", "all");
    fc.assert(
      fc.property(words, status, detailLevel, (list, state, detail) => {
        const found = list.map((word) => word.replaceAll(" ", "_")).join(" ");
        const checks = [check("measurement", state, found)];
        for (const line of renderChain(checks, "from-root", PAINT, { columns: 40, detail })) {
          expect(line.length).toBeLessThanOrEqual(40);
        }
      }),
    );
  });
});

describe("the layout", () => {
  it("breaks between words, and loses none", () => {
    expect(wrapText("one two three", 0, 7)).toEqual(["one two", "three"]);
    expect(wrapText("one two three", 0, 8)).toEqual(["one two", "three"]);
    expect(wrapText("one two three", 3, 10)).toEqual(["one two", "three"]);
    expect(wrapText("incomprehensible so", 0, 4)).toEqual(["incomprehensible", "so"]);
    expect(wrapText("", 0, 4)).toEqual([""]);
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 60 }), (text, columns) => {
        expect(wrapText(text, 0, columns).join(" ")).toBe(text);
      }),
    );
  });

  it("puts the lines after the first below the text", () => {
    expect(hangingLines("  why  ", "one two", 11)).toEqual(["  why  one", "       two"]);
    expect(hangingLines("  why  ", "one two", null)).toEqual(["  why  one two"]);
  });

  it("wraps for a terminal of 40 columns and more, to 100, and never in a pipe", () => {
    expect([undefined, 0, 39, 40, 80, 250].map(usableColumns)).toEqual([
      null,
      null,
      null,
      40,
      80,
      100,
    ]);
  });
});

describe("renderResult", () => {
  it("names platform and code", () => {
    const text = 'verified (platform simulated, code "development")';
    expect(renderResult(VERDICT, PAINT)).toBe(text);
  });

  it("says that an archived verdict is one, and what that leaves open", () => {
    const archived: Verdict = { ...VERDICT, mode: "archive" };
    expect(renderResult(archived, PAINT)).toContain("at the document's own time");
    expect(verdictNotes(archived)[0]).toMatch(/does not show that it is recent/u);
    expect(verdictNotes(VERDICT).join(" ")).not.toMatch(/recent/u);
  });

  it("says what the policy leaves unchecked", () => {
    const off: Check = { ...check("models", "skip", "unchecked"), code: "policy/unchecked" };
    const lax: Verdict = { ...VERDICT, checks: [off] };
    expect(renderResult(lax, PAINT)).toContain("not checked, by your policy: models");
  });

  it("says that a simulation protects nothing", () => {
    expect(verdictNotes(VERDICT).at(-1)).toMatch(/^The TEE is simulated/u);
    expect(verdictNotes({ ...VERDICT, platform: "aws-nitro" })).toEqual([]);
  });

  it("takes a second line where the first is too narrow", () => {
    const headline = (columns: number | null): readonly string[] =>
      renderHeadline("a.bundle", VERDICT, PAINT, { ...PLAIN, columns });
    const whole = 'a.bundle: verified (platform simulated, code "development")';
    expect(headline(null)).toEqual([whole]);
    expect(headline(whole.length)).toEqual([whole]);
    expect(headline(whole.length - 1)).toEqual([
      "a.bundle: verified",
      '  (platform simulated, code "development")',
    ]);
  });

  it("names the class of a failure", () => {
    const bare = { platform: null, measurement: null } as const;
    const rejected: Verdict = { ...VERDICT, ...bare, result: "rejected", failure: "tampered" };
    expect(renderResult(rejected, PAINT)).toBe("rejected: tampered");
    const incomplete: Verdict = { ...rejected, result: "incomplete", failure: "unreachable" };
    expect(renderResult(incomplete, PAINT)).toBe("incomplete: unreachable");
    expect([VERDICT, rejected, incomplete].map(exitCodeOf)).toEqual([0, 1, 2]);
  });
});

describe("renderPrediction", () => {
  const metadata = parseModelMetadata({
    name: "m",
    inputs: [],
    outputs: [
      { name: "p", parameters: { labels: ["zero", "one", "two", "three"] } },
      { name: "label", parameters: { labels: ["zero", "one", "two", "three"] } },
      { name: "v" },
    ],
  });
  const lines = (outputs: readonly unknown[]): readonly string[] =>
    renderPrediction(parsePrediction({ model_name: "m", outputs }), metadata, PAINT);

  it("shows the most likely labels, as shares where they are probabilities", () => {
    const output = { name: "p", datatype: "FP32", shape: [1, 4], data: [0.02, 0.9, 0.05, 0.03] };
    expect(lines([output])).toEqual(["  p  one  90.0 %  ·  two  5.0 %  ·  three  3.0 %"]);
  });

  it("shows scores as they are, one line an example", () => {
    const output = { name: "p", datatype: "FP32", shape: [2, 4], data: [1, 5, -2, 0, 9, 1, 1, 1] };
    expect(lines([output])).toEqual([
      "  p [0]  one  5  ·  zero  1  ·  three  0",
      "  p [1]  zero  9  ·  one  1  ·  two  1",
    ]);
  });

  it("names the label that an index stands for", () => {
    const output = { name: "label", datatype: "INT64", shape: [1], data: [3] };
    expect(lines([output])).toEqual(["  label  3 (three)"]);
  });

  it("abridges a long tensor", () => {
    const data = Array.from({ length: 20 }, (_, i) => i + 0.5);
    const [line] = lines([{ name: "v", datatype: "FP32", shape: [4, 5], data }]);
    expect(line).toBe(
      "  v  0.500000, 1.50000, 2.50000, 3.50000, 4.50000, 5.50000, 6.50000, 7.50000, …  (FP32, 4 × 5)",
    );
  });
});

describe("the terminal", () => {
  it("colours only where somebody sees it and nobody objects", () => {
    expect(wantsColour(true, false, {})).toBe(true);
    expect(wantsColour(false, false, {})).toBe(false);
    expect(wantsColour(true, true, {})).toBe(false);
    expect(wantsColour(true, false, { NO_COLOR: "1" })).toBe(false);
    expect(wantsColour(true, false, { NO_COLOR: "" })).toBe(true);
    expect(wantsColour(true, false, { TERM: "dumb" })).toBe(false);
  });

  it("lets no peer move the cursor or turn the text around", () => {
    expect(printable("a\u001b[2Kb\u202ec\nd")).toBe("a\u{fffd}[2Kb\u{fffd}c\u{fffd}d");
  });

  it("paints with colours and not without", () => {
    const { stdout, stderr } = process;
    expect(createTerminal(stdout, stderr, true).paint.good("x")).toContain("\u001b[");
    expect(createTerminal(stdout, stderr, false).paint.good("x")).toBe("x");
  });
});

describe("what a model says", () => {
  const hostile = "\u001b[2J\u009b31m\u202edone";

  it("does not reach the terminal as it is", () => {
    const output = { name: hostile, datatype: hostile, shape: [2], data: [hostile, "b"] };
    const prediction = parsePrediction({ model_name: "m", outputs: [output] });
    const metadata = parseModelMetadata({ name: "m", inputs: [], outputs: [] });
    const [line = ""] = renderPrediction(prediction, metadata, PAINT);
    expect(printable(line)).toBe(line);
  });

  it("survives in JSON, escaped", () => {
    const line = jsonLine({ answer: hostile });
    expect(printable(line)).toBe(line);
    expect(JSON.parse(line)).toEqual({ answer: hostile });
  });
});

describe("renderEvent", () => {
  it("shows an event of the enclave by its own word", () => {
    const event = { event: "enclave", what: "closed", code: "provision/unreachable" };
    expect(renderEvent(event, PAINT)).toBe("enclave closed  code provision/unreachable");
    expect(renderEvent({ event: "bound", url: "http://x", pid: 7 }, PAINT)).toBe(
      "bound  url http://x, pid 7",
    );
  });
});
