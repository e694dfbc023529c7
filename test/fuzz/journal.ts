/**
 * One file between a worker and its supervisor: which input runs now.
 *
 * The worker writes an input before it runs it, so that whatever ends the worker, the supervisor
 * holds the input that did; and the count in front is the heartbeat that the watchdog listens to.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { decodeInput, encodeInput } from "./job.ts";
import type { Input } from "./target.ts";

/** Count of inputs so far, whether one is running, and the length of what follows: u32 each. */
const HEAD_BYTES = 12;

export interface Heartbeat {
  readonly count: number;
  readonly running: boolean;
}

/** The worker's end. Only the worker writes. */
export class Journal {
  readonly #file: number;
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #count = 0;

  constructor(path: string) {
    this.#file = openSync(path, "w");
  }

  begin(input: Input): void {
    const body = Buffer.from(JSON.stringify(encodeInput(input)));
    this.#count++;
    this.#head.writeUInt32LE(this.#count >>> 0, 0);
    this.#head.writeUInt32LE(1, 4);
    this.#head.writeUInt32LE(body.length, 8);
    // One write: the kernel does not let a reader see half of it.
    const entry = Buffer.concat([this.#head, body]);
    writeSync(this.#file, entry, 0, entry.length, 0);
  }

  /** Nothing runs: the worker makes inputs, or looks at coverage. */
  idle(): void {
    this.#head.writeUInt32LE(0, 4);
    writeSync(this.#file, this.#head, 4, 4, 4);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** The supervisor's end; null before the worker has written anything. */
export function readHeartbeat(path: string): Heartbeat | null {
  const head = readAt(path, 0, HEAD_BYTES);
  if (head.length < HEAD_BYTES) return null;
  return { count: head.readUInt32LE(0), running: head.readUInt32LE(4) === 1 };
}

/** The input that was running; null where none was. Only once the worker has ended. */
export function readRunning(path: string): Input | null {
  const head = readAt(path, 0, HEAD_BYTES);
  if (head.length < HEAD_BYTES || head.readUInt32LE(4) === 0) return null;
  const body = readAt(path, HEAD_BYTES, head.readUInt32LE(8));
  return decodeInput(JSON.parse(body.toString("utf8")));
}

function readAt(path: string, offset: number, length: number): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
  } finally {
    closeSync(file);
  }
}
