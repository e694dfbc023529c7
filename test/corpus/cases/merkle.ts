/**
 * Merkle proofs, made by the definitions of RFC 9162 §2.1.1, §2.1.3.1 and §2.1.4.1, which recurse from
 * the root down; the library verifies from the leaf up.
 */
import { createHash } from "node:crypto";
import { encodeHex, encodeUtf8 } from "@countersign/attestation";
import { sha256 } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { NOW_MS, random } from "../node.ts";
import type { ConsistencyFile, InclusionFile, Outcome, Subject } from "../vector.ts";

/** Sizes on both sides of powers of two, each with the indexes that turn differently. */
const PLACES: readonly (readonly [size: number, ...indexes: readonly number[]])[] = [
  [1, 0],
  [2, 0, 1],
  [3, 0, 2],
  [4, 3],
  [5, 3, 4],
  [7, 4, 5, 6],
  [8, 0, 7],
  [9, 7, 8],
  [15, 14],
  [16, 8],
  [17, 15, 16],
  [33, 32],
];
const SIZES: readonly (readonly [first: number, second: number])[] = [
  [1, 1],
  [1, 2],
  [1, 8],
  [2, 3],
  [3, 4],
  [3, 7],
  [4, 5],
  [4, 8],
  [5, 8],
  [6, 8],
  [7, 8],
  [7, 9],
  [8, 9],
  [8, 16],
  [15, 17],
  [16, 17],
  [17, 33],
  [33, 33],
];

const LEAVES: readonly Uint8Array[] = Array.from({ length: 40 }, () =>
  sha256(Buffer.concat([Uint8Array.of(0), random(20)])),
);

export function merkleCases(): Promise<readonly Case[]> {
  return Promise.resolve([
    ...PLACES.flatMap(([size, ...indexes]) =>
      indexes.map((index) => genuineInclusion(index, size)),
    ),
    ...largeInclusions(),
    ...wrongInclusions(),
    ...SIZES.map(([first, second]) => genuineConsistency(first, second)),
    ...wrongConsistencies(),
  ]);
}

const INCLUSION = "RFC 9162 §2.1.3.2";
const CONSISTENCY = "RFC 9162 §2.1.4.2";

function genuineInclusion(index: number, size: number): Case {
  const what = `leaf ${index} of ${size}`;
  return right("inclusion", `inclusion-of-${index}-in-${size}`, what, inclusion(index, size));
}

/** Trees too large to build: a path of any nodes leads to some root. */
function largeInclusions(): readonly Case[] {
  const places: readonly (readonly [name: string, index: number, size: number])[] = [
    ["2-32-less-1-in-2-32", 2 ** 32 - 1, 2 ** 32],
    ["2-32-in-2-32-and-1", 2 ** 32, 2 ** 32 + 1],
    ["2-31-in-2-33", 2 ** 31, 2 ** 33],
    ["middle-of-2-53-less-1", 2 ** 52, Number.MAX_SAFE_INTEGER],
    ["last-of-2-53-less-1", Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER],
  ];
  return places.map(([name, index, size]) => {
    const leaf = random(32);
    const path = Array.from({ length: pathLength(index, size) }, () => random(32));
    const file = inclusionFile(index, size, leaf, path, rootFrom(index, size, leaf, path));
    return right("inclusion", `inclusion-of-${name}`, `leaf ${index} of ${size}`, file);
  });
}

function wrongInclusions(): readonly Case[] {
  const genuine = inclusion(5, 8);
  const odd = inclusion(4, 7);
  const [a = "", b = "", c = ""] = genuine.path;
  const bit = (hex: string): string => flip(hex);
  const wide = `${genuine.leafHash}00`;
  const rows: readonly (readonly [name: string, what: string, file: InclusionFile])[] = [
    ["index-of-the-neighbour", "the index of the leaf beside it", { ...genuine, index: 4 }],
    ["index-of-another-branch", "an index in the other half", { ...genuine, index: 1 }],
    ["index-negative", "an index below zero", { ...genuine, index: -1 }],
    ["index-is-size", "an index equal to the size", { ...genuine, index: 8 }],
    ["index-fraction", "an index that is no integer", { ...genuine, index: 5.5 }],
    [
      "index-of-54-bits",
      "an index of 2^53 in a tree of 2^53 leaves and one",
      { ...genuine, index: 2 ** 53, size: 2 ** 53 + 2 },
    ],
    ["size-of-zero", "a tree without leaves", { ...genuine, index: 0, size: 0 }],
    ["size-smaller", "the size of a tree half as large", { ...genuine, index: 1, size: 4 }],
    ["size-larger", "the size of a tree twice as large", { ...genuine, size: 16 }],
    ["size-fraction", "a size that is no integer", { ...genuine, size: 8.5 }],
    ["path-cut-above", "no node at the top", { ...genuine, path: [a, b] }],
    ["path-cut-below", "no node at the bottom", { ...genuine, path: [b, c] }],
    ["path-empty", "no path, in a tree of eight", { ...genuine, path: [] }],
    [
      "path-extended",
      "a node more at the top",
      { ...genuine, path: [a, b, c, encodeHex(random(32))] },
    ],
    ["path-with-root", "the root itself at its end", { ...genuine, path: [a, b, c, genuine.root] }],
    ["path-reversed", "the path from the root down", { ...genuine, path: [c, b, a] }],
    ["path-lowest-changed", "one bit of the lowest node", { ...genuine, path: [bit(a), b, c] }],
    ["path-highest-changed", "one bit of the highest node", { ...genuine, path: [a, b, bit(c)] }],
    ["path-node-of-31", "a node of 31 bytes", { ...genuine, path: [a, b.slice(2), c] }],
    ["path-node-of-33", "a node of 33 bytes", { ...genuine, path: [a, `${b}00`, c] }],
    ["path-node-empty", "a node of no bytes", { ...genuine, path: ["", b, c] }],
    ["leaf-changed", "one bit of the leaf's hash", { ...genuine, leafHash: bit(genuine.leafHash) }],
    ["leaf-of-33", "a leaf's hash of 33 bytes", { ...genuine, leafHash: wide }],
    [
      "leaf-is-a-node",
      "the node above the leaf in its place, its path in place of the leaf's",
      { ...genuine, leafHash: encodeHex(rootOf(LEAVES.slice(4, 6))), path: [b, c] },
    ],
    [
      "leaf-hashed-as-a-node",
      "a value hashed with the prefix of nodes",
      {
        ...inclusion(0, 1),
        leafHash: encodeHex(sha256(Buffer.concat([Uint8Array.of(1), LEAVES[0] ?? random(32)]))),
      },
    ],
    ["root-changed", "one bit of the root", { ...genuine, root: bit(genuine.root) }],
    ["root-of-31", "a root of 31 bytes", { ...genuine, root: genuine.root.slice(2) }],
    [
      "root-of-a-larger-tree",
      "the root of the tree a leaf later",
      { ...genuine, root: encodeHex(rootOf(LEAVES.slice(0, 9))) },
    ],
    [
      "only-leaf-other-root",
      "a tree of one leaf, whose root is another",
      { ...inclusion(0, 1), root: encodeHex(random(32)) },
    ],
    ["only-leaf-with-path", "a tree of one leaf with a path", { ...inclusion(0, 1), path: [a] }],
    [
      "odd-tree-sibling-doubled",
      "the last leaf of seven paired with itself",
      { ...odd, index: 6, path: [encodeHex(LEAVES[6] ?? random(32)), ...inclusion(6, 7).path] },
    ],
    [
      "other-leaf-same-tree",
      "another leaf of the same tree with this path",
      { ...genuine, leafHash: encodeHex(LEAVES[4] ?? random(32)) },
    ],
  ];
  return rows.map(([name, what, file]) => wrong("inclusion", `inclusion-${name}`, what, file));
}

function genuineConsistency(first: number, second: number): Case {
  const what = `trees of ${first} and ${second}`;
  return right(
    "consistency",
    `consistency-of-${first}-and-${second}`,
    what,
    consistency(first, second),
  );
}

function wrongConsistencies(): readonly Case[] {
  const genuine = consistency(6, 8);
  const power = consistency(4, 8);
  const same = consistency(7, 7);
  const [a = "", b = "", c = ""] = genuine.path;
  const bit = (hex: string): string => flip(hex);
  const empty = encodeHex(sha256(""));
  const rows: readonly (readonly [name: string, what: string, file: ConsistencyFile])[] = [
    [
      "first-root-changed",
      "one bit of the first root",
      { ...genuine, firstRoot: bit(genuine.firstRoot) },
    ],
    [
      "second-root-changed",
      "one bit of the second root",
      { ...genuine, secondRoot: bit(genuine.secondRoot) },
    ],
    [
      "roots-exchanged",
      "the two roots exchanged",
      { ...genuine, firstRoot: genuine.secondRoot, secondRoot: genuine.firstRoot },
    ],
    [
      "first-leaf-changed-since",
      "a tree whose first leaf was changed since",
      { ...genuine, ...forked(6, 8) },
    ],
    [
      "history-of-another-log",
      "the first root of another log of the same size",
      { ...genuine, firstRoot: encodeHex(rootOf(LEAVES.slice(10, 16))) },
    ],
    [
      "sizes-exchanged",
      "the second tree smaller than the first",
      {
        ...genuine,
        firstSize: 8,
        secondSize: 6,
        firstRoot: genuine.secondRoot,
        secondRoot: genuine.firstRoot,
      },
    ],
    ["first-of-five", "another size of the first tree", { ...genuine, firstSize: 5 }],
    ["first-of-seven", "a first tree of one leaf more", { ...genuine, firstSize: 7 }],
    ["second-of-sixteen", "a second tree twice as large", { ...genuine, secondSize: 16 }],
    ["first-negative", "a first tree below zero", { ...genuine, firstSize: -1 }],
    ["first-fraction", "a size that is no integer", { ...genuine, firstSize: 6.5 }],
    ["second-of-54-bits", "a second tree of 2^53 leaves", { ...genuine, secondSize: 2 ** 53 }],
    [
      "first-empty",
      "nothing is proven from a tree without leaves",
      { firstSize: 0, secondSize: 8, firstRoot: empty, secondRoot: genuine.secondRoot, path: [] },
    ],
    ["path-empty", "no path between trees of two sizes", { ...genuine, path: [] }],
    ["path-cut-above", "no node at the top", { ...genuine, path: [a, b] }],
    ["path-cut-below", "no node at the bottom", { ...genuine, path: [b, c] }],
    [
      "path-extended",
      "a node more at the top",
      { ...genuine, path: [a, b, c, encodeHex(random(32))] },
    ],
    ["path-reversed", "the path backwards", { ...genuine, path: [c, b, a] }],
    ["path-lowest-changed", "one bit of the lowest node", { ...genuine, path: [bit(a), b, c] }],
    ["path-highest-changed", "one bit of the highest node", { ...genuine, path: [a, b, bit(c)] }],
    ["path-node-of-31", "a node of 31 bytes", { ...genuine, path: [a, b.slice(2), c] }],
    [
      "path-with-first-root",
      "the first root in front, though a tree of four is complete",
      { ...power, path: [power.firstRoot, ...power.path] },
    ],
    [
      "path-of-complete-tree-changed",
      "one bit of the path from a complete tree",
      { ...power, path: power.path.map(bit) },
    ],
    [
      "complete-tree-root-changed",
      "one bit of a complete first tree's root",
      { ...power, firstRoot: bit(power.firstRoot) },
    ],
    [
      "first-root-of-31",
      "a first root of 31 bytes",
      { ...genuine, firstRoot: genuine.firstRoot.slice(2) },
    ],
    [
      "same-size-other-root",
      "trees of one size with two roots",
      { ...same, secondRoot: bit(same.secondRoot) },
    ],
    [
      "same-size-with-path",
      "a path between a tree and itself",
      { ...same, path: [same.firstRoot] },
    ],
  ];
  return rows.map(([name, what, file]) => wrong("consistency", `consistency-${name}`, what, file));
}

function right(subject: Subject, name: string, what: string, file: object): Case {
  return merkleCase(subject, `accepted/${name}`, what, file, null);
}

function wrong(
  subject: "inclusion" | "consistency",
  name: string,
  what: string,
  file: object,
): Case {
  return merkleCase(subject, `merkle/${name}`, what, file, `merkle/${subject}`);
}

function merkleCase(
  subject: Subject,
  name: string,
  what: string,
  file: object,
  code: string | null,
): Case {
  const outcome: Outcome = {
    result: code === null ? "verified" : "rejected",
    code,
    check: null,
    failure: null,
    skipped: [],
    pointer: null,
  };
  const clause = subject === "inclusion" ? INCLUSION : CONSISTENCY;
  const judged = { policy: null, mode: "live", nowMs: NOW_MS, nonce: null } as const;
  return {
    name,
    expected: { what, clause, subject, ...judged, outcome },
    files: new Map([[`${subject}.json`, encodeUtf8(`${JSON.stringify(file, null, 2)}\n`)]]),
  };
}

function inclusion(index: number, size: number): InclusionFile {
  const leaves = LEAVES.slice(0, size);
  const leaf = leaves[index] ?? random(32);
  return inclusionFile(index, size, leaf, pathOf(index, leaves), rootOf(leaves));
}

function inclusionFile(
  index: number,
  size: number,
  leaf: Uint8Array,
  path: readonly Uint8Array[],
  root: Uint8Array,
): InclusionFile {
  const leafHash = encodeHex(leaf);
  return { index, size, leafHash, path: path.map(encodeHex), root: encodeHex(root) };
}

function consistency(first: number, second: number): ConsistencyFile {
  const leaves = LEAVES.slice(0, second);
  return {
    firstSize: first,
    secondSize: second,
    firstRoot: encodeHex(rootOf(leaves.slice(0, first))),
    secondRoot: encodeHex(rootOf(leaves)),
    path: first === second ? [] : subproof(first, leaves, true).map(encodeHex),
  };
}

/** The path and the second root of a log that changed its first leaf in between. */
function forked(first: number, second: number): Pick<ConsistencyFile, "path" | "secondRoot"> {
  const leaves = [random(32), ...LEAVES.slice(1, second)];
  const path = subproof(first, leaves, true).map(encodeHex);
  return { path, secondRoot: encodeHex(rootOf(leaves)) };
}

/** RFC 9162 §2.1.1, MTH, over leaf hashes. */
function rootOf(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (only === undefined) return sha256("");
  if (leaves.length === 1) return only;
  const k = split(leaves.length);
  return node(rootOf(leaves.slice(0, k)), rootOf(leaves.slice(k)));
}

/** RFC 9162 §2.1.3.1, PATH. */
function pathOf(index: number, leaves: readonly Uint8Array[]): readonly Uint8Array[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  const [left, right_] = [leaves.slice(0, k), leaves.slice(k)];
  if (index < k) return [...pathOf(index, left), rootOf(right_)];
  return [...pathOf(index - k, right_), rootOf(left)];
}

/** RFC 9162 §2.1.4.1, SUBPROOF. */
function subproof(m: number, leaves: readonly Uint8Array[], whole: boolean): readonly Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [rootOf(leaves)];
  const k = split(leaves.length);
  const [left, right_] = [leaves.slice(0, k), leaves.slice(k)];
  if (m <= k) return [...subproof(m, left, whole), rootOf(right_)];
  return [...subproof(m - k, right_, false), rootOf(left)];
}

/** Nodes in the path of a leaf. */
function pathLength(index: number, size: number): number {
  if (size === 1) return 0;
  const k = split(size);
  return 1 + (index < k ? pathLength(index, k) : pathLength(index - k, size - k));
}

/** The root that a leaf and its path have: §2.1.3.1 read backwards, from the root down. */
function rootFrom(
  index: number,
  size: number,
  leaf: Uint8Array,
  path: readonly Uint8Array[],
): Uint8Array {
  if (size === 1) return leaf;
  const k = split(size);
  const [below, sibling = leaf] = [path.slice(0, -1), path.at(-1)];
  if (index < k) return node(rootFrom(index, k, leaf, below), sibling);
  return node(sibling, rootFrom(index - k, size - k, leaf, below));
}

/** The largest power of two below `n`. */
function split(n: number): number {
  let k = 1;
  while (2 * k < n) k *= 2;
  return k;
}

function node(left: Uint8Array, right_: Uint8Array): Uint8Array {
  const hash = createHash("sha256").update(Uint8Array.of(1)).update(left).update(right_);
  return new Uint8Array(hash.digest());
}

/** The last bit of a hexadecimal string changed. */
function flip(hex: string): string {
  return hex.slice(0, -1) + (parseInt(hex.slice(-1), 16) ^ 1).toString(16);
}
