/**
 * A Merkle tree (RFC 9162 §2.1.1) that grows leaf by leaf and tells the root over any of its
 * beginnings, or over all of it.
 *
 * The nodes of complete subtrees are kept, so that a root costs as many hashes as the tree is high. A
 * stream asks for one every two seconds; hashing all leaves again each time would be quadratic.
 */
import { andThen } from "./awaitable.ts";
import type { Awaitable } from "./bytes.ts";
import type { Hashes } from "./hashes.ts";
import { merkleNode, merkleRoot } from "./merkle.ts";

/** Over which leaves a tree tells a root: any first ones, or all of them, for which it keeps little. */
export type Roots = "any" | "last";

/** At i: the node over leaves i·2^height to (i + 1)·2^height − 1. */
interface Level {
  size: number;
  /** The last of them, as many as are kept. */
  readonly kept: Awaitable<Uint8Array>[];
}

export class MerkleTree {
  readonly #hashes: Hashes;
  readonly #roots: Roots;
  /** At [height]. */
  readonly #levels: Level[] = [{ size: 0, kept: [] }];

  constructor(hashes: Hashes, roots: Roots) {
    this.#hashes = hashes;
    this.#roots = roots;
  }

  /** Leaves appended so far. */
  get size(): number {
    return this.#levels[0]?.size ?? 0;
  }

  /** Appends the hash of a leaf, which may still be on its way. */
  append(leafHash: Awaitable<Uint8Array>): void {
    let node = leafHash;
    for (let height = 0; ; height++) {
      const level = (this.#levels[height] ??= { size: 0, kept: [] });
      const left = level.kept.at(-1);
      const at = level.kept.push(node) - 1;
      level.size++;
      settle(level.kept, at, node);
      if (level.size % 2 === 1 || left === undefined) return;
      node = this.#node(left, node);
      // Both are in their parent now.
      if (this.#roots === "last") level.kept.length = 0;
    }
  }

  /** The root over the first `size` leaves. @throws RangeError where there is none, or it was not kept. */
  root(size: number): Awaitable<Uint8Array> {
    const kept = this.#roots === "any" || size === this.size;
    if (!Number.isSafeInteger(size) || size < 0 || size > this.size || !kept) {
      throw new RangeError(`root over ${size} of ${this.size} leaves`);
    }
    // From the smallest complete subtree to the largest: each is the left of what stands so far.
    let root: Awaitable<Uint8Array> | null = null;
    let count = size;
    for (const level of this.#levels) {
      const left = level.kept[count - 1 - (level.size - level.kept.length)];
      if (count % 2 === 1 && left !== undefined) {
        root = root === null ? left : this.#node(left, root);
      }
      count = Math.floor(count / 2);
    }
    return root ?? merkleRoot(this.#hashes, []);
  }

  #node(left: Awaitable<Uint8Array>, right: Awaitable<Uint8Array>): Awaitable<Uint8Array> {
    return andThen(left, (l) => andThen(right, (r) => merkleNode(this.#hashes, l, r)));
  }
}

/** Puts the hash in the place of its promise, so that later steps need not wait. */
function settle(kept: Awaitable<Uint8Array>[], at: number, node: Awaitable<Uint8Array>): void {
  if (!(node instanceof Promise)) return;
  const put = (hash: Uint8Array): void => {
    if (kept[at] === node) kept[at] = hash;
  };
  // Whoever asks for a root gets the failure; here nobody waits for it.
  node.then(put, () => undefined);
}
