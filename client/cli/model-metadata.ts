import { CommandError } from "./exit.ts";
import type { ImageMapping } from "./image.ts";

/** What a model says of itself over the Open Inference Protocol, as far as we read it. */
export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly inputs: readonly InputMetadata[];
  readonly outputs: readonly OutputMetadata[];
}

export interface InputMetadata {
  readonly name: string;
  readonly datatype: string;
  /** -1 is any. */
  readonly shape: readonly number[];
  /** How an image becomes this input, where the model says so. */
  readonly image: ImageMapping | null;
  /** Names of the values along the last dimension. */
  readonly features: readonly string[] | null;
}

export interface OutputMetadata {
  readonly name: string;
  /** Names of the values along the last dimension, or of the values themselves. */
  readonly labels: readonly string[] | null;
}

/** Reads a model's metadata. It comes from a verified enclave, and is read strictly all the same. */
export function parseModelMetadata(value: unknown): ModelMetadata {
  const root = requireObject(value, "the model's metadata");
  return {
    name: requireText(root["name"], "name"),
    versions: requireTexts(root["versions"] ?? [], "versions"),
    inputs: requireList(root["inputs"], "inputs").map(parseInput),
    outputs: requireList(root["outputs"], "outputs").map(parseOutput),
  };
}

function parseInput(value: unknown): InputMetadata {
  const input = requireObject(value, "an input");
  const name = requireText(input["name"], "an input's name");
  const parameters = requireObject(input["parameters"] ?? {}, `parameters of "${name}"`);
  const image = parameters["image"];
  const features = parameters["features"];
  return {
    name,
    datatype: requireText(input["datatype"], `datatype of "${name}"`),
    shape: requireList(input["shape"], `shape of "${name}"`).map((dimension) =>
      requireNumber(dimension, `shape of "${name}"`),
    ),
    image: image === undefined ? null : parseImage(image, name),
    features: features === undefined ? null : parseFeatures(features, `features of "${name}"`),
  };
}

/** A feature is a name, or an object with one, and with a unit for people. */
function parseFeatures(value: unknown, what: string): readonly string[] {
  return requireList(value, what).map((item) =>
    typeof item === "string" ? item : requireText(requireObject(item, what)["name"], what),
  );
}

function parseOutput(value: unknown): OutputMetadata {
  const output = requireObject(value, "an output");
  const name = requireText(output["name"], "an output's name");
  const parameters = requireObject(output["parameters"] ?? {}, `parameters of "${name}"`);
  const labels = parameters["labels"];
  return {
    name,
    labels: labels === undefined ? null : requireTexts(labels, `labels of "${name}"`),
  };
}

function parseImage(value: unknown, input: string): ImageMapping {
  const at = `image of "${input}"`;
  const image = requireObject(value, at);
  const { layout, channels, fit, background, invert } = image;
  if (layout !== "NCHW" && layout !== "NHWC") throw unknown(at, "layout", layout);
  if (channels !== "gray" && channels !== "rgb") throw unknown(at, "channels", channels);
  if (fit !== "contain" && fit !== "fill") throw unknown(at, "fit", fit);
  if (invert !== "auto" && typeof invert !== "boolean") throw unknown(at, "invert", invert);
  return {
    layout,
    channels,
    fit,
    background: requireNumber(background, `background in the ${at}`),
    invert,
    scale: requireNumber(image["scale"], `scale in the ${at}`),
    offset: requireNumber(image["offset"], `offset in the ${at}`),
  };
}

function unknown(at: string, key: string, value: unknown): CommandError {
  return new CommandError(
    `the ${at} has ${key} ${JSON.stringify(value) ?? "missing"}, which this client does not know`,
    "send JSON tensors, or use a newer client",
  );
}

/** @throws CommandError unless `value` is a JSON object. */
export function requireObject(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CommandError(`${what}: want a JSON object`);
  }
  return Object.fromEntries(Object.entries(value));
}

export function requireList(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new CommandError(`${what}: want a JSON array`);
  return value;
}

export function requireText(value: unknown, what: string): string {
  if (typeof value !== "string") throw new CommandError(`${what}: want text`);
  return value;
}

export function requireNumber(value: unknown, what: string): number {
  if (typeof value !== "number") throw new CommandError(`${what}: want a number`);
  return value;
}

function requireTexts(value: unknown, what: string): readonly string[] {
  return requireList(value, what).map((item) => requireText(item, what));
}
