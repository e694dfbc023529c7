import { existsSync, readFileSync } from "node:fs";
import { decodeHex } from "@countersign/attestation";
import { type Primitives, ProtocolError } from "@countersign/protocol";
import { webPrimitives } from "@countersign/protocol/web";
import { nobleMlKem768 } from "@countersign/protocol/fallback";
import { nativePrimitives } from "@countersign/protocol/native";

/** WebCrypto with its own ML-KEM-768, where this Node has it. */
export const web = webPrimitives({ mlkem768: nobleMlKem768 });
/** WebCrypto with ML-KEM-768 in JavaScript: what a browser without it has. */
export const noble: Primitives = { ...web, mlkem768: nobleMlKem768 };
export const native = nativePrimitives;

export const providers: readonly (readonly [string, Primitives])[] = [
  ["native", native],
  ["web", web],
  ["web with @noble ML-KEM", noble],
];

export function hex(text: string): Uint8Array {
  const bytes = decodeHex(text);
  if (bytes === null) throw new TypeError("not hexadecimal");
  return bytes;
}

export function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

export async function* stream(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield piece;
}

/** `bytes` in pieces of at most `size`. */
export async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return pieces;
}

export async function collectBytes(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(Buffer.concat(await collect(source)));
}

/** The code of the ProtocolError that `run` ends with; another error, or none, fails the test. */
export async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return "no error";
}

/** A primitive set whose next random bytes are `values`, in order. */
export function withRandom(p: Primitives, ...values: readonly Uint8Array[]): Primitives {
  const left = [...values];
  return {
    ...p,
    random(length) {
      const next = left.shift();
      if (next?.length !== length) throw new TypeError(`unexpected random(${length})`);
      return new Uint8Array(next);
    },
  };
}

/** A file among the project's own vectors, whose form the caller knows. */
export function vectors<T>(path: string): T {
  return readJson<T>(new URL(`../../vectors/${path}`, import.meta.url));
}

/** A file beside the checkout, or null, said aloud, where it is absent. */
export function sharedVectors<T>(path: string): T | null {
  const url = new URL(`../../../../shared/vectors/${path}`, import.meta.url);
  if (existsSync(url)) return readJson<T>(url);
  console.warn(`skipped: ../shared/vectors/${path} is not here`);
  return null;
}

function readJson<T>(url: URL): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- test data of a known form
  return JSON.parse(readFileSync(url, "utf8")) as T;
}
