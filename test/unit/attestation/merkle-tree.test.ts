import { type Hashes, merkleRoot, Transcript, webHashes } from "@countersign/attestation";
import { nativePrimitives } from "@countersign/protocol/native";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { MerkleTree } from "../../../attestation/merkle-tree.ts";
import { seededRandom } from "../../fakes/attester.ts";

setFlagsFromString("--expose-gc");
const collect: unknown = runInNewContext("gc");

/** Bytes in use, when what nobody holds has gone. */
function memory(): number {
  if (typeof collect !== "function") throw new TypeError("no garbage collector to call");
  Reflect.apply(collect, undefined, []);
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const random = seededRandom("merkle tree");
const LEAVES = Array.from({ length: 200 }, () => random(32));

describe.each([
  ["that answer at once", nativePrimitives],
  ["that answer later", webHashes],
] as const)("a growing tree, with hashes %s", (_what, hashes: Hashes) => {
  it("has the roots of RFC 9162 over each of its beginnings, at each size", async () => {
    const tree = new MerkleTree(hashes, "any");
    expect(await tree.root(0)).toEqual(await merkleRoot(hashes, []));
    for (const [index, leaf] of LEAVES.entries()) {
      tree.append(index % 3 === 0 ? Promise.resolve(leaf) : leaf);
      expect(tree.size).toBe(index + 1);
      expect(await tree.root(index + 1)).toEqual(
        await merkleRoot(hashes, LEAVES.slice(0, index + 1)),
      );
    }
    for (let size = 0; size <= LEAVES.length; size++) {
      expect(await tree.root(size)).toEqual(await merkleRoot(hashes, LEAVES.slice(0, size)));
    }
  });

  it("has the same last roots where it keeps no others", async () => {
    const tree = new MerkleTree(hashes, "last");
    expect(await tree.root(0)).toEqual(await merkleRoot(hashes, []));
    for (const [index, leaf] of LEAVES.entries()) {
      tree.append(index % 3 === 0 ? Promise.resolve(leaf) : leaf);
      // At some sizes only, so that nodes are waited for where they have been let go already.
      if (index % 7 > 0) continue;
      const root = await merkleRoot(hashes, LEAVES.slice(0, index + 1));
      expect(await tree.root(index + 1)).toEqual(root);
      expect(() => tree.root(index)).toThrow(RangeError);
    }
  });

  it("has no root over more, or over part of a leaf", () => {
    const tree = new MerkleTree(hashes, "any");
    tree.append(new Uint8Array(32));
    for (const size of [2, -1, 0.5, Number.NaN]) expect(() => tree.root(size)).toThrow(RangeError);
  });
});

describe("the head of a long transcript", () => {
  it("over all of it takes no memory with each leaf", () => {
    const leaf = new Uint8Array(100);
    const held = (heads: "any" | "last"): number => {
      const transcript = new Transcript(nativePrimitives, new Uint8Array(32), "response", heads);
      const before = memory();
      for (let i = 0; i < 20_000; i++) void transcript.append(leaf);
      const bytes = memory() - before;
      expect(transcript.head()).toMatchObject({ leaves: 20_000, bytes: 2_000_000 });
      return bytes / 20_000;
    };
    expect(held("last")).toBeLessThan(20);
    expect(held("any")).toBeGreaterThan(100);
  });

  it("costs as many hashes as the tree is high", () => {
    let hashed = 0;
    const counting: Hashes = {
      sha256: (bytes) => {
        hashed++;
        return nativePrimitives.sha256(bytes);
      },
      hmacSha256: (key, bytes) => nativePrimitives.hmacSha256(key, bytes),
    };
    const transcript = new Transcript(counting, new Uint8Array(32), "response");
    for (let i = 0; i < 10_007; i++) void transcript.append(Uint8Array.of(i & 255));
    // Each leaf once, and each node of a complete subtree once.
    expect(hashed).toBeLessThan(2 * 10_007);
    hashed = 0;
    for (const leaves of [10_007, 9999, 8191, 1]) void transcript.head(leaves);
    expect(hashed).toBeLessThan(4 * 14);
  });
});
