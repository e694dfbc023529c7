import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ImageError } from "../../../image/errors.ts";
import { compareReleases } from "../../../image/release-difference.ts";
import { describeImage } from "../../../image/release-image.ts";
import { encodeRelease, parseRelease, type Release } from "../../../image/release.ts";
import { APPLICATION, fileOf, PLATFORM, writeSmallImage } from "../../fakes/small-image.ts";

const SCHEMA = new URL("../../../image/release.schema.json", import.meta.url);
const SOURCE = { commit: "ab".repeat(20), clean: false };

let folder = "";
let release: Release;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-release-"));
  release = await released({});
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function released(parts: Parameters<typeof writeSmallImage>[1]): Promise<Release> {
  const file = join(folder, "image.eif");
  await writeSmallImage(file, parts);
  return await describeImage(file, "1.0.0", SOURCE);
}

/** The release as JSON, after `change`. */
function changed(change: (file: Record<string, unknown>) => void): string {
  const file: Record<string, unknown> = { ...structuredClone(release) };
  change(file);
  return JSON.stringify(file);
}

function refusal(text: string): string {
  try {
    parseRelease(text);
  } catch (error) {
    if (error instanceof ImageError && error.code === "image/input") return error.message;
    throw error;
  }
  throw new TypeError("it was not refused");
}

describe("a release file", () => {
  it("is read as it was written", () => {
    const text = encodeRelease(release);
    expect(parseRelease(text)).toEqual(release);
    // One input a line, for diff.
    expect(text.split("\n").filter((line) => line.includes('"path"'))).toHaveLength(
      release.inputs.length,
    );
    expect(parseRelease(text.replaceAll("\n", "\r\n"))).toEqual(release);
  });

  it.each([
    ["another version", (file) => (file["version"] = 2), "/version: 2, want 1"],
    ["no version", (file) => delete file["version"], "/version"],
    ["a surplus key", (file) => (file["colour"] = "red"), "/colour: there is no such key"],
    ["no name", (file) => (file["name"] = ""), "/name"],
    ["an unknown architecture", (file) => (file["architecture"] = "riscv64"), "/architecture"],
    ["no image", (file) => (file["image"] = null), "/image: want an object"],
    [
      "an image of no bytes",
      (file) => (file["image"] = { bytes: 0, sha256: "00" }),
      "/image/bytes",
    ],
    ["a short register", (file) => set(file, "measurements", "pcr1", "00"), "/measurements/pcr1"],
    [
      "an upper-case register",
      (file) => set(file, "measurements", "pcr0", "A".repeat(96)),
      "/pcr0",
    ],
    [
      "a register too many",
      (file) => set(file, "measurements", "pcr3", "00"),
      "/measurements/pcr3",
    ],
    ["a commit that is none", (file) => set(file, "source", "commit", "main"), "/source/commit"],
    ["a clean that is a word", (file) => set(file, "source", "clean", "yes"), "/source/clean"],
    [
      "arguments that are no list",
      (file) => set(file, "options", "arguments", "x"),
      "/options/arg",
    ],
    [
      "an argument that is a number",
      (file) => set(file, "options", "arguments", [1]),
      "/arguments",
    ],
    ["no inputs", (file) => (file["inputs"] = []), "/inputs: want 1"],
    ["no kernel", (file) => (file["inputs"] = release.inputs.slice(1)), "/inputs/0/path"],
    [
      "an input twice",
      (file) => (file["inputs"] = [...release.inputs, release.inputs[3]]),
      "twice",
    ],
    ["a file outside", (file) => input(file, { path: "1:/../etc/passwd" }), "/inputs/2/path"],
    ["a file of no ramdisk", (file) => input(file, { path: "/bin/node" }), "/inputs/2/path"],
    ["a file without a mode", (file) => input(file, { mode: null }), "/inputs/2/mode"],
    ["a file of half a byte", (file) => input(file, { bytes: 0.5 }), "/inputs/2/bytes"],
    ["a socket", (file) => input(file, { kind: "socket" }), "/inputs/2/kind"],
  ] satisfies readonly (readonly [string, (file: Record<string, unknown>) => unknown, string])[])(
    "with %s is refused, and the place is named",
    (_what, change, message) => {
      expect(refusal(changed(change))).toContain(message);
    },
  );

  it("that says something twice, or in two ways, is refused", () => {
    const text = encodeRelease(release);
    expect(refusal(text.replace('"version": 1,', '"version": 1, "version": 1,'))).toContain(
      "twice",
    );
    expect(refusal(text.replace('"version": 1,', '"version": 1.0,'))).toContain("unusual form");
    expect(refusal(text.replace('"clean"', '"cle\\u0061n"'))).toContain("unusual form");
    expect(refusal(`${text}x`)).toContain("not JSON");
    expect(refusal("[".repeat(100_000))).toContain("nested too deep");
  });

  it("that never ends a string, or has one of megabytes, is refused at once", () => {
    expect(refusal(`"${String.raw`\"`.repeat(2_000_000)}`)).toContain("not JSON");
    expect(refusal(changed((file) => (file["name"] = "x".repeat(15_000_000))))).toContain("/name");
    expect(refusal(changed((file) => (file["name"] = "\n".repeat(5_000_000))))).toContain("/name");
  });

  it("that is anything else is refused with our error", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(refusal(text)).toContain("image/input");
      }),
    );
  });

  it("has a schema with the same keys", () => {
    const schema: unknown = JSON.parse(readFileSync(SCHEMA, "utf8"));
    expect(keysOf(schema, [])).toEqual(Object.keys(release).toSorted());
    for (const name of ["image", "measurements", "source", "options"] as const) {
      const wanted = Object.keys(release[name] ?? {}).toSorted();
      expect(keysOf(schema, ["$defs", name]), name).toEqual(wanted);
    }
    const [kernel = {}] = release.inputs;
    expect(keysOf(schema, ["$defs", "input"])).toEqual(Object.keys(kernel).toSorted());
  });
});

describe("two releases", () => {
  it("of the same image are equal", async () => {
    const { equal, file, differences } = compareReleases(release, await released({}));
    expect({ equal, file, differences }).toEqual({ equal: true, file: "same", differences: [] });
  });

  it("of images that differ where nothing measures are equal, and the files are not", async () => {
    const comparison = compareReleases(release, await released({ metadata: '{"ImageName":"x"}' }));
    expect(comparison).toMatchObject({ equal: true, file: "different", differences: [] });
  });

  it("of a signed image and of the same one unsigned are equal", async () => {
    const pcr8 = "cd".repeat(48);
    const signed: Release = {
      ...release,
      image: { bytes: release.image.bytes + 900, sha256: "ef".repeat(32) },
      measurements: { ...release.measurements, pcr8 },
    };
    const comparison = compareReleases(signed, await released({}));
    expect(comparison).toMatchObject({ equal: true, file: "signed", differences: [] });
  });

  it.each([
    ["kernel", { kernel: "another kernel" }, ["pcr0", "pcr1"]],
    ["options.cmdline", { cmdline: "panic=0" }, ["pcr0", "pcr1"]],
    [
      "1:/lib/modules/01-nsm.ko",
      { platform: [...without(PLATFORM, "lib/modules"), fileOf("lib/modules/01-nsm.ko", "other")] },
      ["pcr0", "pcr1"],
    ],
    [
      "2:/app/enclave/main.ts",
      { application: [...without(APPLICATION, "main"), fileOf("app/enclave/main.ts", "steal();")] },
      ["pcr0", "pcr2"],
    ],
    [
      "2:/app/enclave/main.ts",
      { application: [...without(APPLICATION, "main")] },
      ["pcr0", "pcr2"],
    ],
    [
      "2:/app/enclave/more.ts",
      { application: [...APPLICATION, fileOf("app/enclave/more.ts", "serve();\n")] },
      ["pcr0", "pcr2"],
    ],
    [
      "2:/app/enclave/main.ts",
      {
        application: [
          ...without(APPLICATION, "main"),
          fileOf("app/enclave/main.ts", "serve();\n", true),
        ],
      },
      ["pcr0", "pcr2"],
    ],
  ] satisfies readonly (readonly [string, Parameters<typeof writeSmallImage>[1], string[]])[])(
    "that differ in %s are told apart there (%#)",
    async (what, parts, registers) => {
      const comparison = compareReleases(release, await released(parts));
      expect(comparison).toMatchObject({ equal: false, file: "different", registers });
      expect(comparison.differences.map((difference) => difference.what)).toEqual([what]);
    },
  );

  it("that differ in the enclave's arguments are told apart there, and in /init", async () => {
    const init = PLATFORM.flatMap((entry) =>
      entry.kind === "file" && entry.path === "init" && entry.content.from === "memory"
        ? [Buffer.from(entry.content.bytes).toString().replace('"2"', '"3"')]
        : [],
    ).join("");
    const platform = [...without(PLATFORM, "init"), fileOf("init", init, true)];
    const { differences } = compareReleases(release, await released({ platform }));
    expect(differences.map(({ what }) => what)).toEqual(["options.arguments", "1:/init"]);
    expect(differences[0]).toMatchObject({
      found: '["--parent-cid","3"]',
      wanted: '["--parent-cid","2"]',
    });
  });
});

function without(entries: typeof PLATFORM, part: string): typeof PLATFORM {
  return entries.filter(({ path }) => !path.includes(part));
}

function set(file: Record<string, unknown>, section: string, key: string, value: unknown): void {
  const before = new Map<string, unknown>(Object.entries(file[section] ?? {}));
  file[section] = Object.fromEntries(before.set(key, value));
}

/** Changes the third input, the file /bin/node. */
function input(file: Record<string, unknown>, change: Record<string, unknown>): void {
  file["inputs"] = release.inputs.map((item, i) => (i === 2 ? { ...item, ...change } : item));
}

/** The properties that a part of the schema names, all required and no other allowed. */
function keysOf(schema: unknown, path: readonly string[]): readonly string[] {
  let part = new Map<string, unknown>(Object.entries(schema ?? {}));
  for (const key of path) part = new Map(Object.entries(part.get(key) ?? {}));
  expect(part.get("additionalProperties")).toBe(false);
  const keys = Object.keys(part.get("properties") ?? {}).toSorted();
  expect(part.get("required")).toEqual(expect.arrayContaining(keys));
  return keys;
}
