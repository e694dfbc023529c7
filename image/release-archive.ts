/**
 * What a ramdisk holds, read back from the archive that cpio.ts wrote.
 *
 * Only that form is read: whatever else could be in an archive, an owner or a time say, is measured
 * as well, and a release that left it out would claim to name every input and not do so.
 */
import { createHash } from "node:crypto";
import { ImageError } from "./errors.ts";
import type { InputKind, ReleaseInput } from "./release.ts";

const MAGIC = "070701";
const END = "TRAILER!!!";
const FIELDS = 13;
const MAGIC_BYTES = 6;
const FIELD_DIGITS = 8;
const HEADER_BYTES = 110;
const ALIGNMENT = 4;
const MAX_NAME_BYTES = 1025;
/** The characters of entry.ts; no part is empty, `.` or `..`. */
const NAME = /^(?!\.{1,2}(?:\/|$))[\w@.+~-]+(?:\/(?!\.{1,2}(?:\/|$))[\w@.+~-]+)*$/u;
const MAX_TARGET_BYTES = 1024;
const MAX_ENTRIES = 20_000;
/** The rest of the last block. */
const MAX_PADDING = 511;
const CHUNK_BYTES = 1 << 20;

/** S_IFMT of st_mode, and what of it we write. */
const TYPE_MASK = 0o170000;
const TYPES: ReadonlyMap<number, InputKind> = new Map([
  [0o040000, "directory"],
  [0o100000, "file"],
  [0o120000, "link"],
  [0o020000, "device"],
]);

/** Part of a file, by the place where it lies. */
export interface Extent {
  readonly bytes: number;
  /** @throws ImageError where there are fewer bytes than `length` from `offset`. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

interface Header {
  /** Null of the archive's end. */
  readonly kind: InputKind | null;
  readonly mode: string;
  readonly bytes: number;
  readonly device: string;
  readonly nameBytes: number;
}

/** An entry, and where its content lies in the archive. */
export interface ArchiveEntry {
  readonly input: ReleaseInput;
  readonly offset: number;
}

/**
 * Every entry of `archive`, the ramdisk with this number, in its order.
 *
 * @throws ImageError `image/malformed` on an archive that the image builder would not write.
 */
export async function* archiveEntries(
  archive: Extent,
  ramdisk: number,
): AsyncGenerator<ArchiveEntry> {
  let offset = 0;
  let before = "";
  for (let count = 0; count <= MAX_ENTRIES; count++) {
    const what = `ramdisk ${ramdisk}, entry ${count + 1}`;
    const header = parseHeader(await take(archive, offset, HEADER_BYTES, what), count + 1, what);
    const name = parseName(
      await take(archive, offset + HEADER_BYTES, header.nameBytes, what),
      what,
    );
    offset = await skipPadding(archive, offset + HEADER_BYTES + header.nameBytes, what);
    if ((name === END) !== (header.kind === null)) throw malformed(what, "an end that is none");
    if (header.kind === null) {
      await requireEnd(archive, offset, ramdisk);
      return;
    }
    // Names are ASCII. A name that is there twice is one file in a machine, and two in a list.
    if (name <= before) throw malformed(what, `${name} follows ${before}`);
    before = name;
    const { kind, mode, bytes } = header;
    const sha256 = await contentDigest(archive, offset, { ...header, kind }, what);
    yield { input: { kind, path: `${ramdisk}:/${name}`, mode, bytes, sha256 }, offset };
    offset = await skipPadding(archive, offset + bytes, what);
  }
  throw malformed(`ramdisk ${ramdisk}`, `more than ${MAX_ENTRIES} entries`);
}

/** @param inode - the number that the builder gives this entry. */
function parseHeader(bytes: Uint8Array, inode: number, what: string): Header {
  const text = Buffer.from(bytes).toString("latin1");
  if (!text.startsWith(MAGIC) || !/^[0-9a-f]{104}$/u.test(text.slice(MAGIC_BYTES))) {
    throw malformed(what, "no header of an uncompressed newc archive");
  }
  const field = (index: number): number => {
    const start = MAGIC_BYTES + index * FIELD_DIGITS;
    return Number.parseInt(text.slice(start, start + FIELD_DIGITS), 16);
  };
  const numbers = Array.from({ length: FIELDS }, (_, index) => field(index));
  const [own, mode = 0, uid, gid, links, mtime, size = 0, major, minor] = numbers;
  const [rmajor = 0, rminor = 0, nameBytes = 0, check] = numbers.slice(9);
  if ([uid, gid, mtime, major, minor, check].some((number) => number !== 0)) {
    throw malformed(what, "has an owner, a time or a device that the builder does not write");
  }
  const type = mode & TYPE_MASK;
  const kind = TYPES.get(type);
  // Of the archive's end, all is zero but the count of links.
  const isEnd = own === 0 && mode === 0 && size === 0;
  if (kind === undefined && !isEnd) throw malformed(what, `of type ${type.toString(8)}`);
  if (!isEnd && own !== inode) throw malformed(what, `numbered ${own}, want ${inode}`);
  if (links !== (kind === "directory" ? 2 : 1)) throw malformed(what, `has ${links} links`);
  if (size > 0 && (kind === "directory" || kind === "device")) {
    throw malformed(what, `a ${kind} of ${size} bytes`);
  }
  if (kind !== "device" && (rmajor !== 0 || rminor !== 0)) throw malformed(what, "device numbers");
  if (nameBytes < 2 || nameBytes > MAX_NAME_BYTES) {
    throw malformed(what, `a name of ${nameBytes} bytes`);
  }
  return {
    kind: kind ?? null,
    mode: (mode & ~TYPE_MASK).toString(8).padStart(4, "0"),
    bytes: size,
    device: `${rmajor}:${rminor}`,
    nameBytes,
  };
}

function parseName(bytes: Uint8Array, what: string): string {
  const name = Buffer.from(bytes.subarray(0, -1)).toString("latin1");
  if (bytes.at(-1) === 0 && (name === END || NAME.test(name))) return name;
  throw malformed(what, `its name is ${JSON.stringify(name)}`);
}

async function contentDigest(
  archive: Extent,
  offset: number,
  { kind, bytes, device }: Header & { readonly kind: InputKind },
  what: string,
): Promise<string> {
  const hash = createHash("sha256");
  if (kind === "device") return hash.update(device).digest("hex");
  if (kind === "link" && bytes > MAX_TARGET_BYTES) throw malformed(what, "its target is too long");
  for (let done = 0; done < bytes; done += CHUNK_BYTES) {
    hash.update(await take(archive, offset + done, Math.min(CHUNK_BYTES, bytes - done), what));
  }
  return hash.digest("hex");
}

/** The next multiple of four, and nothing but zeros before it: they are measured like the rest. */
async function skipPadding(archive: Extent, offset: number, what: string): Promise<number> {
  const length = (ALIGNMENT - (offset % ALIGNMENT)) % ALIGNMENT;
  requireZeros(await take(archive, offset, length, what), what);
  return offset + length;
}

async function requireEnd(archive: Extent, offset: number, ramdisk: number): Promise<void> {
  const what = `ramdisk ${ramdisk}`;
  const rest = archive.bytes - offset;
  if (rest > MAX_PADDING) throw malformed(what, `${rest} bytes behind its end`);
  requireZeros(await take(archive, offset, rest, what), what);
}

function requireZeros(bytes: Uint8Array, what: string): void {
  if (bytes.some((byte) => byte !== 0)) throw malformed(what, "bytes between its parts");
}

async function take(
  archive: Extent,
  offset: number,
  length: number,
  what: string,
): Promise<Uint8Array> {
  if (offset + length > archive.bytes) throw malformed(what, "ends in the middle");
  return length === 0 ? new Uint8Array() : await archive.read(offset, length);
}

function malformed(what: string, found: string): ImageError {
  return new ImageError(
    "image/malformed",
    `${what}: ${found}; only what "countersign image build" writes can be released`,
  );
}
