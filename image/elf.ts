/**
 * What a dynamic linker reads of an ELF file (System V gABI, "Object Files" and "Dynamic Linking"):
 * 64 bits, little-endian, of one architecture. The file is hostile: offsets are checked, and no more
 * is read than the tables.
 */
import { type FileHandle, open } from "node:fs/promises";
import { ImageError } from "./errors.ts";

/** The architectures that have enclaves, in the names that the Linux kernel gives them. */
export type Architecture = "x86_64" | "arm64";

/** e_machine: EM_X86_64 and EM_AARCH64. */
const MACHINES: Readonly<Record<Architecture, number>> = { x86_64: 62, arm64: 183 };
const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const DYNAMIC_ENTRY_BYTES = 16;
/** Program header types. */
const LOAD = 1;
const DYNAMIC = 2;
const INTERPRETER = 3;
/** Tags of the dynamic section. */
const TAG = { end: 0, needed: 1, strings: 5, rpath: 15, runpath: 29 } as const satisfies Record<
  string,
  number
>;
const MAX_PROGRAM_HEADERS = 128;
const MAX_DYNAMIC_BYTES = 1 << 16;
const MAX_STRING_BYTES = 1024;

export interface ElfFile {
  readonly architecture: Architecture;
  /** PT_INTERP: the loader that the kernel starts; null for a library. */
  readonly interpreter: string | null;
  /** DT_NEEDED, in its order. */
  readonly needed: readonly string[];
  /** DT_RUNPATH, else DT_RPATH: folders, `$ORIGIN` not replaced. */
  readonly searchPath: readonly string[];
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

/** Whether `start`, a file's first bytes, is the beginning of an ELF file. */
export function isElf(start: Uint8Array): boolean {
  return MAGIC.equals(start.subarray(0, MAGIC.length));
}

/** @throws ImageError `image/input` unless `file` is an ELF file of 64 bits for an architecture of ours. */
export async function readElf(file: string): Promise<ElfFile> {
  const handle = await open(file, "r").catch((cause: unknown) => {
    throw new ImageError("image/input", `${file} cannot be read`, { cause });
  });
  try {
    return await parsed(new ElfReader(file, handle));
  } finally {
    await handle.close();
  }
}

async function parsed(reader: ElfReader): Promise<ElfFile> {
  const header = await reader.read(0, HEADER_BYTES);
  if (!isElf(header) || header[4] !== CLASS_64 || header[5] !== LITTLE_ENDIAN) {
    throw reader.refusal("is no ELF file of 64 bits, little-endian");
  }
  const machine = header.readUInt16LE(18);
  const architecture = machine === MACHINES.x86_64 ? "x86_64" : "arm64";
  if (machine !== MACHINES[architecture]) throw reader.refusal(`is for machine ${machine}`);
  const segments = await programHeaders(reader, header);
  const interpreter = segments.find(({ type }) => type === INTERPRETER);
  const entries = await dynamicEntries(reader, segments);
  const strings = entries.find(({ tag }) => tag === TAG.strings)?.value ?? 0;
  const named = async (wanted: number): Promise<readonly string[]> => {
    const found: string[] = [];
    for (const { tag, value } of entries) {
      if (tag !== wanted) continue;
      found.push(await reader.text(fileOffset(reader, segments, strings + value)));
    }
    return found;
  };
  const [path] = [...(await named(TAG.runpath)), ...(await named(TAG.rpath))];
  return {
    architecture,
    interpreter: interpreter === undefined ? null : await reader.text(interpreter.offset),
    needed: await named(TAG.needed),
    searchPath: path?.split(":") ?? [],
  };
}

async function programHeaders(reader: ElfReader, header: Buffer): Promise<readonly Segment[]> {
  const offset = reader.number(header, 32);
  const [entryBytes, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
  if (entryBytes !== PROGRAM_HEADER_BYTES || count > MAX_PROGRAM_HEADERS) {
    throw reader.refusal(`has ${count} program headers of ${entryBytes} bytes`);
  }
  const table = await reader.read(offset, count * PROGRAM_HEADER_BYTES);
  return Array.from({ length: count }, (_, i) => {
    const at = i * PROGRAM_HEADER_BYTES;
    return {
      type: table.readUInt32LE(at),
      offset: reader.number(table, at + 8),
      address: reader.number(table, at + 16),
      bytes: reader.number(table, at + 32),
    };
  });
}

interface DynamicEntry {
  readonly tag: number;
  readonly value: number;
}

/** Of a static program, none. Values of tags that are not read here may be anything. */
async function dynamicEntries(
  reader: ElfReader,
  segments: readonly Segment[],
): Promise<readonly DynamicEntry[]> {
  const dynamic = segments.find(({ type }) => type === DYNAMIC);
  if (dynamic === undefined) return [];
  if (dynamic.bytes > MAX_DYNAMIC_BYTES) throw reader.refusal("has too large a dynamic section");
  const table = await reader.read(dynamic.offset, dynamic.bytes);
  const known: ReadonlySet<bigint> = new Set(Object.values(TAG).map(BigInt));
  const entries: DynamicEntry[] = [];
  for (let at = 0; at + DYNAMIC_ENTRY_BYTES <= table.length; at += DYNAMIC_ENTRY_BYTES) {
    const tag = table.readBigUInt64LE(at);
    if (tag === 0n) break;
    if (known.has(tag)) entries.push({ tag: Number(tag), value: reader.number(table, at + 8) });
  }
  return entries;
}

function fileOffset(reader: ElfReader, segments: readonly Segment[], address: number): number {
  const holds = segments.find(
    (segment) =>
      segment.type === LOAD &&
      address >= segment.address &&
      address < segment.address + segment.bytes,
  );
  if (holds === undefined) throw reader.refusal("points outside of itself");
  return address - holds.address + holds.offset;
}

/** Reads of one open file, within its bounds. */
class ElfReader {
  readonly #file: string;
  readonly #handle: FileHandle;

  constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  refusal(found: string): ImageError {
    return new ImageError("image/input", `${this.#file} ${found}`);
  }

  async read(offset: number, bytes: number): Promise<Buffer> {
    const buffer = await this.#upTo(offset, bytes);
    if (buffer.length !== bytes) throw this.refusal("ends early");
    return buffer;
  }

  /** The text up to the next zero byte. */
  async text(offset: number): Promise<string> {
    const buffer = await this.#upTo(offset, MAX_STRING_BYTES);
    const end = buffer.indexOf(0);
    if (end === -1) throw this.refusal("has a name without an end");
    return buffer.toString("latin1", 0, end);
  }

  async #upTo(offset: number, most: number): Promise<Buffer> {
    const buffer = Buffer.alloc(most);
    try {
      const { bytesRead } = await this.#handle.read(buffer, 0, most, offset);
      return buffer.subarray(0, bytesRead);
    } catch (cause) {
      // A folder can be opened, and not read.
      throw new ImageError("image/input", `${this.#file} cannot be read`, { cause });
    }
  }

  /** A 64-bit number that is an offset, an address or a size: above 2^53, it is none of a file's. */
  number(buffer: Buffer, at: number): number {
    const value = buffer.readBigUInt64LE(at);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.refusal("has numbers above 2^53");
    return Number(value);
  }
}
