/**
 * Runs a network on bytes. Where a text can be read in several ways, all are followed at once: a set of
 * configurations, each a state and the frames above which it stands. Sets are made when they are first
 * reached and kept, so that the same byte from the same set is one look in a table (a lazy
 * determinisation, as regular-expression engines do it).
 *
 * Nothing that is kept changes an answer: sets are ordered by what they hold, not by when they came.
 */
import { type Closing, closeOver } from "./closure.ts";
import { type Frame, Frames } from "./frames.ts";
import type { Network, State } from "./network.ts";
import { fits, framesNeeded } from "./viability.ts";

/** One way to read the text so far. */
export interface Configuration {
  readonly state: number;
  readonly frame: Frame | null;
}

/** All ways to read it that are still open. */
export interface ConfigurationSet {
  readonly configurations: readonly Configuration[];
  /** Whether the text may end here. */
  readonly canEnd: boolean;
  /** Whether, by single-byte tokens if need be, it can be completed from here. */
  readonly viable: boolean;
}

/** The id of the set without configurations. */
export const DEAD = 1;
/** In the table: not looked up yet. */
const UNKNOWN = 0;

/** What is kept before all is dropped; a set has 1 KiB of the table. */
const MAX_SETS_KEPT = 4096;
const MAX_CONFIGURATIONS_KEPT = 262_144;
const MAX_FRAMES_KEPT = 65_536;

const EVERY_BYTE: readonly boolean[] = Array.from({ length: 256 }, () => true);

export class Automaton {
  readonly #states: readonly State[];
  readonly #start: number;
  readonly #reach: number;
  /** Frames needed to get on by any bytes, and by bytes that are tokens. */
  readonly #passable: Float64Array;
  readonly #needed: Float64Array;
  #frames: Frames;
  #sets: ConfigurationSet[] = [];
  #configurations = 0;
  #ids = new Map<string, number>();
  #table = new Int32Array(0);
  #epoch = 0;

  /**
   * @param singles - the bytes that are tokens by themselves: what the vocabulary can always write.
   * @param reach - bytes of the longest token.
   */
  constructor(network: Network, singles: readonly boolean[], reach: number) {
    this.#states = network.states;
    this.#start = network.start;
    this.#reach = reach;
    this.#passable = framesNeeded(network, EVERY_BYTE);
    this.#needed = singles.includes(false) ? framesNeeded(network, singles) : this.#passable;
    this.#frames = new Frames(reach);
    this.#clear();
  }

  /** Changes whenever ids of sets lose their meaning. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The set before any byte. */
  start(): number {
    return this.#intern(closeOver([{ state: this.#start, frame: null }], this.#closing()));
  }

  set(id: number): ConfigurationSet {
    const set = this.#sets[id];
    if (set === undefined) throw new TypeError(`no configuration set ${id}`);
    return set;
  }

  /** The id of the set that `byte` leads to. */
  step(id: number, byte: number): number {
    const cell = id * 256 + byte;
    const known = this.#table[cell] ?? UNKNOWN;
    if (known !== UNKNOWN) return known;
    const next: Configuration[] = [];
    for (const { state, frame } of this.set(id).configurations) {
      for (const { low, high, to } of this.#states[state]?.bytes ?? []) {
        if (byte >= low && byte <= high) next.push({ state: to, frame });
      }
    }
    const found = this.#intern(closeOver(next, this.#closing()));
    this.#table[cell] = found;
    return found;
  }

  /**
   * Where reading stands in a string: how many unescaped characters may follow, of any kind, as far as
   * a token reaches. Null where other readings could make it more, or it is no string.
   */
  charactersLeft(id: number): number | null {
    const { configurations } = this.set(id);
    for (const configuration of configurations) {
      const { state, frame } = configuration;
      if (this.#states[state]?.character !== true || frame === null) continue;
      const left = Math.min(frame.left + 1, this.#reach);
      const settles = left === this.#reach || configurations.length === 1;
      if (settles && this.#isViable(configuration)) return left;
    }
    return null;
  }

  /** The set without configurations that only whole multi-byte tokens, perhaps none, could complete. */
  settle(id: number): number {
    const { configurations, canEnd } = this.set(id);
    const viable = configurations.filter((configuration) => this.#isViable(configuration));
    if (viable.length === configurations.length) return id;
    return this.#intern({ configurations: viable, canEnd });
  }

  /** The id of a set from before the last {@link trim}. */
  adopt({ configurations, canEnd }: ConfigurationSet): number {
    const adopted = configurations.map(({ state, frame }) => {
      return { state, frame: this.#frames.adopt(frame) };
    });
    return this.#intern({ configurations: adopted, canEnd });
  }

  /** Drops all sets once too many are kept; whoever holds one has to {@link adopt} it. */
  trim(): void {
    const few =
      this.#sets.length <= MAX_SETS_KEPT &&
      this.#configurations <= MAX_CONFIGURATIONS_KEPT &&
      this.#frames.count <= MAX_FRAMES_KEPT;
    if (!few) this.#clear();
  }

  #clear(): void {
    this.#frames = new Frames(this.#reach);
    this.#ids = new Map();
    this.#table = new Int32Array(64 * 256);
    const none = { configurations: [], canEnd: false, viable: false };
    // The first id is never given: in the table it stands for "not looked up".
    this.#sets = [none, none];
    this.#configurations = 0;
    this.#epoch += 1;
  }

  #closing(): Closing {
    return {
      states: this.#states,
      frames: this.#frames,
      passable: this.#passable,
      needed: this.#needed,
      isViable: (configuration) => this.#isViable(configuration),
    };
  }

  #isViable({ state, frame }: Configuration): boolean {
    return fits(this.#needed[state], frame);
  }

  #intern({ configurations, canEnd }: Omit<ConfigurationSet, "viable">): number {
    if (configurations.length === 0 && !canEnd) return DEAD;
    const key =
      configurations.map(({ state, frame }) => `${state}:${frame?.id ?? 0}`).join() +
      (canEnd ? "." : "");
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const viable = canEnd || configurations.some((configuration) => this.#isViable(configuration));
    const id = this.#sets.push({ configurations, canEnd, viable }) - 1;
    this.#ids.set(key, id);
    this.#configurations += configurations.length;
    this.#growTable();
    return id;
  }

  #growTable(): void {
    if (this.#sets.length * 256 <= this.#table.length) return;
    const table = new Int32Array(this.#table.length * 2);
    table.set(this.#table);
    this.#table = table;
  }
}
