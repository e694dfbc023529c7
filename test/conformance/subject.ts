/**
 * What the conformance suite is run against, and what its cases share.
 *
 * Plain node:assert and nothing of a test framework, so that the same cases run in a guest that has none.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Duplex, Readable, Writable } from "node:stream";
import type { Listener, Transport } from "../../enclave/transport.ts";

/** Two ends: each dials where the other listens. */
export interface Subject {
  readonly enclave: Transport;
  readonly parent: Transport;
}

export interface Case {
  readonly name: string;
  readonly run: (subject: Subject) => Promise<void>;
}

/** Emulated machines are slow; a case that hangs is found all the same. */
const CASE_TIMEOUT_MS = 50_000;

/** @throws AssertionError, or what the case threw; also where it takes longer than any case may. */
export async function runCase({ name, run }: Case, subject: Subject): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new assert.AssertionError({ message: `${name}: not done in ${CASE_TIMEOUT_MS} ms` }));
    }, CASE_TIMEOUT_MS);
  });
  try {
    await Promise.race([run(subject), late]);
  } finally {
    clearTimeout(timer);
  }
}

export interface Pair {
  /** Dialled by the parent. */
  readonly near: Duplex;
  /** Accepted by the enclave. */
  readonly far: Duplex;
}

/** Runs `use` with a connection, and closes everything after it. */
export async function withPair(
  subject: Subject,
  use: (pair: Pair, listener: Listener) => Promise<void>,
): Promise<void> {
  const accepted = Promise.withResolvers<Duplex>();
  const listener = await subject.enclave.listen(accepted.resolve);
  const near = subject.parent.dial();
  near.on("error", accepted.reject);
  try {
    const far = await accepted.promise;
    far.on("error", () => undefined);
    await use({ near, far }, listener);
  } finally {
    near.destroy();
    await listener.close();
  }
}

/** Reads `stream` to its end. Rejects where it closes or fails before that. */
export function collect(stream: Duplex): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.once("end", () => {
      resolve(Buffer.concat(pieces));
    });
    stream.once("error", reject);
    stream.once("close", () => {
      reject(new Error("closed before the end"));
    });
  });
}

export function closed(stream: Readable | Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once("close", resolve);
  });
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

/** Bytes of which no two stretches are alike, so that what is lost, doubled or swapped shows. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

/** Equality of long bytes, without printing them. */
export function requireSame(found: Uint8Array, wanted: Uint8Array): void {
  assert.equal(found.length, wanted.length);
  assert.equal(digest(found), digest(wanted));
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A write, resolved when it is with the kernel. */
export function written(stream: Duplex, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => {
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}
