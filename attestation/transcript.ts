/**
 * Hiding commitments to the two directions of one exchange.
 *
 * `Kc` is known to client and enclave only. The value of leaf i of direction d is
 * HMAC(HMAC(Kc, d ‖ u64be(i)), bytes), and the head is the RFC 9162 root over these values. So a
 * published receipt lets nobody guess a short prompt, and whoever holds Kc can open all of it, or,
 * with the inner key of one leaf, that leaf alone.
 */
import { andThen } from "./awaitable.ts";
import type { Awaitable } from "./bytes.ts";
import type { Hashes } from "./hashes.ts";
import { merkleLeaf } from "./merkle.ts";
import { MerkleTree, type Roots } from "./merkle-tree.ts";
import { DIGEST_BYTES } from "./structure.ts";

/** Which half of an exchange a transcript is of. */
export type Direction = "request" | "response";

/** What a receipt says of one direction. */
export interface Head {
  readonly leaves: number;
  /** RFC 9162 root, 32 bytes. */
  readonly root: Uint8Array;
  /** Sum of the leaves' lengths. */
  readonly bytes: number;
}

const TWO_32 = 0x1_0000_0000;
const DIRECTION = { request: 0, response: 1 } as const satisfies Record<Direction, number>;

/**
 * The transcript of one direction, in the making.
 *
 * Owned by one exchange. `append` reserves the leaf's index before anything is awaited, so the
 * order is the order of the calls, whether or not the caller waits.
 */
export class Transcript {
  readonly #hashes: Hashes;
  readonly #kc: Uint8Array;
  readonly #direction: Direction;
  readonly #tree: MerkleTree;
  /** At i: bytes in leaves 0 to i, where a head over them may be asked for. */
  readonly #sums: number[] | null;
  #bytes = 0;

  /**
   * @param kc - 32 bytes, copied. @param heads - over any first leaves, or over all of them only: then
   * a long transcript takes no memory.
   */
  constructor(hashes: Hashes, kc: Uint8Array, direction: Direction, heads: Roots = "any") {
    if (kc.length !== DIGEST_BYTES) {
      throw new TypeError(`transcript key of ${kc.length} bytes, want ${DIGEST_BYTES}`);
    }
    this.#hashes = hashes;
    this.#tree = new MerkleTree(hashes, heads);
    this.#sums = heads === "any" ? [] : null;
    this.#kc = new Uint8Array(kc);
    this.#direction = direction;
  }

  /** Leaves appended so far. */
  get leaves(): number {
    return this.#tree.size;
  }

  /** Appends one leaf; its bytes are read, or copied, before this returns. */
  append(leaf: Uint8Array): Awaitable<void> {
    const index = this.#tree.size;
    this.#bytes += leaf.length;
    this.#sums?.push(this.#bytes);
    const leafHash = this.#leafHash(index, leaf);
    this.#tree.append(leafHash);
    return leafHash instanceof Promise ? leafHash.then(() => undefined) : undefined;
  }

  /**
   * The head over all leaves, or over the first `leaves`.
   *
   * @throws RangeError where there are fewer, or it keeps that over all only.
   */
  head(leaves: number = this.#tree.size): Awaitable<Head> {
    const root = this.#tree.root(leaves);
    const bytes = leaves === 0 ? 0 : (this.#sums?.[leaves - 1] ?? this.#bytes);
    return andThen(root, (value) => ({ leaves, root: value, bytes }));
  }

  #leafHash(index: number, leaf: Uint8Array): Awaitable<Uint8Array> {
    const hashes = this.#hashes;
    const key = hashes.hmacSha256(this.#kc, leafLabel(this.#direction, index));
    const value =
      key instanceof Promise
        ? hmacLater(hashes, key, new Uint8Array(leaf))
        : hashes.hmacSha256(key, leaf);
    return andThen(value, (known) => merkleLeaf(hashes, known));
  }
}

async function hmacLater(
  hashes: Hashes,
  key: Promise<Uint8Array>,
  leaf: Uint8Array,
): Promise<Uint8Array> {
  return hashes.hmacSha256(await key, leaf);
}

/** d ‖ u64be(i). */
function leafLabel(direction: Direction, index: number): Uint8Array {
  const label = new Uint8Array(9);
  label[0] = DIRECTION[direction];
  const counter = new DataView(label.buffer, 1);
  counter.setUint32(0, Math.floor(index / TWO_32));
  counter.setUint32(4, index % TWO_32);
  return label;
}
