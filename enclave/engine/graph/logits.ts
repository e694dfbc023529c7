/**
 * Logits of the last position alone.
 *
 * Reading a prompt, a graph computes as many logits as the vocabulary has tokens, at every position,
 * and only the last are wanted. So the last position is cut out before the projection: the same
 * numbers, for every position is projected by itself.
 */
import type { GraphEdits, GraphNode } from "./model.ts";
import { encodeIntegers, encodeNode, encodeRewired, encodeValue } from "./parts.ts";
import { constantRank, freshName, makerOf } from "./wiring.ts";
import type { Wiring } from "./wiring.ts";

/** Slice has had its bounds as inputs since this opset. */
const SLICE_OPSET = 10;
/** Between projection and logits: soft caps, biases, scales, casts. */
const MAX_STEPS = 12;
/** Each works on every number by itself. */
const UNARY = ["Cast", "Identity", "Tanh"];
const BINARY = ["Add", "Sub", "Mul", "Div"];

/** Projections, and how to know that the second operand and all after it are constants. */
const PROJECTIONS: readonly string[] = [
  "MatMul",
  "com.microsoft.MatMulNBits",
  "com.microsoft.FusedMatMul",
  "MatMulInteger",
  "com.microsoft.MatMulIntegerToFloat",
];
/** A scale or zero point that these make is one number for all positions. */
const DYNAMIC = "DynamicQuantizeLinear";

/** @param edits - gets what there is to change. @returns whether logits are the last position's. */
export function keepLastLogits(wiring: Wiring, edits: GraphEdits): boolean {
  const { model } = wiring;
  const index = model.outputs.findIndex(({ name }) => name === "logits");
  const output = model.outputs[index];
  if (output?.shape?.length !== 3) return false;
  if (output.shape[1] === 1) return true;
  if (model.definesOperations || model.opset < SLICE_OPSET) return false;
  // 1. Back from the logits to the projection; every value between has but one reader.
  const found = findProjection(wiring, output.name);
  if (found === null) return false;
  const { node, position, values } = found;
  // 2. x[:, -1:, :] before it.
  const [hidden = "", ...constants] = node.inputs;
  const last = freshName(wiring, "last_position");
  const bounds = ["start", "end", "axis"].map((name) => freshName(wiring, `${last}/${name}`));
  const slice = encodeNode("Slice", [hidden, ...bounds], last);
  edits.nodes.set(position, [slice, ...(edits.nodes.get(position) ?? [])]);
  edits.rewired.set(position, encodeRewired(node, [last, ...constants], node.outputs));
  const [start = "", end = "", axis = ""] = bounds;
  edits.initializers.push(
    encodeIntegers(start, [-1n]),
    encodeIntegers(end, [2n ** 63n - 1n]),
    encodeIntegers(axis, [1n]),
  );
  // 3. What was declared of those values is true no more.
  for (const value of values) edits.forgotten.add(value);
  const [batch = null, , vocabulary = null] = output.shape;
  edits.outputs.set(index, encodeValue({ ...output, shape: [batch, 1, vocabulary] }));
  return true;
}

interface Projection {
  readonly node: GraphNode;
  /** Index of the node. */
  readonly position: number;
  /** All values from the projection to the logits. */
  readonly values: readonly string[];
}

function findProjection(wiring: Wiring, logits: string): Projection | null {
  const values: string[] = [];
  let value = logits;
  while (values.length < MAX_STEPS) {
    const position = wiring.makers.get(value);
    const node = makerOf(wiring, value);
    if (position === undefined || node === null) return null;
    if (!isPrivate(wiring, value, logits)) return null;
    values.push(value);
    if (PROJECTIONS.includes(node.type)) {
      return isProjection(wiring, node) ? { node, position, values } : null;
    }
    const next = operand(wiring, node);
    if (next === null) return null;
    value = next;
  }
  return null;
}

/** Whether nobody but the next step reads the value. */
function isPrivate({ model, readers }: Wiring, value: string, logits: string): boolean {
  const outputs = model.outputs.filter(({ name }) => name === value).length;
  const reads = readers.get(value)?.length ?? 0;
  const wanted = value === logits ? [1, 0] : [0, 1];
  return outputs === wanted[0] && reads === wanted[1] && !model.innerNames.has(value);
}

/** The operand that has a row for each position, if all others are the same for all of them. */
function operand(wiring: Wiring, { type, inputs }: GraphNode): string | null {
  const [left, right] = inputs;
  if (left !== undefined && UNARY.includes(type) && inputs.length === 1) return left;
  if (left === undefined || right === undefined || !BINARY.includes(type)) return null;
  if (isUniform(wiring, right)) return left;
  return isUniform(wiring, left) ? right : null;
}

/** A number, or one for each token of the vocabulary. */
function isUniform(wiring: Wiring, value: string, steps: number = MAX_STEPS): boolean {
  const rank = constantRank(wiring, value);
  if (rank !== null) return rank <= 1;
  const maker = makerOf(wiring, value);
  if (maker === null || steps === 0 || maker.inputs.length > 2) return false;
  // Outputs: values, scale, zero point.
  if (maker.type === DYNAMIC) return maker.outputs.indexOf(value) > 0;
  const { type, inputs } = maker;
  const known = BINARY.includes(type) || UNARY.includes(type);
  return known && inputs.every((name) => isUniform(wiring, name, Math.floor(steps / 2)));
}

/**
 * Whether each position of [batch, positions, hidden] is projected by itself, with constant weights.
 *
 * Logits have three axes and the weights no more than two, so what is projected has three.
 */
function isProjection(wiring: Wiring, node: GraphNode): boolean {
  const [, ...others] = node.inputs;
  for (const [i, name] of others.entries()) {
    if (name === "") continue;
    const rank = constantRank(wiring, name);
    // MatMulNBits keeps its weights in blocks: their axes are not the matrix's.
    const isMatrix = i > 0 || node.type === "com.microsoft.MatMulNBits" || rank === 2;
    if (rank === null ? !isUniform(wiring, name) : !isMatrix) return false;
  }
  const isTransposed = ["transA", "transBatchA"].some(
    (name) => (node.attributes.get(name)?.integer ?? 0) !== 0,
  );
  return others.length > 0 && !isTransposed;
}
