import { type Network, type State, isReturn } from "./network.ts";

/** Frames that calls and loops may stack up: JSON nests at least 60 levels deep within it. */
export const MAX_FRAMES = 128;

/**
 * For each state, how many frames some way from it to the end of its part needs at least; Infinity
 * where there is no way. A state is only entered where so many frames are left, so whatever text has
 * been read so far can be completed: there are no dead ends.
 *
 * The numbers are the least solution of "an edge needs what its parts need", found from the ends
 * backwards in ascending order (Knuth, "A generalization of Dijkstra's algorithm", 1977).
 *
 * @param usable - the bytes that may be used to complete a text.
 */
export function framesNeeded(network: Network, usable: readonly boolean[]): Float64Array {
  const { states } = network;
  const needed = new Float64Array(states.length).fill(Infinity);
  const edges = new Edges(states, usable);
  /** States by the number proposed for them. */
  const waiting: number[][] = Array.from({ length: MAX_FRAMES + 1 }, () => []);
  for (const [index, state] of states.entries()) if (state.final) waiting[0]?.push(index);

  for (const [value, batch] of waiting.entries()) {
    for (let state = batch.pop(); state !== undefined; state = batch.pop()) {
      if (needed[state] !== Infinity) continue;
      needed[state] = value;
      edges.forEachThrough(state, ({ from, part, frames, to }) => {
        const inside = part === null ? 0 : frames + (needed[part] ?? Infinity);
        const edge = Math.max(inside, needed[to] ?? Infinity);
        if (edge <= MAX_FRAMES && needed[from] === Infinity) waiting[edge]?.push(from);
      });
    }
  }
  return needed;
}

/** An edge of any kind: to get from `from` to `to`, a part may have to be read on so many frames. */
interface Edge {
  readonly from: number;
  readonly part: number | null;
  readonly frames: number;
  readonly to: number;
}

/** Finds edges by the states that they lead through. */
class Edges {
  /** Lists, linked by place: the first entry of each state, and the entry after each entry. */
  readonly #first: Int32Array;
  readonly #next: number[] = [];
  readonly #entries: Edge[] = [];

  constructor(states: readonly State[], usable: readonly boolean[]) {
    this.#first = new Int32Array(states.length).fill(-1);
    for (const [from, { bytes, empty, calls, loop }] of states.entries()) {
      for (const { low, high, to } of bytes) {
        const open = low === high ? usable[low] : usable.slice(low, high + 1).includes(true);
        if (open === true) this.#add({ from, part: null, frames: 0, to });
      }
      for (const to of empty) this.#add({ from, part: null, frames: 0, to });
      for (const { start, to } of calls) {
        // A call needs a frame, unless nothing is left to do after it.
        const after = states[to];
        const frames = after !== undefined && isReturn(after) ? 0 : 1;
        this.#add({ from, part: start, frames, to });
      }
      if (loop !== null && loop.min <= loop.max) {
        this.#add({ from, part: loop.min === 0 ? null : loop.body, frames: 1, to: loop.to });
      }
    }
  }

  forEachThrough(state: number, visit: (edge: Edge) => void): void {
    for (let entry = this.#first[state] ?? -1; entry >= 0; entry = this.#next[entry] ?? -1) {
      const edge = this.#entries[entry];
      if (edge !== undefined) visit(edge);
    }
  }

  #add(edge: Edge): void {
    this.#list(edge.to, edge);
    if (edge.part !== null) this.#list(edge.part, edge);
  }

  #list(state: number, edge: Edge): void {
    this.#next.push(this.#first[state] ?? -1);
    this.#first[state] = this.#entries.push(edge) - 1;
  }
}

/** Whether `needed` frames may still be stacked on `frame`. */
export function fits(
  needed: number | undefined,
  frame: { readonly depth: number } | null,
): boolean {
  return (needed ?? Infinity) + (frame?.depth ?? 0) <= MAX_FRAMES;
}
