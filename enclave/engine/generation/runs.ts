/**
 * The three kinds of run: a step of a slab's rows, a piece of a prompt written in place, and anything
 * with an exact cache. Each leaves its cache with the tokens in it, and gives the last logits.
 */
import type { DecoderSession, StepInput } from "./decoder-session.ts";
import type { ExactCache } from "./exact-cache.ts";
import type { Slab } from "./slab.ts";

/**
 * One token for each row of a slab.
 *
 * @param tokens - one for each row in use. @returns their logits, [rows, vocabularySize].
 */
export async function stepSlab(
  session: DecoderSession,
  slab: Slab,
  tokens: readonly number[],
): Promise<Float32Array> {
  const logits = await peekSlab(session, slab, tokens);
  if (session.graph.form === "append") slab.append(session.added(slab.runRows, 1).arrays);
  else for (let row = 0; row < slab.rows; row++) slab.advance(row, 1);
  return logits;
}

/** {@link stepSlab} without keeping the tokens: the lengths stay, and the next run writes over them. */
export async function peekSlab(
  session: DecoderSession,
  slab: Slab,
  tokens: readonly number[],
): Promise<Float32Array> {
  const past = slab.tensors();
  const present = session.graph.form === "append" ? session.added(slab.runRows, 1).tensors : past;
  const logits = await session.run(slabInput(session, slab, tokens), past, present, true);
  if (logits === null) throw new TypeError("no logits");
  return logits;
}

function slabInput(session: DecoderSession, slab: Slab, tokens: readonly number[]): StepInput {
  const rows = slab.runRows;
  const append = session.graph.form === "append";
  // Appended, the new token's slot comes behind all slots of the past. In place it comes behind the row's
  // own past, and the mask ends where the longest row does.
  let width = append ? slab.capacity + 1 : 1;
  if (!append) for (let r = 0; r < slab.rows; r++) width = Math.max(width, slab.length(r) + 1);
  const ids = new BigInt64Array(rows);
  const positions = new BigInt64Array(rows);
  const mask = new BigInt64Array(rows * width);
  for (let row = 0; row < rows; row++) {
    // A row of padding sees nothing but its own token, the first of the vocabulary.
    const length = row < slab.rows ? slab.length(row) : 0;
    ids[row] = BigInt(tokens[row] ?? 0);
    positions[row] = BigInt(length);
    mask.fill(1n, row * width, row * width + length);
    mask[row * width + (append ? width - 1 : length)] = 1n;
  }
  return { rows, tokens: 1, ids, positions, mask, width };
}

/** A piece of a prompt into the one row of a slab, by a graph that writes in place. */
export async function extendRow(
  session: DecoderSession,
  slab: Slab,
  tokens: Int32Array,
  wanted: boolean,
): Promise<Float32Array | null> {
  const input = pieceInput(slab.length(0), tokens);
  const tensors = slab.tensors();
  // Before the run: should it fail, what it may have written is cleared with the row.
  slab.advance(0, tokens.length);
  return await session.run(input, tensors, tensors, wanted);
}

/** Tokens behind those of an exact cache: a piece of a prompt, or one step. */
export async function extendExact(
  session: DecoderSession,
  cache: ExactCache,
  tokens: Int32Array,
  wanted: boolean,
): Promise<Float32Array | null> {
  const count = tokens.length;
  const input = pieceInput(cache.length, tokens);
  if (session.graph.form === "append") {
    const added = session.added(1, count);
    const logits = await session.run(input, cache.past(), added.tensors, wanted);
    cache.advance(added.arrays, count);
    return logits;
  }
  const logits = await session.run(input, cache.past(), cache.present(count), wanted);
  cache.advanceWhole(count);
  return logits;
}

function pieceInput(before: number, tokens: Int32Array): StepInput {
  const width = before + tokens.length;
  return {
    rows: 1,
    tokens: tokens.length,
    width,
    ids: BigInt64Array.from(tokens, BigInt),
    positions: BigInt64Array.from(tokens, (_, i) => BigInt(before + i)),
    mask: new BigInt64Array(width).fill(1n),
  };
}
