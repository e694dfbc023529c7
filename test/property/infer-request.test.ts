import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { identityModel } from "../fakes/onnx-proto.ts";
import { type AppFetch, serveTestModels } from "../fakes/served.ts";
import type { ServedModels } from "../../enclave/models/served.ts";

// Whatever a request holds, the answer is a result or a refusal that is the caller's own fault.

let served: ServedModels;
let fetch: AppFetch;
beforeAll(async () => {
  const files = { "model.onnx": identityModel("INT64", ["n", 2]) };
  ({ served, fetch } = await serveTestModels([{ id: "m", files }]));
});
afterAll(() => served.close());

async function statusOf(
  body: Uint8Array<ArrayBuffer> | string,
  jsonLength?: string,
): Promise<number> {
  const headers = jsonLength === undefined ? {} : { "inference-header-content-length": jsonLength };
  return (await fetch("/v2/models/m/infer", { method: "POST", body, headers })).status;
}

const isAnswer = (status: number): boolean => status === 200 || status === 400;

it("any JSON is answered or refused", async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), async (text) => {
      expect(await statusOf(text)).toBe(400);
    }),
    { numRuns: 300 },
  );
});

it("any input object is answered or refused", async () => {
  const some = (value: unknown): fc.Arbitrary<unknown> =>
    fc.oneof({ weight: 4, arbitrary: fc.constant(value) }, fc.jsonValue());
  const input = fc.record(
    {
      name: some("x"),
      datatype: some("INT64"),
      shape: fc.oneof(some([1, 2]), fc.array(fc.integer({ min: -1, max: 3 }))),
      data: fc.oneof(some([1, 2]), fc.array(fc.oneof(fc.integer(), fc.double(), fc.jsonValue()))),
      parameters: some({}),
    },
    { requiredKeys: ["name", "datatype"] },
  );
  const request = fc.record(
    { id: some("7"), inputs: fc.array(input), outputs: some([]), parameters: some({}) },
    { requiredKeys: ["inputs"] },
  );
  await fc.assert(
    fc.asyncProperty(request, async (value) => {
      expect(isAnswer(await statusOf(JSON.stringify(value)))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

it("a good request with any one byte changed is answered or refused", async () => {
  const text = `{"inputs":[{"name":"x","datatype":"INT64","shape":[1,2],"parameters":{"binary_data_size":16}}]}`;
  const good = new Uint8Array([...new TextEncoder().encode(text), ...new Uint8Array(16)]);
  expect(await statusOf(good, String(text.length))).toBe(200);
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.integer({ min: -3, max: 3 }),
      async (at, change, shift) => {
        const changed = good.slice();
        changed[at] = (changed[at] ?? 0) ^ change;
        expect(isAnswer(await statusOf(changed, String(text.length + shift)))).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});
