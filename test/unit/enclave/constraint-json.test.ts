import { describe, expect, it } from "vitest";
import { readText, schemaConstraint } from "../../fakes/constrained.ts";

const any = schemaConstraint(true);
const object = [{ kind: "json-object" }] as const;
const string = schemaConstraint({ type: "string" });

describe("any JSON", () => {
  it.each([
    "null",
    "true",
    "false",
    '""',
    "0",
    "-0",
    "-12.50e+07",
    "1E9",
    "123456789012345.123456789012345",
    "[]",
    "{}",
    '{"a":1,"b": [true, {"":null}]}',
    "[ 1,\n  2,\n\t3\n]",
    '{\n  "a": [],\n  "b": {\n  }\n}',
  ])("%j", (text) => {
    expect(readText(any, text)).toBe("whole");
    JSON.parse(text);
  });

  it.each([
    ["", "part"],
    ["tru", "part"],
    ["-", "part"],
    ["1.", "part"],
    ["1e", "part"],
    ["01", 1],
    ["1.e", 2],
    ["+1", 0],
    [".5", 0],
    ["NaN", 0],
    ["1e100", 4],
    ["1234567890123456", 15],
    ["0.1234567890123456", 17],
    ["[1,]", 3],
    ["[,", 1],
    ['{"a"}', 4],
    ['{"a" :', 4],
    ["{'", 1],
    ["{a", 1],
    ['{"a":1,}', 7],
    ["[1 ,", 3],
    ["nulll", 4],
    [" 1", 0],
    ["1 ", 1],
    ["[1] ", 3],
    ["[]]", 2],
  ])("not %j", (text, result) => {
    expect(readText(any, text)).toBe(result);
  });
});

it("only an object, where an object is asked for", () => {
  expect(readText(object, '{"a":[{}]}')).toBe("whole");
  expect(readText(object, '{"a":[{}]')).toBe("part");
  for (const text of ["[", "1", '"', "n", " "]) expect(readText(object, text)).toBe(0);
});

describe("white space", () => {
  it("has an end everywhere", () => {
    expect(readText(any, `[\n${" ".repeat(32)}1]`)).toBe("whole");
    expect(readText(any, `[\n${" ".repeat(33)}`)).toBe(34);
    expect(readText(any, "[\n\n")).toBe(2);
    expect(readText(any, "[  ")).toBe(2);
    expect(readText(any, "[\r")).toBe(1);
    expect(readText(any, "[\t")).toBe(1);
    expect(readText(any, '{"a":  ')).toBe(6);
    expect(readText(any, '{"a":\n')).toBe(5);
  });
});

describe("strings", () => {
  it.each([
    String.raw`"\"\\\/\b\f\n\r\t\u0000\u00e4\uFFFF"`,
    String.raw`"\ud83d\uDE00 \uD7ff\ue000"`,
    '"\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}"',
  ])("%s", (text) => {
    expect(readText(string, text)).toBe("whole");
    expect(JSON.parse(text)).toSatisfy((value: string) => value.isWellFormed());
  });

  it.each([
    ['"\n', 1],
    ['"\u0000', 1],
    [String.raw`"\x`, 2],
    [String.raw`"\u12g`, 5],
    // Surrogates come in pairs, the high one first.
    [String.raw`"\ud83d"`, 7],
    [String.raw`"\ud83d\n`, 8],
    [String.raw`"\ud83d\u0041`, 9],
    [String.raw`"\ud83d\ud83d`, 10],
    [String.raw`"\ude00`, 4],
  ])("not %j", (text, place) => {
    expect(readText(string, text)).toBe(place);
  });

  it.each([
    ["a continuation", [0x80]],
    ["an overlong form", [0xc0]],
    ["an overlong form", [0xe0, 0x9f]],
    ["a surrogate", [0xed, 0xa0]],
    ["an overlong form", [0xf0, 0x8f]],
    ["above U+10FFFF", [0xf4, 0x90]],
    ["above U+10FFFF", [0xf5]],
    ["a character cut short", [0xe6, 0x97, 0x22]],
  ])("not %s", (_, bytes) => {
    expect(readText(string, Buffer.from([0x22, ...bytes]))).toBe(bytes.length);
  });
});
