import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encodeUtf8, parsePolicy } from "@countersign/attestation";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { policyCheckCommand, policyShowCommand } from "../../../client/cli/commands/policy.ts";
import { CommandError, UsageError } from "../../../client/cli/exit.ts";
import { locatePointer, positionAt } from "../../../client/cli/json-position.ts";
import { type PolicyMistake, readPolicy } from "../../../client/cli/policy-mistakes.ts";
import { readCorpus } from "../../corpus/files.ts";
import { createAttester, makeEpoch, NOW_MS, seededRandom } from "../../fakes/attester.ts";
import { type Ran, runCommand } from "./command-line.ts";
import { rejection } from "./rejection.ts";

const epoch = await makeEpoch(createAttester({ random: seededRandom("mistakes"), nowMs: NOW_MS }));
/** As a person writes it: one member a line. */
const TEXT = JSON.stringify(epoch.policy, null, 2);

async function mistakeIn(text: string | Uint8Array): Promise<PolicyMistake> {
  const bytes = typeof text === "string" ? encodeUtf8(text) : text;
  const { mistake } = await readPolicy(bytes);
  if (mistake === null) throw new TypeError("it is a policy");
  return mistake;
}

/** The rest of the line at a mistake's place. */
function restOfLine(text: string, { line, column }: PolicyMistake): string {
  return (text.split("\n")[line - 1] ?? "").slice(column - 1);
}

describe("locatePointer", () => {
  it("finds every value of any JSON text, however it is spaced", () => {
    const space = fc.stringMatching(/^[ \t\n\r]{0,3}$/u);
    const json = fc.jsonValue({ maxDepth: 4, noUnicodeString: false });
    fc.assert(
      fc.property(json, fc.array(space, { minLength: 1, maxLength: 7 }), (value, spaces) => {
        const { text, offsets } = written(value, spaces);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        for (const [pointer, offset] of offsets) {
          expect(locatePointer(text, pointer), `${pointer} in ${text}`).toBe(offset);
        }
        expect(locatePointer(text, "/no such/member")).toBeNull();
      }),
    );
  });

  it("finds the second of two equal keys, and reads no further than it must", () => {
    const text = '{"a": {"b": 1, "\\u0062": 2, "b": 3, oops';
    expect(locatePointer(text, "/a/b")).toBe(text.indexOf('"\\u0062"'));
    expect(locatePointer('{"a": 1, "b": [0, oops', "/b/0")).toBe(15);
    expect(locatePointer('{"a": 1, oops', "/a")).toBe(1);
  });

  it("finds nothing where there is nothing", () => {
    const cases = ["", "{", "[", "[]", "{}", '{"a"}', '{"a":', "[1", "1", '"a"', "[1 2]"];
    for (const text of cases) expect(locatePointer(text, "/1"), text).toBeNull();
    expect(locatePointer("[".repeat(100_000), "/1")).toBeNull();
  });

  it("counts lines and columns from 1", () => {
    expect(positionAt("", 0)).toEqual({ line: 1, column: 1 });
    expect(positionAt("a\nbc", 3)).toEqual({ line: 2, column: 2 });
  });
});

/** Each breaks one thing of {@link TEXT}; then the pointer, and what stands at the place shown. */
const MISTAKES: readonly (readonly [
  what: string,
  from: string | RegExp,
  to: string,
  pointer: string,
  there: string,
])[] = [
  [
    "a number too small",
    '"skewSeconds": 60',
    '"skewSeconds": -1',
    "/freshness/skewSeconds",
    '"skewSeconds": -1',
  ],
  ["an unknown key", '"version": 1', '"version": 1, "v": 1', "/v", '"v": 1'],
  [
    "a key twice",
    '"debug": false',
    '"debug": false, "debug": true',
    "/platforms/simulated/debug",
    '"debug": true',
  ],
  ["a missing key", '"version": 1,', "", "/", "{"],
  ["a missing key, below", /,\s*"debug": false/u, "", "/platforms/simulated", '"simulated"'],
  ["a wrong item", /"roots": \[\s*"/u, '"roots": [\n"x', "/platforms/simulated/roots/0", '"x'],
  ["no date", '"expires": "', '"expires": "on ', "/expires", '"expires": "on '],
  ["a missing comma", '"version": 1,', '"version": 1', "/", '"expires"'],
  ["a comma too many", '"keysets": []', '"keysets": [],', "/revoked", "}"],
  ["a comment", '"version"', '// mine\n"version"', "/", "// mine"],
];

describe("readPolicy", () => {
  it("reads what the verifier reads", async () => {
    const reading = await readPolicy(encodeUtf8(TEXT));
    expect(reading).toEqual({ policy: parsePolicy(TEXT), text: TEXT, mistake: null });
  });

  it.each(MISTAKES)("shows %s where it stands", async (_, from, to, pointer, there) => {
    const text = TEXT.replace(from, to);
    const mistake = await mistakeIn(text);
    expect(mistake.pointer).toBe(pointer);
    expect(restOfLine(text, mistake).slice(0, there.length)).toBe(there);
    expect(mistake.message).not.toMatch(/line|column|policy\/syntax/u);
  });

  it("shows the beginning of a file that is empty, and of one that is too long", async () => {
    for (const text of ["", `{${" ".repeat(1 << 21)}`]) {
      expect(await mistakeIn(text)).toMatchObject({ pointer: "/", line: 1, column: 1 });
    }
  });

  it("finds the pointer in a message whatever the key is that it names", async () => {
    const text = TEXT.replace('"version": 1', '"version": 1,\n  "a: b/~c": {"x": 1}');
    const mistake = await mistakeIn(text);
    expect([mistake.pointer, mistake.line, mistake.column]).toEqual(["/a: b~1~0c", 3, 3]);
    expect(mistake.message).toMatch(/^unknown key, want one of /u);
  });

  it("shows roots without certificates, which need hashes to be found", async () => {
    const text = TEXT.replace(/"roots": \[\s*"/u, `"roots": [\n"${"a".repeat(64)}", "`);
    const mistake = await mistakeIn(text);
    expect(mistake.pointer).toBe("/platforms/simulated/roots/0");
    expect(restOfLine(text, mistake)).toMatch(/^"aaaa/u);
  });

  it("shows the first byte that is no UTF-8", async () => {
    const bytes = encodeUtf8("ab\nc\u00e9d");
    expect(await mistakeIn(Uint8Array.of(...bytes, 0xff, 0x80))).toMatchObject({
      pointer: "/",
      line: 2,
      column: 4,
    });
    expect(await mistakeIn(bytes.slice(0, 5))).toMatchObject({ line: 2, column: 2 });
    expect(await mistakeIn(Uint8Array.of(0xff, 0xfe, 0x7b, 0))).toMatchObject({
      line: 1,
      column: 1,
      message: "not UTF-8 text: save the file in UTF-8",
    });
  });

  it("gives a policy or the place of a mistake for any text", async () => {
    const end = TEXT.length;
    const insert = fc.string({ unit: "binary", maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.nat(end), fc.nat(5), insert, async (at, cut, text) => {
        const changed = TEXT.slice(0, at) + text + TEXT.slice(at + cut);
        const { mistake } = await readPolicy(encodeUtf8(changed));
        if (mistake === null) return;
        const lines = new TextDecoder().decode(encodeUtf8(changed)).split("\n");
        expect(mistake.line).toBeLessThanOrEqual(lines.length);
        const width = (lines[mistake.line - 1] ?? "").length;
        expect(mistake.column).toBeLessThanOrEqual(width + 1);
        expect(mistake.pointer).toMatch(/^\//u);
        expect(mistake.message).not.toBe("");
      }),
    );
  });
});

const VECTORS = readCorpus().filter(({ expected }) => expected.subject === "policy");
if (VECTORS.length === 0) console.warn("skipped: the corpus has no policies");

describe.skipIf(VECTORS.length === 0)("the corpus's policies", () => {
  it.each(VECTORS.map((vector) => [vector.id, vector] as const))(
    "%s: refused at its pointer, with a place that shows it, or not at all",
    async (_, { expected, files }) => {
      const bytes = files.get("policy.json") ?? new Uint8Array(0);
      const { mistake } = await readPolicy(bytes);
      const { result, pointer } = expected.outcome;
      expect(mistake === null).toBe(result === "verified");
      if (mistake === null) return;
      expect(mistake.pointer).toBe(pointer ?? mistake.pointer);
      const lines = new TextDecoder().decode(bytes).split("\n");
      expect(mistake.line).toBeLessThanOrEqual(lines.length);
      expect(mistake.column).toBeLessThanOrEqual((lines[mistake.line - 1] ?? "").length + 1);
    },
  );
});

describe("policy check", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  async function checked(text: string, ...words: readonly string[]): Promise<Ran> {
    const path = join(directory, "policy.json");
    await writeFile(path, text);
    return runCommand(policyCheckCommand, [path, ...words]);
  }
  /** The lab's policies expire a year after a time of the lab's own. */
  const dated = (expires: string): string => JSON.stringify({ ...epoch.policy, expires }, null, 2);

  it("accepts a policy in force", async () => {
    const { exit, lines } = await checked(dated("9999-01-01T00:00:00Z"));
    expect([exit, lines.length]).toEqual([0, 1]);
    expect(lines[0]).toMatch(/policy\.json: readable and in force$/u);
    expect((await checked(dated("9999-01-01T00:00:00Z"), "--quiet")).lines).toEqual([]);
  });

  it("refuses one with a mistake, as compilers do", async () => {
    const { exit, lines } = await checked(TEXT.replace('"version": 1', '"version": 2'));
    const path = join(directory, "policy.json");
    expect(exit).toBe(1);
    expect(lines[0]).toBe(`${path}:2:3: /version: want 1`);
    expect(lines[1]).toContain("there may be more");
  });

  it("refuses an expired one at its date", async () => {
    const { exit, lines } = await checked(dated("2020-01-01T00:00:00Z"));
    expect(exit).toBe(1);
    expect(lines[0]).toMatch(/:3:3: \/expires: expired 2020-01-01T00:00:00Z, and now is /u);
  });

  it("says the same in JSON, with the same members", async () => {
    const [good] = (await checked(dated("9999-01-01T00:00:00Z"), "--json")).lines;
    const path = join(directory, "policy.json");
    expect(JSON.parse(good ?? "")).toEqual({
      version: 1,
      policy: path,
      usable: true,
      mistake: null,
    });
    const [bad] = (await checked("{}", "--json")).lines;
    expect(JSON.parse(bad ?? "")).toEqual({
      version: 1,
      policy: path,
      usable: false,
      mistake: { pointer: "/", message: 'key "version" is missing', line: 1, column: 1 },
    });
  });

  it("cannot check a file that it cannot read, or two", async () => {
    const none = join(directory, "none.json");
    const error = await rejection(runCommand(policyCheckCommand, [none]), CommandError);
    expect(error.exitCode).toBe(2);
    await rejection(runCommand(policyCheckCommand, [none, "--policy", none]), UsageError);
  });

  it("is what policy show says, too, which shows nothing of it", async () => {
    const path = join(directory, "policy.json");
    await writeFile(path, "{}");
    const error = await rejection(runCommand(policyShowCommand, ["--policy", path]), CommandError);
    expect([error.exitCode, error.message]).toEqual([2, expect.stringContaining(":1:1: /: key")]);
  });
});

/** A value as JSON with the given spaces in turn, and where each pointer's member or item begins. */
function written(
  value: unknown,
  spaces: readonly string[],
): { readonly text: string; readonly offsets: ReadonlyMap<string, number> } {
  const offsets = new Map<string, number>();
  let text = "";
  let turn = 0;
  const space = (): void => void (text += spaces[turn++ % spaces.length] ?? "");
  const write = (inner: unknown, pointer: string): void => {
    if (typeof inner !== "object" || inner === null) {
      text += JSON.stringify(inner);
      return;
    }
    const isList = Array.isArray(inner);
    text += isList ? "[" : "{";
    for (const [i, [key, member]] of Object.entries(inner).entries()) {
      if (i > 0) text += ",";
      space();
      const child = `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
      offsets.set(child, text.length);
      if (!isList) {
        text += JSON.stringify(key);
        space();
        text += ":";
        space();
      }
      write(member, child);
      space();
    }
    text += isList ? "]" : "}";
  };
  space();
  offsets.set("", text.length);
  write(value, "");
  space();
  return { text, offsets };
}
