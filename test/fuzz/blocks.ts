/** Coverage of several workers taken together. */
import type { FunctionBlocks } from "./job.ts";

interface Known {
  readonly edges: Set<number>;
  /** Start and end of each stretch that some worker executed. */
  readonly covered: (readonly [number, number])[];
}

export class BlockTable {
  readonly #functions = new Map<string, Known>();

  add(blocks: readonly FunctionBlocks[]): void {
    for (const { url, start, end, edges, covered } of blocks) {
      const key = `${url} ${start} ${end}`;
      const known = this.#functions.get(key) ?? { edges: new Set(), covered: [] };
      this.#functions.set(key, known);
      for (const [i, edge] of edges.entries()) {
        known.edges.add(edge);
        const next = edges[i + 1];
        if (covered[i] === true && next !== undefined) known.covered.push([edge, next]);
      }
    }
  }

  count(): { readonly covered: number; readonly known: number } {
    let covered = 0;
    let known = 0;
    for (const blocks of this.#functions.values()) {
      const edges = [...blocks.edges].toSorted((a, b) => a - b);
      known += edges.length - 1;
      for (const edge of edges.slice(0, -1)) {
        if (blocks.covered.some(([from, to]) => from <= edge && edge < to)) covered++;
      }
    }
    return { covered, known };
  }
}
