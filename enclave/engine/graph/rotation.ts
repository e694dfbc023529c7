/** How far the tables go by which a graph turns keys and queries. */
import type { GraphModel } from "./model.ts";

/** Operations that read cosines and sines from tables, and at which input the first table is. */
const TABLES: ReadonlyMap<string, number> = new Map([
  ["com.microsoft.GroupQueryAttention", 7],
  ["com.microsoft.RotaryEmbedding", 2],
  ["RotaryEmbedding", 1],
]);

/**
 * Positions that the shortest table of constants has, [positions, rotary / 2]; null where there is none.
 *
 * A run that goes beyond it fails, and with it all who share it: what no table has is never asked for.
 */
export function readTablePositions({ nodes, initializers }: GraphModel): number | null {
  let shortest: number | null = null;
  for (const { type, inputs } of nodes) {
    const first = TABLES.get(type);
    if (first === undefined) continue;
    for (const name of inputs.slice(first, first + 2)) {
      const [positions, width, ...more] = initializers.get(name) ?? [];
      if (positions === undefined || width === undefined || more.length > 0) continue;
      shortest = Math.min(shortest ?? positions, positions);
    }
  }
  return shortest;
}
