import { rmSync, writeFileSync } from "node:fs";
import { ImageError, measureImage } from "@countersign/image";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeImage, HEADER_BYTES, parseHeader, type SectionType } from "../../../image/eif.ts";
import { missing } from "../../shared.ts";
import { imageOf, newPath, sealed, vectorImage } from "./eif-files.ts";

const path = newPath();

/** What came of measuring `bytes`: an error of ours, or what was measured. Anything else is thrown. */
async function outcome(
  bytes: Uint8Array,
): Promise<"refused" | Awaited<ReturnType<typeof measureImage>>> {
  writeFileSync(path, bytes);
  try {
    return await measureImage(path);
  } catch (error) {
    if (error instanceof ImageError) return "refused";
    throw error;
  } finally {
    rmSync(path);
  }
}

const seeds = [
  imageOf(["kernel", "k"], ["cmdline", "c"], ["ramdisk", "r"]),
  imageOf(["kernel", "k"], ["cmdline", ""], ["metadata", "{}"], ["ramdisk", "r"], ["ramdisk", "s"]),
  ...(missing("qemu-nsm") ? [] : [vectorImage("tiny-signed.eif")]),
];

/** Where a header's meaning is: not the unused places of its tables, which are most of it. */
const places = fc.oneof(
  fc.nat(60),
  fc.integer({ min: 284, max: 340 }),
  fc.integer({ min: HEADER_BYTES, max: HEADER_BYTES + 200 }),
  fc.nat(3000),
);

describe("any image", () => {
  it("that was changed, cut or lengthened, with its checksum mended, is measured or refused", async () => {
    let refused = 0;
    let measured = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(places, fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: -40, max: 40 }),
        async (seed, changes, lengthened) => {
          const copy = Buffer.concat([seed, Buffer.alloc(40)]);
          for (const [at, byte] of changes) if (at < seed.length) copy[at] = byte;
          const end = Math.max(
            HEADER_BYTES,
            seed.length + (Math.abs(lengthened) > 20 ? 0 : lengthened),
          );
          const found = await outcome(sealed(copy.subarray(0, end)));
          if (found === "refused") refused++;
          else measured++;
        },
      ),
      { numRuns: 1500 },
    );
    // It tried both sides.
    expect(Math.min(refused, measured)).toBeGreaterThan(20);
  });

  it("of any bytes after a good beginning is measured or refused", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...seeds),
        fc.uint8Array({ maxLength: 700 }),
        async (seed, rest) => {
          for (const kept of [0, 4, 28, HEADER_BYTES]) {
            await outcome(Buffer.concat([seed.subarray(0, kept), rest]));
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  const contents = fc.uint8Array({ minLength: 1, maxLength: 64 });
  const layout = fc.record({
    architecture: fc.constantFrom("x86_64" as const, "arm64" as const),
    kernel: contents,
    cmdline: fc.uint8Array({ maxLength: 64 }),
    metadata: fc.option(contents),
    ramdisks: fc.array(contents, { minLength: 1, maxLength: 5 }),
  });

  it("that is written is read back as it was, and measured as the definition says", async () => {
    await fc.assert(
      fc.asyncProperty(layout, async ({ architecture, kernel, cmdline, metadata, ramdisks }) => {
        const sections: (readonly [SectionType, Uint8Array])[] = [
          ["kernel", kernel],
          ["cmdline", cmdline],
          ...(metadata === null ? [] : [["metadata", metadata] as const]),
          ...ramdisks.map((ramdisk) => ["ramdisk", ramdisk] as const),
        ];
        const image = encodeImage(architecture, sections);
        const found = await outcome(image);
        if (found === "refused") throw new TypeError("a good image was refused");
        expect(found.architecture).toBe(architecture);
        expect(found.sections.map(({ type, bytes }) => [type, bytes])).toEqual(
          sections.map(([type, { length }]) => [type, length]),
        );
        const read = found.sections.map(({ offset, bytes }) =>
          image.subarray(offset, offset + bytes),
        );
        expect(read).toEqual(sections.map(([, bytes]) => bytes));
        expect(parseHeader(image.subarray(0, HEADER_BYTES), image.length).places).toHaveLength(
          sections.length,
        );
      }),
      { numRuns: 200 },
    );
  });

  it("has the registers of its contents alone: two differ only where those do", async () => {
    await fc.assert(
      fc.asyncProperty(layout, layout, async (one, two) => {
        const [a, b] = [await registersOf(one), await registersOf(two)];
        const prefix = (of: typeof one): string =>
          Buffer.concat([of.kernel, of.cmdline, of.ramdisks[0] ?? new Uint8Array()]).toString(
            "hex",
          );
        const rest = (of: typeof one): string =>
          Buffer.concat(of.ramdisks.slice(1)).toString("hex");
        expect(a.pcr1 === b.pcr1).toBe(prefix(one) === prefix(two));
        expect(a.pcr2 === b.pcr2).toBe(rest(one) === rest(two));
        expect(a.pcr0 === b.pcr0).toBe(prefix(one) + rest(one) === prefix(two) + rest(two));
      }),
      { numRuns: 200 },
    );
  });
});

async function registersOf(parts: {
  readonly kernel: Uint8Array;
  readonly cmdline: Uint8Array;
  readonly ramdisks: readonly Uint8Array[];
}): Promise<Readonly<Record<"pcr0" | "pcr1" | "pcr2", string>>> {
  const found = await outcome(
    imageOf(
      ["kernel", parts.kernel],
      ["cmdline", parts.cmdline],
      ...parts.ramdisks.map((ramdisk) => ["ramdisk", ramdisk] as const),
    ),
  );
  if (found === "refused") throw new TypeError("a good image was refused");
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return { pcr0: hex(found.pcr0), pcr1: hex(found.pcr1), pcr2: hex(found.pcr2) };
}
