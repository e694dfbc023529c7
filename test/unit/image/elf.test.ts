import { writeFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readElf } from "../../../image/elf.ts";
import { ImageError } from "@countersign/image";
import { elfBytes } from "./elf-files.ts";
import { fileOf, newPath } from "./eif-files.ts";

const program = {
  interpreter: "/lib64/ld-linux-x86-64.so.2",
  needed: ["libc.so.6", "libm.so.6"],
  runpath: "$ORIGIN:/opt/lib",
};

describe("readElf", () => {
  it("reads what a loader needs", async () => {
    expect(await readElf(fileOf(elfBytes(program)))).toEqual({
      architecture: "x86_64",
      interpreter: program.interpreter,
      needed: program.needed,
      searchPath: ["$ORIGIN", "/opt/lib"],
    });
    expect(await readElf(fileOf(elfBytes({ machine: 183, rpath: "/a" })))).toEqual({
      architecture: "arm64",
      interpreter: null,
      needed: [],
      searchPath: ["/a"],
    });
    const both = elfBytes({ runpath: "/new", rpath: "/old" });
    expect((await readElf(fileOf(both))).searchPath).toEqual(["/new"]);
  });

  it("reads this very program", async () => {
    const { needed, interpreter } = await readElf(process.execPath);
    expect(needed).toContain("libc.so.6");
    expect(interpreter).toMatch(/^\/lib/u);
  });

  it.each<readonly [what: string, change: (copy: Buffer) => Buffer | void, message: string]>([
    ["another file", () => Buffer.from("#!/bin/sh\n".repeat(10)), "is no ELF file"],
    ["32 bits", (copy) => void (copy[4] = 1), "is no ELF file of 64 bits"],
    ["big-endian", (copy) => void (copy[5] = 2), "is no ELF file of 64 bits, little-endian"],
    ["another machine", (copy) => void copy.writeUInt16LE(40, 18), "is for machine 40"],
    ["other headers", (copy) => void copy.writeUInt16LE(32, 54), "headers of 32 bytes"],
    ["129 headers", (copy) => void copy.writeUInt16LE(129, 56), "has 129 program headers"],
    ["headers outside", (copy) => void copy.writeBigUInt64LE(9999n, 32), "ends early"],
    ["headers far outside", (copy) => void copy.writeBigUInt64LE(1n << 60n, 32), "above 2^53"],
    ["a large section", (copy) => void copy.writeBigUInt64LE(65_537n, 152), "too large a dynamic"],
    ["names outside", (copy) => void copy.writeBigUInt64LE(0n, 64 + 16), "points outside"],
    ["a name without an end", (copy) => copy.subarray(0, -1), "without an end"],
  ])("refuses %s", async (_, change, message) => {
    const copy = elfBytes(program);
    const path = fileOf(change(copy) ?? copy);
    await expect(readElf(path)).rejects.toThrow(message);
    await expect(readElf(path)).rejects.toMatchObject({ code: "image/input" });
  });

  it("of any bytes reads something, or says that it is none", async () => {
    const path = newPath();
    const good = elfBytes(program);
    const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 6 }),
        fc.nat(good.length),
        async (all, cut) => {
          const copy = Buffer.from(good);
          for (const [at, byte] of all) copy[at] = byte;
          writeFileSync(path, all.length % 2 === 0 ? copy : copy.subarray(0, cut));
          const found = await readElf(path).catch((cause: unknown) => cause);
          expect(found instanceof Error && !(found instanceof ImageError)).toBe(false);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("refuses what is not there", async () => {
    await expect(readElf(newPath())).rejects.toMatchObject({ code: "image/input" });
    await expect(readElf("/")).rejects.toMatchObject({ code: "image/input" });
  });
});
