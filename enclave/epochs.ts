/**
 * The epochs that are alive: the newest, which the bundle shows, and those before it that are still
 * accepted. Opened and ended by timers, and early when a replay set fills up.
 */
import { type Awaitable, MAX_EPOCH_SECONDS } from "@countersign/attestation/attester";
import type { Clock } from "./clock.ts";
import { type Epoch, type EpochTerms, openEpoch } from "./epoch.ts";
import { EnclaveError } from "./errors.ts";
import type { Log } from "./log.ts";
import type { Nsm } from "./nsm/nsm.ts";

/** More than this many at a time, and the oldest ends early: its replay set is memory. */
const MAX_LIVE_EPOCHS = 4;
/** After a failure to open an epoch, while the newest one lives. */
const RETRY_MS = 5_000;

export interface EpochsOptions {
  readonly nsm: Nsm;
  readonly terms: EpochTerms;
  readonly clock: Clock;
  readonly log: Log;
}

export class Epochs {
  /**
   * Resolves with the reason when no epoch could be opened any more, or when the module's clock is not
   * ours: the enclave must then end.
   */
  readonly failure: Promise<EnclaveError>;
  readonly #options: EpochsOptions;
  /** By key id; insertion order is age. Written by `#install` and `#retire` only. */
  readonly #live = new Map<number, { readonly epoch: Epoch; readonly cancel: () => void }>();
  #current: Epoch;
  #rotating = false;
  #closed = false;
  #cancelTimer: () => void = () => undefined;
  #fail: (error: EnclaveError) => void = () => undefined;

  /** @throws EnclaveError `epoch/lifetime`, `clock/skew`, `nsm/…`. */
  static async open(options: EpochsOptions): Promise<Epochs> {
    const { epochSeconds, overlapSeconds } = options.terms;
    const seconds = epochSeconds + overlapSeconds;
    if (seconds > MAX_EPOCH_SECONDS) {
      throw new EnclaveError("epoch/lifetime", `${seconds} s, want ≤ ${MAX_EPOCH_SECONDS} s`);
    }
    const { nsm, terms, clock } = options;
    const position = { sequence: 1, previous: null, nowMs: clock.nowMs() };
    return new Epochs(options, await openEpoch(nsm, terms, position));
  }

  private constructor(options: EpochsOptions, first: Epoch) {
    this.#options = options;
    this.#current = first;
    this.failure = new Promise((resolve) => {
      this.#fail = resolve;
    });
    this.#install(first);
  }

  /** The newest. */
  get current(): Epoch {
    return this.#current;
  }

  /** How many are accepted now. */
  get live(): number {
    return this.#live.size;
  }

  /** The epoch whose key has this id, while it is accepted. */
  byKeyId(keyId: number): Epoch | null {
    const epoch = this.#live.get(keyId)?.epoch ?? null;
    // Timers may be late, for instance after the machine slept; the document's word is exact.
    if (epoch === null || this.#options.clock.nowMs() >= epoch.notAfter * 1000) return null;
    return epoch;
  }

  /** A bundle of the newest epoch for `nonce`. @throws EnclaveError `nsm/…`. */
  challenge(nonce: Uint8Array): Awaitable<Uint8Array> {
    return this.#current.challenge(this.#options.nsm, nonce);
  }

  /** Opens the next epoch, unless that is under way. Never rejects; see {@link failure}. */
  async rotate(): Promise<void> {
    if (this.#rotating || this.#closed) return;
    this.#rotating = true;
    this.#cancelTimer();
    try {
      const { nsm, terms, clock } = this.#options;
      const before = this.#current;
      const next = await openEpoch(nsm, terms, {
        sequence: before.sequence + 1,
        previous: before.documentDigest,
        nowMs: clock.nowMs(),
      });
      if (this.#closed) next.retire();
      else this.#install(next);
    } catch (error) {
      this.#recover(error);
    } finally {
      this.#rotating = false;
    }
  }

  /** Ends every epoch. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    for (const { epoch } of this.#live.values()) this.#retire(epoch);
  }

  #install(epoch: Epoch): void {
    const { clock, log, terms } = this.#options;
    const held = this.#live.get(epoch.keyId);
    if (held !== undefined) this.#retire(held.epoch);
    const cancel = clock.after(epoch.notAfter * 1000 - clock.nowMs(), () => {
      this.#retire(epoch);
    });
    this.#live.set(epoch.keyId, { epoch, cancel });
    this.#current = epoch;
    const [oldest] = this.#live.values();
    if (this.#live.size > MAX_LIVE_EPOCHS && oldest !== undefined) this.#retire(oldest.epoch);
    this.#schedule(terms.epochSeconds * 1000);
    const { sequence, notBefore, notAfter } = epoch;
    log("epoch-opened", { sequence, notBefore, notAfter });
  }

  #retire(epoch: Epoch): void {
    this.#live.get(epoch.keyId)?.cancel();
    this.#live.delete(epoch.keyId);
    epoch.retire();
    this.#options.log("epoch-ended", { sequence: epoch.sequence, exchanges: epoch.exchanges });
  }

  #schedule(delayMs: number): void {
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      void this.rotate();
    });
  }

  /** Tries again while the newest epoch lives; then gives up. */
  #recover(error: unknown): void {
    if (this.#closed) return;
    const { clock, log } = this.#options;
    log("epoch-failed", { code: error instanceof EnclaveError ? error.code : "epoch/failed" });
    if (error instanceof EnclaveError && error.code === "clock/skew") {
      // Not to be tried again: whichever clock is wrong, keys live longer than their document says.
      this.#fail(error);
      return;
    }
    if (clock.nowMs() + RETRY_MS < this.#current.notAfter * 1000) {
      this.#schedule(RETRY_MS);
      return;
    }
    this.#fail(new EnclaveError("epoch/failed", "no epoch could be opened", { cause: error }));
  }
}
