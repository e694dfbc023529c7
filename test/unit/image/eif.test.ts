import { createHash } from "node:crypto";
import { encodeHex } from "@countersign/attestation";
import { measureImage } from "@countersign/image";
import { describe, expect, it } from "vitest";
import { HEADER_BYTES, SECTION_HEADER_BYTES } from "../../../image/eif.ts";
import { missing } from "../../shared.ts";
import {
  changed,
  CHECKSUM_AT,
  imageOf,
  measureBytes,
  refusalOf,
  sealed,
  vectorImage,
  vectorRegisters,
} from "./eif-files.ts";

const SIGNED = "tiny-signed.eif";
const UNSIGNED = "tiny-unsigned-one-ramdisk.eif";
const SIMPLE = [
  ["kernel", "a kernel"],
  ["cmdline", "console=ttyS0"],
  ["ramdisk", "first"],
  ["ramdisk", "second"],
] as const;
const image = imageOf(...SIMPLE);
/** Where the table of offsets, and that of sizes, begin. */
const OFFSETS = 28;
const SIZES = OFFSETS + 32 * 8;

/** The definition, written out again. */
function register(...parts: readonly (string | Uint8Array)[]): string {
  const inner = createHash("sha384");
  for (const part of parts) inner.update(part);
  return createHash("sha384").update(Buffer.alloc(48)).update(inner.digest()).digest("hex");
}

describe("measureImage", () => {
  it.skipIf(missing("qemu-nsm")).each([SIGNED, UNSIGNED])(
    "predicts what QEMU showed of %s",
    async (name) => {
      const measured = await measureBytes(vectorImage(name));
      expect({
        PCR0: encodeHex(measured.pcr0),
        PCR1: encodeHex(measured.pcr1),
        PCR2: encodeHex(measured.pcr2),
        ...(measured.pcr8 === null ? {} : { PCR8: encodeHex(measured.pcr8) }),
      }).toEqual(vectorRegisters(name));
    },
  );

  it("measures kernel, command line and ramdisks, each where it belongs", async () => {
    const { pcr0, pcr1, pcr2, pcr8 } = await measureBytes(image);
    expect(encodeHex(pcr0)).toBe(register("a kernel", "console=ttyS0", "first", "second"));
    expect(encodeHex(pcr1)).toBe(register("a kernel", "console=ttyS0", "first"));
    expect(encodeHex(pcr2)).toBe(register("second"));
    expect(pcr8).toBeNull();
  });

  it("measures no metadata, and an application that is not there as nothing", async () => {
    const without = await measureBytes(imageOf(...SIMPLE.slice(0, 3)));
    expect(encodeHex(without.pcr2)).toBe(register(""));
    expect(without.pcr0).toEqual(without.pcr1);
    const [kernel, cmdline, ...ramdisks] = SIMPLE;
    const described = imageOf(kernel, cmdline, ["metadata", '{"by":"me"}'], ...ramdisks);
    const { pcr0, pcr1, pcr2, sha256 } = await measureBytes(described);
    expect({ pcr0, pcr1, pcr2 }).toEqual(registersOf(await measureBytes(image)));
    expect(encodeHex(sha256)).toBe(createHash("sha256").update(described).digest("hex"));
  });

  it.each([-1, 0, 1])("reads in pieces: sections of 1 MiB %i", async (more) => {
    const [kernel, first, second] = ["k", "f", "s"].map((c, i) =>
      Buffer.alloc((1 << 20) * (i + 1) + more, c),
    );
    if (kernel === undefined || first === undefined || second === undefined) throw new TypeError();
    const large = imageOf(
      ["kernel", kernel],
      ["cmdline", ""],
      ["ramdisk", first],
      ["ramdisk", second],
    );
    const { pcr0, pcr1, pcr2 } = await measureBytes(large);
    expect(encodeHex(pcr0)).toBe(register(kernel, first, second));
    expect(encodeHex(pcr1)).toBe(register(kernel, first));
    expect(encodeHex(pcr2)).toBe(register(second));
  });

  it("says for which architecture an image is", async () => {
    const flags = (value: number) => changed(image, (copy) => void copy.writeUInt16BE(value, 6));
    expect((await measureBytes(flags(0))).architecture).toBe("x86_64");
    expect((await measureBytes(flags(1))).architecture).toBe("arm64");
    expect(await refusalOf(flags(2))).toContain("header flags are 2");
  });
});

describe("an image is refused", () => {
  it.each<readonly [what: string, change: (copy: Buffer) => Buffer | void, message: string]>([
    ["another magic number", (copy) => void (copy[1] = 0x45), "does not begin with .eif"],
    ["version 3", (copy) => void copy.writeUInt16BE(3, 4), "of version 3, want 4"],
    ["version 5", (copy) => void copy.writeUInt16BE(5, 4), "of version 5, want 4"],
    ["a reserved field", (copy) => void copy.writeUInt16BE(1, 24), "reserved header fields"],
    ["the other reserved field", (copy) => void (copy[CHECKSUM_AT - 1] = 1), "reserved header"],
    ["33 sections", (copy) => void copy.writeUInt16BE(33, 26), "33 sections, want at most 32"],
    ["a section fewer", (copy) => void copy.writeUInt16BE(3, 26), "section 3 of 3 has a place"],
    ["a section more", (copy) => void copy.writeUInt16BE(5, 26), "section 4 is at 0"],
    ["none", (copy) => void copy.writeUInt16BE(0, 26), "section 0 of 0 has a place"],
    ["an overlap", (copy) => move(copy, 1, -1), "section 1 is at 567, want 568"],
    ["a gap", (copy) => move(copy, 1, 1), "section 1 is at 569, want 568"],
    ["a section in the header", (copy) => move(copy, 0, -548), "section 0 is at 0, want 548"],
    ["two sections at one place", (copy) => move(copy, 3, -17), "section 3 is at 593"],
    ["a surplus byte", (copy) => Buffer.concat([copy, Buffer.of(0)]), "1 bytes follow the last"],
    ["a missing byte", (copy) => copy.subarray(0, -1), "ends at 628, the file at 627"],
    ["a size past the end", (copy) => resize(copy, 3, 7n), "ends at 629, the file at 628"],
    ["a size of 2^53", (copy) => resize(copy, 3, 1n << 53n), "above 2^53"],
    ["a size of 2^53 - 1", (copy) => resize(copy, 3, (1n << 53n) - 1n), "the file at 628"],
    ["a size of 2^64 - 1", (copy) => resize(copy, 0, (1n << 64n) - 1n), "above 2^53"],
    ["an unknown type", (copy) => void own(copy, 3).writeUInt16BE(6, 0), "section 3 is of type 6"],
    ["type 0", (copy) => void own(copy, 3).writeUInt16BE(0, 0), "section 3 is of type 0"],
    ["section flags", (copy) => void own(copy, 2).writeUInt16BE(1, 2), "section 2 has flags 1"],
    [
      "two sizes of a section",
      (copy) => void own(copy, 2).writeBigUInt64BE(6n, 4),
      "section 2 has 5 bytes and 6",
    ],
  ])("for %s", async (_, change, message) => {
    const refusal = await refusalOf(changed(image, change));
    expect(refusal).toMatch(/^image\/malformed: /u);
    expect(refusal).toContain(message);
  });

  const [kernel, cmdline, first, second] = SIMPLE;
  it.each([
    ["no kernel", imageOf(cmdline, first), "it has no kernel"],
    ["no command line", imageOf(kernel, first), "it has no cmdline"],
    ["no ramdisk", imageOf(kernel, cmdline), "it has no ramdisk"],
    ["two kernels", imageOf(kernel, kernel, cmdline, first), "two sections of type kernel"],
    ["two command lines", imageOf(kernel, cmdline, cmdline, first), "two sections of type cmdline"],
    ["a kernel after the command line", imageOf(cmdline, kernel, first), "the kernel follows"],
    ["a ramdisk before the kernel", imageOf(first, kernel, cmdline, second), "the kernel follows"],
    ["metadata at the end", imageOf(...SIMPLE, ["metadata", "{}"]), "the metadata follows"],
    ["an empty kernel", imageOf(["kernel", ""], cmdline, first), "the kernel is empty"],
    ["an empty ramdisk", imageOf(kernel, cmdline, ["ramdisk", ""]), "the ramdisk is empty"],
    [
      "a long command line",
      imageOf(kernel, ["cmdline", "x".repeat(2049)], first),
      "the cmdline has 2049 bytes, want at most 2048",
    ],
    [
      "long metadata",
      imageOf(kernel, cmdline, ["metadata", "x".repeat((1 << 20) + 1)], first),
      "the metadata has 1048577 bytes",
    ],
    [
      "a long signature",
      imageOf(...SIMPLE, ["signature", "x".repeat(32_769)]),
      "the signature has 32769 bytes",
    ],
  ])("for %s", async (_, bytes, message) => {
    const refusal = await refusalOf(bytes);
    expect(refusal).toMatch(/^image\/malformed: /u);
    expect(refusal).toContain(message);
  });

  it("that ends anywhere before its end", async () => {
    for (let length = 0; length < image.length; length++) {
      const cut = Buffer.from(image.subarray(0, length));
      const bytes = length < HEADER_BYTES ? cut : sealed(cut);
      expect(await refusalOf(bytes), `${length} bytes`).toMatch(/^image\/malformed: /u);
    }
  });

  it("of which any one bit of any byte is another", async () => {
    for (let at = 0; at < image.length; at++) {
      const copy = Buffer.from(image);
      copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8));
      expect(await refusalOf(copy), `byte ${at}`).toMatch(/^image\/(?:malformed|checksum): /u);
    }
  });

  it("with a checksum that is not its own", async () => {
    const copy = Buffer.from(image);
    copy[copy.length - 1] = 0;
    expect(await refusalOf(copy)).toMatch(
      /^image\/checksum: it carries [0-9a-f]{8}, its bytes have/u,
    );
  });

  it("that is no file, or not there", async () => {
    await expect(measureImage("/nonexistent.eif")).rejects.toMatchObject({ code: "image/input" });
    await expect(measureImage("/")).rejects.toMatchObject({ code: "image/input" });
    await expect(measureImage("/dev/null")).rejects.toMatchObject({ code: "image/input" });
  });
});

it("the largest command line and metadata are taken", async () => {
  const { pcr0 } = await measureBytes(
    imageOf(
      ["kernel", "k"],
      ["cmdline", "x".repeat(2048)],
      ["metadata", "y".repeat(1 << 20)],
      ["ramdisk", "r"],
    ),
  );
  expect(encodeHex(pcr0)).toBe(register("k", "x".repeat(2048), "r"));
});

it("an image of 32 sections is taken, and one of 33 is not", async () => {
  const ramdisks = (count: number) =>
    Array.from({ length: count }, () => ["ramdisk", "r"] as const);
  const { pcr2 } = await measureBytes(imageOf(["kernel", "k"], ["cmdline", "c"], ...ramdisks(30)));
  expect(encodeHex(pcr2)).toBe(register("r".repeat(29)));
  expect(() => imageOf(["kernel", "k"], ["cmdline", "c"], ...ramdisks(31))).toThrow(TypeError);
});

type Measured = Awaited<ReturnType<typeof measureBytes>>;

function registersOf({ pcr0, pcr1, pcr2 }: Measured): Pick<Measured, "pcr0" | "pcr1" | "pcr2"> {
  return { pcr0, pcr1, pcr2 };
}

function move(copy: Buffer, section: number, by: number): void {
  const at = OFFSETS + 8 * section;
  copy.writeBigUInt64BE(copy.readBigUInt64BE(at) + BigInt(by), at);
}

function resize(copy: Buffer, section: number, bytes: bigint): void {
  copy.writeBigUInt64BE(bytes, SIZES + 8 * section);
}

/** A section's own header. */
function own(copy: Buffer, section: number): Buffer {
  const offset = Number(copy.readBigUInt64BE(OFFSETS + 8 * section));
  return copy.subarray(offset, offset + SECTION_HEADER_BYTES);
}
