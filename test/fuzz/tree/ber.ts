/** BER to {@link Element}s and back: DER's with lengths left out, or longer than need be (X.690 §8.1.3). */
import { concatBytes } from "@countersign/attestation";
import { type Element, inside } from "./element.ts";

const MAX_DEPTH = 16;
const CONSTRUCTED = 0x20;
const INDEFINITE = 0x80;
const END = Uint8Array.of(0, 0);
const NOTHING = new Uint8Array();

interface Read {
  readonly element: Element;
  readonly end: number;
}

/** The one element that `bytes` are; null where they are none, or more. */
export function readBer(bytes: Uint8Array): Element | null {
  const read = berAt(bytes, 0, bytes.length, 0);
  return read === null || read.end !== bytes.length ? null : read.element;
}

/** The bytes of an element, without lengths where it had none. */
export function writeBer(element: Element): Uint8Array {
  const { type, children, width, content } = element;
  const contents = concatBytes(content, ...children.map(writeBer));
  if (width === "indefinite") return concatBytes(Uint8Array.of(type, INDEFINITE), contents, END);
  return concatBytes(head(type, contents.length, width), contents);
}

function head(type: number, length: number, width: number): Uint8Array {
  const least = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3;
  const bytes = Math.max(least, Math.min(width, 4));
  if (bytes === 0) return Uint8Array.of(type, length);
  const digits = Array.from({ length: bytes }, (_, i) => (length >>> (8 * (bytes - 1 - i))) & 0xff);
  return Uint8Array.of(type, INDEFINITE | bytes, ...digits);
}

/** The same in DER's form, strings that come in pieces made one where `whole` says of what type. */
export function definite(
  element: Element,
  whole: (element: Element) => number | null = () => null,
): Element {
  const type = whole(element);
  if (type !== null) {
    const content = concatBytes(...element.children.map(inside));
    return { ...element, type, width: 0, content, children: [] };
  }
  const children = element.children.map((child) => definite(child, whole));
  return { ...element, width: 0, children };
}

function berAt(bytes: Uint8Array, start: number, end: number, depth: number): Read | null {
  const type = bytes[start];
  const first = bytes[start + 1];
  if (type === undefined || first === undefined || start + 2 > end || depth > MAX_DEPTH)
    return null;
  const constructed = (type & CONSTRUCTED) !== 0;
  if (first === INDEFINITE) {
    const inner = constructed ? childrenAt(bytes, start + 2, { end, depth, open: true }) : null;
    return inner && { element: made(type, "indefinite", NOTHING, inner.children), end: inner.end };
  }
  const width = first < INDEFINITE ? 0 : first & 0x7f;
  if (width > 4 || start + 2 + width > end) return null;
  const digits = bytes.subarray(start + 2, start + 2 + width);
  const length = width === 0 ? first : digits.reduce((sum, digit) => sum * 256 + digit, 0);
  const from = start + 2 + width;
  const to = from + length;
  if (to > end) return null;
  if (!constructed) return { element: made(type, width, bytes.slice(from, to), []), end: to };
  const inner = childrenAt(bytes, from, { end: to, depth, open: false });
  return inner && { element: made(type, width, NOTHING, inner.children), end: to };
}

function childrenAt(
  bytes: Uint8Array,
  start: number,
  { end, depth, open }: { readonly end: number; readonly depth: number; readonly open: boolean },
): { readonly children: Element[]; readonly end: number } | null {
  const children: Element[] = [];
  for (let at = start; ;) {
    if (open && at + 2 <= end && bytes[at] === 0 && bytes[at + 1] === 0) {
      return { children, end: at + 2 };
    }
    if (at === end) return open ? null : { children, end };
    const read = berAt(bytes, at, end, depth + 1);
    if (read === null) return null;
    children.push(read.element);
    at = read.end;
  }
}

function made(
  type: number,
  width: Element["width"],
  content: Uint8Array,
  children: Element[],
): Element {
  return { format: "der", type, value: 0n, width, content, children };
}
