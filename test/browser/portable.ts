/** Vectors as JSON, on their way from the disk to a page. */
import { decodeHex, encodeHex } from "@countersign/attestation";
import type { Expected, Vector } from "../corpus/vector.ts";

export interface PortableVector {
  readonly id: string;
  readonly expected: Expected;
  /** Hexadecimal, by name. */
  readonly files: Readonly<Record<string, string>>;
}

export function portableOf({ id, expected, files }: Vector): PortableVector {
  const entries = [...files].map(([name, bytes]) => [name, encodeHex(bytes)] as const);
  return { id, expected, files: Object.fromEntries(entries) };
}

export function vectorOf({ id, expected, files }: PortableVector): Vector {
  const entries = Object.entries(files).map(([name, text]) => [name, bytesOf(text)] as const);
  return { id, expected, files: new Map(entries) };
}

export function bytesOf(hex: string): Uint8Array {
  const bytes = decodeHex(hex);
  if (bytes === null) throw new TypeError(`not hexadecimal: ${hex}`);
  return bytes;
}
