/**
 * Runs one ONNX backend conformance case through any fetch that reaches a KServe v2 API: the app's own,
 * or that of a real client.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  type OnnxDatatype,
  type OnnxTensor,
  readSignature,
  readTensor,
} from "./fakes/onnx-proto.ts";

export type CaseFetch = (path: string, init?: RequestInit) => Promise<Response>;
export type Encoding = "binary" | "json";

export type CaseResult =
  | { readonly status: "passed"; readonly dataSets: number }
  | { readonly status: "skipped"; readonly reason: string }
  | { readonly status: "failed"; readonly reason: string };

/** What the ONNX test runner allows: |found − wanted| ≤ ATOL + RTOL · |wanted|. */
const RTOL = 1e-3;
const ATOL = 1e-7;

interface TensorMetadata {
  readonly name: string;
  readonly datatype: OnnxDatatype;
}

interface ResponseOutput {
  readonly name: string;
  readonly datatype: OnnxDatatype;
  readonly shape: readonly number[];
  readonly data?: readonly unknown[];
  readonly parameters?: { readonly binary_data_size: number };
}

/** Case directories below the vectors' root, sorted by name. */
export function listCases(root: string): string[] {
  return readdirSync(root, { withFileTypes: true })
    .filter((group) => group.isDirectory())
    .flatMap((group) =>
      readdirSync(join(root, group.name)).map((name) => join(root, group.name, name)),
    )
    .sort((a, b) => basename(a).localeCompare(basename(b)));
}

/** Why a case cannot be served at all, or null: KServe has tensors only. */
export function unservable(dir: string): string | null {
  const { inputs, outputs } = readSignature(readFileSync(join(dir, "model.onnx")));
  const odd = [...inputs, ...outputs].find(({ kind }) => kind !== "tensor");
  return odd === undefined ? null : `${odd.name} is of kind ${odd.kind}`;
}

/**
 * The files to serve a case with: its graph, and where a data set has an empty input, the word in
 * metadata.json that such a model must bring.
 */
export function caseFiles(dir: string): Record<string, Uint8Array> {
  const graph = readFileSync(join(dir, "model.onnx"));
  const empty = readSignature(graph)
    .inputs.map(({ name }, i) => ({ name, file: join(dir, "test_data_set_0", `input_${i}.pb`) }))
    .filter(({ file }) => existsSync(file) && readTensor(readFileSync(file)).shape.includes(0))
    .map(({ name }) => [name, { allowEmpty: true }] as const);
  const files = { "model.onnx": new Uint8Array(graph) };
  if (empty.length === 0) return files;
  const metadata = JSON.stringify({ inputs: Object.fromEntries(empty) });
  return { ...files, "metadata.json": new TextEncoder().encode(metadata) };
}

/**
 * Runs every data set of the case in `dir` against the model served under the directory's name.
 *
 * @param fetch - takes a path such as `/v2/models/<name>/infer`.
 */
export async function runCase(
  dir: string,
  fetch: CaseFetch,
  encoding: Encoding = "binary",
): Promise<CaseResult> {
  const reason = unservable(dir);
  if (reason !== null) return { status: "skipped", reason };
  const model = `/v2/models/${basename(dir)}`;
  const metadata = await fetch(model);
  if (metadata.status !== 200) {
    return { status: "failed", reason: `metadata: ${metadata.status} ${await metadata.text()}` };
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the shape that the spec gives it
  const { inputs, outputs } = (await metadata.json()) as {
    readonly inputs: readonly TensorMetadata[];
    readonly outputs: readonly TensorMetadata[];
  };
  const sets = readdirSync(dir).filter((name) => name.startsWith("test_data_set_"));
  for (const set of sets) {
    const fed = inputs.map((info, i) => tensorAt(dir, set, `input_${i}.pb`, info.name));
    const wanted = outputs.map((info, i) => tensorAt(dir, set, `output_${i}.pb`, info.name));
    const asked = wanted.map((tensor) => ({
      name: tensor.name,
      parameters: { binary_data: encoding === "binary" || !hasJson(tensor) },
    }));
    const response = await fetch(`${model}/infer`, encodeRequest(fed, encoding, asked));
    if (response.status !== 200) {
      return { status: "failed", reason: `${set}: ${response.status} ${await response.text()}` };
    }
    const found = await decodeResponse(response);
    for (const [i, tensor] of wanted.entries()) {
      const difference = compare(found[i], tensor);
      if (difference !== null) {
        return { status: "failed", reason: `${set}: output ${tensor.name} ${difference}` };
      }
    }
  }
  return { status: "passed", dataSets: sets.length };
}

function tensorAt(dir: string, set: string, file: string, name: string): OnnxTensor {
  return { ...readTensor(readFileSync(join(dir, set, file))), name };
}

/** Whether JSON can say all elements: not FP16, not infinity, not NaN. */
function hasJson(tensor: OnnxTensor): boolean {
  if (tensor.datatype === "FP16") return false;
  return values(tensor).every((value) => typeof value !== "number" || Number.isFinite(value));
}

/** A KServe inference request of these tensors; its outputs come in the same encoding by default. */
export function encodeRequest(
  tensors: readonly OnnxTensor[],
  encoding: Encoding,
  outputs?: readonly object[],
): RequestInit {
  const inputs = tensors.map(({ name, datatype, shape, data }) => {
    const head = JSON.stringify({ name, datatype, shape }).slice(0, -1);
    return encoding === "json"
      ? `${head},"data":${jsonData(datatype, data)}}`
      : `${head},"parameters":{"binary_data_size":${binaryData(data).length}}}`;
  });
  const parameters = { binary_data_output: encoding === "binary" };
  const tail = JSON.stringify({ parameters, ...(outputs === undefined ? {} : { outputs }) });
  const json = Buffer.from(`{"inputs":[${inputs.join(",")}],${tail.slice(1)}`);
  if (encoding === "json") {
    return { method: "POST", body: json, headers: { "content-type": "application/json" } };
  }
  return {
    method: "POST",
    body: Buffer.concat([json, ...tensors.map(({ data }) => binaryData(data))]),
    headers: {
      "content-type": "application/octet-stream",
      "inference-header-content-length": String(json.length),
    },
  };
}

/** The outputs of a KServe inference response in either encoding. */
export async function decodeResponse(response: Response): Promise<OnnxTensor[]> {
  const bytes = Buffer.from(await response.arrayBuffer());
  const header = response.headers.get("inference-header-content-length");
  let offset = header === null ? bytes.length : Number(header);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the shape that the spec gives it
  const { outputs } = JSON.parse(
    bytes.toString("utf8", 0, offset),
    (_key, value: unknown, context?: { readonly source?: string }) => {
      const source = context?.source ?? "";
      return typeof value === "number" && /^-?[0-9]{16,}$/u.test(source) ? BigInt(source) : value;
    },
  ) as { readonly outputs: readonly ResponseOutput[] };
  const tensors = outputs.map(({ name, datatype, shape, data, parameters }): OnnxTensor => {
    if (data !== undefined) return { name, datatype, shape, data: fromJson(datatype, data) };
    const raw = bytes.subarray(offset, offset + (parameters?.binary_data_size ?? 0));
    offset += raw.length;
    return { name, datatype, shape, data: datatype === "BYTES" ? readStrings(raw) : raw };
  });
  if (offset !== bytes.length) throw new TypeError(`${bytes.length - offset} bytes left over`);
  return tensors;
}

function compare(found: OnnxTensor | undefined, wanted: OnnxTensor): string | null {
  if (found === undefined) return "is missing";
  if (found.datatype !== wanted.datatype) return `is ${found.datatype}, want ${wanted.datatype}`;
  if (found.shape.join() !== wanted.shape.join()) {
    return `has shape [${found.shape.join()}], want [${wanted.shape.join()}]`;
  }
  const a = values(found);
  const b = values(wanted);
  if (a.length !== b.length) return `has ${a.length} elements, want ${b.length}`;
  for (const [i, value] of a.entries()) {
    const goal = b[i];
    const near =
      typeof value === "number" && typeof goal === "number"
        ? Object.is(value, goal) || Math.abs(value - goal) <= ATOL + RTOL * Math.abs(goal)
        : value === goal;
    if (!near) return `differs at ${i}: ${String(value)}, want ${String(goal)}`;
  }
  return null;
}

/** The elements of a tensor as JavaScript values; 64-bit integers as bigints, booleans as 0 and 1. */
export function values(tensor: OnnxTensor): readonly (number | bigint | string)[] {
  const { datatype, data } = tensor;
  if (!(data instanceof Uint8Array)) return data;
  const { buffer } = new Uint8Array(data);
  switch (datatype) {
    case "BYTES":
      throw new TypeError("BYTES come as strings");
    case "BOOL":
    case "UINT8":
      return [...data];
    case "UINT16":
      return [...new Uint16Array(buffer)];
    case "UINT32":
      return [...new Uint32Array(buffer)];
    case "UINT64":
      return [...new BigUint64Array(buffer)];
    case "INT8":
      return [...new Int8Array(buffer)];
    case "INT16":
      return [...new Int16Array(buffer)];
    case "INT32":
      return [...new Int32Array(buffer)];
    case "INT64":
      return [...new BigInt64Array(buffer)];
    case "FP16":
      return [...new Uint16Array(buffer)];
    case "FP32":
      return [...new Float32Array(buffer)];
    case "FP64":
      return [...new Float64Array(buffer)];
    default:
      return datatype satisfies never;
  }
}

/** The text of a JSON array, 64-bit integers in full. */
function jsonData(datatype: OnnxDatatype, data: OnnxTensor["data"]): string {
  const elements = values({ name: "", datatype, shape: [], data });
  if (datatype === "BYTES") return JSON.stringify(elements);
  if (datatype === "BOOL") return JSON.stringify(elements.map((value) => value === 1));
  return `[${elements.join(",")}]`;
}

function fromJson(datatype: OnnxDatatype, data: readonly unknown[]): OnnxTensor["data"] {
  const numbers = (): number[] => data.map(Number);
  const wide = (): bigint[] => data.map((value) => BigInt(String(value)));
  switch (datatype) {
    case "BYTES":
      return data.map(String);
    case "BOOL":
      return Uint8Array.from(data, (value) => (value === true ? 1 : 0));
    case "UINT8":
      return Uint8Array.from(numbers());
    case "UINT16":
      return new Uint8Array(Uint16Array.from(numbers()).buffer);
    case "UINT32":
      return new Uint8Array(Uint32Array.from(numbers()).buffer);
    case "UINT64":
      return new Uint8Array(BigUint64Array.from(wide()).buffer);
    case "INT8":
      return new Uint8Array(Int8Array.from(numbers()).buffer);
    case "INT16":
      return new Uint8Array(Int16Array.from(numbers()).buffer);
    case "INT32":
      return new Uint8Array(Int32Array.from(numbers()).buffer);
    case "INT64":
      return new Uint8Array(BigInt64Array.from(wide()).buffer);
    case "FP32":
      return new Uint8Array(Float32Array.from(numbers()).buffer);
    case "FP64":
      return new Uint8Array(Float64Array.from(numbers()).buffer);
    case "FP16":
      throw new TypeError("FP16 has no JSON form");
    default:
      return datatype satisfies never;
  }
}

function binaryData(data: OnnxTensor["data"]): Uint8Array {
  if (data instanceof Uint8Array) return data;
  return Buffer.concat(
    data.flatMap((text) => {
      const bytes = Buffer.from(text);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}

function readStrings(bytes: Buffer): string[] {
  const strings: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32LE(at);
    strings.push(bytes.toString("utf8", at + 4, end));
    at = end;
  }
  return strings;
}
