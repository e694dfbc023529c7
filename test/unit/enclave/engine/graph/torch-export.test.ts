import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { readDecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import type { DecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import { DecoderRun, unconverted } from "../../../../fakes/decoder/run.ts";

// Our own fixtures could share an error with the converter. This graph is torch.onnx's (torch_export.py).

const FILE = new URL("../../../../fakes/decoder/torch-llama.onnx", import.meta.url);

async function bitsOf(graph: DecoderGraph): Promise<string[]> {
  const run = await DecoderRun.open(graph, [], 2, null);
  const bits: string[] = [];
  let rows: readonly (readonly number[])[] = [
    [1, 2, 3, 4, 5],
    [40, 30, 20, 10, 0],
  ];
  for (let i = 0; i < 6; i++) {
    const step = await run.step(rows);
    bits.push(...step.bits.map((row) => Buffer.from(row).toString("hex")));
    rows = step.tokens.map((token) => [token]);
  }
  bits.push(...run.cacheBytes().map((part) => Buffer.from(part).toString("hex")));
  await run.close();
  return bits;
}

it("converts what torch.onnx writes, and the bits are the same", async () => {
  const original = new Uint8Array(readFileSync(FILE));
  const graph = readDecoderGraph(original);
  expect(graph).toMatchObject({ form: "append", lastOnly: true, kvHeads: 1, headDim: 8 });
  expect(graph.inputs).toMatchObject({ attentionMask: true, positionIds: true });
  expect(await bitsOf(graph)).toEqual(await bitsOf(unconverted(graph, original)));
});
