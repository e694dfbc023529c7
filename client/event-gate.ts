import { encodeUtf8, equalBytes } from "@countersign/attestation";
import { isFill } from "@countersign/protocol";

/** With this event a stream of OpenAI's API ends; its readers look no further. */
const DONE = encodeUtf8("data: [DONE]\n\n");

/**
 * What of an event stream its reader gets, and when.
 *
 * A reader that sees the end of the events takes the answer for complete, and need not wait for the
 * end of the stream, where the receipt is. So the event that says so is held back until the receipt was
 * verified. It costs no time: the enclave sends both together.
 */
export class EventGate {
  #held: readonly Uint8Array[] = [];

  /**
   * What may be read now that `chunk` has come, in order.
   *
   * @param ofRing - whether it carries a receipt: such a one may come behind the end.
   */
  pass(chunk: Uint8Array, ofRing: boolean): readonly Uint8Array[] {
    // Padding is for whoever watches the wire; a reader would only have to skip it.
    if (isFill(chunk)) return [];
    const done = equalBytes(chunk, DONE);
    if (done || (ofRing && this.#held.length > 0)) {
      this.#held = [...this.#held, chunk];
      return [];
    }
    // Another event: then what was held back was not the end.
    return [...this.open(), chunk];
  }

  /** What was held back. */
  open(): readonly Uint8Array[] {
    const held = this.#held;
    this.#held = [];
    return held;
  }
}
