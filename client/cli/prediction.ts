import {
  type ModelMetadata,
  requireList,
  requireNumber,
  requireObject,
  requireText,
} from "./model-metadata.ts";
import { jsonLine, type Paint, printable } from "./terminal.ts";
import { showShape, type TensorValue } from "./tensor.ts";

/** One output of an inference. */
export interface OutputTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly TensorValue[];
}

/** What an inference answered. */
export interface Prediction {
  readonly model: string;
  readonly version: string | null;
  readonly outputs: readonly OutputTensor[];
}

/** Classes that are shown of one example, and values of a plain tensor. */
const MAX_CLASSES = 3;
const MAX_VALUES = 8;
const MAX_EXAMPLES = 16;
const PROBABILITY_SLACK = 1e-3;

/** Reads an inference response. @throws CommandError */
export function parsePrediction(value: unknown): Prediction {
  const root = requireObject(value, "the answer");
  const version = root["model_version"];
  return {
    model: requireText(root["model_name"], "model_name"),
    version: typeof version === "string" ? version : null,
    outputs: requireList(root["outputs"], "outputs").map(parseOutput),
  };
}

function parseOutput(value: unknown): OutputTensor {
  const output = requireObject(value, "an output");
  const name = requireText(output["name"], "an output's name");
  return {
    name,
    datatype: requireText(output["datatype"], `datatype of "${name}"`),
    shape: requireList(output["shape"], `shape of "${name}"`).map((dimension) =>
      requireNumber(dimension, `shape of "${name}"`),
    ),
    data: requireList(output["data"], `data of "${name}"`).map((item): TensorValue => {
      if (typeof item === "boolean" || typeof item === "string") return item;
      return requireNumber(item, `data of "${name}"`);
    }),
  };
}

/** Lines for a person: labels with their probabilities where the model names them. */
export function renderPrediction(
  prediction: Prediction,
  metadata: ModelMetadata,
  paint: Paint,
): readonly string[] {
  return prediction.outputs.flatMap((output) => {
    const labels = metadata.outputs.find(({ name }) => name === output.name)?.labels ?? null;
    if (labels !== null && output.shape.at(-1) === labels.length && labels.length > 1) {
      return renderClasses(output, labels, paint);
    }
    return [renderTensor(output, labels)];
  });
}

/** The most likely labels of each example, the first in bold. */
function renderClasses(
  output: OutputTensor,
  labels: readonly string[],
  paint: Paint,
): readonly string[] {
  const rows: (readonly number[])[] = [];
  for (let at = 0; at < output.data.length; at += labels.length) {
    rows.push(output.data.slice(at, at + labels.length).map(Number));
  }
  const lines = rows.slice(0, MAX_EXAMPLES).map((row, i) => {
    const ranked = row
      .map((value, index) => ({ value, label: printable(labels[index] ?? String(index)) }))
      .toSorted((a, b) => b.value - a.value)
      .slice(0, MAX_CLASSES);
    const shares = isDistribution(row);
    const shown = ranked.map(({ value, label }, rank) => {
      const text = `${label}  ${showScore(value, shares)}`;
      return rank === 0 ? paint.bold(text) : paint.dim(text);
    });
    const which = rows.length > 1 ? ` [${i}]` : "";
    return `  ${printable(output.name)}${which}  ${shown.join(paint.dim("  ·  "))}`;
  });
  const hidden = rows.length - lines.length;
  return hidden > 0 ? [...lines, `  … and ${hidden} more examples (--json has them all)`] : lines;
}

/** A tensor's first values; where they are indices into labels, the labels too. */
function renderTensor(output: OutputTensor, labels: readonly string[] | null): string {
  const { name, datatype, shape, data } = output;
  const shown = data.slice(0, MAX_VALUES).map((value) => {
    const label = typeof value === "number" ? labels?.[value] : undefined;
    return label === undefined ? showValue(value) : `${showValue(value)} (${printable(label)})`;
  });
  const more = data.length > shown.length ? ", …" : "";
  const form = data.length === 1 ? "" : `  (${printable(datatype)}, ${showShape(shape)})`;
  return `  ${printable(name)}  ${shown.join(", ")}${more}${form}`;
}

/** Whether values are probabilities of classes that exclude each other. */
function isDistribution(values: readonly number[]): boolean {
  const sum = values.reduce((total, value) => total + value, 0);
  return values.every((value) => value >= 0) && Math.abs(sum - 1) < PROBABILITY_SLACK;
}

function showScore(value: number, share: boolean): string {
  return share ? `${(value * 100).toFixed(1)} %` : showValue(value);
}

function showValue(value: TensorValue): string {
  if (typeof value === "string") return jsonLine(value);
  if (typeof value === "boolean" || Number.isInteger(value)) return String(value);
  return value.toPrecision(6);
}
