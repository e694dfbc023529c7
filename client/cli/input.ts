import { CommandError } from "./exit.ts";
import { readStandardInput, readUserFile } from "./files.ts";
import { looksLikePng, tensorFromPng } from "./image.ts";
import type { InputMetadata, ModelMetadata } from "./model-metadata.ts";
import { requireObject } from "./model-metadata.ts";
import { userPath } from "./paths.ts";
import { flattenNested, showShape, type Tensor, tensorOf } from "./tensor.ts";

/** Input that is read at most: what a node takes by default. */
const MAX_INPUT_BYTES = 32 * 1024 * 1024;
const JSON_STARTS = /^[\s\ufeff]*["[{\d\-tfn]/u;

/** What a user gave, by its first bytes; its name does not count. */
export type UserInput =
  | { readonly kind: "png"; readonly bytes: Uint8Array }
  | { readonly kind: "json"; readonly text: string; readonly value: unknown };

/** Reads `--input`: a file, or `-` for standard input. @throws CommandError, exit code 2. */
export async function readInput(option: string): Promise<UserInput> {
  if (option !== "-") return sniffInput(await readUserFile(userPath(option), "the input"), option);
  const bytes = await readStandardInput(MAX_INPUT_BYTES);
  if (bytes === null) {
    throw new CommandError(`standard input is longer than ${MAX_INPUT_BYTES} bytes`);
  }
  return sniffInput(bytes, "standard input");
}

/** Tells a PNG from JSON. @throws CommandError where `bytes` are neither. */
export function sniffInput(bytes: Uint8Array, name: string): UserInput {
  if (bytes.length > MAX_INPUT_BYTES) {
    throw new CommandError(`${name} is longer than ${MAX_INPUT_BYTES} bytes`);
  }
  if (looksLikePng(bytes)) return { kind: "png", bytes };
  if (bytes.length === 0) throw new CommandError(`${name} is empty`, "give a PNG or JSON");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new CommandError(
      `${name} is neither a PNG nor JSON`,
      "other images: convert them to PNG",
    );
  }
  if (!JSON_STARTS.test(text)) throw new CommandError(`${name} is neither a PNG nor JSON`);
  try {
    const value: unknown = JSON.parse(text);
    return { kind: "json", text, value };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(`${name} is not JSON: ${reason}`);
  }
}

/**
 * The body of an inference request for `model`.
 *
 * JSON is one of: a whole request, passed on byte for byte; nested arrays for a model of one input;
 * an object of them by input name; or, for an input whose values have names, an object of numbers.
 *
 * @throws CommandError where the input does not fit the model.
 */
export function inferRequestBody(input: UserInput, model: ModelMetadata): string {
  if (input.kind === "png") return encodeRequest([imageTensor(input.bytes, model)]);
  const { value, text } = input;
  if (isInferRequest(value)) return text;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return encodeRequest([nestedTensor(requireOnlyInput(model), value)]);
  }
  const members = requireObject(value, "the input");
  const [only] = model.inputs;
  const { features } = only ?? { features: null };
  if (only !== undefined && features !== null && !(only.name in members)) {
    return encodeRequest([featureTensor(only, features, members)]);
  }
  const tensors = Object.entries(members).map(([name, nested]) => {
    const found = model.inputs.find((candidate) => candidate.name === name);
    if (found !== undefined) return nestedTensor(found, nested);
    throw new CommandError(`the model has no input "${name}"`, `it has ${names(model)}`);
  });
  return encodeRequest(tensors);
}

function isInferRequest(value: unknown): boolean {
  if (typeof value !== "object" || value === null || !("inputs" in value)) return false;
  const { inputs } = value;
  return (
    Array.isArray(inputs) &&
    inputs.every((item) => typeof item === "object" && item !== null && "name" in item)
  );
}

function encodeRequest(inputs: readonly Tensor[]): string {
  return JSON.stringify({ inputs });
}

function imageTensor(bytes: Uint8Array, model: ModelMetadata): Tensor {
  const taking = model.inputs.filter(({ image }) => image !== null);
  const [input] = taking;
  const image = input?.image ?? null;
  if (input === undefined || image === null || model.inputs.length > 1) {
    throw new CommandError(
      `the model "${model.name}" does not say how an image becomes its input`,
      `send JSON: it takes ${names(model)}`,
    );
  }
  return tensorFromPng(bytes, input, image);
}

function nestedTensor(input: InputMetadata, value: unknown): Tensor {
  return tensorOf(input, flattenNested(value, input.name));
}

/** `{"radius": 14.1, …}` in the order of the model's features. */
function featureTensor(
  input: InputMetadata,
  features: readonly string[],
  members: Readonly<Record<string, unknown>>,
): Tensor {
  const surplus = Object.keys(members).find((name) => !features.includes(name));
  if (surplus !== undefined) {
    throw new CommandError(
      `"${surplus}" is neither an input nor a feature of the model`,
      `its input "${input.name}" has ${features.length} features: ${features.join(", ")}`,
    );
  }
  const missing = features.find((name) => !(name in members));
  if (missing !== undefined) throw new CommandError(`the feature "${missing}" is missing`);
  return nestedTensor(
    input,
    features.map((name) => members[name]),
  );
}

function requireOnlyInput(model: ModelMetadata): InputMetadata {
  const [input, second] = model.inputs;
  if (input !== undefined && second === undefined) return input;
  throw new CommandError(
    `the model has ${model.inputs.length} inputs`,
    `name them: an object with ${names(model)}`,
  );
}

function names(model: ModelMetadata): string {
  return model.inputs
    .map(({ name, datatype, shape }) => `"${name}" (${datatype}, ${showShape(shape)})`)
    .join(", ");
}
