import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { ImageError } from "../../../image/errors.ts";
import { archiveEntries, type Extent } from "../../../image/release-archive.ts";
import type { ReleaseInput } from "../../../image/release.ts";
import { archiveOf, fileOf, PLATFORM } from "../../fakes/small-image.ts";

/** Where fields of a header are: eight digits each, behind the magic. */
const FIELD = {
  inode: 0,
  mode: 1,
  uid: 2,
  gid: 3,
  links: 4,
  mtime: 5,
  size: 6,
  rmajor: 9,
  nameBytes: 11,
};
const HEADER_BYTES = 110;

function extentOf(bytes: Uint8Array): Extent {
  return {
    bytes: bytes.length,
    read: async (offset, length) => await Promise.resolve(bytes.slice(offset, offset + length)),
  };
}

async function entriesOf(bytes: Uint8Array): Promise<readonly ReleaseInput[]> {
  const found: ReleaseInput[] = [];
  for await (const { input } of archiveEntries(extentOf(bytes), 1)) found.push(input);
  return found;
}

/** An archive of one file, with a field of its header changed. */
async function changed(field: number, value: number): Promise<Uint8Array> {
  const bytes = await archiveOf([fileOf("init", "text")]);
  bytes.set(Buffer.from(value.toString(16).padStart(8, "0")), 6 + 8 * field);
  return bytes;
}

const refused = { name: "ImageError", code: "image/malformed" };

describe("an archive", () => {
  it("of the builder is read to its end", async () => {
    expect(await entriesOf(await archiveOf(PLATFORM))).toHaveLength(9);
    expect(await entriesOf(await archiveOf([]))).toEqual([]);
  });

  it.each([
    ["an owner", FIELD.uid, 1],
    ["a group", FIELD.gid, 1],
    ["a time", FIELD.mtime, 1_700_000_000],
    ["two links", FIELD.links, 2],
    ["a type of its own", FIELD.mode, 0o010644],
    ["a device number", FIELD.rmajor, 1],
    ["a name without an end", FIELD.nameBytes, 4],
    ["a number of its own", FIELD.inode, 7],
    ["a name of no bytes", FIELD.nameBytes, 1],
    ["a longer name than any", FIELD.nameBytes, 5000],
    ["more bytes than there are", FIELD.size, 0x7fff_ffff],
    ["fewer bytes than it has", FIELD.size, 1],
  ])("with %s is refused", async (_what, field, value) => {
    await expect(entriesOf(await changed(field, value))).rejects.toMatchObject(refused);
  });

  it("that is compressed, or of another form, is refused", async () => {
    const bytes = await archiveOf([fileOf("init", "text")]);
    bytes.set(Buffer.from("070702"), 0);
    await expect(entriesOf(bytes)).rejects.toMatchObject(refused);
    await expect(entriesOf(new Uint8Array([0x1f, 0x8b, 8, 0]))).rejects.toMatchObject(refused);
  });

  it.each(["../init", "a/../../init", "/init", "./init", "a//init", "nul\u0001"])(
    "with the name %j is refused",
    async (name) => {
      const bytes = await archiveOf([fileOf("x".repeat(name.length), "text")]);
      bytes.set(Buffer.from(name, "latin1"), HEADER_BYTES);
      await expect(entriesOf(bytes)).rejects.toMatchObject(refused);
    },
  );

  it("that is cut is refused, wherever", async () => {
    const bytes = await archiveOf([fileOf("a", "text"), fileOf("b", "more text")]);
    // The last block may be short: only zeros fill it.
    const end = bytes.findLastIndex((byte) => byte !== 0);
    for (let length = 0; length <= end; length++) {
      await expect(entriesOf(bytes.subarray(0, length))).rejects.toMatchObject(refused);
    }
  });

  it("that names its end like a file, or a file like its end, is refused", async () => {
    const bytes = await archiveOf([fileOf("a234567890", "text")]);
    const named = bytes.slice();
    named.set(Buffer.from("TRAILER!!!"), HEADER_BYTES);
    await expect(entriesOf(named)).rejects.toMatchObject(refused);
    const end = Buffer.from(bytes).lastIndexOf("TRAILER!!!");
    const nameless = bytes.slice();
    nameless.set(Buffer.from("a234567891"), end);
    await expect(entriesOf(nameless)).rejects.toMatchObject(refused);
  });

  it.each([
    ["the same name twice", "b"],
    ["names out of order", "a"],
  ])("with %s is refused", async (_what, name) => {
    const bytes = await archiveOf([fileOf("b", "text"), fileOf("c", "more")]);
    bytes.set(Buffer.from(name), Buffer.from(bytes).indexOf("c\0"));
    await expect(entriesOf(bytes)).rejects.toMatchObject(refused);
  });

  it("with anything behind its end is refused", async () => {
    const bytes = await archiveOf([fileOf("a", "text")]);
    const one = bytes.slice();
    one[bytes.length - 1] = 1;
    await expect(entriesOf(one)).rejects.toMatchObject(refused);
    const second = new Uint8Array(Buffer.concat([bytes, bytes]));
    await expect(entriesOf(second)).rejects.toMatchObject(refused);
    const zeros = new Uint8Array(Buffer.concat([bytes, new Uint8Array(512)]));
    await expect(entriesOf(zeros)).rejects.toMatchObject(refused);
  });

  it("with any byte changed gives other entries, or is refused", async () => {
    const bytes = await archiveOf(PLATFORM);
    const before = JSON.stringify(await entriesOf(bytes));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, by) => {
          const other = bytes.slice();
          other[at] = (other[at] ?? 0) ^ by;
          expect(await outcome(other)).not.toBe(before);
        },
      ),
      { numRuns: 400 },
    );
  });
});

/** The entries as text, or a refusal of ours; any other error goes through. */
async function outcome(bytes: Uint8Array): Promise<string> {
  try {
    return JSON.stringify(await entriesOf(bytes));
  } catch (error) {
    if (error instanceof ImageError) return error.message;
    throw error;
  }
}
