/** Bytes to {@link Element}s: lenient where heads are longer than need be, exact in everything else. */
import { cborWidth, derWidth, type Element, MAJOR } from "./element.ts";

/** Deeper than anything that is accepted, and no danger to the stack. */
const MAX_DEPTH = 32;
const NOTHING = new Uint8Array();
const CONSTRUCTED = 0x20;

interface Read {
  readonly element: Element;
  readonly end: number;
}

/** The one CBOR item that `bytes` are; null where they are none, or more. */
export function readCbor(bytes: Uint8Array): Element | null {
  const read = cborAt(bytes, 0, 0);
  return read === null || read.end !== bytes.length ? null : read.element;
}

/** The one DER element that `bytes` are. */
export function readDer(bytes: Uint8Array): Element | null {
  const read = derAt(bytes, 0, 0);
  return read === null || read.end !== bytes.length ? null : read.element;
}

/** Reads what strings hold where that is a structure, all the way down; changes `element`. */
export function unfold(element: Element, depth: number = 0): Element {
  if (element.children.length === 0 && depth < MAX_DEPTH) {
    const [skip, held] = heldBy(element);
    if (held !== null) {
      element.content = element.content.subarray(0, skip);
      element.children = [held];
    }
  }
  for (const child of element.children) unfold(child, depth + 1);
  return element;
}

/** A structure in a string: certificates and payloads in CBOR's, extensions and keys in DER's. */
function heldBy({ format, type, content }: Element): readonly [skip: number, Element | null] {
  if (format === "cbor") {
    if (type !== MAJOR.bytes || content.length < 2) return [0, null];
    const major = (content[0] ?? 0) >> 5;
    const structure = major === MAJOR.array || major === MAJOR.map || major === MAJOR.tag;
    return [0, content[0] === 0x30 ? readDer(content) : structure ? readCbor(content) : null];
  }
  // OCTET STRING, and BIT STRING after its count of unused bits.
  if (type === 0x04) return [0, readDer(content)];
  if (type === 0x03 && content[1] === 0x30) return [1, readDer(content.subarray(1))];
  return [0, null];
}

function cborAt(bytes: Uint8Array, start: number, depth: number): Read | null {
  const initial = bytes[start];
  if (initial === undefined || depth > MAX_DEPTH) return null;
  const type = initial >> 5;
  const information = initial & 31;
  if (information === 31) {
    if (type !== MAJOR.array && type !== MAJOR.map) return null;
    return itemsAt(bytes, start + 1, { type, count: null, depth, width: "indefinite" });
  }
  if (information > 27) return null;
  const bytesOfValue = information < 24 ? 0 : 1 << (information - 24);
  const at = start + 1 + bytesOfValue;
  if (at > bytes.length) return null;
  const value = bytesOfValue === 0 ? BigInt(information) : unsigned(bytes.subarray(start + 1, at));
  const shortest = type !== MAJOR.simple && bytesOfValue === cborWidth(value);
  const width = shortest ? 0 : bytesOfValue;
  const whole = { format: "cbor", type, value, width, content: NOTHING, children: [] } as const;
  switch (type) {
    case MAJOR.bytes:
    case MAJOR.text: {
      if (value > BigInt(bytes.length - at)) return null;
      const end = at + Number(value);
      const content = bytes.slice(at, end);
      return { element: { ...whole, value: 0n, content, children: [] }, end };
    }
    case MAJOR.array:
    case MAJOR.map: {
      if (value > BigInt(bytes.length - at)) return null;
      const count = Number(value) * (type === MAJOR.map ? 2 : 1);
      return itemsAt(bytes, at, { type, count, depth, width });
    }
    case MAJOR.tag: {
      const read = cborAt(bytes, at, depth + 1);
      return read && { element: { ...whole, children: [read.element] }, end: read.end };
    }
    default:
      return { element: { ...whole, children: [] }, end: at };
  }
}

function itemsAt(
  bytes: Uint8Array,
  start: number,
  as: {
    readonly type: number;
    /** Null: up to a break. */
    readonly count: number | null;
    readonly depth: number;
    readonly width: Element["width"];
  },
): Read | null {
  const children: Element[] = [];
  let end = start;
  while (as.count === null ? bytes[end] !== 0xff : children.length < as.count) {
    const read = cborAt(bytes, end, as.depth + 1);
    if (read === null) return null;
    children.push(read.element);
    end = read.end;
  }
  if (as.type === MAJOR.map && children.length % 2 !== 0) return null;
  const { type, width } = as;
  const element: Element = { format: "cbor", type, value: 0n, width, content: NOTHING, children };
  return { element, end: as.count === null ? end + 1 : end };
}

function derAt(bytes: Uint8Array, start: number, depth: number): Read | null {
  const type = bytes[start];
  const first = bytes[start + 1];
  if (type === undefined || first === undefined || depth > MAX_DEPTH) return null;
  const bytesOfLength = first < 0x80 ? 0 : first & 0x7f;
  // No length has more than three bytes here, and 0x80 is indefinite, which DER has not.
  if (first === 0x80 || bytesOfLength > 3) return null;
  const at = start + 2 + bytesOfLength;
  const length = bytesOfLength === 0 ? first : Number(unsigned(bytes.subarray(start + 2, at)));
  const end = at + length;
  if (end > bytes.length) return null;
  const element: Element = {
    format: "der",
    type,
    value: 0n,
    width: bytesOfLength === derWidth(length) ? 0 : bytesOfLength,
    content: bytes.slice(at, end),
    children: [],
  };
  if ((type & CONSTRUCTED) !== 0) {
    const children = derAll(element.content, depth + 1);
    if (children !== null) {
      element.content = NOTHING;
      element.children = children;
    }
  }
  return { element, end };
}

/** Elements one after another; null where something else is among them. */
function derAll(bytes: Uint8Array, depth: number): Element[] | null {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const read = derAt(bytes, at, depth);
    if (read === null) return null;
    elements.push(read.element);
    at = read.end;
  }
  return elements;
}

function unsigned(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}
