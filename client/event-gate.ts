import { isFill, ProtocolError } from "@countersign/protocol";

/**
 * A line with which a stream of OpenAI's API ends: its readers look no further. HTML §9.2.6: lines end
 * in LF, CR LF or CR, and one space may follow the colon.
 */
const DONE_LINE = /(?:^|[\r\n])data: ?\[DONE\]/u;
/** Behind the end there are the last checkpoint and what is left of a line's end. */
const MAX_HELD_BYTES = 65_536;

/**
 * What of an event stream its reader gets, and when.
 *
 * A reader that sees the end of the events takes the answer for complete, and need not wait for the
 * end of the stream, where the receipt is. So the event that says so is held back until the receipt was
 * verified, with all behind it. It costs no time: the enclave sends both together.
 */
export class EventGate {
  readonly #decoder = new TextDecoder();
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  /**
   * What may be read now that `chunk` has come: one event, as the enclave cuts them.
   *
   * @throws ProtocolError `bhttp/too-large` where too much comes behind the end.
   */
  pass(chunk: Uint8Array): readonly Uint8Array[] {
    // Padding is for whoever watches the wire; a reader would only have to skip it.
    if (isFill(chunk)) return [];
    if (this.#held.length === 0 && !DONE_LINE.test(this.#decoder.decode(chunk))) return [chunk];
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes > MAX_HELD_BYTES) {
      const found = `more than ${MAX_HELD_BYTES} bytes behind the end of the events`;
      throw new ProtocolError("bhttp/too-large", found);
    }
    return [];
  }

  /** What was held back. */
  open(): readonly Uint8Array[] {
    return this.#held.splice(0);
  }
}
