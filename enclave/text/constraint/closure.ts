/** Follows all edges that read nothing, so that a set holds only configurations that read a byte. */
import type { Configuration, ConfigurationSet } from "./automaton.ts";
import { type Frame, type FrameContent, type Frames, compareFrames } from "./frames.ts";
import { type LoopEdge, MAX_STATES, type State, isReturn } from "./network.ts";
import { fits } from "./viability.ts";

/**
 * Readings that are followed at once. Where a schema is more ambiguous, the first by content are kept:
 * the answer still fits the schema, which then might have allowed more.
 */
export const MAX_CONFIGURATIONS = 512;
/** Configurations looked at in one closure. No network that we compile comes near it. */
const MAX_VISITED = 65_536;

export interface Closing {
  readonly states: readonly State[];
  readonly frames: Frames;
  /** Frames needed to get on from each state, by any bytes, and by bytes that are tokens. */
  readonly passable: Float64Array;
  readonly needed: Float64Array;
  readonly isViable: (configuration: Configuration) => boolean;
}

/** What is left of a loop; null where it is only entered. */
type Counts = Pick<FrameContent, "needed" | "left"> | null;

/** In place of a count, in the frame of a call: a call may return to a loop that it has to enter. */
const OF_CALL = -1;

const countsOf = (frame: Frame): Counts => (frame.left === OF_CALL ? null : frame);

interface Item extends Configuration {
  readonly counts: Counts;
}

/** The set of all that `from` leads to without a byte. */
export function closeOver(
  from: readonly Configuration[],
  closing: Closing,
): Omit<ConfigurationSet, "viable"> {
  const open: Item[] = from
    .map((configuration) => ({ ...configuration, counts: null }))
    .filter(({ state, frame }) => fits(closing.passable[state], frame));
  const visited = new Set<number>();
  const viable: Configuration[] = [];
  const transient: Configuration[] = [];
  let canEnd = false;

  for (let item = open.pop(); item !== undefined; item = open.pop()) {
    const { state: index, frame, counts } = item;
    const state = closing.states[index];
    if (state === undefined) throw new TypeError(`no state ${index}`);
    if (state.loop !== null) {
      enterLoop(open, { index, loop: state.loop, frame, counts }, closing);
      continue;
    }
    const key = (frame?.id ?? 0) * MAX_STATES + index;
    if (visited.has(key)) continue;
    visited.add(key);
    if (visited.size > MAX_VISITED || viable.length > 2 * MAX_CONFIGURATIONS) break;

    if (state.final && frame === null) canEnd = true;
    if (state.final && frame !== null) {
      open.push({ state: frame.state, frame: frame.parent, counts: countsOf(frame) });
    }
    for (const to of state.empty) enter(open, { state: to, frame }, closing);
    for (const call of state.calls) enterCall(open, call, frame, closing);
    if (state.bytes.length > 0) {
      (closing.isViable(item) ? viable : transient).push({ state: index, frame });
    }
  }
  // Those that can be completed come first, so that the limit never takes the last of them.
  const ordered = [...viable.sort(compare), ...transient.sort(compare)];
  return { configurations: ordered.slice(0, MAX_CONFIGURATIONS), canEnd };
}

function enter(open: Item[], { state, frame }: Configuration, closing: Closing): void {
  if (fits(closing.passable[state], frame)) open.push({ state, frame, counts: null });
}

function enterCall(
  open: Item[],
  { start, to }: { readonly start: number; readonly to: number },
  frame: Frame | null,
  closing: Closing,
): void {
  const after = closing.states[to];
  if (after === undefined) throw new TypeError(`no state ${to}`);
  if (isReturn(after)) {
    enter(open, { state: start, frame }, closing);
    return;
  }
  // What follows is only reached at the end of a token or later: it must be possible by tokens.
  if (!fits(closing.needed[to], frame)) return;
  const above = { depth: (frame?.depth ?? 0) + 1 };
  if (!fits(closing.passable[start], above)) return;
  const pushed = closing.frames.push(frame, { state: to, needed: 0, left: OF_CALL });
  enter(open, { state: start, frame: pushed }, closing);
}

function enterLoop(
  open: Item[],
  at: {
    readonly index: number;
    readonly loop: LoopEdge;
    readonly frame: Frame | null;
    readonly counts: Counts;
  },
  closing: Closing,
): void {
  const { index, loop, frame } = at;
  const { needed, left } = at.counts ?? { needed: loop.min, left: loop.max };
  if (needed === 0) enter(open, { state: loop.to, frame }, closing);
  if (left === 0) return;
  const above = { depth: (frame?.depth ?? 0) + 1 };
  const again = Math.max(needed - 1, 0);
  if (!fits(closing.needed[loop.to], frame) || !fits(closing.passable[loop.body], above)) return;
  if (again > 0 && !fits(closing.needed[loop.body], above)) return;
  const pushed = closing.frames.push(frame, { state: index, needed: again, left: left - 1 });
  enter(open, { state: loop.body, frame: pushed }, closing);
}

/** An order by content, which does not depend on what was reached first. */
function compare(a: Configuration, b: Configuration): number {
  return a.state - b.state || compareFrames(a.frame, b.frame);
}
