import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { neededLibraries } from "../../../image/libraries.ts";
import { writeElf } from "./elf-files.ts";

const ARM64 = 183;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "countersign-libraries-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What the program at `bin/p` needs, from the roots below the folder. */
async function needs(...roots: readonly string[]): ReturnType<typeof neededLibraries> {
  const from = roots.map((root) => join(folder, root));
  return neededLibraries([join(folder, "bin/p")], from, "x86_64");
}

describe("neededLibraries", () => {
  it("follows needs, in the folders of distributions, and takes each once", async () => {
    const interpreter = "/lib64/ld.so";
    writeElf(join(folder, "bin/p"), { interpreter, needed: ["liba.so", "libb.so"] });
    writeElf(join(folder, "debian/usr/lib/x86_64-linux-gnu/liba.so"), { needed: ["libc.so"] });
    writeElf(join(folder, "fedora/lib64/libb.so"), { needed: ["libc.so", "libflat.so"] });
    writeElf(join(folder, "debian/lib/libc.so"), { needed: ["liba.so"] });
    writeElf(join(folder, "flat/libflat.so"));
    writeElf(join(folder, "flat/ld.so"));
    const { libraries, interpreters, beside } = await needs("debian", "fedora", "flat");
    expect(Object.fromEntries(libraries)).toEqual({
      "ld.so": join(folder, "flat/ld.so"),
      "liba.so": join(folder, "debian/usr/lib/x86_64-linux-gnu/liba.so"),
      "libb.so": join(folder, "fedora/lib64/libb.so"),
      "libc.so": join(folder, "debian/lib/libc.so"),
      "libflat.so": join(folder, "flat/libflat.so"),
    });
    expect([[...interpreters], [...beside]]).toEqual([[interpreter], []]);
  });

  it("takes the first root's, and passes over another architecture's", async () => {
    writeElf(join(folder, "bin/p"), { needed: ["liba.so"] });
    writeElf(join(folder, "one/lib/liba.so"), { machine: ARM64 });
    writeElf(join(folder, "one/usr/lib/liba.so"));
    writeElf(join(folder, "two/lib/liba.so"));
    const { libraries } = await needs("one", "two");
    expect(libraries.get("liba.so")).toBe(join(folder, "one/usr/lib/liba.so"));
  });

  it("leaves a library beside the file that says so, and only then", async () => {
    writeElf(join(folder, "bin/p"), { needed: ["liba.so"], runpath: "$ORIGIN/" });
    writeElf(join(folder, "bin/liba.so"), { needed: ["libb.so"] });
    writeElf(join(folder, "root/liba.so"));
    writeElf(join(folder, "root/libb.so"));
    writeElf(join(folder, "bin/libb.so"));
    const { libraries, beside } = await needs("root");
    expect([...beside]).toEqual([join(folder, "bin/liba.so")]);
    expect([...libraries]).toEqual([["libb.so", join(folder, "root/libb.so")]]);
  });

  it("takes a distribution's own neighbours like all that is the distribution's", async () => {
    writeElf(join(folder, "bin/p"), { needed: ["liba.so"] });
    writeElf(join(folder, "root/lib/liba.so"), { needed: ["libb.so"], runpath: "$ORIGIN" });
    writeElf(join(folder, "root/lib/libb.so"));
    const { libraries, beside } = await needs("root");
    expect([...beside]).toEqual([]);
    expect(libraries.get("libb.so")).toBe(join(folder, "root/lib/libb.so"));
  });

  it("refuses a program of another architecture, and a library that is nowhere", async () => {
    mkdirSync(join(folder, "root"));
    writeElf(join(folder, "bin/p"), { machine: ARM64 });
    await expect(needs("root")).rejects.toMatchObject({ code: "image/input" });
    writeElf(join(folder, "bin/p"), { needed: ["libgone.so"] });
    await expect(needs("root")).rejects.toThrow(/needs libgone\.so, which is not in/u);
    writeElf(join(folder, "bin/p"), { needed: ["../liba.so"] });
    await expect(needs("root")).rejects.toThrow(/needs "\.\.\/liba\.so"/u);
  });

  it("takes no file that a link finds outside of its root", async () => {
    writeElf(join(folder, "bin/p"), { needed: ["liba.so"] });
    writeElf(join(folder, "outside/liba.so"));
    mkdirSync(join(folder, "root/lib"), { recursive: true });
    symlinkSync("../../outside/liba.so", join(folder, "root/lib/liba.so"));
    await expect(needs("root")).rejects.toMatchObject({ code: "image/input" });
    writeElf(join(folder, "root/real/liba.so.1"));
    symlinkSync("../real/liba.so.1", join(folder, "root/liba.so"));
    await expect(needs("root")).rejects.toMatchObject({ code: "image/input" });
    rmSync(join(folder, "root/liba.so"));
    symlinkSync("real/liba.so.1", join(folder, "root/liba.so"));
    expect((await needs("root")).libraries.get("liba.so")).toBe(join(folder, "root/liba.so"));
  });
});
