/**
 * Lines of the log about requests without a genuine document: anybody can send those without end, and
 * they must neither fill the owner's disk nor hide the other lines.
 */

const WINDOW_MS = 60_000;
export const MAX_NOISE_PER_MINUTE = 60;

export class Noise {
  #windowEndMs = 0;
  #logged = 0;
  #dropped = 0;

  /**
   * Null where this line is to be dropped; else how many were dropped since the last one.
   *
   * @param nowMs - of a clock that never goes back.
   */
  admit(nowMs: number): number | null {
    if (nowMs >= this.#windowEndMs) {
      this.#windowEndMs = nowMs + WINDOW_MS;
      this.#logged = 0;
    }
    if (this.#logged >= MAX_NOISE_PER_MINUTE) {
      this.#dropped++;
      return null;
    }
    this.#logged++;
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}
