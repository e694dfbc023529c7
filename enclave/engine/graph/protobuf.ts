/**
 * Protocol Buffers' wire format, one level at a time.
 *
 * What we have no business with stays bytes, and is written again as it came.
 * https://protobuf.dev/programming-guides/encoding/
 */
import { EnclaveError } from "../../errors.ts";

/**
 * Fields of all messages of one file together. A decoder of 30 layers has 18,000, as optimum writes it; each
 * that is read takes some hundred times the memory of the two bytes that it can be.
 */
const MAX_FIELDS = 2 ** 19;
/** Integers of one list. Axes of a tensor, or their order: a handful. */
const MAX_INTEGERS = 64;
const MAX_VARINT_BYTES = 10;
/** Protocol Buffers allow messages of 2 GiB, ONNX Runtime too. */
const MAX_LENGTH = 2 ** 31 - 1;

const WIRE_VARINT = 0;
const WIRE_64 = 1;
const WIRE_LENGTH = 2;
const WIRE_32 = 5;

const fromUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const toUtf8 = new TextEncoder();

/** One field; its bytes are views of the message. */
export interface Field {
  readonly number: number;
  /** Tag, length and content: the field as it came. */
  readonly raw: Uint8Array;
  /** Of a varint, as int64; zero for other wire types. */
  readonly value: bigint;
  /** Of a length-delimited field; null for other wire types. */
  readonly content: Uint8Array | null;
}

/** Every field of a message, in order. @throws {@link EnclaveError} `model/load`. */
export type ReadFields = (message: Uint8Array) => Field[];

/** For the messages of one file: what they have together is bounded. */
export function fieldReader(): ReadFields {
  let left = MAX_FIELDS;
  return (message) => {
    const fields: Field[] = [];
    for (let at = 0; at < message.length;) {
      left -= 1;
      if (left < 0) throw malformed(`more than ${MAX_FIELDS} fields`);
      const field = readField(message, at);
      fields.push(field);
      at += field.raw.length;
    }
    return fields;
  };
}

function readField(message: Uint8Array, at: number): Field {
  const tag = varint(message, at);
  const number = Number(tag.value >> 3n);
  if (number < 1 || number >= 2 ** 29) throw malformed(`field number ${number}`);
  const wire = Number(tag.value & 7n);
  let end = tag.end;
  let value = 0n;
  let content: Uint8Array | null = null;
  switch (wire) {
    case WIRE_VARINT: {
      const found = varint(message, end);
      value = BigInt.asIntN(64, found.value);
      end = found.end;
      break;
    }
    case WIRE_64:
      end += 8;
      break;
    case WIRE_32:
      end += 4;
      break;
    case WIRE_LENGTH: {
      const length = varint(message, end);
      if (length.value > MAX_LENGTH) throw malformed("a field beyond 2 GiB");
      end = length.end + Number(length.value);
      content = message.subarray(length.end, end);
      break;
    }
    default:
      throw malformed(`wire type ${wire}`);
  }
  if (end > message.length) throw malformed("a field runs past the end");
  return { number, raw: message.subarray(at, end), value, content };
}

/** The content of every field of this number. */
export function messagesOf(fields: readonly Field[], number: number): Uint8Array[] {
  return fields.flatMap((field) => (field.number === number ? [contentOf(field)] : []));
}

/** The one field of this number, or null. A second one would be merged with it: refused. */
export function singleOf(fields: readonly Field[], number: number): Field | null {
  const found = fields.filter((field) => field.number === number);
  if (found.length > 1) throw malformed(`field ${number} occurs ${found.length} times`);
  return found[0] ?? null;
}

export function messageOf(fields: readonly Field[], number: number): Uint8Array | null {
  const field = singleOf(fields, number);
  return field === null ? null : contentOf(field);
}

/** A string; the empty one where it is left out, as proto3 has it. */
export function textOf(fields: readonly Field[], number: number): string {
  const content = messageOf(fields, number);
  return content === null ? "" : text(content);
}

export function textsOf(fields: readonly Field[], number: number): string[] {
  return messagesOf(fields, number).map(text);
}

/** A repeated int64, packed or not. Beyond 2^53 they are of no use to us, so numbers will do. */
export function integersOf(fields: readonly Field[], number: number): number[] {
  return fields.flatMap((field) => {
    if (field.number !== number) return [];
    if (field.content === null) return [Number(field.value)];
    const values: number[] = [];
    for (let at = 0; at < field.content.length;) {
      if (values.length === MAX_INTEGERS) throw malformed(`more than ${MAX_INTEGERS} integers`);
      const found = varint(field.content, at);
      values.push(Number(BigInt.asIntN(64, found.value)));
      at = found.end;
    }
    return values;
  });
}

/** A length-delimited field of these parts. */
export function lengthField(number: number, content: string | readonly Uint8Array[]): Uint8Array {
  const parts = typeof content === "string" ? [toUtf8.encode(content)] : content;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return joined([varintBytes((number << 3) | WIRE_LENGTH), varintBytes(length), ...parts]);
}

/** A varint field. @param value - not negative. */
export function varintField(number: number, value: number): Uint8Array {
  return joined([varintBytes((number << 3) | WIRE_VARINT), varintBytes(value)]);
}

/** Tag and length of a field whose content follows elsewhere, since it is large. */
export function lengthHead(number: number, length: number): Uint8Array {
  return joined([varintBytes((number << 3) | WIRE_LENGTH), varintBytes(length)]);
}

export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function malformed(what: string): EnclaveError {
  return new EnclaveError("model/load", `the graph is not a model of ONNX: ${what}`);
}

function contentOf({ number, content }: Field): Uint8Array {
  if (content === null) throw malformed(`field ${number} is no message`);
  return content;
}

function text(content: Uint8Array): string {
  try {
    return fromUtf8.decode(content);
  } catch (cause) {
    throw new EnclaveError("model/load", "a name in the graph is not UTF-8", { cause });
  }
}

function varint(bytes: Uint8Array, start: number): { value: bigint; end: number } {
  // Most are one byte: tags, types, lengths of names.
  const first = bytes[start] ?? 0x80;
  if (first < 0x80) return { value: BigInt(first), end: start + 1 };
  let value = 0n;
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) throw malformed("a number runs past the end");
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return { value: BigInt.asUintN(64, value), end: start + i + 1 };
  }
  throw malformed(`a number of more than ${MAX_VARINT_BYTES} bytes`);
}

function varintBytes(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Uint8Array.of(...bytes, rest);
}
