/**
 * A recursive transition network over bytes: a finite automaton whose edges may also call another part
 * of it and come back (Woods, "Transition network grammars", CACM 1970). It is what a constraint
 * compiles to; automaton.ts runs it.
 */
import { EnclaveError } from "../../errors.ts";

/** A byte from `low` to `high` leads to `to`. */
export interface ByteEdge {
  readonly low: number;
  readonly high: number;
  readonly to: number;
}

/** What begins at `start` is read to its final state, and then `to` follows. */
export interface CallEdge {
  readonly start: number;
  readonly to: number;
}

/** What begins at `body` is read from `min` to `max` times (Infinity: any), and then `to` follows. */
export interface LoopEdge {
  readonly body: number;
  readonly min: number;
  readonly max: number;
  readonly to: number;
}

export interface State {
  readonly bytes: readonly ByteEdge[];
  readonly empty: readonly number[];
  readonly calls: readonly CallEdge[];
  /** A state with a loop has no other edge. */
  readonly loop: LoopEdge | null;
  /** Where a called part, or the whole, ends. */
  readonly final: boolean;
  /** Where a part begins that reads any one character which JSON strings hold without escape. */
  readonly character: boolean;
}

export interface Network {
  readonly start: number;
  readonly states: readonly State[];
}

/** A network's states together; more is a schema that we do not compile. */
export const MAX_STATES = 65_536;

interface OpenState {
  readonly bytes: ByteEdge[];
  readonly empty: number[];
  readonly calls: CallEdge[];
  loop: LoopEdge | null;
  final: boolean;
  character: boolean;
}

/** Adds edges to `from` and returns the state where what they read has been read. */
export type Piece = (from: number) => number;

/**
 * Builds a network forwards: each method adds what may follow a state, and returns where that leads.
 * Nothing leads back to an earlier state but calls and loops, so pieces may share a state.
 */
export class NetworkBuilder {
  readonly #states: OpenState[] = [];
  readonly #parts = new Map<unknown, number>();
  readonly #unbuilt: { readonly start: number; readonly piece: Piece }[] = [];

  state(): number {
    if (this.#states.length >= MAX_STATES) {
      throw new EnclaveError("constraint/schema", `more than ${MAX_STATES} states`, { param: "#" });
    }
    return (
      this.#states.push({
        bytes: [],
        empty: [],
        calls: [],
        loop: null,
        final: false,
        character: false,
      }) - 1
    );
  }

  byte(from: number, low: number, high: number, to: number): void {
    this.#at(from).bytes.push({ low, high, to });
  }

  join(from: number, to: number): void {
    this.#at(from).empty.push(to);
  }

  /** Says that what begins at `start` reads any unescaped character, at least. */
  markCharacter(start: number): void {
    this.#at(start).character = true;
  }

  /** Any one of the bytes in `low` to `high`. */
  range(from: number, low: number, high: number): number {
    const to = this.state();
    this.byte(from, low, high, to);
    return to;
  }

  /** Exactly the UTF-8 of `text`. */
  literal(from: number, text: string): number {
    let at = from;
    for (const byte of new TextEncoder().encode(text)) at = this.range(at, byte, byte);
    return at;
  }

  /** Any one of `texts`, which share the states of what they begin with. */
  literals(from: number, texts: readonly string[]): number {
    const to = this.state();
    const children = new Map<string, number>();
    for (const text of texts) {
      let at = from;
      for (const byte of new TextEncoder().encode(text)) {
        const key = `${at} ${byte}`;
        const next = children.get(key) ?? this.range(at, byte, byte);
        children.set(key, next);
        at = next;
      }
      this.join(at, to);
    }
    return to;
  }

  /** Any one of `pieces`. */
  either(from: number, pieces: readonly Piece[]): number {
    const to = this.state();
    for (const piece of pieces) this.join(piece(from), to);
    return to;
  }

  loop(from: number, body: number, min: number, max: number): number {
    const at = this.state();
    const to = this.state();
    this.join(from, at);
    this.#at(at).loop = { body, min, max, to };
    return to;
  }

  /** Reads the part that begins at `start`. */
  call(from: number, start: number): number {
    const to = this.state();
    this.#at(from).calls.push({ start, to });
    return to;
  }

  /**
   * The start of the part of this identity. It is built once, and not before {@link build}: a part may
   * call itself, and no chain of parts is as deep on our stack as it is long.
   */
  partStart(identity: unknown, piece: Piece): number {
    const known = this.#parts.get(identity);
    if (known !== undefined) return known;
    const start = this.state();
    this.#parts.set(identity, start);
    this.#unbuilt.push({ start, piece });
    return start;
  }

  /** The network of `whole` and of every part that it calls. */
  build(whole: Piece): Network {
    const start = this.state();
    this.#at(whole(start)).final = true;
    for (let part = this.#unbuilt.pop(); part !== undefined; part = this.#unbuilt.pop()) {
      this.#at(part.piece(part.start)).final = true;
    }
    return { start, states: this.#states.map((state) => this.#close(state)) };
  }

  /**
   * Calls return straight to where single empty edges would lead. So calls that go on alike share a
   * frame, however many branches they come from, and one that would only return further needs none.
   */
  #close(state: OpenState): State {
    const calls = state.calls.map(({ start, to }) => ({ start, to: this.#settle(to) }));
    return { ...state, calls };
  }

  /** Follows single empty edges. */
  #settle(from: number): number {
    let at = from;
    for (;;) {
      const { bytes, empty, calls, loop, final } = this.#at(at);
      const [next] = empty;
      const single = empty.length === 1 && bytes.length === 0 && calls.length === 0;
      if (!single || loop !== null || final || next === undefined) return at;
      at = next;
    }
  }

  #at(index: number): OpenState {
    const state = this.#states[index];
    if (state === undefined) throw new TypeError(`no state ${index}`);
    return state;
  }
}

/** Whether a state only ends its part. */
export function isReturn(state: State): boolean {
  const { bytes, empty, calls, loop, final } = state;
  return final && bytes.length + empty.length + calls.length === 0 && loop === null;
}
