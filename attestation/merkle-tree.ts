/**
 * A Merkle tree (RFC 9162 §2.1.1) that grows leaf by leaf and tells the root over any of its
 * beginnings.
 *
 * The nodes of complete subtrees are kept, so that a root costs as many hashes as the tree is high. A
 * stream asks for one every two seconds; hashing all leaves again each time would be quadratic.
 */
import { andThen } from "./awaitable.ts";
import type { Awaitable } from "./bytes.ts";
import type { Hashes } from "./hashes.ts";
import { merkleNode, merkleRoot } from "./merkle.ts";

export class MerkleTree {
  readonly #hashes: Hashes;
  /** At [height][i]: the node over leaves i·2^height to (i + 1)·2^height − 1. */
  readonly #levels: Awaitable<Uint8Array>[][] = [[]];

  constructor(hashes: Hashes) {
    this.#hashes = hashes;
  }

  /** Leaves appended so far. */
  get size(): number {
    return this.#levels[0]?.length ?? 0;
  }

  /** Appends the hash of a leaf, which may still be on its way. */
  append(leafHash: Awaitable<Uint8Array>): void {
    let node = leafHash;
    for (let height = 0; ; height++) {
      const level = (this.#levels[height] ??= []);
      const index = level.push(node) - 1;
      settle(level, index, node);
      const left = level[index - 1];
      if (index % 2 === 0 || left === undefined) return;
      node = this.#node(left, node);
    }
  }

  /** The root over the first `size` leaves. @throws RangeError where there are fewer. */
  root(size: number): Awaitable<Uint8Array> {
    if (!Number.isSafeInteger(size) || size < 0 || size > this.size) {
      throw new RangeError(`root over ${size} of ${this.size} leaves`);
    }
    // From the smallest complete subtree to the largest: each is the left of what stands so far.
    let root: Awaitable<Uint8Array> | null = null;
    let index = size;
    for (const level of this.#levels) {
      const left: Awaitable<Uint8Array> | undefined = level[index - 1];
      if (index % 2 === 1 && left !== undefined) {
        root = root === null ? left : this.#node(left, root);
      }
      index = Math.floor(index / 2);
    }
    return root ?? merkleRoot(this.#hashes, []);
  }

  #node(left: Awaitable<Uint8Array>, right: Awaitable<Uint8Array>): Awaitable<Uint8Array> {
    return andThen(left, (l) => andThen(right, (r) => merkleNode(this.#hashes, l, r)));
  }
}

/** Puts the hash in the place of its promise, so that later steps need not wait. */
function settle(level: Awaitable<Uint8Array>[], index: number, node: Awaitable<Uint8Array>): void {
  if (!(node instanceof Promise)) return;
  const put = (hash: Uint8Array): void => {
    level[index] = hash;
  };
  // Whoever asks for a root gets the failure; here nobody waits for it.
  node.then(put, () => undefined);
}
