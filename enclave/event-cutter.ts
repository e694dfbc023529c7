/**
 * Cuts what a handler writes into server-sent events, one content chunk each.
 *
 * HTML §9.2.6: lines end in LF, CR LF or CR, an event ends with an empty line. Between two events the
 * ring may write comments of its own; anywhere else the empty line behind a comment would end an
 * event early, or the comment become part of a line.
 */
import { encodeUtf8, joinBytes } from "@countersign/attestation/attester";
import { CHECKPOINT_PREFIX, CONTENT_CHUNK_BYTES } from "@countersign/protocol";
import { EnclaveError } from "./errors.ts";

const LF = 0x0a;
const CR = 0x0d;
const PREFIX = encodeUtf8(CHECKPOINT_PREFIX);
const NO_BYTES = new Uint8Array(0);
/** What is held of an event, and what comes at a time: together they are no more than one chunk. */
export const MAX_CUT_BYTES: number = CONTENT_CHUNK_BYTES / 2;

export class EventCutter {
  /** The beginning of an event that has not ended. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #lineEmpty = true;
  #afterCr = false;
  #between = true;

  /** Whether what was given out so far ends between two events. */
  get between(): boolean {
    return this.#between;
  }

  /**
   * The events that `bytes` complete; an event longer than a content chunk comes in pieces.
   *
   * @param bytes - at most half a content chunk; kept, and so not to be written to any more.
   * @throws EnclaveError `exchange/handler` where a line begins as the ring's own do.
   */
  push(bytes: Uint8Array): readonly Uint8Array[] {
    const events: Uint8Array[] = [];
    let start = 0;
    for (const end of this.#ends(bytes)) {
      events.push(this.#take(bytes.subarray(start, end)));
      this.#between = true;
      start = end;
    }
    this.#held.push(bytes.subarray(start));
    this.#heldBytes += bytes.length - start;
    if (this.#heldBytes > MAX_CUT_BYTES) {
      events.push(this.#take(NO_BYTES));
      this.#between = false;
    }
    return events;
  }

  /** What is left where the stream ends inside an event; mostly nothing. */
  end(): Uint8Array {
    return this.#take(NO_BYTES);
  }

  /** Where in `bytes` events end: behind each empty line. */
  #ends(bytes: Uint8Array): readonly number[] {
    const ends: number[] = [];
    for (const [index, byte] of bytes.entries()) {
      const secondHalf = byte === LF && this.#afterCr;
      this.#afterCr = byte === CR;
      // The LF of a CR LF goes with it where both are here; else nothing follows from it.
      if (secondHalf) {
        if (ends.at(-1) === index) ends[ends.length - 1] = index + 1;
        continue;
      }
      const lineEnds = byte === LF || byte === CR;
      if (lineEnds && this.#lineEmpty) ends.push(index + 1);
      this.#lineEmpty = lineEnds;
    }
    return ends;
  }

  #take(last: Uint8Array): Uint8Array {
    const event = joinBytes([...this.#held, last]);
    this.#held = [];
    this.#heldBytes = 0;
    requireNoReceipt(event);
    return event;
  }
}

/** A client takes a comment that begins like a checkpoint for one: no handler may write it. */
function requireNoReceipt(event: Uint8Array): void {
  const bytes = Buffer.from(event.buffer, event.byteOffset, event.length);
  for (let at = bytes.indexOf(PREFIX); at !== -1; at = bytes.indexOf(PREFIX, at + 1)) {
    const before = at === 0 ? LF : bytes[at - 1];
    if (before === LF || before === CR) {
      throw new EnclaveError("exchange/handler", "a comment that is the ring's to write");
    }
  }
}
