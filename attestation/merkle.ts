/**
 * The Merkle tree of RFC 9162 §2.1 over SHA-256.
 *
 * A leaf's hash is SHA-256(0x00 ‖ value), a node's SHA-256(0x01 ‖ left ‖ right), the empty tree's
 * SHA-256 of nothing. Sizes and indexes are integers of 53 bits.
 */
import { allOf, andThen } from "./awaitable.ts";
import { type Awaitable, concatBytes, equalBytes } from "./bytes.ts";
import { AttestationError } from "./errors.ts";
import type { Hashes } from "./hashes.ts";
import { DIGEST_BYTES } from "./structure.ts";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The hash of one leaf's value. */
export function merkleLeaf(hashes: Hashes, value: Uint8Array): Awaitable<Uint8Array> {
  return hashes.sha256(concatBytes(LEAF, value));
}

/**
 * The root over leaf hashes (RFC 9162 §2.1.1).
 *
 * Pairing level by level, with an odd last node moved up as it is, gives the same tree as the RFC's
 * split at the largest power of two.
 */
export function merkleRoot(
  hashes: Hashes,
  leafHashes: readonly Uint8Array[],
): Awaitable<Uint8Array> {
  const [first] = leafHashes;
  if (first === undefined) return hashes.sha256(new Uint8Array(0));
  if (leafHashes.length === 1) return first;
  const level: Awaitable<Uint8Array>[] = [];
  for (let i = 0; i < leafHashes.length; i += 2) {
    const left = leafHashes[i] ?? first;
    const right = leafHashes[i + 1];
    level.push(right === undefined ? left : merkleNode(hashes, left, right));
  }
  return andThen(allOf(level), (parents) => merkleRoot(hashes, parents));
}

/** A leaf, its tree head, and the nodes between them (RFC 9162 §2.1.3). Hashes have 32 bytes. */
export interface InclusionProof {
  readonly index: number;
  readonly size: number;
  readonly leafHash: Uint8Array;
  /** Siblings from the leaf up. */
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/**
 * Requires that a leaf is in a tree (RFC 9162 §2.1.3.2).
 *
 * @throws {@link AttestationError} `merkle/inclusion`.
 */
export async function verifyInclusion(hashes: Hashes, proof: InclusionProof): Promise<void> {
  const { index, size, path } = proof;
  requireDigests("merkle/inclusion", [proof.leafHash, proof.root, ...path]);
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) {
    throw new AttestationError("merkle/inclusion", `leaf ${index} of a tree of ${size}`);
  }
  let fn = index;
  let sn = size - 1;
  let r = proof.leafHash;
  for (const p of path) {
    if (sn === 0) throw new AttestationError("merkle/inclusion", "path is too long");
    if (fn % 2 === 1 || fn === sn) {
      r = await merkleNode(hashes, p, r);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      r = await merkleNode(hashes, r, p);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  if (sn !== 0) throw new AttestationError("merkle/inclusion", "path is too short");
  if (!equalBytes(r, proof.root)) {
    throw new AttestationError("merkle/inclusion", "path leads to another root");
  }
}

/** Two tree heads and the nodes between them (RFC 9162 §2.1.4). Hashes have 32 bytes. */
export interface ConsistencyProof {
  readonly firstSize: number;
  readonly secondSize: number;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  readonly path: readonly Uint8Array[];
}

/**
 * Requires that the first tree is a prefix of the second (RFC 9162 §2.1.4.2).
 *
 * Trees of equal size are consistent when their roots are equal. Nothing is proven from an empty
 * tree: §2.1.4.1 begins at one leaf.
 *
 * @throws {@link AttestationError} `merkle/consistency`.
 */
export async function verifyConsistency(hashes: Hashes, proof: ConsistencyProof): Promise<void> {
  const { firstSize: first, secondSize: second, firstRoot, secondRoot, path } = proof;
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 0) {
    throw inconsistent(`trees of ${first} and ${second}`);
  }
  if (first === second) {
    if (path.length > 0) throw inconsistent("path is not empty");
    if (!equalBytes(firstRoot, secondRoot)) throw inconsistent("roots differ");
    return;
  }
  if (first === 0 || first > second) throw inconsistent(`first of ${first}, second of ${second}`);
  requireDigests("merkle/consistency", [firstRoot, secondRoot, ...path]);
  await climb(hashes, proof);
}

async function climb(hashes: Hashes, proof: ConsistencyProof): Promise<void> {
  // §2.1.4.2, steps 2 and 3: where the first tree is complete, its root starts the path.
  const path = isPowerOfTwo(proof.firstSize) ? [proof.firstRoot, ...proof.path] : proof.path;
  let fn = proof.firstSize - 1;
  let sn = proof.secondSize - 1;
  while (fn % 2 === 1) {
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  const [start, ...rest] = path;
  if (start === undefined) throw inconsistent("path is empty");
  let fr = start;
  let sr = start;
  for (const c of rest) {
    if (sn === 0) throw inconsistent("path is too long");
    if (fn % 2 === 1 || fn === sn) {
      fr = await merkleNode(hashes, c, fr);
      sr = await merkleNode(hashes, c, sr);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      sr = await merkleNode(hashes, sr, c);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  if (sn !== 0) throw inconsistent("path is too short");
  if (!equalBytes(fr, proof.firstRoot)) throw inconsistent("path leads to another first root");
  if (!equalBytes(sr, proof.secondRoot)) throw inconsistent("path leads to another second root");
}

/** The hash of a node over its two children. */
export function merkleNode(
  hashes: Hashes,
  left: Uint8Array,
  right: Uint8Array,
): Awaitable<Uint8Array> {
  return hashes.sha256(concatBytes(NODE, left, right));
}

function isPowerOfTwo(n: number): boolean {
  let rest = n;
  while (rest > 1 && rest % 2 === 0) rest /= 2;
  return rest === 1;
}

function inconsistent(message: string): AttestationError {
  return new AttestationError("merkle/consistency", message);
}

function requireDigests(
  code: "merkle/inclusion" | "merkle/consistency",
  digests: readonly Uint8Array[],
): void {
  for (const digest of digests) {
    if (digest.length !== DIGEST_BYTES) {
      throw new AttestationError(code, `hash of ${digest.length} bytes, want ${DIGEST_BYTES}`);
    }
  }
}
