import { writeFileSync } from "node:fs";
import { encodeUtf8 } from "@countersign/attestation";
import { cpioBytes, type Entry } from "@countersign/image";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { diskContent } from "../../../image/entry.ts";
import { archiveOf, itemsOf } from "./archives.ts";
import { fileOf as onDisk, newPath } from "./eif-files.ts";

function file(path: string, text = "", executable = false): Entry {
  return { kind: "file", path, executable, content: { from: "memory", bytes: encodeUtf8(text) } };
}

const ENTRIES: readonly Entry[] = [
  file("bin/node", "a program", true),
  file("a.ts", "abc"),
  { kind: "directory", path: "proc" },
  { kind: "device", path: "dev/console", major: 5, minor: 1 },
  { kind: "link", path: "lib64", target: "lib" },
];

describe("an archive", () => {
  it("holds every entry, with nobody's time, owner or mode", async () => {
    const items = itemsOf(await archiveOf(ENTRIES));
    expect(
      items.map(({ name, mode, links, device, content }) => [
        name,
        mode.toString(8),
        links,
        device,
        content.toString(),
      ]),
    ).toEqual([
      ["a.ts", "100644", 1, [0, 0], "abc"],
      ["bin", "40755", 2, [0, 0], ""],
      ["bin/node", "100755", 1, [0, 0], "a program"],
      ["dev", "40755", 2, [0, 0], ""],
      ["dev/console", "20600", 1, [5, 1], ""],
      ["lib64", "120777", 1, [0, 0], "lib"],
      ["proc", "40755", 2, [0, 0], ""],
    ]);
    expect(items.map(({ inode }) => inode)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    for (const { owner, time } of items) expect([...owner, time]).toEqual([0, 0, 0]);
  });

  it("is of whole blocks, as many bytes as announced", async () => {
    for (let length = 0; length < 1100; length += 7) {
      const entries = [file("a", "x".repeat(length))];
      const archive = await archiveOf(entries);
      expect(archive.length).toBe(cpioBytes(entries));
      expect(archive.length % 512).toBe(0);
    }
  });

  it("is the same for entries in any order", async () => {
    const wanted = await archiveOf(ENTRIES);
    const orders = fc.shuffledSubarray([...ENTRIES], { minLength: ENTRIES.length });
    await fc.assert(
      fc.asyncProperty(orders, async (entries) => {
        expect(await archiveOf(entries)).toEqual(wanted);
      }),
    );
  });

  it("of any names and contents is read back", async () => {
    const name = fc.stringMatching(/^[a-z0-9@_+~-]{1,9}$/u);
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    const files = fc.uniqueArray(fc.tuple(path, fc.string({ maxLength: 40 })), {
      selector: ([of]) => of,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(files, async (all) => {
        // A file is no folder of another.
        const kept = all.filter(([of]) => !all.some(([other]) => other.startsWith(`${of}/`)));
        const items = itemsOf(await archiveOf(kept.map(([of, text]) => file(of, text))));
        const found = items.filter(({ mode }) => mode === 0o100644);
        const read = new Map(found.map(({ name: of, content }) => [of, content.toString()]));
        expect(read).toEqual(new Map(kept.map(([of, text]) => [of, Buffer.from(text).toString()])));
      }),
    );
  });
});

describe("entries are refused", () => {
  it.each([
    ["", ""],
    ["from the root", "/bin"],
    ["with an end", "bin/"],
    ["with an empty part", "a//b"],
    ["above", "../a"],
    ["above, inside", "a/../b"],
    ["here", "./a"],
    ["with a space", "a b"],
    ["with a line end", "a\n"],
    ["with a zero byte", "a\0b"],
    ["outside of ASCII", "é"],
    ["too long", "a".repeat(1025)],
  ])("with a path %s", async (_, path) => {
    await expect(archiveOf([file(path)])).rejects.toMatchObject({ code: "image/input" });
  });

  it("there twice, in a file, or leading nowhere that can be written", async () => {
    const cases: readonly (readonly Entry[])[] = [
      [file("a"), file("a", "other")],
      [file("a"), { kind: "directory", path: "a" }],
      [file("a"), file("a/b")],
      [{ kind: "link", path: "a", target: "b" }, file("a/b")],
      [{ kind: "link", path: "a", target: "" }],
      [{ kind: "link", path: "a", target: "é" }],
    ];
    for (const entries of cases) {
      await expect(archiveOf(entries)).rejects.toMatchObject({ code: "image/input" });
    }
    await expect(archiveOf([file("..."), file("a..b"), file(".a")])).resolves.toBeDefined();
  });

  it("where a file on disk is longer or shorter than it was", async () => {
    const path = onDisk(encodeUtf8("four"), ".txt");
    const content = await diskContent(path);
    const entries: readonly Entry[] = [{ kind: "file", path: "a", executable: false, content }];
    expect(itemsOf(await archiveOf(entries))[0]?.content.toString()).toBe("four");
    for (const text of ["three", "x".repeat(2 << 20), "two", ""]) {
      writeFileSync(path, text);
      await expect(archiveOf(entries)).rejects.toMatchObject({ code: "image/input" });
    }
  });

  it("where there is no file, or another thing", async () => {
    for (const path of [newPath(), "/", "/dev/null"]) {
      await expect(diskContent(path)).rejects.toMatchObject({ code: "image/input" });
    }
  });
});
