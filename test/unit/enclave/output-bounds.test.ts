/** Outputs that a model makes much larger than its inputs. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeModel } from "../../fakes/onnx-proto.ts";
import { type AppFetch, serveTestModels } from "../../fakes/served.ts";

/** As many zeros as it is asked for. */
const ZEROS = writeModel({
  inputs: [{ name: "x", datatype: "INT64", shape: [1] }],
  outputs: [{ name: "y", datatype: "FP32", shape: ["n"] }],
  nodes: [{ op: "ConstantOfShape", inputs: ["x"], outputs: ["y"] }],
});

let fetch: AppFetch;
let close: () => Promise<void>;
beforeAll(async () => {
  const app = await serveTestModels([{ id: "zeros", files: { "model.onnx": ZEROS } }]);
  fetch = app.fetch;
  close = () => app.served.close();
});
afterAll(() => close());

async function zeros(count: number, binary: boolean): Promise<Response> {
  const inputs = [{ name: "x", datatype: "INT64", shape: [1], data: [count] }];
  const body = JSON.stringify({ inputs, parameters: { binary_data_output: binary } });
  return fetch("/v2/models/zeros/infer", { method: "POST", body });
}

describe("a large output", () => {
  it("is answered as JSON up to a number of elements, and as binary data beyond", async () => {
    expect((await zeros(1000, false)).status).toBe(200);
    const refused = await zeros(4_194_305, false);
    expect([refused.status, await refused.json()]).toMatchObject([
      406,
      { code: "output/binary-only" },
    ]);
    const answered = await zeros(4_194_305, true);
    expect(answered.status).toBe(200);
    expect((await answered.arrayBuffer()).byteLength).toBeGreaterThan(16_777_216);
  });

  it("is not answered beyond what the enclave copies, and neither is one beyond its memory", async () => {
    for (const count of [67_108_865, 1e15]) {
      const refused = await zeros(count, true);
      expect([refused.status, await refused.json()]).toMatchObject([
        500,
        { code: "inference/failed" },
      ]);
    }
    expect((await zeros(2, false)).status).toBe(200);
  });
});
