import { existsSync, readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Hashes,
  merkleLeaf,
  merkleRoot,
  verifyConsistency,
  verifyInclusion,
  webHashes,
} from "@countersign/attestation";
import { refusalOf } from "../../fakes/refusal.ts";

const VECTORS = new URL("../../../../shared/vectors/merkle/", import.meta.url);
const present = existsSync(VECTORS);
if (!present) console.warn("merkle vectors are absent: their tests are skipped");

const syncHashes: Hashes = {
  sha256: (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()),
  hmacSha256: () => {
    throw new TypeError("not used by trees");
  },
};

function readVectors<T>(file: string): readonly { readonly path: string; readonly data: T }[] {
  const text = readFileSync(new URL(file, VECTORS), "utf8");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a vector file of known shape
  return JSON.parse(text) as readonly { readonly path: string; readonly data: T }[];
}

const bytes = (base64: string | null): Uint8Array =>
  new Uint8Array(Buffer.from(base64 ?? "", "base64"));

interface InclusionVector {
  readonly leafIdx: number;
  readonly treeSize: number;
  readonly root: string;
  readonly leafHash: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
}

interface ConsistencyVector {
  readonly size1: number;
  readonly size2: number;
  readonly root1: string;
  readonly root2: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
}

describe.skipIf(!present)("vectors of transparency-dev/merkle", () => {
  it("inclusion", async () => {
    const vectors = readVectors<InclusionVector>("inclusion.json");
    expect(vectors.length).toBeGreaterThan(20);
    for (const { path, data } of vectors) {
      const proof = {
        index: data.leafIdx,
        size: data.treeSize,
        leafHash: bytes(data.leafHash),
        path: (data.proof ?? []).map(bytes),
        root: bytes(data.root),
      };
      const code = await refusalOf(() => verifyInclusion(webHashes, proof));
      expect(code, path).toBe(data.wantErr ? "merkle/inclusion" : null);
    }
  });

  it("consistency", async () => {
    const vectors = readVectors<ConsistencyVector>("consistency.json");
    expect(vectors.length).toBeGreaterThan(20);
    for (const { path, data } of vectors) {
      const proof = {
        firstSize: data.size1,
        secondSize: data.size2,
        firstRoot: bytes(data.root1),
        secondRoot: bytes(data.root2),
        path: (data.proof ?? []).map(bytes),
      };
      const code = await refusalOf(() => verifyConsistency(webHashes, proof));
      expect(code, path).toBe(data.wantErr ? "merkle/consistency" : null);
    }
  });
});

/** RFC 9162 §2.1.1, as written: split at the largest power of two below n. */
function specRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (only === undefined) return new Uint8Array(createHash("sha256").digest());
  if (leaves.length === 1) return only;
  const k = splitOf(leaves.length);
  return node(specRoot(leaves.slice(0, k)), specRoot(leaves.slice(k)));
}

/** RFC 9162 §2.1.3.1. */
function specPath(index: number, leaves: readonly Uint8Array[]): readonly Uint8Array[] {
  if (leaves.length <= 1) return [];
  const k = splitOf(leaves.length);
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  if (index < k) return [...specPath(index, left), specRoot(right)];
  return [...specPath(index - k, right), specRoot(left)];
}

/** RFC 9162 §2.1.4.1. */
function specConsistency(
  m: number,
  leaves: readonly Uint8Array[],
  whole = true,
): readonly Uint8Array[] {
  const n = leaves.length;
  if (m === n) return whole ? [] : [specRoot(leaves)];
  const k = splitOf(n);
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  if (m <= k) return [...specConsistency(m, left, whole), specRoot(right)];
  return [...specConsistency(m - k, right, false), specRoot(left)];
}

function splitOf(n: number): number {
  let k = 1;
  while (2 * k < n) k *= 2;
  return k;
}

function node(left: Uint8Array, right: Uint8Array): Uint8Array {
  const hash = createHash("sha256").update(Uint8Array.of(1)).update(left).update(right);
  return new Uint8Array(hash.digest());
}

const LEAVES = Array.from({ length: 40 }, (_, i) => node(Uint8Array.of(i), Uint8Array.of(i)));

it("agrees with the RFC's own recursion at every size, at once or later", async () => {
  for (let n = 0; n <= LEAVES.length; n++) {
    const leaves = LEAVES.slice(0, n);
    const wanted = specRoot(leaves);
    expect(merkleRoot(syncHashes, leaves)).toEqual(wanted);
    expect(await merkleRoot(webHashes, leaves)).toEqual(wanted);
  }
});

it("hashes a leaf apart from a node", async () => {
  const value = Uint8Array.of(1, 2, 3);
  const wanted = createHash("sha256")
    .update(Uint8Array.of(0, 1, 2, 3))
    .digest();
  expect(await merkleLeaf(webHashes, value)).toEqual(new Uint8Array(wanted));
});

it("accepts every genuine proof, and none for another place", async () => {
  for (let size = 1; size <= 20; size++) {
    const leaves = LEAVES.slice(0, size);
    const root = specRoot(leaves);
    for (const [index, leafHash] of leaves.entries()) {
      const proof = { index, size, leafHash, path: specPath(index, leaves), root };
      expect(await refusalOf(() => verifyInclusion(syncHashes, proof))).toBeNull();
      const elsewhere = { ...proof, index: (index + 1) % size };
      const code = size === 1 ? null : "merkle/inclusion";
      expect(await refusalOf(() => verifyInclusion(syncHashes, elsewhere))).toBe(code);
    }
    for (let first = 1; first <= size; first++) {
      const firstRoot = specRoot(leaves.slice(0, first));
      const path = specConsistency(first, leaves);
      const proof = { firstSize: first, secondSize: size, firstRoot, secondRoot: root, path };
      expect(await refusalOf(() => verifyConsistency(syncHashes, proof))).toBeNull();
      const longer = { ...proof, path: [...path, root] };
      expect(await refusalOf(() => verifyConsistency(syncHashes, longer))).toBe(
        "merkle/consistency",
      );
    }
  }
});

it("proves nothing from an empty tree", async () => {
  const [empty, root] = [specRoot([]), specRoot(LEAVES)];
  const proof = { firstSize: 0, secondSize: 40, firstRoot: empty, secondRoot: root, path: [] };
  expect(await refusalOf(() => verifyConsistency(syncHashes, proof))).toBe("merkle/consistency");
  const same = { ...proof, secondSize: 0, secondRoot: empty };
  expect(await refusalOf(() => verifyConsistency(syncHashes, same))).toBeNull();
});

it("refuses sizes and hashes of the wrong kind", async () => {
  const [leafHash = new Uint8Array(32)] = LEAVES;
  const inclusion = { index: 0, size: 1, leafHash, path: [], root: leafHash };
  for (const change of [{ index: -1 }, { index: 0.5 }, { size: 0 }, { root: new Uint8Array(31) }]) {
    const code = await refusalOf(() => verifyInclusion(syncHashes, { ...inclusion, ...change }));
    expect(code).toBe("merkle/inclusion");
  }
  const roots = { firstRoot: leafHash, secondRoot: leafHash };
  const consistency = { firstSize: 1, secondSize: 1, ...roots, path: [] };
  for (const change of [
    { firstSize: -1 },
    { firstSize: 2 },
    { secondSize: NaN },
    { secondSize: 2, secondRoot: new Uint8Array(31) },
    { secondSize: 2 },
  ]) {
    const changed = { ...consistency, ...change };
    const code = await refusalOf(() => verifyConsistency(syncHashes, changed));
    expect(code).toBe("merkle/consistency");
  }
});

it("refuses a proof with any byte changed", async () => {
  const size = 21;
  const leaves = LEAVES.slice(0, size);
  const cases = fc.record({
    index: fc.nat(size - 1),
    step: fc.nat(10),
    byte: fc.nat(31),
    bits: fc.integer({ min: 1, max: 255 }),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ index, step, byte, bits }) => {
      const path = specPath(index, leaves);
      const at = step % path.length;
      const forged = path.map((hash, i) =>
        i === at ? hash.with(byte, (hash[byte] ?? 0) ^ bits) : hash,
      );
      const [leafHash = new Uint8Array(0)] = leaves.slice(index);
      const proof = { index, size, leafHash, path: forged, root: specRoot(leaves) };
      const code = await refusalOf(() => verifyInclusion(syncHashes, proof));
      expect(code).toBe("merkle/inclusion");
    }),
  );
});
