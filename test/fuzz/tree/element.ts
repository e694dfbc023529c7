/**
 * CBOR and DER as one tree that can hold mistakes: any head may be longer than it need be, any string
 * may hold a structure. Written apart from the verifier, whose reading it is compared with.
 */
import { concatBytes } from "@countersign/attestation";

export interface Element {
  readonly format: "cbor" | "der";
  /** CBOR: major type. DER: identifier octet. */
  type: number;
  /** CBOR: the argument of integers, tags and major type 7; else it follows from what is inside. */
  value: bigint;
  /** Bytes of value or length after the first byte, at least; 0: as few as it takes. */
  width: number | "indefinite";
  /** Bytes before the children; where there are none, all of the contents. */
  content: Uint8Array;
  /** Elements inside: of arrays, maps (keys and values in turn), tags, and of strings that hold any. */
  children: Element[];
}

export const MAJOR = {
  uint: 0,
  negative: 1,
  bytes: 2,
  text: 3,
  array: 4,
  map: 5,
  tag: 6,
  simple: 7,
};
const BREAK = Uint8Array.of(0xff);
const NOTHING = new Uint8Array();

/** The bytes of an element, mistakes and all. */
export function write(element: Element): Uint8Array {
  const inside = concatBytes(element.content, ...element.children.map(write));
  if (element.format === "der") return concatBytes(derHead(element, inside.length), inside);
  if (element.width === "indefinite") {
    return concatBytes(Uint8Array.of((element.type << 5) | 31), inside, BREAK);
  }
  return concatBytes(cborHead(element, argument(element, inside.length)), inside);
}

/** Whether every head below is in its one shortest form, with `exempt` left out. */
export function isMinimal(element: Element, exempt?: Element): boolean {
  const { width } = element;
  if (element !== exempt && (width === "indefinite" || width > leastWidth(element))) return false;
  return element.children.every((child) => isMinimal(child, exempt));
}

/** The element itself and all below it. */
export function all(element: Element): Element[] {
  return [element, ...element.children.flatMap(all)];
}

export function copy(element: Element): Element {
  return { ...element, children: element.children.map(copy) };
}

/** The value under a key of a CBOR map. */
export function under(map: Element | undefined, key: string | number): Element | undefined {
  const at = map?.children.findIndex((child, i) => i % 2 === 0 && isKey(child, key)) ?? -1;
  return at === -1 ? undefined : map?.children[at + 1];
}

/** What a string, or the contents of an element, are: the bytes inside. */
export function inside(element: Element | undefined): Uint8Array {
  return element === undefined
    ? NOTHING
    : concatBytes(element.content, ...element.children.map(write));
}

/** Replaces what is inside by bytes. */
export function fill(element: Element | undefined, bytes: Uint8Array): void {
  if (element === undefined) return;
  element.content = bytes;
  element.children = [];
}

/** A CBOR element that holds no other. */
export function leaf(type: number, value: bigint, content: Uint8Array = NOTHING): Element {
  return { format: "cbor", type, value, width: 0, content, children: [] };
}

function isKey(element: Element, key: string | number): boolean {
  if (typeof key === "string") {
    return element.type === MAJOR.text && Buffer.from(inside(element)).toString("utf8") === key;
  }
  const type = key < 0 ? MAJOR.negative : MAJOR.uint;
  return element.type === type && element.value === BigInt(key < 0 ? -1 - key : key);
}

/** RFC 8949 §3: what the head says of an item of definite length. */
function argument({ type, value, children }: Element, length: number): bigint {
  switch (type) {
    case MAJOR.bytes:
    case MAJOR.text:
      return BigInt(length);
    case MAJOR.array:
      return BigInt(children.length);
    case MAJOR.map:
      return BigInt(Math.floor(children.length / 2));
    default:
      return value;
  }
}

function cborHead(element: Element, value: bigint): Uint8Array {
  const least = element.type === MAJOR.simple ? 0 : cborWidth(value);
  const width = Math.max(least, element.width === "indefinite" ? 0 : element.width);
  if (width === 0) return Uint8Array.of((element.type << 5) | Number(value & 31n));
  const information = 24 + Math.log2(width);
  return concatBytes(Uint8Array.of((element.type << 5) | information), bigEndian(value, width));
}

/** X.690 §8.1.3. */
function derHead({ type, width }: Element, length: number): Uint8Array {
  const bytes = Math.max(derWidth(length), width === "indefinite" ? 0 : width);
  if (bytes === 0) return Uint8Array.of(type, length);
  return concatBytes(Uint8Array.of(type, 0x80 | bytes), bigEndian(BigInt(length), bytes));
}

function leastWidth(element: Element): number {
  const { length } = inside(element);
  if (element.format === "der") return derWidth(length);
  // Of floats and simple values, the width is part of what they are.
  return element.type === MAJOR.simple ? 8 : cborWidth(argument(element, length));
}

/** RFC 8949 §3: bytes of an argument after the initial byte. */
export function cborWidth(value: bigint): number {
  if (value < 24n) return 0;
  if (value < 0x100n) return 1;
  if (value < 0x1_0000n) return 2;
  return value < 0x1_0000_0000n ? 4 : 8;
}

/** X.690 §8.1.3: bytes of a length after the first. */
export function derWidth(length: number): number {
  if (length < 0x80) return 0;
  return length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3;
}

function bigEndian(value: bigint, width: number): Uint8Array {
  const bytes = new Uint8Array(width);
  for (let i = 0; i < width; i++) bytes[width - 1 - i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return bytes;
}
