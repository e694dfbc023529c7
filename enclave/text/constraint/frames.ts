/** What is to be done after the part that is being read: a stack, shared by all that stand on it. */
export interface Frame {
  readonly id: number;
  /** Where reading goes on: the state after a call, or a loop's state. */
  readonly state: number;
  /** Of a loop: times that are still needed, and that are still left. Of a call: 0 and −1. */
  readonly needed: number;
  readonly left: number;
  /** Null on the ground. */
  readonly parent: Frame | null;
  readonly depth: number;
  /** Equal for frames that no single token can tell apart. */
  readonly shape: number;
}

export interface FrameContent {
  readonly state: number;
  readonly needed: number;
  readonly left: number;
}

/** Makes frames, the same one for the same content: what is equal can be compared by identity. */
export class Frames {
  readonly #frames = new Map<string, Frame>();
  readonly #shapes = new Map<string, number>();
  /** Bytes of the longest token: what a counter says beyond it, no token can reach. */
  readonly #reach: number;

  constructor(reach: number) {
    this.#reach = reach;
  }

  get count(): number {
    return this.#frames.size;
  }

  push(parent: Frame | null, { state, needed, left }: FrameContent): Frame {
    const key = `${parent?.id ?? 0} ${state} ${needed} ${left}`;
    const known = this.#frames.get(key);
    if (known !== undefined) return known;
    const frame = {
      id: this.#frames.size + 1,
      state,
      needed,
      left,
      parent,
      depth: (parent?.depth ?? 0) + 1,
      shape: this.#shape(parent, { state, needed, left }),
    };
    this.#frames.set(key, frame);
    return frame;
  }

  /** Makes the frames of a stack that another set of frames made. */
  adopt(foreign: Frame | null): Frame | null {
    const contents: Frame[] = [];
    for (let frame = foreign; frame !== null; frame = frame.parent) contents.push(frame);
    return contents.reduceRight<Frame | null>((parent, frame) => this.push(parent, frame), null);
  }

  #shape(parent: Frame | null, { state, needed, left }: FrameContent): number {
    const nearNeeded = Math.min(needed, this.#reach);
    const nearLeft = left === Infinity ? left : Math.min(left, this.#reach);
    const key = `${parent?.shape ?? 0} ${state} ${nearNeeded} ${nearLeft}`;
    const shape = this.#shapes.get(key) ?? this.#shapes.size + 1;
    this.#shapes.set(key, shape);
    return shape;
  }
}

/** An order by content, which does not depend on what was made first. */
export function compareFrames(a: Frame | null, b: Frame | null): number {
  let left = a;
  let right = b;
  while (left !== right) {
    if (left === null) return -1;
    if (right === null) return 1;
    const order =
      left.state - right.state ||
      left.needed - right.needed ||
      compareCounts(left.left, right.left);
    if (order !== 0) return order;
    left = left.parent;
    right = right.parent;
  }
  return 0;
}

/** Counts may be Infinity, whose difference is no number. */
const compareCounts = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1);
