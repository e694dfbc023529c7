/**
 * The archive that Linux unpacks into its root file system: cpio, "new ASCII" (newc), as of
 * Documentation/driver-api/early-userspace/buffer-format.rst. Not compressed: a compressor's output
 * depends on its version, and the ramdisk lies in the enclave's memory either way.
 *
 * Nothing in it depends on where or when it is made: entries are sorted, times are 0, the owner is
 * root, inode numbers count up.
 */
import { concatBytes, encodeUtf8 } from "@countersign/attestation/attester";
import { contentBytes, contentChunks, type Entry, sortedEntries } from "./entry.ts";

const MAGIC = "070701";
const END = "TRAILER!!!";
const HEADER_BYTES = 110;
/** Names and contents begin on multiples of four. */
const ALIGNMENT = 4;
/** The whole is a multiple of 512, so that archives can be laid end to end. */
const BLOCK_BYTES = 512;

/** st_mode: the file type and the permissions of each kind. */
const MODES = {
  directory: 0o040755,
  link: 0o120777,
  device: 0o020600,
  file: 0o100644,
  executable: 0o100755,
} as const satisfies Record<string, number>;

/** The bytes that {@link cpioChunks} yields for these entries. */
export function cpioBytes(entries: readonly Entry[]): number {
  let total = aligned(HEADER_BYTES + END.length + 1, ALIGNMENT);
  for (const entry of sortedEntries(entries)) {
    total += aligned(HEADER_BYTES + entry.path.length + 1, ALIGNMENT);
    total += aligned(size(entry), ALIGNMENT);
  }
  return aligned(total, BLOCK_BYTES);
}

/**
 * The archive in pieces.
 *
 * @throws ImageError `image/input` as {@link sortedEntries} and {@link contentChunks} do.
 */
export async function* cpioChunks(entries: readonly Entry[]): AsyncGenerator<Uint8Array> {
  let offset = 0;
  let inode = 0;
  for (const entry of sortedEntries(entries)) {
    const head = header(entry, ++inode);
    yield head;
    offset += head.length;
    if (entry.kind === "link") yield encodeUtf8(entry.target);
    if (entry.kind === "file") yield* contentChunks(entry.content);
    const bytes = size(entry);
    offset += aligned(bytes, ALIGNMENT);
    if (bytes % ALIGNMENT !== 0) yield new Uint8Array(ALIGNMENT - (bytes % ALIGNMENT));
  }
  const end = record(END, { inode: 0, mode: 0, links: 1, size: 0, major: 0, minor: 0 });
  yield end;
  offset += end.length;
  yield new Uint8Array(aligned(offset, BLOCK_BYTES) - offset);
}

/** Of a link, its content is its target. */
function size(entry: Entry): number {
  switch (entry.kind) {
    case "file":
      return contentBytes(entry.content);
    case "link":
      return entry.target.length;
    case "directory":
    case "device":
      return 0;
    default:
      return entry satisfies never;
  }
}

function header(entry: Entry, inode: number): Uint8Array {
  const executable = entry.kind === "file" && entry.executable;
  return record(entry.path, {
    inode,
    mode: MODES[executable ? "executable" : entry.kind],
    links: entry.kind === "directory" ? 2 : 1,
    size: size(entry),
    major: entry.kind === "device" ? entry.major : 0,
    minor: entry.kind === "device" ? entry.minor : 0,
  });
}

interface Fields {
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly size: number;
  readonly major: number;
  readonly minor: number;
}

function record(name: string, fields: Fields): Uint8Array {
  const { inode, mode, links, size: bytes, major, minor } = fields;
  // ino, mode, uid, gid, nlink, mtime, filesize, dev ×2, rdev ×2, namesize, check.
  const numbers = [inode, mode, 0, 0, links, 0, bytes, 0, 0, major, minor, name.length + 1, 0];
  const digits = numbers.map((number) => number.toString(16).padStart(8, "0")).join("");
  const text = encodeUtf8(`${MAGIC}${digits}${name}\0`);
  return concatBytes(text, new Uint8Array(aligned(text.length, ALIGNMENT) - text.length));
}

function aligned(bytes: number, to: number): number {
  return Math.ceil(bytes / to) * to;
}
