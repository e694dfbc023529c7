import fc from "fast-check";
import { expect, it } from "vitest";
import { type Trie, createVocabulary } from "../../../enclave/text/vocabulary.ts";

/** The bytes of every token in the trie, by walking it as its format says. */
function spelled({ nodes, bytes, depths, skips, ends, twins }: Trie): Map<number, number[]> {
  const tokens = new Map<number, number[]>();
  const path: number[] = [];
  for (let node = 0; node < nodes; node += 1) {
    const depth = depths[node] ?? 0;
    path.length = depth - 1;
    path.push(bytes[node] ?? 0);
    // A subtree ends at the next node that is no deeper.
    let behind = node + 1;
    while (behind < nodes && (depths[behind] ?? 0) > depth) behind += 1;
    expect(skips[node]).toBe(behind);
    for (let token = ends[node] ?? -1; token >= 0; token = twins[token] ?? -1) {
      tokens.set(token, [...path]);
    }
  }
  return tokens;
}

const sortedById = (
  tokens: Iterable<readonly [number, number[]]>,
): (readonly [number, number[]])[] => [...tokens].sort(([a], [b]) => a - b);

it("holds every token that has bytes, once, twins included", () => {
  const token = fc.option(fc.uint8Array({ maxLength: 5, max: 3 }), { nil: null });
  fc.assert(
    fc.property(fc.array(token, { maxLength: 60 }), (tokens) => {
      const { trie } = createVocabulary(tokens);
      const expected = [...tokens.entries()].flatMap(([id, bytes]) =>
        bytes === null || bytes.length === 0 ? [] : [[id, [...bytes]] as const],
      );
      expect(sortedById(spelled(trie))).toEqual(expected);
    }),
  );
});

it("knows single bytes, the longest token, and leaves absurd ones out", () => {
  const long = new Uint8Array(512).fill(0x61);
  const tooLong = new Uint8Array(513).fill(0x61);
  const { singles, longest, trie, maskWords } = createVocabulary([
    Uint8Array.of(7),
    null,
    long,
    tooLong,
  ]);
  expect(singles.flatMap((single, byte) => (single ? [byte] : []))).toEqual([7]);
  expect(longest).toBe(512);
  expect([...spelled(trie).keys()].sort((a, b) => a - b)).toEqual([0, 2]);
  expect(maskWords).toBe(1);
});

it("tells tokens of plain characters, by length, from the others", () => {
  const texts = ["a", "日本 語", '"', "a\\", "\u001f", "\u007f", "\u{1f600}!", ""];
  const split = [Uint8Array.of(0xe6, 0x97), Uint8Array.of(0xa5), Uint8Array.of(0xed, 0xa0, 0x80)];
  const { plain, special } = createVocabulary([
    ...texts.map((text) => new TextEncoder().encode(text)),
    ...split,
    null,
  ]);
  expect([...plain]).toEqual([1, 4, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0]);
  expect([...spelled(special).keys()].sort((a, b) => a - b)).toEqual([2, 3, 4, 8, 9, 10]);
});

it("may be empty", () => {
  expect(createVocabulary([]).trie.nodes).toBe(0);
  expect(createVocabulary([null, new Uint8Array()]).longest).toBe(0);
});
