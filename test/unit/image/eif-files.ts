/** Images in memory and on disk for the tests of their reader. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeUtf8 } from "@countersign/attestation";
import { ImageError, measureImage, type MeasuredImage } from "@countersign/image";
import { crc32 } from "node:zlib";
import { afterAll } from "vitest";
import { encodeImage, HEADER_BYTES, type SectionType } from "../../../image/eif.ts";
import { readVector, readVectorJson } from "../../shared.ts";

export const CHECKSUM_AT = HEADER_BYTES - 4;

const folder = mkdtempSync(join(tmpdir(), "countersign-eif-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** A path that nothing is at. */
export function newPath(extension = ".eif"): string {
  return join(folder, `${++files}${extension}`);
}

/** A file of these bytes. */
export function fileOf(bytes: Uint8Array, extension?: string): string {
  const path = newPath(extension);
  writeFileSync(path, bytes);
  return path;
}

export function vectorImage(name: string): Uint8Array {
  return readVector(`qemu-nsm/${name}`);
}

/** The registers that a vector's writer predicted, and QEMU's reader showed. */
export function vectorRegisters(name: string): unknown {
  return readVectorJson(`qemu-nsm/${name}.pcrs.json`);
}

export async function measureBytes(bytes: Uint8Array): Promise<MeasuredImage> {
  const path = fileOf(bytes);
  try {
    return await measureImage(path);
  } finally {
    rmSync(path);
  }
}

/** The code and message of the refusal; the image must be refused, with an error of ours. */
export async function refusalOf(bytes: Uint8Array): Promise<string> {
  try {
    await measureBytes(bytes);
  } catch (error) {
    if (error instanceof ImageError) return error.message;
    throw error;
  }
  throw new TypeError("the image was not refused");
}

/** A copy in which `change` was made and the checksum mended: what a liar writes, not what a disk does. */
export function changed(image: Uint8Array, change: (copy: Buffer) => Buffer | void): Uint8Array {
  const copy = Buffer.from(image);
  return sealed(change(copy) ?? copy);
}

/** The image with the checksum of its bytes. */
export function sealed(image: Buffer): Uint8Array {
  const head = crc32(image.subarray(0, CHECKSUM_AT));
  image.writeUInt32BE(crc32(image.subarray(HEADER_BYTES), head), CHECKSUM_AT);
  return new Uint8Array(image);
}

/** An image of such sections, in this order, whether or not that is one. */
export function imageOf(
  ...sections: readonly (readonly [SectionType, string | Uint8Array])[]
): Uint8Array {
  return encodeImage(
    "x86_64",
    sections.map(([type, contents]) => [
      type,
      typeof contents === "string" ? encodeUtf8(contents) : contents,
    ]),
  );
}
