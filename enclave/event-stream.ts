/**
 * Sends a stream of server-sent events: coalesced to a tick, padded to buckets, with a checkpoint
 * receipt every two seconds or 64 KiB. PROTOCOL.md §5, "Padding", and §7, "Checkpoints".
 */
import {
  encodeCheckpoint,
  encodeContentChunk,
  encodeFill,
  reckonedBytes,
} from "@countersign/protocol";
import { type Alarm, Alarms } from "./alarms.ts";
import type { Clock } from "./clock.ts";
import { EnclaveError } from "./errors.ts";
import { EventCutter, MAX_CUT_BYTES } from "./event-cutter.ts";
import type { Exchange } from "./exchange.ts";
import {
  GATHER_BYTES,
  type SealedResponse,
  settlesAtOnce,
  STALL_TIMEOUT_MS,
} from "./sealed-response.ts";

/** What comes within a tick goes out together, so that times and lengths are not those of tokens. */
const TICK_MS = 20;
/** The header section and the first events go out as they come: a person waits for them. */
const EAGER_FLUSHES = 4;
const CHECKPOINT_MS = 2000;
const CHECKPOINT_BYTES = 65_536;
/** A stream that stands still, behind a long prompt for example, is kept open through relays. */
const QUIET_MS = 15_000;
/** What a receipt in a comment is reckoned as: with it a stream's flush is as long in any case. */
const RECEIPT_BYTES = 1000;

/** Reads the next piece of the handler's answer. */
export type ReadChunk = () => ReturnType<ReadableStreamDefaultReader<Uint8Array>["read"]>;

/** One stream on its way out. {@link EventSender.run} is called once. */
export class EventSender {
  readonly #exchange: Exchange;
  readonly #out: SealedResponse;
  readonly #clock: Clock;
  readonly #status: number;
  readonly #cutter = new EventCutter();
  readonly #alarms: Alarms;
  readonly #tick: Alarm;
  readonly #checkpoint: Alarm;
  readonly #quiet: Alarm;
  readonly #stall: Alarm;
  /** Content of the handler's since the last checkpoint, as long as it is reckoned. */
  #uncovered = 0;
  #eager = EAGER_FLUSHES;

  constructor(exchange: Exchange, out: SealedResponse, clock: Clock, status: number) {
    this.#exchange = exchange;
    this.#out = out;
    this.#clock = clock;
    this.#status = status;
    this.#alarms = new Alarms(clock);
    this.#tick = this.#alarms.alarm();
    this.#checkpoint = this.#alarms.alarm();
    this.#quiet = this.#alarms.alarm();
    this.#stall = this.#alarms.alarm();
  }

  /**
   * Sends events until the handler has no more; what was sent last may still be gathered.
   *
   * @throws EnclaveError `exchange/handler`, `exchange/timeout`, `exchange/aborted`.
   */
  async run(read: ReadChunk): Promise<void> {
    this.#checkpoint.set(CHECKPOINT_MS);
    try {
      for (;;) {
        const next = read();
        if (!(await settlesAtOnce(next))) await this.#sendUntil(next);
        const { done, value } = await next;
        if (done) break;
        await this.#sendEvents(value);
      }
      const rest = this.#cutter.end();
      if (rest.length > 0) await this.#sendEvent(rest);
    } finally {
      this.#alarms.clear();
    }
  }

  /** Sends what falls due until `next` has settled. */
  async #sendUntil(next: Promise<unknown>): Promise<void> {
    const settled = next.then(
      () => true,
      () => true,
    );
    this.#stall.set(STALL_TIMEOUT_MS);
    for (;;) {
      const rung = this.#alarms.next().then(() => false);
      await this.#sendDue();
      if (await Promise.race([settled, rung])) return;
    }
  }

  async #sendDue(): Promise<void> {
    if (this.#stall.rung) throw new EnclaveError("exchange/timeout", "the handler stands still");
    if (this.#out.gathered > 0) {
      if (!this.#tick.pending) await this.#flush();
    } else if (this.#checkpointDue()) {
      await this.#flush();
    } else if (this.#quiet.rung && this.#cutter.between) {
      await this.#send(encodeFill());
      await this.#flush();
    }
  }

  async #sendEvents(written: Uint8Array): Promise<void> {
    // Copied before anything is awaited: the handler may write to it again.
    const bytes = written.slice();
    for (let offset = 0; offset < bytes.length; offset += MAX_CUT_BYTES) {
      const events = this.#cutter.push(bytes.subarray(offset, offset + MAX_CUT_BYTES));
      for (const event of events) await this.#sendEvent(event);
    }
  }

  /** Both limits are of reckoned lengths: else the number of pieces would tell those of the tokens. */
  async #sendEvent(event: Uint8Array): Promise<void> {
    this.#uncovered += await this.#send(event);
    if (this.#out.reckoned >= GATHER_BYTES || this.#uncovered >= CHECKPOINT_BYTES) {
      await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    if (this.#checkpointDue()) await this.#sendCheckpoint();
    if (this.#cutter.between) {
      for (const fill of this.#out.fill()) await this.#send(fill, 0);
    }
    await this.#out.flush();
    this.#quiet.set(QUIET_MS);
    if (this.#eager > 0) this.#eager--;
    else this.#tick.set(TICK_MS);
  }

  #checkpointDue(): boolean {
    if (this.#uncovered === 0 || !this.#cutter.between) return false;
    return this.#checkpoint.rung || this.#uncovered >= CHECKPOINT_BYTES;
  }

  /** Signs what was sent so far, and sends that. */
  async #sendCheckpoint(): Promise<void> {
    const issuedAt = Math.floor(this.#clock.nowMs() / 1000);
    const receipt = await this.#exchange.receipt("checkpoint", this.#status, issuedAt);
    const comment = encodeCheckpoint(receipt);
    await this.#send(comment, reckonedBytes(Math.max(comment.length, RECEIPT_BYTES)));
    this.#uncovered = 0;
    this.#checkpoint.set(CHECKPOINT_MS);
  }

  /** Gathers one content chunk. @returns what it is reckoned as. */
  async #send(content: Uint8Array, reckonedAs?: number): Promise<number> {
    const framed = encodeContentChunk(content);
    const reckoned = reckonedAs ?? reckonedBytes(framed.length);
    await this.#exchange.appendResponse(content);
    this.#out.gather(framed, reckoned);
    return reckoned;
  }
}
