/**
 * Finds stop strings in text that comes piece by piece.
 *
 * What could be the beginning of one is held back until it is known not to be.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #longest: number;
  #held = "";
  #found = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length));
  }

  /** Whether one was found: nothing comes after it. */
  get found(): boolean {
    return this.#found;
  }

  /** What of the text so far can be told now. */
  push(text: string): string {
    if (this.#found) return "";
    const all = this.#held + text;
    const end = this.#firstStop(all);
    if (end !== null) {
      this.#found = true;
      this.#held = "";
      return all.slice(0, end);
    }
    const kept = this.#beginning(all);
    this.#held = all.slice(all.length - kept);
    return all.slice(0, all.length - kept);
  }

  /** What was held back, which no stop string can come of any more. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** Where the first stop string begins: of those that are there, the one that ends first. */
  #firstStop(all: string): number | null {
    let best: { readonly start: number; readonly end: number } | null = null;
    for (const stop of this.#stops) {
      const start = all.indexOf(stop);
      if (start < 0) continue;
      const end = start + stop.length;
      // The one that ends first would have stopped the text had it come letter by letter.
      if (best === null || end < best.end || (end === best.end && start < best.start)) {
        best = { start, end };
      }
    }
    return best?.start ?? null;
  }

  /** How many characters at the end of `all` may be the beginning of a stop string. */
  #beginning(all: string): number {
    for (let kept = Math.min(this.#longest - 1, all.length); kept > 0; kept--) {
      const tail = all.slice(all.length - kept);
      if (this.#stops.some((stop) => stop.startsWith(tail))) return kept;
    }
    return 0;
  }
}
