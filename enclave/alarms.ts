/** Timers that a loop waits for: they set a mark and wake it, and nothing else happens by itself. */
import type { Clock } from "./clock.ts";

/** Several alarms, and one who waits for any of them. */
export class Alarms {
  readonly #clock: Clock;
  readonly #all: Alarm[] = [];
  #wake: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A new alarm, not set. */
  alarm(): Alarm {
    const alarm = new Alarm(this.#clock, () => this.#wake?.());
    this.#all.push(alarm);
    return alarm;
  }

  /**
   * Resolves when an alarm rings after this call; an earlier promise of this kind then never does.
   *
   * So that none is missed: ask for it, look at the alarms, then wait.
   */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Unsets all. */
  clear(): void {
    for (const alarm of this.#all) alarm.clear();
  }
}

/** Rings once, some time after it was set. */
export class Alarm {
  readonly #clock: Clock;
  readonly #onRing: () => void;
  #cancel: (() => void) | null = null;
  #rung = false;

  constructor(clock: Clock, onRing: () => void) {
    this.#clock = clock;
    this.#onRing = onRing;
  }

  /** Whether it has rung since it was set. */
  get rung(): boolean {
    return this.#rung;
  }

  /** Whether it is still to ring. */
  get pending(): boolean {
    return this.#cancel !== null;
  }

  /** Sets it anew. */
  set(delayMs: number): void {
    this.clear();
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = null;
      this.#rung = true;
      this.#onRing();
    });
  }

  clear(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#rung = false;
  }
}
