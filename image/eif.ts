/**
 * The enclave image file, EIF, version 4: a header, then sections end to end, each with a small header
 * of its own. All numbers are big-endian. The layout is that of AWS's image format library, as it
 * writes it; whatever it does not write is refused here, so that no two readers can see two images
 * in one file.
 */
import { concatBytes } from "@countersign/attestation/attester";
import { crc32 } from "node:zlib";
import type { Architecture } from "./elf.ts";
import { ImageError } from "./errors.ts";

export const HEADER_BYTES = 548;
export const SECTION_HEADER_BYTES = 12;
const MAGIC = Buffer.from(".eif");
const VERSION = 4;
/** Header flags: bit 0 is set for arm64. */
const ARM64 = 1;
const MAX_SECTIONS = 32;
const TABLE_BYTES = MAX_SECTIONS * 8;
/** Where the fields of the header begin. */
const AT = {
  version: 4,
  flags: 6,
  memory: 8,
  cpus: 16,
  reserved: 24,
  count: 26,
  offsets: 28,
  sizes: 28 + TABLE_BYTES,
  unused: 28 + 2 * TABLE_BYTES,
  checksum: 32 + 2 * TABLE_BYTES,
} as const satisfies Record<string, number>;
/** A tool that starts an enclave without being told how large takes these; nothing measures them. */
const DEFAULT_MEMORY_BYTES = 1n << 30n;
const DEFAULT_CPUS = 2n;

/** Section types by their number in the file; also the order in which sections follow each other. */
const TYPES = { kernel: 1, cmdline: 2, metadata: 5, ramdisk: 3, signature: 4 } as const;
export type SectionType = keyof typeof TYPES;
const ORDER: readonly SectionType[] = ["kernel", "cmdline", "metadata", "ramdisk", "signature"];
const REQUIRED: readonly SectionType[] = ["kernel", "cmdline", "ramdisk"];

/**
 * Bytes of a section, at most: of a command line, what Linux takes on arm64 (COMMAND_LINE_SIZE), of a
 * signature what AWS's reader takes. A kernel and ramdisks may be as large as the file.
 */
const MOST_BYTES: Readonly<Partial<Record<SectionType, number>>> = {
  cmdline: 2048,
  metadata: 1 << 20,
  signature: 32_768,
};

export interface Section {
  readonly type: SectionType;
  /** Where its contents begin in the file, after its own header. */
  readonly offset: number;
  readonly bytes: number;
}

export interface Header {
  readonly architecture: Architecture;
  readonly checksum: number;
  /** Where each section's own header begins, and the bytes of its contents. */
  readonly places: readonly Place[];
}

interface Place {
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Reads a header; nothing is known yet of the sections but that they fill `fileBytes` exactly.
 *
 * @throws ImageError `image/malformed`.
 */
export function parseHeader(bytes: Uint8Array, fileBytes: number): Header {
  const header = Buffer.from(bytes);
  if (header.length !== HEADER_BYTES) throw malformed(`it ends in the header`);
  if (!header.subarray(0, 4).equals(MAGIC)) throw malformed("it does not begin with .eif");
  const version = header.readUInt16BE(AT.version);
  if (version !== VERSION) throw malformed(`it is of version ${version}, want ${VERSION}`);
  const flags = header.readUInt16BE(AT.flags);
  if (flags !== 0 && flags !== ARM64) throw malformed(`header flags are ${flags}, want 0 or 1`);
  const reserved = header.readUInt16BE(AT.reserved) + header.readUInt32BE(AT.unused);
  if (reserved !== 0) throw malformed("reserved header fields are not 0");
  const count = header.readUInt16BE(AT.count);
  if (count > MAX_SECTIONS) throw malformed(`${count} sections, want at most ${MAX_SECTIONS}`);
  return {
    architecture: flags === ARM64 ? "arm64" : "x86_64",
    checksum: header.readUInt32BE(AT.checksum),
    places: places(header, count, fileBytes),
  };
}

/** Sections lie end to end: none overlaps, and no byte of the file is outside of all. */
function places(header: Buffer, count: number, fileBytes: number): readonly Place[] {
  const found: Place[] = [];
  let end = HEADER_BYTES;
  for (let i = 0; i < MAX_SECTIONS; i++) {
    const offset = wideNumber(header, AT.offsets + 8 * i);
    const bytes = wideNumber(header, AT.sizes + 8 * i);
    if (i >= count) {
      if (offset !== 0 || bytes !== 0) throw malformed(`section ${i} of ${count} has a place`);
      continue;
    }
    if (offset !== end) throw malformed(`section ${i} is at ${offset}, want ${end}`);
    end = offset + SECTION_HEADER_BYTES + bytes;
    if (end > fileBytes) throw malformed(`section ${i} ends at ${end}, the file at ${fileBytes}`);
    found.push({ offset, bytes });
  }
  if (end !== fileBytes) throw malformed(`${fileBytes - end} bytes follow the last section`);
  return found;
}

/**
 * Reads the sections' own headers, one for each of `header.places`.
 *
 * @throws ImageError `image/malformed` on types that are unknown, missing, repeated or out of order.
 */
export function parseSections(header: Header, own: readonly Uint8Array[]): readonly Section[] {
  const sections = header.places.map(({ offset, bytes }, i) => {
    const fields = Buffer.from(own[i] ?? []);
    if (fields.length !== SECTION_HEADER_BYTES) throw malformed(`it ends in section ${i}`);
    const number = fields.readUInt16BE(0);
    const type = ORDER.find((name) => TYPES[name] === number);
    if (type === undefined) throw malformed(`section ${i} is of type ${number}`);
    const flags = fields.readUInt16BE(2);
    if (flags !== 0) throw malformed(`section ${i} has flags ${flags}, want 0`);
    const repeated = wideNumber(fields, 4);
    if (repeated !== bytes) throw malformed(`section ${i} has ${bytes} bytes and ${repeated}`);
    const most = MOST_BYTES[type] ?? bytes;
    if (bytes > most) throw malformed(`the ${type} has ${bytes} bytes, want at most ${most}`);
    if (bytes === 0 && type !== "cmdline") throw malformed(`the ${type} is empty`);
    return { type, offset: offset + SECTION_HEADER_BYTES, bytes };
  });
  requireOrder(sections.map(({ type }) => type));
  return sections;
}

/** One kernel, one command line, one ramdisk or more; at most one of the others. */
function requireOrder(types: readonly SectionType[]): void {
  for (const type of REQUIRED) if (!types.includes(type)) throw malformed(`it has no ${type}`);
  for (const [i, type] of types.entries()) {
    const before = types[i - 1];
    if (before === undefined) continue;
    const step = ORDER.indexOf(type) - ORDER.indexOf(before);
    if (step === 0 && type !== "ramdisk") throw malformed(`it has two sections of type ${type}`);
    if (step < 0) throw malformed(`the ${type} follows the ${before}`);
  }
}

/** A section before it has a place. */
export interface SectionSize {
  readonly type: SectionType;
  readonly bytes: number;
}

/** The header of an image of `sections`, with the checksum given; before it is known, 0. */
export function encodeHeader(
  architecture: Architecture,
  sections: readonly SectionSize[],
  checksum: number,
): Uint8Array {
  if (sections.length > MAX_SECTIONS) throw new TypeError(`${sections.length} sections`);
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt16BE(VERSION, AT.version);
  header.writeUInt16BE(architecture === "arm64" ? ARM64 : 0, AT.flags);
  header.writeBigUInt64BE(DEFAULT_MEMORY_BYTES, AT.memory);
  header.writeBigUInt64BE(DEFAULT_CPUS, AT.cpus);
  header.writeUInt16BE(sections.length, AT.count);
  let offset = HEADER_BYTES;
  for (const [i, { bytes }] of sections.entries()) {
    header.writeBigUInt64BE(BigInt(offset), AT.offsets + 8 * i);
    header.writeBigUInt64BE(BigInt(bytes), AT.sizes + 8 * i);
    offset += SECTION_HEADER_BYTES + bytes;
  }
  header.writeUInt32BE(checksum, AT.checksum);
  return new Uint8Array(header);
}

/** A section's own header. */
export function encodeSectionHeader({ type, bytes }: SectionSize): Uint8Array {
  const header = Buffer.alloc(SECTION_HEADER_BYTES);
  header.writeUInt16BE(TYPES[type], 0);
  header.writeBigUInt64BE(BigInt(bytes), 4);
  return new Uint8Array(header);
}

/** The checksum of an image begins with its header, without the checksum; then all that follows. */
export function checksumOfHeader(header: Uint8Array): number {
  return crc32(header.subarray(0, AT.checksum));
}

/** A whole image of sections that are in memory. */
export function encodeImage(
  architecture: Architecture,
  sections: readonly (readonly [SectionType, Uint8Array])[],
): Uint8Array {
  const sizes = sections.map(([type, contents]) => ({ type, bytes: contents.length }));
  const body = concatBytes(
    ...sections.flatMap(([type, contents]) => [
      encodeSectionHeader({ type, bytes: contents.length }),
      contents,
    ]),
  );
  const checksum = crc32(body, checksumOfHeader(encodeHeader(architecture, sizes, 0)));
  return concatBytes(encodeHeader(architecture, sizes, checksum), body);
}

function wideNumber(buffer: Buffer, at: number): number {
  const value = buffer.readBigUInt64BE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`a place is ${value}, above 2^53`);
  return Number(value);
}

function malformed(found: string): ImageError {
  return new ImageError("image/malformed", `no enclave image: ${found}`);
}
