/** A reader of cpio archives, written from the format's description and not from cpio.ts. */
import { type Entry } from "@countersign/image";
import { cpioChunks } from "../../../image/cpio.ts";

/** One header of an archive, with what follows it. */
export interface Item {
  readonly name: string;
  readonly inode: number;
  readonly mode: number;
  readonly owner: readonly [user: number, group: number];
  readonly links: number;
  readonly time: number;
  readonly device: readonly [major: number, minor: number];
  readonly content: Buffer;
}

export async function archiveOf(entries: readonly Entry[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of cpioChunks(entries)) parts.push(chunk);
  return Buffer.concat(parts);
}

/** Every item up to the trailer; all that is not read must be zero. */
export function itemsOf(archive: Buffer): readonly Item[] {
  const items: Item[] = [];
  let at = 0;
  for (;;) {
    const start = at;
    const magic = archive.toString("latin1", at, at + 6);
    if (magic !== "070701") throw new TypeError(`magic ${magic} at ${at}`);
    const number = (field: number): number => {
      const digits = archive.toString("latin1", start + 6 + 8 * field, start + 14 + 8 * field);
      if (!/^[0-9a-f]{8}$/u.test(digits)) throw new TypeError(`field ${field} is ${digits}`);
      return Number.parseInt(digits, 16);
    };
    const nameEnd = start + 110 + number(11) - 1;
    if (archive[nameEnd] !== 0) throw new TypeError("a name has no end");
    const name = archive.toString("latin1", start + 110, nameEnd);
    const from = start + Math.ceil((110 + number(11)) / 4) * 4;
    requireZero(archive.subarray(nameEnd, from));
    const to = from + number(6);
    at = Math.ceil(to / 4) * 4;
    requireZero(archive.subarray(to, at));
    if (number(12) !== 0 || number(7) !== 0 || number(8) !== 0)
      throw new TypeError("unused fields");
    if (name === "TRAILER!!!") break;
    items.push({
      name,
      inode: number(0),
      mode: number(1),
      owner: [number(2), number(3)],
      links: number(4),
      time: number(5),
      device: [number(9), number(10)],
      content: archive.subarray(from, to),
    });
  }
  requireZero(archive.subarray(at));
  return items;
}

function requireZero(bytes: Buffer): void {
  if (bytes.some((byte) => byte !== 0)) throw new TypeError("padding is not zero");
}
