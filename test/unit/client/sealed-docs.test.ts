/** What docs/sealed-models.md tells people to type is what the command line takes. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseArguments, SHARED_OPTIONS } from "../../../client/cli/arguments.ts";
import { COMMANDS } from "../../../client/cli/commands/index.ts";

const DOCUMENT = readFileSync(new URL("../../../docs/sealed-models.md", import.meta.url), "utf8");
const PROGRAM = "npx countersign ";
/** Whatever stands for a value of the reader's own. */
const PLACEHOLDER = /<[^>]*>|…/gu;

/** Every command line of ours in a block of code, each on one line. */
function commandLines(): readonly string[] {
  const blocks = [...DOCUMENT.matchAll(/^```\n(.*?)^```$/gmsu)].map(([, block = ""]) => block);
  return blocks
    .flatMap((block) => block.replaceAll(/\\\n\s*/gu, "").split("\n"))
    .filter((line) => line.startsWith(PROGRAM))
    .map((line) => line.slice(PROGRAM.length));
}

/** As a shell would split it, as far as our examples go; what is redirected is the shell's. */
function wordsOf(line: string): readonly string[] {
  return line
    .replace(/ > .*$/u, "")
    .replaceAll(/\$\([^)]*\)/gu, "x")
    .replaceAll(PLACEHOLDER, "x")
    .split(" ")
    .filter((word) => word !== "");
}

describe("docs/sealed-models.md", () => {
  const lines = commandLines();

  it("has the commands of the story", () => {
    for (const name of ["dev-kms", "model seal", "model policy", "model reseal", "key-broker"]) {
      expect(
        lines.some((line) => line.startsWith(name)),
        name,
      ).toBe(true);
    }
  });

  it.each(lines)("names options and operands that there are: %s", (line) => {
    const words = wordsOf(line);
    const two = COMMANDS.find(({ name }) => name === words.slice(0, 2).join(" "));
    const command = two ?? COMMANDS.find(({ name }) => name === words[0]);
    if (command === undefined) throw new Error(`no command for ${line}`);
    const given = words.slice(command.name.split(" ").length);
    const options = [...command.options, ...SHARED_OPTIONS];
    expect(() => parseArguments(given, options, command.operands)).not.toThrow();
  });

  it("names codes and tests that there are", () => {
    const codes = [...DOCUMENT.matchAll(/`((?:key|model)\/[a-z-]+)`/gu)].map(
      ([, code = ""]) => code,
    );
    expect(codes.length).toBeGreaterThan(8);
    const declared = readFileSync(new URL("../../../enclave/errors.ts", import.meta.url), "utf8");
    for (const code of codes) expect(declared, code).toContain(`"${code}"`);
    for (const [, path = ""] of DOCUMENT.matchAll(/`(test\/[a-z0-9/.-]+)`/gu)) {
      expect(() => readFileSync(new URL(`../../../${path}`, import.meta.url)), path).not.toThrow();
    }
  });
});
