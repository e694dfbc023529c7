import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseJson } from "../../../enclave/api/json-data.ts";
import { readBody } from "../../../enclave/api/body.ts";
import {
  datatypeOf,
  DATATYPES,
  type InputInfo,
  numericView,
  type Tensor,
} from "../../../enclave/engine/datatypes.ts";
import { requireFeeds, requireShape } from "../../../enclave/engine/feeds.ts";
import type { ServedModels } from "../../../enclave/models/served.ts";
import {
  identityModel,
  ONNX_TYPES,
  type OnnxDatatype,
  type OnnxTensor,
} from "../../fakes/onnx-proto.ts";
import { type AppFetch, serveTestModels } from "../../fakes/served.ts";
import { decodeResponse, encodeRequest, type Encoding, values } from "../../onnx-backend.ts";

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.keys widens to string
const TYPES = Object.keys(ONNX_TYPES) as readonly OnnxDatatype[];
const utf8 = new TextEncoder();

let served: ServedModels;
let fetch: AppFetch;

// Each type is served as an Identity of a vector (n), a matrix (n × 2) and a scalar.
beforeAll(async () => {
  const models = TYPES.flatMap((type) => [
    { id: `${type}.vector`, files: { "model.onnx": identityModel(type, ["n"]) } },
    { id: `${type}.matrix`, files: { "model.onnx": identityModel(type, ["n", 2]) } },
    { id: `${type}.scalar`, files: { "model.onnx": identityModel(type, []) } },
  ]);
  ({ served, fetch } = await serveTestModels(models));
});
afterAll(() => served.close());

interface Input {
  readonly shape?: unknown;
  readonly datatype?: unknown;
  readonly data?: unknown;
  readonly parameters?: unknown;
}

/** Posts one input as JSON text; numbers in `data` may be written as raw text. */
async function post(model: string, text: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`/v2/models/${model}/infer`, { method: "POST", body: text });
  return { status: response.status, text: await response.text() };
}

async function codeOf(model: string, input: Input, raw?: string): Promise<string> {
  const [datatype = ""] = model.split(".");
  const text = JSON.stringify({ inputs: [{ name: "x", datatype, ...input }] });
  const answer = await post(model, raw === undefined ? text : text.replace('"RAW"', raw));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the form of KServe's errors
  return answer.status === 200 ? "ok" : (JSON.parse(answer.text) as { code: string }).code;
}

async function roundTrip(
  model: string,
  tensor: OnnxTensor,
  encoding: Encoding,
): Promise<OnnxTensor> {
  const response = await fetch(`/v2/models/${model}/infer`, encodeRequest([tensor], encoding));
  if (response.status !== 200) throw new Error(await response.text());
  const [output] = await decodeResponse(response);
  if (output === undefined) throw new TypeError("no output");
  return output;
}

const bytesOf = (view: ArrayBufferView<ArrayBuffer>): Uint8Array =>
  new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

/** The ends of each type's range, and what is awkward between them. */
const SAMPLES: Readonly<Record<OnnxDatatype, OnnxTensor["data"]>> = {
  BOOL: Uint8Array.of(0, 1, 1, 0),
  UINT8: Uint8Array.of(0, 1, 254, 255),
  UINT16: bytesOf(Uint16Array.of(0, 1, 65534, 65535)),
  UINT32: bytesOf(Uint32Array.of(0, 1, 2 ** 31, 2 ** 32 - 1)),
  UINT64: bytesOf(BigUint64Array.of(0n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n)),
  INT8: bytesOf(Int8Array.of(-128, -1, 0, 127)),
  INT16: bytesOf(Int16Array.of(-32768, -1, 0, 32767)),
  INT32: bytesOf(Int32Array.of(-(2 ** 31), -1, 0, 2 ** 31 - 1)),
  INT64: bytesOf(
    BigInt64Array.of(-(2n ** 63n), -(2n ** 53n) - 1n, 9007199254740993n, 2n ** 63n - 1n),
  ),
  FP16: bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001)),
  FP32: bytesOf(Float32Array.of(0.1, -1e-45, 3.4028234663852886e38, 1 / 3)),
  FP64: bytesOf(Float64Array.of(0.1, 5e-324, -1.7976931348623157e308, 2 ** 53 + 2)),
  BYTES: ["", "räksmörgås", 'line\n"quoted"', "\u{1f512}"],
};

describe("every datatype", () => {
  it("is one that ONNX Runtime's binding has, both ways", () => {
    expect(TYPES.toSorted()).toEqual(Object.keys(DATATYPES).toSorted());
    for (const type of TYPES) expect(datatypeOf(DATATYPES[type].onnx)).toBe(type);
    expect(datatypeOf("bfloat16")).toBeNull();
  });

  it.each(TYPES)("%s keeps its values in binary form", async (datatype) => {
    const data = SAMPLES[datatype];
    for (const [model, shape] of [["vector", [4]] as const, ["matrix", [2, 2]] as const]) {
      const tensor = { name: "x", datatype, shape, data };
      const found = await roundTrip(`${datatype}.${model}`, tensor, "binary");
      expect(found).toMatchObject({ name: "y", datatype, shape });
      expect(values(found)).toEqual(values(tensor));
    }
  });

  it.each(TYPES.filter((type) => type !== "FP16"))(
    "%s keeps its values in JSON",
    async (datatype) => {
      const tensor = { name: "x", datatype, shape: [4], data: SAMPLES[datatype] };
      const found = await roundTrip(`${datatype}.vector`, tensor, "json");
      expect(found).toMatchObject({ name: "y", datatype, shape: [4] });
      expect(values(found)).toEqual(values(tensor));
    },
  );

  it.each(TYPES)("%s takes a scalar: one element, no dimension", async (datatype) => {
    const all = SAMPLES[datatype];
    const data =
      all instanceof Uint8Array ? all.slice(0, DATATYPES[datatype].bytes) : all.slice(1, 2);
    const tensor = { name: "x", datatype, shape: [], data };
    const found = await roundTrip(`${datatype}.scalar`, tensor, "binary");
    expect(found.shape).toEqual([]);
    expect(values(found)).toEqual(values(tensor));
  });
});

describe("JSON data", () => {
  it("may be nested as the shape is, or flat", async () => {
    expect(await codeOf("FP32.matrix", { shape: [2, 2], data: [1, 2, 3, 4] })).toBe("ok");
    const nested = [[1, 2], [3, 4]]; // prettier-ignore
    expect(await codeOf("FP32.matrix", { shape: [2, 2], data: nested })).toBe("ok");
    const { text } = await post(
      "FP32.matrix",
      `{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2],[3,4.5]]}]}`,
    );
    expect(text).toContain(`"shape":[2,2],"data":[1,2,3,4.5]`);
  });

  it.each([
    ["too few", [1, 2, 3]],
    ["too many", [1, 2, 3, 4, 5]],
    ["none", []],
    ["uneven nesting", [[1, 2], [3]]],
    ["nesting the other way", [[1, 2, 3, 4]]],
    ["nesting too deep", [[[1, 2]], [[3, 4]]]],
    ["nesting in part", [[1, 2], 3, 4]],
  ])("is refused with %s elements", async (_what, data) => {
    const code = await codeOf("FP32.matrix", { shape: [2, 2], data });
    expect(["input/length", "input/value"]).toContain(code);
  });

  it.each([
    ["UINT8.vector", "256"],
    ["UINT8.vector", "-1"],
    ["UINT8.vector", "0.5"],
    ["UINT8.vector", "true"],
    ["UINT8.vector", '"1"'],
    ["UINT8.vector", "null"],
    ["INT8.vector", "128"],
    ["INT8.vector", "-129"],
    ["UINT16.vector", "65536"],
    ["INT16.vector", "-32769"],
    ["UINT32.vector", "4294967296"],
    ["INT32.vector", "2147483648"],
    ["INT32.vector", "1e300"],
    ["UINT64.vector", "-1"],
    ["UINT64.vector", "18446744073709551616"],
    ["UINT64.vector", "0.5"],
    ["UINT64.vector", "1e19"],
    ["INT64.vector", "9223372036854775808"],
    ["INT64.vector", "-9223372036854775809"],
    ["INT64.vector", "9223372036854775807.0"],
    ["INT64.vector", `1${"0".repeat(5000)}`],
    ["INT64.vector", '"1"'],
    ["FP32.vector", "1e39"],
    ["FP32.vector", "-1e999"],
    ["FP32.vector", "null"],
    ["FP32.vector", '"NaN"'],
    ["FP32.vector", "false"],
    ["FP64.vector", "1e999"],
    ["BOOL.vector", "1"],
    ["BOOL.vector", '"true"'],
    ["BYTES.vector", "1"],
    ["BYTES.vector", '"\\ud800"'],
    ["BYTES.vector", '"a\\u0000b"'],
  ])("of %s does not take %s", async (model, raw) => {
    expect(await codeOf(model, { shape: [1], data: ["RAW"] }, raw)).toBe("input/value");
  });

  it.each(["NaN", "Infinity", "-Infinity", "0x10", "1n", "+1", ".5", "01"])(
    "has no %s",
    async (raw) => {
      expect(await codeOf("FP32.vector", { shape: [1], data: ["RAW"] }, raw)).toBe("request/json");
    },
  );

  it.each([
    ["INT64.vector", "9223372036854775807"],
    ["INT64.vector", "-9223372036854775808"],
    ["UINT64.vector", "18446744073709551615"],
    ["UINT64.vector", "9007199254740993"],
    ["FP64.vector", "123456789012345680000"],
  ])("of %s keeps %s to the digit", async (model, raw) => {
    const [datatype] = model.split(".");
    const { text } = await post(
      model,
      `{"inputs":[{"name":"x","datatype":"${datatype}","shape":[1],"data":[${raw}]}]}`,
    );
    expect(text).toContain(`"data":[${raw}]`);
  });

  it("takes 1.0 and 1e2 for the integers they are", async () => {
    const raw = "1.0,1e2";
    expect(await codeOf("INT64.vector", { shape: [2], data: ["RAW"] }, raw)).toBe("ok");
    expect(await codeOf("UINT8.vector", { shape: [2], data: ["RAW"] }, raw)).toBe("ok");
  });

  it("has no form for FP16: neither in nor out", async () => {
    expect(await codeOf("FP16.vector", { shape: [1], data: [1] })).toBe("input/binary-only");
    const tensor = {
      name: "x",
      datatype: "FP16",
      shape: [1],
      data: Uint8Array.of(0, 0x3c),
    } as const;
    const outputs = [{ name: "y", parameters: { binary_data: false } }];
    const request = encodeRequest([tensor], "binary", outputs);
    const response = await fetch("/v2/models/FP16.vector/infer", request);
    expect(response.status).toBe(406);
    expect(await response.text()).toContain("output/binary-only");
  });

  it("has no form for an output that is not finite; the binary form has", async () => {
    const data = bytesOf(Float32Array.of(NaN, Infinity, -0));
    const tensor = { name: "x", datatype: "FP32", shape: [3], data } as const;
    const found = await roundTrip("FP32.vector", tensor, "binary");
    expect(values(found)).toEqual([NaN, Infinity, -0]);
    const json = [{ name: "y", parameters: { binary_data: false } }];
    const response = await fetch(
      "/v2/models/FP32.vector/infer",
      encodeRequest([tensor], "binary", json),
    );
    expect(response.status).toBe(406);
    expect(await response.text()).toContain("output/binary-only");
  });

  it("is parsed as JSON.parse does, but for integers beyond 2^53", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(text, false)).toEqual(JSON.parse(text));
      }),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (integer) => {
        const [value] = [parseJson(`[${integer}]`, true)].flat();
        expect(BigInt(String(value))).toBe(integer);
      }),
    );
  });
});

describe("binary data", () => {
  async function postBinary(
    model: string,
    size: unknown,
    bytes: Uint8Array,
    count = 1,
  ): Promise<string> {
    const [datatype] = model.split(".");
    const parameters = { binary_data_size: size };
    const inputs = [{ name: "x", datatype, shape: [count], parameters }];
    const json = utf8.encode(JSON.stringify({ inputs, parameters: { binary_data_output: true } }));
    const response = await fetch(`/v2/models/${model}/infer`, {
      method: "POST",
      body: Buffer.concat([json, bytes]),
      headers: { "inference-header-content-length": String(json.length) },
    });
    const text = await response.text();
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the form of KServe's errors
    return response.status === 200 ? "ok" : (JSON.parse(text) as { code: string }).code;
  }

  it("must be as long as its shape says", async () => {
    for (const length of [0, 3, 5, 8]) {
      expect(await postBinary("FP32.vector", length, new Uint8Array(length))).toBe("input/length");
    }
    expect(await postBinary("FP32.vector", 4, new Uint8Array(4))).toBe("ok");
  });

  it("must be as long as the parameter says", async () => {
    for (const [size, length] of [
      [4, 3],
      [4, 5],
      [4, 0],
      [0, 4],
    ] as const) {
      // prettier-ignore
      expect(await postBinary("FP32.vector", size, new Uint8Array(length))).toMatch(
        /^(request\/binary|input\/length)$/u,
      );
    }
    for (const size of [-1, 1.5, "4", null, 2 ** 60]) {
      expect(await postBinary("FP32.vector", size, new Uint8Array(4))).toMatch(
        /^request\/(binary|parameter)$/u,
      );
    }
  });

  it("of BOOL is zero or one", async () => {
    expect(await postBinary("BOOL.vector", 2, Uint8Array.of(1, 0), 2)).toBe("ok");
    expect(await postBinary("BOOL.vector", 2, Uint8Array.of(1, 2), 2)).toBe("input/value");
  });

  it.each([
    ["one element", [1, 0, 0, 0, 0x61], 1, "ok"],
    ["no element", [], 1, "input/length"],
    ["a length cut short", [1, 0, 0], 1, "input/length"],
    ["an element cut short", [2, 0, 0, 0, 0x61], 1, "input/length"],
    ["one element too many", [0, 0, 0, 0, 0, 0, 0, 0], 1, "input/length"],
    ["one element too few", [0, 0, 0, 0], 2, "input/length"],
    ["a length beyond everything", [255, 255, 255, 255], 1, "input/length"],
    ["bytes that are no UTF-8", [1, 0, 0, 0, 0xff], 1, "input/value"],
    ["a byte order mark, kept", [3, 0, 0, 0, 0xef, 0xbb, 0xbf], 1, "ok"],
    ["a NUL", [1, 0, 0, 0, 0], 1, "input/value"],
  ])("of BYTES with %s", async (_what, bytes, count, code) => {
    const data = Uint8Array.from(bytes);
    expect(await postBinary("BYTES.vector", data.length, data, count)).toBe(code);
  });

  it("starts aligned behind JSON of any length, in a buffer of its own", async () => {
    for (let length = 0; length < 20; length++) {
      const sent = new Uint8Array(length + 8).fill(7);
      const request = new Request("http://x/", {
        method: "POST",
        body: sent,
        headers: { "inference-header-content-length": String(length) },
      });
      const body = await readBody(request, 100);
      expect(body.json.length).toBe(length);
      expect(body.binary).toEqual(new Uint8Array(8).fill(7));
      expect(body.binary.byteOffset % 8).toBe(0);
      expect(body.binary.buffer.byteLength).toBeLessThan(length + 16);
    }
  });
});

describe("shapes", () => {
  const info = (shape: readonly number[], allowEmpty = false): InputInfo => ({
    name: "x",
    datatype: "FP32",
    shape,
    allowEmpty,
  });
  const code = (declared: InputInfo, shape: readonly number[]): unknown => {
    try {
      return requireShape(declared, shape);
    } catch (error) {
      return error instanceof Error && "code" in error ? error.code : error;
    }
  };

  it("count their elements", () => {
    expect(code(info([]), [])).toBe(1);
    expect(code(info([-1, 3]), [5, 3])).toBe(15);
    expect(code(info([0, 3]), [0, 3])).toBe(0);
    expect(code(info([-1, 3], true), [0, 3])).toBe(0);
  });

  it.each([
    [[-1, 3], [3]],
    [
      [-1, 3],
      [1, 3, 1],
    ],
    [
      [-1, 3],
      [1, 4],
    ],
    [
      [-1, 3],
      [-1, 3],
    ],
    [
      [-1, 3],
      [1.5, 3],
    ],
    [
      [-1, 3],
      [NaN, 3],
    ],
    [
      [-1, 3],
      [2 ** 31, 3],
    ],
    [
      [-1, -1, -1],
      [2 ** 30, 2 ** 30, 2 ** 30],
    ],
    [[2], [0]],
    [[], [1]],
  ])("of a %j are not %j", (declared, shape) => {
    expect(code(info(declared), shape)).toBe("input/shape");
  });

  it("are not empty where nobody said they may be", () => {
    expect(code(info([-1, 3]), [0, 3])).toBe("input/empty");
    expect(code(info([1, -1]), [1, 0])).toBe("input/empty");
  });

  it("hold or not: any list gives a count or our error", () => {
    fc.assert(
      fc.property(fc.array(fc.double()), fc.array(fc.integer({ min: -1, max: 4 })), (shape, of) => {
        const found = code(info(of), shape);
        expect(
          typeof found === "number" || found === "input/shape" || found === "input/empty",
        ).toBe(true);
      }),
    );
  });
});

describe("feeds", () => {
  const infos: readonly InputInfo[] = [
    { name: "a", datatype: "FP32", shape: [-1], allowEmpty: false },
    { name: "b", datatype: "BYTES", shape: [1], allowEmpty: false },
  ];
  const a: Tensor = { datatype: "FP32", shape: [2], elements: new Uint8Array(8) };
  const b: Tensor = { datatype: "BYTES", shape: [1], elements: ["text"] };
  const code = (tensors: readonly (readonly [string, Tensor])[], maxBytes = 1024): unknown => {
    try {
      return requireFeeds(infos, new Map(tensors), maxBytes).map(({ datatype }) => datatype);
    } catch (error) {
      return error instanceof Error && "code" in error ? error.code : error;
    }
  };

  it("come in the model's order", () => {
    expect(code([["b", b], ["a", a]])).toEqual(["FP32", "BYTES"]); // prettier-ignore
  });

  it.each<[string, readonly (readonly [string, Tensor])[]]>([
    ["input/missing", [["a", a]]],
    [
      "input/unknown",
      [
        ["a", a],
        ["b", b],
        ["c", a],
      ],
    ],
    [
      "input/datatype",
      [
        ["a", { ...a, datatype: "FP64" }],
        ["b", b],
      ],
    ],
    [
      "input/shape",
      [
        ["a", { ...a, shape: [1, 2] }],
        ["b", b],
      ],
    ],
    [
      "input/empty",
      [
        ["a", { ...a, shape: [0], elements: new Uint8Array(0) }],
        ["b", b],
      ],
    ],
    [
      "input/length",
      [
        ["a", { ...a, shape: [3] }],
        ["b", b],
      ],
    ],
    [
      "input/value",
      [
        ["a", a],
        ["b", { ...b, elements: ["\ud800"] }],
      ],
    ],
  ])("are refused with %s", (wanted, tensors) => {
    // prettier-ignore
    expect(code(tensors)).toBe(wanted);
  });

  it("are bounded together", () => {
    expect(code([["a", a], ["b", b]], 8 + 3 * 4 + 4)).toEqual(["FP32", "BYTES"]); // prettier-ignore
    expect(code([["a", a], ["b", b]], 8 + 3 * 4 + 3)).toBe("request/too-large"); // prettier-ignore
  });

  it("see numbers through a view, whatever their alignment", () => {
    const bytes = new Uint8Array([0, 0, 0, 0x80, 0x3f]).subarray(1);
    expect(numericView("FP32", bytes)).toEqual(Float32Array.of(1));
  });
});
