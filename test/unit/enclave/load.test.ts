import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type FetchModelFile, loadModels } from "../../../enclave/models/load.ts";
import type { ServedModels } from "../../../enclave/models/served.ts";
import {
  identityModel,
  type TestInitializer,
  writeGraph,
  writeModel,
} from "../../fakes/onnx-proto.ts";
import {
  fetchFrom,
  loadTestModels,
  provisioningOf,
  TEST_OPTIONS,
  type TestModel,
} from "../../fakes/served.ts";

const utf8 = new TextEncoder();
const GRAPH = identityModel("FP32", ["n", 2]);
const WEIGHTS = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);

const open: ServedModels[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

async function load(models: readonly TestModel[], fetch?: FetchModelFile): Promise<ServedModels> {
  const served = await loadModels(
    provisioningOf(models),
    fetch ?? fetchFrom(models, 7),
    TEST_OPTIONS,
  );
  open.push(served);
  return served;
}

/** The code with which loading is refused. */
async function refusalOf(models: readonly TestModel[], fetch?: FetchModelFile): Promise<unknown> {
  try {
    await load(models, fetch);
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error;
  }
  return "loaded";
}

function withFiles(files: TestModel["files"]): readonly TestModel[] {
  return [{ id: "m", files }];
}

/** x + w, with w in a file beside the graph. */
function externalModel(location: string, length = 16): Uint8Array {
  return writeModel({
    inputs: [{ name: "x", datatype: "FP32", shape: [4] }],
    outputs: [{ name: "y", datatype: "FP32", shape: [4] }],
    nodes: [{ op: "Add", inputs: ["x", "w"], outputs: ["y"] }],
    initializers: [{ name: "w", datatype: "FP32", shape: [4], data: { location, length } }],
  });
}

/** Runs the single input `x` of zeros and answers the first output's elements. */
async function runZeros(served: ServedModels): Promise<number[]> {
  const { createApp } = await import("../../../enclave/api/app.ts");
  const { appFetch } = await import("../../fakes/served.ts");
  const body = { inputs: [{ name: "x", datatype: "FP32", shape: [4], data: [0, 0, 0, 0] }] };
  const response = await appFetch(createApp(served))("/v2/models/m/infer", {
    method: "POST",
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the shape that the spec gives it
  const answer = (await response.json()) as { readonly outputs: readonly { data: number[] }[] };
  return answer.outputs[0]?.data ?? [];
}

describe("what was hashed is what runs", () => {
  it("loads models, whatever the chunks they come in", async () => {
    const models = [
      { id: "a", files: { "model.onnx": GRAPH } },
      { id: "b", version: "3", files: { "model.onnx": GRAPH } },
    ];
    const served = await load(models);
    expect(served.refs.map(({ id, version }) => [id, version])).toEqual([
      ["a", "1"],
      ["b", "3"],
    ]);
    expect(served.refs.map(({ digest }) => digest)).toEqual(
      provisioningOf(models).models.map(({ digest }) => digest),
    );
    expect(served.engine).toEqual({ name: "onnxruntime-node", version: "1.30.0" });
    expect(served.lookup("a", null)?.inputs).toEqual([
      { name: "x", datatype: "FP32", shape: [-1, 2], allowEmpty: false },
    ]);
  });

  it("takes the version with the highest number as the newest", async () => {
    const files = { "model.onnx": GRAPH };
    const served = await load(["9", "10", "2"].map((version) => ({ id: "m", version, files })));
    expect(served.versions("m")).toEqual(["2", "9", "10"]);
    expect(served.lookup("m", null)?.ref.version).toBe("10");
    expect(served.lookup("m", "9")?.ref.version).toBe("9");
    expect(served.lookup("m", "1")).toBeNull();
    expect(served.lookup("M", null)).toBeNull();
  });

  it("refuses a manifest with another digest, before it fetches anything", async () => {
    const models = withFiles({ "model.onnx": GRAPH });
    const provisioning = provisioningOf(models);
    const digest = new Uint8Array(32);
    const forged = { ...provisioning, models: provisioning.models.map((m) => ({ ...m, digest })) };
    let fetched = 0;
    const fetch: FetchModelFile = (...args) => {
      fetched++;
      return fetchFrom(models)(...args);
    };
    await expect(loadModels(forged, fetch, TEST_OPTIONS)).rejects.toMatchObject({
      code: "model/digest",
    });
    expect(fetched).toBe(0);
  });

  it("refuses a file with one bit changed, wherever it is", async () => {
    const models = withFiles({ "model.onnx": GRAPH });
    for (const at of [0, GRAPH.length >> 1, GRAPH.length - 1]) {
      const changed = GRAPH.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      const lying = fetchFrom(withFiles({ "model.onnx": changed }), 16);
      expect(await refusalOf(models, lying)).toBe("model/hash");
    }
  });

  it("refuses a file that is shorter or longer than the manifest says", async () => {
    const models = withFiles({ "model.onnx": GRAPH });
    for (const sent of [GRAPH.subarray(0, -1), new Uint8Array([...GRAPH, 0]), new Uint8Array(0)]) {
      expect(await refusalOf(models, fetchFrom(withFiles({ "model.onnx": sent })))).toBe(
        "model/size",
      );
    }
  });

  it("stops reading a file that does not end", async () => {
    let sent = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        sent++;
        yield await Promise.resolve(new Uint8Array(1024));
      }
    }
    expect(await refusalOf(withFiles({ "model.onnx": GRAPH }), endless)).toBe("model/size");
    expect(sent).toBeLessThan(5);
  });

  it("passes on what the host's stream throws, and closes the engine", async () => {
    const models = withFiles({ "model.onnx": GRAPH });
    const lost = fetchFrom([]);
    await expect(load(models, lost)).rejects.toThrow("the host has no m/1/model.onnx");
  });

  it("hashes what arrived, not what the host may change after", async () => {
    const models = withFiles({ "model.onnx": GRAPH });
    async function* changing(): AsyncGenerator<Uint8Array> {
      const chunk = GRAPH.slice();
      yield await Promise.resolve(chunk);
      chunk.fill(0);
    }
    expect(await refusalOf(models, changing)).toBe("loaded");
  });
});

describe("the files of a model", () => {
  it("refuses a manifest without a graph", async () => {
    expect(await refusalOf(withFiles({ "other.onnx": GRAPH }))).toBe("model/manifest");
  });

  it("refuses a version that is no positive decimal number", async () => {
    for (const version of ["0", "01", "1.0", "latest", "9999999999"]) {
      const models = [{ id: "m", version, files: { "model.onnx": GRAPH } }];
      expect(await refusalOf(models)).toBe("model/version");
    }
  });

  it("refuses the same version twice", async () => {
    const model = { id: "m", files: { "model.onnx": GRAPH } };
    expect(await refusalOf([model, model])).toBe("model/manifest");
  });

  it("refuses a graph that ONNX Runtime does not open", async () => {
    expect(await refusalOf(withFiles({ "model.onnx": GRAPH.subarray(0, -3) }))).toBe("model/load");
    expect(await refusalOf(withFiles({ "model.onnx": new Uint8Array(0) }))).toBe("model/load");
  });

  it("refuses a graph whose types the API has no names for", async () => {
    // TypeProto 4 is a sequence: tag 0x0a → 0x22 within the input's type.
    const sequence = writeModel({
      inputs: [{ name: "x", datatype: "FP32", shape: [] }],
      outputs: [{ name: "y", datatype: "BYTES", shape: [] }],
      nodes: [{ op: "SequenceConstruct", inputs: ["x"], outputs: ["y"] }],
    });
    expect(await refusalOf(withFiles({ "model.onnx": sequence }))).toMatch(/^model\//u);
    // FP32's element type 1 becomes 16, BFLOAT16, in the types of x and y.
    const bfloat16 = identityModel("FP32", []);
    for (let i = 0; i + 2 < bfloat16.length; i++) {
      if (bfloat16[i] === 0x0a && bfloat16[i + 2] === 0x08 && bfloat16[i + 3] === 0x01) {
        bfloat16[i + 3] = 16;
      }
    }
    expect(await refusalOf(withFiles({ "model.onnx": bfloat16 }))).toBe("model/unsupported");
  });
});

describe("external data", () => {
  it("comes from the verified files, in folders too", async () => {
    for (const location of ["weights.bin", "data/weights.bin"]) {
      const graph = externalModel(location);
      const served = await load(withFiles({ "model.onnx": graph, [location]: WEIGHTS }));
      expect(await runZeros(served)).toEqual([1, 2, 3, 4]);
    }
  });

  it("may lie beside files that the graph does not name", async () => {
    const files = {
      "model.onnx": externalModel("weights.bin"),
      "weights.bin": WEIGHTS,
      "README.md": utf8.encode("# A model\n"),
    };
    expect(await runZeros(await load(withFiles(files)))).toEqual([1, 2, 3, 4]);
  });

  it("is refused where it is missing, too short or elsewhere", async () => {
    const missing = withFiles({ "model.onnx": externalModel("weights.bin") });
    expect(await refusalOf(missing)).toBe("model/external-data");
    const short = { "model.onnx": externalModel("weights.bin", 20), "weights.bin": WEIGHTS };
    expect(await refusalOf(withFiles(short))).toBe("model/external-data");
    const other = { "model.onnx": externalModel("weights.bin"), "other.bin": WEIGHTS };
    expect(await refusalOf(withFiles(other))).toBe("model/external-data");
  });

  it("is never read from a disk, whatever path the graph names", async () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-"));
    const before = process.cwd();
    try {
      writeFileSync(join(folder, "weights.bin"), WEIGHTS);
      process.chdir(folder);
      const paths = [
        "weights.bin",
        "./weights.bin",
        join(folder, "weights.bin"),
        `..${folder}/weights.bin`,
      ];
      for (const path of [...paths, `../../..${folder}/weights.bin`]) {
        const code = await refusalOf(withFiles({ "model.onnx": externalModel(path) }));
        expect({ path, code }).toEqual({ path, code: "model/external-data" });
        const besides = { "model.onnx": externalModel(path), "other.bin": WEIGHTS };
        expect(await refusalOf(withFiles(besides))).toBe("model/external-data");
      }
    } finally {
      process.chdir(before);
      rmSync(folder, { recursive: true });
    }
  });

  it("is never read from a disk for a subgraph either", async () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-"));
    const before = process.cwd();
    const w: TestInitializer = {
      name: "w",
      datatype: "FP32",
      shape: [4],
      data: { location: "weights.bin", length: 16 },
    };
    const branch = writeGraph({
      inputs: [],
      outputs: [{ name: "b", datatype: "FP32", shape: [4] }],
      nodes: [{ op: "Add", inputs: ["x", "w"], outputs: ["b"] }],
      initializers: [w],
    });
    const graph = writeModel({
      inputs: [
        { name: "c", datatype: "BOOL", shape: [] },
        { name: "x", datatype: "FP32", shape: [4] },
      ],
      outputs: [{ name: "y", datatype: "FP32", shape: [4] }],
      nodes: [
        {
          op: "If",
          inputs: ["c"],
          outputs: ["y"],
          graphs: { then_branch: branch, else_branch: branch },
        },
      ],
    });
    try {
      writeFileSync(join(folder, "weights.bin"), WEIGHTS);
      process.chdir(folder);
      expect(await refusalOf(withFiles({ "model.onnx": graph }))).toBe("model/external-data");
      expect(await refusalOf(withFiles({ "model.onnx": graph, "other.bin": WEIGHTS }))).toBe(
        "model/external-data",
      );
    } finally {
      process.chdir(before);
      rmSync(folder, { recursive: true });
    }
  });
});

describe("metadata.json", () => {
  const described = (metadata: unknown): readonly TestModel[] =>
    withFiles({
      "model.onnx": GRAPH,
      "metadata.json":
        metadata instanceof Uint8Array ? metadata : utf8.encode(JSON.stringify(metadata)),
    });

  it("is read for the API, and for one thing that a request may do", async () => {
    const served = await load(
      described({
        description: "Answers its input",
        license: "Apache-2.0",
        inputs: { x: { description: "anything", allowEmpty: true, image: { scale: 0.5 } } },
        outputs: { y: { labels: ["a", "b"] } },
      }),
    );
    const model = served.lookup("m", null);
    expect(model?.metadata.description).toBe("Answers its input");
    expect(model?.metadata.license).toBe("Apache-2.0");
    expect(model?.metadata.outputs.get("y")?.["labels"]).toEqual(["a", "b"]);
    expect(model?.inputs[0]?.allowEmpty).toBe(true);
  });

  it.each([
    ["not JSON", utf8.encode("{")],
    ["not UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
    ["a name twice", utf8.encode(`{"description": "one", "descriptio\\u006e": "another"}`)],
    ["a list", []],
    ["an unknown key", { descriptio: "" }],
    ["a description that is no text", { description: 1 }],
    ["a license that is no text", { license: null }],
    ["inputs that are no object", { inputs: [] }],
    ["an input that the model lacks", { inputs: { z: {} } }],
    ["an output that the model lacks", { outputs: { x: {} } }],
    ["an input that is no object", { inputs: { x: "image" } }],
    ["an unknown key of an input", { inputs: { x: { imag: {} } } }],
    ["labels of an input", { inputs: { x: { labels: [] } } }],
    ["an image that is no object", { inputs: { x: { image: true } } }],
    ["labels that are no list", { outputs: { y: { labels: "a" } } }],
    ["features that are no list", { inputs: { x: { features: {} } } }],
    ["allowEmpty that is no boolean", { inputs: { x: { allowEmpty: 1 } } }],
    ["nesting without end", { inputs: { x: { image: { a: [[[[[[[[]]]]]]]] } } } }],
    ["a prototype", utf8.encode(`{"__proto__": {"description": "x"}}`)],
  ])("is refused with %s", async (_what, metadata) => {
    expect(await refusalOf(described(metadata))).toBe("model/metadata");
  });

  it("is refused when it is very large", async () => {
    const description = "x".repeat(256 * 1024);
    expect(await refusalOf(described({ description }))).toBe("model/size");
  });
});

describe("the limits of provisioning", () => {
  it("reach the engine and the API", async () => {
    const served = await loadTestModels(withFiles({ "model.onnx": GRAPH }), {
      queueLength: 3,
      maxRequestBytes: 4096,
    });
    open.push(served);
    expect(served.queue()).toEqual({ depth: 0, limit: 3 });
    expect(served.maxRequestBytes).toBe(4096);
  });
});
