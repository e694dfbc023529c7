/** ELF files with nothing in them but what a loader reads, for the tests of what reads it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export interface SmallElf {
  readonly machine?: number;
  readonly interpreter?: string;
  readonly needed?: readonly string[];
  readonly runpath?: string;
  readonly rpath?: string;
}

/** Where the file lies in memory, unlike where it begins on disk. */
const ADDRESS = 0x40_0000;
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const X86_64 = 62;

/** A header, one segment over all, the dynamic section, and names. */
export function elfBytes({
  machine = X86_64,
  interpreter,
  needed = [],
  runpath,
  rpath,
}: SmallElf = {}): Buffer {
  const names: string[] = [""];
  const named = (name: string): bigint => {
    const at = names.join("\0").length + 1;
    names.push(name);
    return BigInt(at);
  };
  const tags: (readonly [bigint, bigint])[] = needed.map((name) => [1n, named(name)]);
  if (runpath !== undefined) tags.push([29n, named(runpath)]);
  if (rpath !== undefined) tags.push([15n, named(rpath)]);
  const interpreterAt = interpreter === undefined ? 0n : named(interpreter);
  const segments = interpreter === undefined ? 2 : 3;
  const dynamicAt = HEADER_BYTES + segments * SEGMENT_BYTES;
  const dynamicBytes = (tags.length + 2) * 16;
  const stringsAt = dynamicAt + dynamicBytes;
  const strings = Buffer.from(`${names.join("\0")}\0`);
  const total = stringsAt + strings.length;
  const dynamic = Buffer.alloc(dynamicBytes);
  for (const [i, [tag, value]] of [...tags, [5n, BigInt(ADDRESS + stringsAt)] as const].entries()) {
    dynamic.writeBigUInt64LE(tag, i * 16);
    dynamic.writeBigUInt64LE(value, i * 16 + 8);
  }
  const header = Buffer.alloc(HEADER_BYTES);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(machine, 18);
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  header.writeUInt16LE(SEGMENT_BYTES, 54);
  header.writeUInt16LE(segments, 56);
  const table = [segment(1, 0, total), segment(2, dynamicAt, dynamicBytes)];
  if (interpreter !== undefined) {
    table.push(segment(3, stringsAt + Number(interpreterAt), interpreter.length + 1));
  }
  return Buffer.concat([header, ...table, dynamic, strings]);
}

/** Writes it, and the folders above it; returns the path. */
export function writeElf(path: string, elf: SmallElf = {}): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, elfBytes(elf));
  return path;
}

function segment(type: number, offset: number, bytes: number): Buffer {
  const entry = Buffer.alloc(SEGMENT_BYTES);
  entry.writeUInt32LE(type, 0);
  entry.writeBigUInt64LE(BigInt(offset), 8);
  entry.writeBigUInt64LE(BigInt(ADDRESS + offset), 16);
  entry.writeBigUInt64LE(BigInt(bytes), 32);
  entry.writeBigUInt64LE(BigInt(bytes), 40);
  return entry;
}
