/**
 * Challenges that were given out and are not over: each is answered once, within a minute.
 *
 * A used one is remembered until it is over, so that nothing is answered twice and what one address may
 * ask for in a minute is bounded, however it is used.
 */
import { randomBytes } from "node:crypto";
import { encodeHex } from "@countersign/attestation";
import { KEY_NONCE_BYTES, type KeyChallenge } from "@countersign/protocol";

/** How long an enclave has for its document. */
export const CHALLENGE_LIFETIME_MS = 60_000;
/** An enclave with 64 sealed models, each asked for five times at most, needs 320. */
export const MAX_CHALLENGES_PER_PEER = 512;
export const MAX_CHALLENGES = 8192;

/** Time, as an argument. */
export interface BrokerClock {
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  /** Milliseconds since some moment; never goes back. */
  readonly monotonicMs: () => number;
}

interface Given {
  readonly peer: string;
  readonly untilMs: number;
  used: boolean;
}

export class Challenges {
  readonly #clock: BrokerClock;
  /** By nonce, in hexadecimal; the oldest first, which is the first to be over. */
  readonly #given = new Map<string, Given>();
  readonly #perPeer = new Map<string, number>();

  constructor(clock: BrokerClock) {
    this.#clock = clock;
  }

  /** A fresh challenge for `peer`, or null where it, or everybody together, has too many. */
  give(peer: string): KeyChallenge | null {
    this.#forget();
    const own = this.#perPeer.get(peer) ?? 0;
    if (own >= MAX_CHALLENGES_PER_PEER || this.#given.size >= MAX_CHALLENGES) return null;
    const nonce = new Uint8Array(randomBytes(KEY_NONCE_BYTES));
    const untilMs = this.#clock.monotonicMs() + CHALLENGE_LIFETIME_MS;
    this.#given.set(encodeHex(nonce), { peer, untilMs, used: false });
    this.#perPeer.set(peer, own + 1);
    const expires = Math.floor((this.#clock.nowMs() + CHALLENGE_LIFETIME_MS) / 1000);
    return { nonce, expires };
  }

  /** Whether `nonce` is a challenge that is not over and was not used; from now on it is used. */
  use(nonce: Uint8Array): boolean {
    this.#forget();
    const given = this.#given.get(encodeHex(nonce));
    if (given === undefined || given.used) return false;
    given.used = true;
    return true;
  }

  #forget(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [nonce, { peer, untilMs }] of this.#given) {
      if (nowMs < untilMs) return;
      this.#given.delete(nonce);
      const left = (this.#perPeer.get(peer) ?? 0) - 1;
      if (left > 0) this.#perPeer.set(peer, left);
      else this.#perPeer.delete(peer);
    }
  }
}
