/**
 * Mutants of DER elements: the tree is changed at one place and written again, so that the lengths
 * around it fit and a parser gets to see the change.
 */
import { concatBytes } from "@countersign/attestation";
import { hex, tlv } from "../fakes/nitro.ts";

interface Element {
  readonly tag: number;
  /** Bytes before the elements inside: the count of unused bits of a BIT STRING. */
  readonly lead: Uint8Array;
  /** What is inside: elements, or bytes. */
  readonly inside: readonly Element[] | Uint8Array;
}

const NOTHING = new Uint8Array();
const [OCTET_STRING, BIT_STRING, CONSTRUCTED] = [0x04, 0x03, 0x20] as const;

/** Elements that stand where another one should. */
const ODD_ELEMENTS: readonly Uint8Array[] = [
  // BOOLEAN: false, one, two bytes. INTEGER: none, zero, negative, not minimal, large.
  "010100 010101 0102ffff 0200 020100 0201ff 0202007f 02020080 0203010000 0201 7f",
  // BIT STRING: none, unused bits only, minimal, not minimal. OCTET STRING, NULL, OBJECT IDENTIFIER.
  "0300 030100 03020780 03020080 0303078080 0400 0500 050100 0600 06012a 06028001 0603551d13",
  // Text: of every type, empty, not its own alphabet.
  "0c00 0c0161 0c02c328 1300 130161 13012a 14014f 160161 1e020061 1c0400000061",
  // Times: before 2050 and after, without seconds, with an offset, that do not exist.
  "170d3237303131353038303030305a 170b323730313135303830305a 170d3237303233303038303030305a",
  "180f32303530303131353038303030305a 180f32303237303131353038303030305a",
  "17113237303131353038303030302b30303030 170d3237303131353234303030305a",
  // SEQUENCE and SET: empty, of one, of indefinite length; tags of context, of two bytes.
  "3000 3100 30020500 31020500 3080 30800000 a000 a100 a300 8000 8100 8200 1f8100 bf8100",
  // Lengths: not minimal, too long, of four bytes.
  "04810100 0482000100 04840000000100 30810200 0485000000000100",
].flatMap((line) => line.split(" ").map((text) => hex(text)));

/** One change of a whole element. */
export function mutateDer(random: () => number, der: Uint8Array): Uint8Array {
  const root = parse(der);
  if (root === null) return der;
  const count = sizeOf(root);
  const chosen = Math.floor(random() * count);
  return write(root, { at: chosen, seen: 0, change: (element) => changed(random, element) });
}

/** One element changed, as bytes: not always one element any more. */
function changed(random: () => number, element: Element): Uint8Array {
  const own = write(element, null);
  const odd = pick(random, ODD_ELEMENTS);
  const { tag, lead, inside } = element;
  const content = own.subarray(own.length - contentLength(element));
  switch (Math.floor(random() * 9)) {
    case 0:
      return odd;
    case 1:
      return NOTHING;
    case 2:
      return concatBytes(own, own);
    case 3:
      return concatBytes(own, odd);
    case 4:
      return concatBytes(Uint8Array.of(tag ^ (1 << Math.floor(random() * 8))), own.subarray(1));
    case 5:
      // A length in one byte more than it needs (X.690 §10.1).
      return concatBytes(Uint8Array.of(tag, ...longLength(content.length)), content);
    case 6: {
      const flipped = content.slice();
      const at = Math.floor(random() * flipped.length);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      return tlv(tag, flipped);
    }
    case 7:
      return random() < 0.5 ? tlv(tag, content.subarray(1)) : tlv(tag, content, Uint8Array.of(0));
    default: {
      if (inside instanceof Uint8Array) return tlv(tag, odd);
      const parts = inside.map((part) => write(part, null));
      // Elements in another order, or one of them again at the end.
      const again = random() < 0.5 ? parts.toReversed() : [...parts, parts[0] ?? odd];
      return tlv(tag, lead, ...again);
    }
  }
}

function longLength(length: number): readonly number[] {
  if (length < 0x80) return [0x81, length];
  return length < 0x100 ? [0x82, 0, length] : [0x83, 0, length >> 8, length & 0xff];
}

function pick<T>(random: () => number, list: readonly T[]): T {
  const chosen = list[Math.floor(random() * list.length)];
  if (chosen === undefined) throw new TypeError("nothing to choose from");
  return chosen;
}

/** How many elements there are to change. */
function sizeOf({ inside }: Element): number {
  return inside instanceof Uint8Array ? 1 : inside.reduce((sum, part) => sum + sizeOf(part), 1);
}

function contentLength({ lead, inside }: Element): number {
  if (inside instanceof Uint8Array) return lead.length + inside.length;
  return inside.reduce((sum, part) => sum + write(part, null).length, lead.length);
}

interface Change {
  readonly at: number;
  seen: number;
  readonly change: (element: Element) => Uint8Array;
}

function write(element: Element, change: Change | null): Uint8Array {
  const { tag, lead, inside } = element;
  if (change !== null && change.seen++ === change.at) return change.change(element);
  if (inside instanceof Uint8Array) return tlv(tag, lead, inside);
  return tlv(tag, lead, ...inside.map((part) => write(part, change)));
}

/** The element that `bytes` are; null where they are none, so that nothing is lost in writing. */
function parse(bytes: Uint8Array): Element | null {
  const list = parseAll(bytes);
  const [element] = list ?? [];
  return list?.length === 1 && element !== undefined ? element : null;
}

function parseAll(bytes: Uint8Array): readonly Element[] | null {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const [tag = 0, first = 0] = bytes.subarray(at);
    const width = first < 0x80 ? 0 : first & 0x7f;
    if (at + 2 + width > bytes.length || width > 2 || (tag & 0x1f) === 0x1f) return null;
    let length = first < 0x80 ? first : 0;
    for (const byte of bytes.subarray(at + 2, at + 2 + width)) length = length * 256 + byte;
    const content = bytes.subarray(at + 2 + width, at + 2 + width + length);
    if (content.length !== length) return null;
    elements.push(elementOf(tag, content));
    at += 2 + width + length;
  }
  return elements;
}

/** A string of octets or bits that holds elements is opened like a constructed one. */
function elementOf(tag: number, content: Uint8Array): Element {
  if ((tag & CONSTRUCTED) !== 0) {
    return { tag, lead: NOTHING, inside: parseAll(content) ?? content };
  }
  if (tag === OCTET_STRING || (tag === BIT_STRING && content[0] === 0)) {
    const lead = tag === BIT_STRING ? content.subarray(0, 1) : NOTHING;
    const held = parseAll(content.subarray(lead.length));
    if (held !== null && held.length === 1) return { tag, lead, inside: held };
  }
  return { tag, lead: NOTHING, inside: content };
}
