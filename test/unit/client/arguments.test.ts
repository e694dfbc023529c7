import { describe, expect, it } from "vitest";

import { parseArguments, SHARED_OPTIONS } from "../../../client/cli/arguments.ts";
import { parseAt } from "../../../client/cli/commands/attest.ts";
import { COMMANDS } from "../../../client/cli/commands/index.ts";
import { UsageError } from "../../../client/cli/exit.ts";
import { commandHelp, overview } from "../../../client/cli/help.ts";
import { findCommand } from "../../../client/cli/main.ts";
import { nearest } from "../../../client/cli/suggestion.ts";
import type { Paint } from "../../../client/cli/terminal.ts";

const plain = (text: string): string => text;
const PAINT: Paint = { good: plain, bad: plain, warn: plain, dim: plain, bold: plain };
const OPTIONS = [
  { name: "input", value: "FILE", description: "" },
  { name: "count", value: "N", description: "" },
  ...SHARED_OPTIONS,
];

function parse(...words: string[]): ReturnType<typeof parseArguments> {
  return parseArguments(words, OPTIONS, [1, 1, "MODEL"]);
}

function usageOf(run: () => unknown): UsageError {
  try {
    run();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new TypeError("it did not throw");
}

describe("parseArguments", () => {
  it("reads options anywhere among operands", () => {
    const args = parse("--json", "digits", "--input=a.png");
    expect(args.operands).toEqual(["digits"]);
    expect([args.flag("json"), args.flag("quiet"), args.text("input")]).toEqual([
      true,
      false,
      "a.png",
    ]);
  });

  it("takes a lone dash for a value and for an operand", () => {
    expect(parse("digits", "--input", "-").text("input")).toBe("-");
    expect(parse("-").operands).toEqual(["-"]);
  });

  it.each([
    [["m", "--inptu", "x"], "there is no option --inptu", "did you mean --input?"],
    [["m", "-x"], "there is no option -x", null],
    [["m", "--input"], "--input needs a value", "--input FILE"],
    [["m", "--json=yes"], "--json takes no value", null],
    [["m", "--json", "--json"], "--json is given twice", null],
    [[], "MODEL is missing", null],
    [["m", "n"], '"n" is one operand too many', null],
  ])("refuses %j", (words, message, fix) => {
    const error = usageOf(() => parse(...words));
    expect([error.message, error.fix, error.exitCode]).toEqual([message, fix, 2]);
  });

  it("reads whole numbers and nothing like them", () => {
    expect(parse("m", "--count", "7").number("count", 1)).toBe(7);
    expect(parse("m").number("count", 1)).toBeNull();
    for (const text of ["0", "-1", "1.5", "1e3", "0x10", "x"]) {
      expect(() => parse("m", `--count=${text}`).number("count", 1)).toThrow(UsageError);
    }
  });
});

describe("findCommand", () => {
  it.each([
    [["infer", "digits"], "infer", ["digits"]],
    [["policy", "init", "--force"], "policy init", ["--force"]],
    [["demo", "tamper"], "demo tamper", []],
    [["--version"], "version", []],
    [["help", "verify"], "verify", ["--help"]],
    [["help", "model", "list"], "model list", ["--help"]],
  ])("%j", (words, name, rest) => {
    const found = findCommand(words);
    expect([found?.command.name, found?.rest]).toEqual([name, rest]);
  });

  it.each([[[]], [["help"]], [["--help"]], [["-h"]]])("%j asks for the overview", (words) => {
    expect(findCommand(words)).toBeNull();
  });

  it.each([
    [["infre"], 'did you mean "countersign infer"?'],
    [["modle"], 'did you mean "countersign model"?'],
    [["xyzzy"], '"countersign --help" lists them'],
    [["policy"], '"countersign policy init"'],
    [["policy", "write"], '"countersign policy show"'],
  ])("%j gets a suggestion", (words, wanted) => {
    expect(usageOf(() => findCommand(words)).fix).toContain(wanted);
  });
});

describe("help", () => {
  it("lists every command", () => {
    const text = overview(COMMANDS, PAINT);
    for (const { name, summary } of COMMANDS) {
      expect(text).toContain(name);
      expect(text).toContain(summary);
    }
  });

  it.each(COMMANDS.map((command) => [command.name, command] as const))(
    "of %s names its options within 110 columns",
    (_name, command) => {
      const text = commandHelp(command, PAINT);
      for (const option of [...command.options, ...SHARED_OPTIONS]) {
        expect(text).toContain(`--${option.name}`);
      }
      for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(110);
    },
  );
});

describe("nearest", () => {
  it("forgives a slip and no more", () => {
    const words = ["infer", "verify", "proxy"];
    expect(nearest("ifner", words)).toBe("infer");
    expect(nearest("ver", words)).toBe("verify");
    expect(nearest("prxoy", words)).toBe("proxy");
    expect(nearest("banana", words)).toBeNull();
  });
});

describe("parseAt", () => {
  it("reads both forms of a time", () => {
    expect(parseAt(null)).toBeNull();
    expect(parseAt("1795262400000")).toBe(1_795_262_400_000);
    expect(parseAt("2026-11-21T12:00:00Z")).toBe(1_795_262_400_000);
    expect(() => parseAt("yesterday")).toThrow(UsageError);
  });
});
