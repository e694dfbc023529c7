/**
 * What an enclave that runs this image attests, computed from the file alone; the file is judged on
 * the way. One pass, in pieces: an image may be larger than memory.
 */
import { createHash } from "node:crypto";
import { constants, type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { Architecture } from "./elf.ts";
import {
  checksumOfHeader,
  type Header,
  HEADER_BYTES,
  parseHeader,
  parseSections,
  type Section,
  SECTION_HEADER_BYTES,
} from "./eif.ts";
import { ImageError } from "./errors.ts";
import { certificateRegister, RegisterHasher, type Registers } from "./registers.ts";
import { type ImageSignature, verifySignature } from "./signature.ts";

const CHUNK_BYTES = 1 << 20;

/** An image that keeps every rule of the format. */
export interface ImageLayout {
  readonly file: string;
  readonly bytes: number;
  readonly architecture: Architecture;
  readonly sections: readonly Section[];
}

export interface MeasuredImage extends ImageLayout, Registers {
  /** Null where the image is not signed; such an enclave's register is zero. */
  readonly pcr8: Uint8Array | null;
  readonly signature: ImageSignature | null;
  /** Of the file. */
  readonly sha256: Uint8Array;
}

/**
 * Measures the image in `file`.
 *
 * @throws ImageError `image/input` where it cannot be read, else `image/malformed`, `image/checksum`
 * or `image/signature`.
 */
export async function measureImage(file: string): Promise<MeasuredImage> {
  return withImage(file, async (image) => {
    const { header, layout } = await readLayout(image);
    const sha256 = createHash("sha256");
    const registers = new RegisterHasher();
    let checksum = checksumOfHeader(header);
    let section: Section | null = null;
    let signature = new Uint8Array();
    sha256.update(header);
    for await (const { of, chunk, own } of pieces(image, layout.sections)) {
      sha256.update(chunk);
      checksum = crc32(chunk, checksum);
      if (own) continue;
      if (of !== section) registers.begin(of.type);
      section = of;
      registers.update(of.type, chunk);
      // At most 32 KiB: never more than one piece.
      if (of.type === "signature") signature = new Uint8Array(chunk);
    }
    if (checksum !== layout.checksum) throw wrongChecksum(layout.checksum, checksum);
    const { pcr0, pcr1, pcr2 } = registers.registers();
    const signed = signature.length === 0 ? null : verifySignature(signature, pcr0);
    return {
      ...publicLayout(image, layout),
      pcr0,
      pcr1,
      pcr2,
      pcr8: signed === null ? null : certificateRegister(signed.certificate),
      signature: signed,
      sha256: new Uint8Array(sha256.digest()),
    };
  });
}

/** The contents of one section of an image, in pieces. @throws ImageError `image/input`. */
export async function* sectionChunks(
  { file }: ImageLayout,
  section: Section,
): AsyncGenerator<Uint8Array> {
  const handle = await opened(file);
  try {
    yield* range({ file, handle, bytes: 0 }, section.offset, section.bytes);
  } finally {
    await handle.close();
  }
}

/** The checksum that the image in `file` should carry; `header` is as it will be, but for that. */
export async function computedChecksum(handle: FileHandle, header: Uint8Array): Promise<number> {
  const { size } = await handle.stat();
  let checksum = checksumOfHeader(header);
  const image = { file: "the new image", handle, bytes: size };
  for await (const chunk of range(image, HEADER_BYTES, size - HEADER_BYTES)) {
    checksum = crc32(chunk, checksum);
  }
  return checksum;
}

interface OpenImage {
  readonly file: string;
  readonly handle: FileHandle;
  readonly bytes: number;
}

interface Layout extends Pick<Header, "architecture" | "checksum"> {
  readonly sections: readonly Section[];
}

async function withImage<T>(file: string, use: (image: OpenImage) => Promise<T>): Promise<T> {
  const handle = await opened(file);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new ImageError("image/input", `${file} is no regular file`);
    return await use({ file, handle, bytes: found.size });
  } finally {
    await handle.close();
  }
}

async function readLayout(
  image: OpenImage,
): Promise<{ readonly header: Uint8Array; readonly layout: Layout }> {
  const header = await upTo(image, 0, HEADER_BYTES);
  const parsed = parseHeader(header, image.bytes);
  const own: Uint8Array[] = [];
  for (const { offset } of parsed.places) own.push(await upTo(image, offset, SECTION_HEADER_BYTES));
  const { architecture, checksum } = parsed;
  return { header, layout: { architecture, checksum, sections: parseSections(parsed, own) } };
}

function publicLayout({ file, bytes }: OpenImage, layout: Layout): ImageLayout {
  return { file, bytes, architecture: layout.architecture, sections: layout.sections };
}

interface Piece {
  readonly of: Section;
  readonly chunk: Uint8Array;
  /** Whether it is the section's own header. */
  readonly own: boolean;
}

/** Everything after the header, in its order. */
async function* pieces(image: OpenImage, sections: readonly Section[]): AsyncGenerator<Piece> {
  for (const of of sections) {
    const header = of.offset - SECTION_HEADER_BYTES;
    for await (const chunk of range(image, header, SECTION_HEADER_BYTES)) {
      yield { of, chunk, own: true };
    }
    for await (const chunk of range(image, of.offset, of.bytes)) yield { of, chunk, own: false };
  }
}

async function* range(image: OpenImage, offset: number, bytes: number): AsyncGenerator<Uint8Array> {
  const end = offset + bytes;
  for (let at = offset; at < end;) {
    const chunk = await upTo(image, at, Math.min(CHUNK_BYTES, end - at));
    if (chunk.length === 0) throw new ImageError("image/input", `${image.file} became shorter`);
    yield chunk;
    at += chunk.length;
  }
}

/** The bytes from `offset`, at most `most`, fewer where the file ends. */
async function upTo({ handle }: OpenImage, offset: number, most: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(most);
  let length = 0;
  while (length < most) {
    const { bytesRead } = await handle.read(buffer, length, most - length, offset + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

async function opened(file: string): Promise<FileHandle> {
  try {
    // A pipe would be waited for until somebody writes to it.
    return await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new ImageError("image/input", `${file} cannot be read`, { cause });
  }
}

function wrongChecksum(carried: number, computed: number): ImageError {
  const hex = (checksum: number): string => checksum.toString(16).padStart(8, "0");
  const found = `it carries ${hex(carried)}, its bytes have ${hex(computed)}`;
  return new ImageError("image/checksum", found);
}
