import { decodeUtf8 } from "@countersign/attestation/attester";
import {
  type InputInfo,
  parseDatatype,
  type Tensor,
  type TensorInfo,
} from "../engine/datatypes.ts";
import { type Feeds, name, requireDatatype, requireFeeds, requireShape } from "../engine/feeds.ts";
import { EnclaveError } from "../errors.ts";
import type { ServedModel } from "../models/served.ts";
import { decodeBinaryData } from "./binary-data.ts";
import type { InferBody } from "./body.ts";
import { requireBoundedJson } from "./json-bounds.ts";
import { decodeJsonData, parseJson, requireJsonOutput } from "./json-data.ts";

/** An output that the request wants, by its index in the model. */
export interface WantedOutput {
  readonly index: number;
  readonly info: TensorInfo;
  readonly binary: boolean;
}

/** One inference request that fits its model. */
export interface InferRequest {
  /** The caller's own name for the request, echoed. */
  readonly id: string | null;
  readonly feeds: Feeds;
  readonly outputs: readonly WantedOutput[];
}

type Members = Readonly<Record<string, unknown>>;

// Unknown keys and parameters are refused: one that we skipped might have meant another answer.
const REQUEST_KEYS = ["id", "parameters", "inputs", "outputs", "model_name", "model_version"];
const INPUT_KEYS = ["name", "shape", "datatype", "parameters", "data"];
const OUTPUT_KEYS = ["name", "parameters"];
const MAX_ID_CHARACTERS = 256;
const NO_MEMBERS: Members = {};

/**
 * Reads an inference request (KServe Open Inference Protocol v2, inference request JSON object, with
 * the binary tensor data extension).
 *
 * @throws {@link EnclaveError} `request/…`, `input/…`, `output/…`.
 */
export function parseInferRequest(
  model: ServedModel,
  body: InferBody,
  maxTensorBytes: number,
): InferRequest {
  const { inputs, outputs } = model;
  const wide = inputs.some(({ datatype }) => datatype === "INT64" || datatype === "UINT64");
  const request = membersOf(parseBody(body.json, wide), "the request", REQUEST_KEYS);
  const id = request["id"] ?? null;
  if (id !== null && (typeof id !== "string" || id.length > MAX_ID_CHARACTERS)) {
    throw wrong(`the request's id is no string of at most ${MAX_ID_CHARACTERS} characters`);
  }
  requireSameModel(model, request);
  const parameters = parametersOf(request, "the request", ["binary_data_output"]);
  const tensors = parseInputs(inputs, listOf(request["inputs"], "inputs"), body.binary);
  return {
    id,
    feeds: requireFeeds(inputs, tensors, maxTensorBytes),
    outputs: parseOutputs(outputs, request["outputs"], flagOf(parameters, "binary_data_output")),
  };
}

function parseInputs(
  infos: readonly InputInfo[],
  items: readonly unknown[],
  binary: InferBody["binary"],
): ReadonlyMap<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  let offset = 0;
  for (const item of items) {
    const input = membersOf(item, "an input", INPUT_KEYS);
    const info = infoOf(infos, input, "input");
    if (tensors.has(info.name)) {
      throw new EnclaveError("input/duplicate", `input ${name(info)} is given twice`);
    }
    const size = binarySizeOf(input);
    if (offset + (size ?? 0) > binary.length) {
      throw new EnclaveError("request/binary", "binary data beyond the end of the body");
    }
    const bytes = size === null ? null : binary.subarray(offset, offset + size);
    tensors.set(info.name, parseInput(info, input, bytes));
    offset += size ?? 0;
  }
  if (offset !== binary.length) {
    throw new EnclaveError(
      "request/binary",
      `${binary.length} bytes of binary data, the inputs name ${offset}`,
    );
  }
  return tensors;
}

/** @param bytes - its binary data, or null where it has JSON data. */
function parseInput(info: InputInfo, input: Members, bytes: InferBody["binary"] | null): Tensor {
  const datatype = parseDatatype(textOf(input["datatype"], "datatype"));
  if (datatype === null) {
    throw new EnclaveError("input/datatype", `input ${name(info)} is ${info.datatype}`);
  }
  requireDatatype(info, datatype);
  const shape = listOf(input["shape"], "shape").map((dimension) =>
    typeof dimension === "number" ? dimension : -1,
  );
  const count = requireShape(info, shape);
  if (bytes === null) {
    const data = listOf(input["data"], "data");
    return { datatype, shape, elements: decodeJsonData(info, shape, count, data) };
  }
  if (input["data"] !== undefined) throw wrong("an input has both data and binary data");
  return { datatype, shape, elements: decodeBinaryData(info, count, bytes) };
}

function parseOutputs(
  infos: readonly TensorInfo[],
  value: unknown,
  binaryByDefault: boolean | null,
): readonly WantedOutput[] {
  const items = value === undefined ? [] : listOf(value, "outputs");
  const wanted = items.map((item): WantedOutput => {
    const output = membersOf(item, "an output", OUTPUT_KEYS);
    const info = infoOf(infos, output, "output");
    const parameters = parametersOf(output, "an output", ["binary_data"]);
    const binary = flagOf(parameters, "binary_data") ?? binaryByDefault ?? false;
    return { index: infos.indexOf(info), info, binary };
  });
  if (new Set(wanted.map(({ index }) => index)).size !== wanted.length) {
    throw new EnclaveError("output/duplicate", "an output is asked for twice");
  }
  // None asked for means all (inference request JSON object, "outputs").
  const outputs =
    wanted.length > 0
      ? wanted
      : infos.map((info, index) => ({ index, info, binary: binaryByDefault ?? false }));
  for (const { info, binary } of outputs) if (!binary) requireJsonOutput(info);
  return outputs;
}

function parseBody(json: Uint8Array, wide: boolean): unknown {
  requireBoundedJson(json, wide);
  try {
    return parseJson(decodeUtf8(json), wide);
  } catch {
    // Not chained: a parser's message quotes what it read.
    throw new EnclaveError("request/json", `the request's ${json.length} bytes are not JSON`);
  }
}

function infoOf<Info extends TensorInfo>(
  infos: readonly Info[],
  item: Members,
  kind: "input" | "output",
): Info {
  const wanted = textOf(item["name"], "name");
  const info = infos.find((each) => each.name === wanted);
  if (info === undefined) {
    throw new EnclaveError(`${kind}/unknown`, `the model has no ${kind} ${name({ name: wanted })}`);
  }
  return info;
}

/** The size that an input names for its binary data, or null where it has none. */
function binarySizeOf(input: Members): number | null {
  const size = parametersOf(input, "an input", ["binary_data_size"])["binary_data_size"];
  if (size === undefined) return null;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new EnclaveError("request/parameter", "binary_data_size is no length");
  }
  return size;
}

function parametersOf(item: Members, what: string, keys: readonly string[]): Members {
  if (item["parameters"] === undefined) return NO_MEMBERS;
  const parameters = membersOf(item["parameters"], `${what}'s parameters`, null);
  for (const key of Object.keys(parameters)) {
    if (keys.includes(key)) continue;
    const found = JSON.stringify(key.slice(0, 64));
    throw new EnclaveError("request/parameter", `${what} has a parameter ${found}, unknown here`);
  }
  return parameters;
}

function flagOf(parameters: Members, key: string): boolean | null {
  const flag = parameters[key];
  if (flag === undefined) return null;
  if (typeof flag !== "boolean") {
    throw new EnclaveError("request/parameter", `${key} is neither true nor false`);
  }
  return flag;
}

/** A client that names the model in the body too must mean the one it posted to. */
function requireSameModel(model: ServedModel, request: Members): void {
  const { id, version } = model.ref;
  if ((request["model_name"] ?? id) !== id || (request["model_version"] ?? version) !== version) {
    throw wrong("the request names another model than its path");
  }
}

/** @param keys - the known ones, or null for any. */
function membersOf(value: unknown, what: string, keys: readonly string[] | null): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(`${what} is no JSON object`);
  }
  for (const key of Object.keys(value)) {
    if (keys !== null && !keys.includes(key)) {
      throw wrong(`${what} has a member ${JSON.stringify(key.slice(0, 64))}, unknown here`);
    }
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parser of JSON objects
  return value as Members;
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(`${what} is no JSON array`);
  return value;
}

function textOf(value: unknown, what: string): string {
  if (typeof value !== "string") throw wrong(`${what} is no string`);
  return value;
}

function wrong(message: string): EnclaveError {
  return new EnclaveError("request/structure", message);
}
