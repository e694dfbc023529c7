import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Hashes, merkleRoot, Transcript, webHashes } from "@countersign/attestation";
import { seededRandom } from "../../fakes/attester.ts";

const random = seededRandom("transcript");
const KC = random(32);

const syncHashes: Hashes = {
  sha256: (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()),
  hmacSha256: (key, bytes) => new Uint8Array(createHmac("sha256", key).update(bytes).digest()),
};

/** The definition, written out once more. */
async function expectedRoot(
  kc: Uint8Array,
  direction: 0 | 1,
  leaves: readonly Uint8Array[],
): Promise<Uint8Array> {
  const hashes = leaves.map((leaf, i) => {
    const label = Buffer.alloc(9);
    label[0] = direction;
    label.writeBigUInt64BE(BigInt(i), 1);
    const key = createHmac("sha256", kc).update(label).digest();
    const value = createHmac("sha256", key).update(leaf).digest();
    const hash = createHash("sha256").update(Uint8Array.of(0)).update(value);
    return new Uint8Array(hash.digest());
  });
  return merkleRoot(webHashes, hashes);
}

const leavesArbitrary = fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 12 });

it("is as defined, in both directions, at once and later", async () => {
  await fc.assert(
    fc.asyncProperty(leavesArbitrary, async (leaves) => {
      for (const [i, direction] of (["request", "response"] as const).entries()) {
        const now = new Transcript(syncHashes, KC, direction);
        const later = new Transcript(webHashes, KC, direction);
        for (const leaf of leaves) {
          expect(now.append(leaf)).toBeUndefined();
          await later.append(leaf);
        }
        const wanted = {
          leaves: leaves.length,
          root: await expectedRoot(KC, i === 0 ? 0 : 1, leaves),
          bytes: leaves.reduce((sum, leaf) => sum + leaf.length, 0),
        };
        expect(now.head()).toEqual(wanted);
        expect(await later.head()).toEqual(wanted);
        expect(now.leaves).toBe(leaves.length);
      }
    }),
    { numRuns: 30 },
  );
});

it("gives the head over a prefix", async () => {
  const leaves = Array.from({ length: 9 }, (_, i) => random(i));
  const transcript = new Transcript(webHashes, KC, "request");
  for (const leaf of leaves) await transcript.append(leaf);
  for (let n = 0; n <= leaves.length; n++) {
    const bytes = leaves.slice(0, n).reduce((sum, leaf) => sum + leaf.length, 0);
    const root = await expectedRoot(KC, 0, leaves.slice(0, n));
    expect(await transcript.head(n)).toEqual({ leaves: n, root, bytes });
  }
  for (const n of [-1, 10, 0.5, NaN]) expect(() => transcript.head(n)).toThrow(RangeError);
});

it("keeps the order of the calls, whether or not they are awaited", async () => {
  const leaves = Array.from({ length: 50 }, (_, i) => random(1 + ((i * 37) % 50)));
  const transcript = new Transcript(webHashes, KC, "response");
  const pending = leaves.map((leaf) => transcript.append(leaf));
  const early = transcript.head();
  const root = await expectedRoot(KC, 1, leaves);
  expect((await early).root).toEqual(root);
  await Promise.all(pending);
  expect((await transcript.head()).root).toEqual(root);
});

it("reads leaf and key before it returns", async () => {
  const [leaf, kc] = [random(40), random(32)];
  const wanted = await expectedRoot(kc.slice(), 0, [leaf.slice()]);
  const transcript = new Transcript(webHashes, kc, "request");
  kc.fill(0);
  const pending = transcript.append(leaf);
  leaf.fill(0);
  await pending;
  expect((await transcript.head()).root).toEqual(wanted);
});

it("hides: the same leaf has another root under another key, direction or place", async () => {
  const leaf = random(5);
  const roots = [
    await expectedRoot(KC, 0, [leaf]),
    await expectedRoot(KC, 1, [leaf]),
    await expectedRoot(random(32), 0, [leaf]),
    await expectedRoot(KC, 0, [leaf, leaf]),
  ];
  expect(new Set(roots.map((root) => Buffer.from(root).toString("hex"))).size).toBe(4);
});

it("takes a key of 32 bytes only", () => {
  for (const length of [0, 16, 31, 33]) {
    expect(() => new Transcript(webHashes, random(length), "request")).toThrow(TypeError);
  }
});

it("copies what it is given, Node's Buffers too", async () => {
  const leaves = [random(40), random(40)];
  const expected = await expectedRoot(KC, 0, leaves);
  const kc = Buffer.from(KC);
  const transcript = new Transcript(webHashes, kc, "request");
  kc.fill(0);
  for (const leaf of leaves) {
    const buffer = Buffer.from(leaf);
    const appended = transcript.append(buffer);
    buffer.fill(0);
    await appended;
  }
  expect((await transcript.head()).root).toEqual(expected);
});
