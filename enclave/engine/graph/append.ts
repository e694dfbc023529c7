/**
 * How a graph brings its cache forward, and how it can be made to give what is new alone.
 *
 * A graph whose `present` is Concat(past, new) copies all of the cache to its outputs in every step,
 * though we have the past already. The new part is a value of the graph: it becomes the output.
 */
import type { Cache, LayerCache } from "./cache.ts";
import type { GraphEdits, GraphNode, GraphValue } from "./model.ts";
import { encodeNode, encodeRewired, encodeValue } from "./parts.ts";
import { constantRank, freshName, makerOf } from "./wiring.ts";
import type { Wiring } from "./wiring.ts";

/** [batch, heads, positions, headDim] in past and present. */
const AXES = [0, 1, 2, 3] as const;
const AXIS_POSITIONS = 2;
/** Casts and transpositions between the cache and its Concat. */
const MAX_STEPS = 4;

/** com.microsoft.GroupQueryAttention: past at inputs 3 and 4, present at outputs 1 and 2. */
const GROUPED = "com.microsoft.GroupQueryAttention";
const GROUPED_PAST = [3, 4] as const;
const GROUPED_PRESENT = [1, 2] as const;

export type CacheForm = "append" | "in-place" | "whole";

/** Where the new part of a `present` is found. */
interface NewPart {
  /** The new keys or values before the Concat. */
  readonly value: string;
  /** What turns them into the form of the output, in order. */
  readonly steps: readonly GraphNode[];
}

/** Names of the outputs change where they become another thing. */
export interface CacheForward {
  readonly form: CacheForm;
  readonly layers: readonly LayerCache[];
}

/** @param edits - gets what there is to change. */
export function forwardCache(wiring: Wiring, cache: Cache, edits: GraphEdits): CacheForward {
  const { layers } = cache;
  if (wiring.model.definesOperations) return { form: "whole", layers };
  if (layers.every((layer) => isInPlace(wiring, layer))) return { form: "in-place", layers };
  if (givesNewOnly(wiring, layers)) return { form: "append", layers };
  const parts = layers.map(({ pastKey, pastValue, presentKey, presentValue }) => ({
    key: findNewPart(wiring, pastKey, presentKey),
    value: findNewPart(wiring, pastValue, presentValue),
  }));
  const changed: LayerCache[] = [];
  for (const [i, layer] of layers.entries()) {
    const part = parts[i];
    if (part?.key === null || part?.value === null || part === undefined) {
      return { form: "whole", layers };
    }
    changed.push({
      ...layer,
      presentKey: freshName(wiring, `new.${i}.key`),
      presentValue: freshName(wiring, `new.${i}.value`),
    });
  }
  for (const [i, layer] of layers.entries()) {
    const [now, part] = [changed[i], parts[i]];
    if (now === undefined || part === undefined) throw new TypeError("layers went missing");
    answerWith(wiring, cache, edits, layer.presentKey, now.presentKey, part.key);
    answerWith(wiring, cache, edits, layer.presentValue, now.presentValue, part.value);
  }
  return { form: "append", layers: changed };
}

/** The operation reads past and writes present itself, and nobody else reads what it overwrites. */
function isInPlace(wiring: Wiring, layer: LayerCache): boolean {
  const index = wiring.makers.get(layer.presentKey);
  const node = index === undefined ? undefined : wiring.model.nodes[index];
  if (node?.type !== GROUPED) return false;
  const [key, value] = GROUPED_PAST;
  const [keyOut, valueOut] = GROUPED_PRESENT;
  return (
    node.inputs[key] === layer.pastKey &&
    node.inputs[value] === layer.pastValue &&
    node.outputs[keyOut] === layer.presentKey &&
    node.outputs[valueOut] === layer.presentValue &&
    [layer.pastKey, layer.pastValue].every((past) => readOnlyBy(wiring, past, index))
  );
}

function readOnlyBy(wiring: Wiring, value: string, reader: number | undefined): boolean {
  const { model, readers } = wiring;
  if (model.innerNames.has(value)) return false;
  // A shape is the same before and after.
  const harmless = (index: number): boolean => model.nodes[index]?.type === "Shape";
  return (readers.get(value) ?? []).every((index) => index === reader || harmless(index));
}

/** Whether `present` is declared with as many positions as input_ids, under the same name. */
function givesNewOnly({ model }: Wiring, layers: readonly LayerCache[]): boolean {
  const positions = (values: readonly GraphValue[], name: string, axis: number): unknown =>
    values.find((value) => value.name === name)?.shape?.[axis];
  const sequence = positions(model.inputs, "input_ids", 1);
  return layers.every(({ pastKey, pastValue, presentKey, presentValue }) => {
    const past = [pastKey, pastValue].map((name) => positions(model.inputs, name, AXIS_POSITIONS));
    const present = [presentKey, presentValue].map((name) =>
      positions(model.outputs, name, AXIS_POSITIONS),
    );
    return (
      typeof sequence === "string" &&
      sequence !== "" &&
      present.every((name) => name === sequence) &&
      !past.includes(sequence)
    );
  });
}

/** What is joined to `past` to make `present`; null where it is not made so. */
function findNewPart(wiring: Wiring, past: string, present: string): NewPart | null {
  // 1. From the output back to the Concat.
  const after = chainTo(wiring, present);
  const concat = makerOf(wiring, after.from);
  const [old, value, ...more] = concat?.inputs ?? [];
  if (concat?.type !== "Concat" || old === undefined || value === undefined || more.length > 0) {
    return null;
  }
  // 2. From the Concat back to the input.
  const before = chainTo(wiring, old);
  if (before.from !== past) return null;
  // 3. It joins positions, and after all transpositions the axes stand as they did.
  const inside = transposed(AXES, before.steps);
  const axis = concat.attributes.get("axis")?.integer ?? 0;
  if (inside?.[axis < 0 ? axis + AXES.length : axis] !== AXIS_POSITIONS) return null;
  if (transposed(inside, after.steps)?.join() !== AXES.join()) return null;
  // 4. What is new is made by the graph, and is neither an input nor a constant.
  if (makerOf(wiring, value) === null || constantRank(wiring, value) !== null) return null;
  return { value, steps: after.steps };
}

interface Chain {
  readonly from: string;
  /** In the order of computation. */
  readonly steps: readonly GraphNode[];
}

/** Back over what changes nothing but type and order of axes. */
function chainTo(wiring: Wiring, value: string): Chain {
  const steps: GraphNode[] = [];
  let from = value;
  while (steps.length < MAX_STEPS) {
    const maker = makerOf(wiring, from);
    const [input] = maker?.inputs ?? [];
    if (maker === null || input === undefined) break;
    if (!["Identity", "Cast", "Transpose"].includes(maker.type)) break;
    steps.unshift(maker);
    from = input;
  }
  return { from, steps };
}

/** Which axis of the cache each axis is, once the steps are done; null where they make no sense. */
function transposed(
  axes: readonly number[] | null,
  steps: readonly GraphNode[],
): readonly number[] | null {
  let now = axes;
  for (const { type, attributes } of steps) {
    if (type !== "Transpose") continue;
    // Without the attribute the order is reversed.
    const order = attributes.get("perm")?.integers ?? [3, 2, 1, 0];
    const next = order.map((axis) => now?.[axis] ?? -1);
    if (new Set(next).size !== AXES.length || next.includes(-1)) return null;
    now = next;
  }
  return now;
}

function answerWith(
  wiring: Wiring,
  cache: Cache,
  edits: GraphEdits,
  before: string,
  now: string,
  part: NewPart | null,
): void {
  const { model } = wiring;
  const index = model.outputs.findIndex(({ name }) => name === before);
  const output = model.outputs[index];
  if (part === null || output === undefined) throw new TypeError(`no output ${before}`);
  // 1. The same steps from the new part to the new output; where there are none, its name.
  let from = part.value;
  const nodes = part.steps.map((step, i) => {
    const to = i === part.steps.length - 1 ? now : freshName(wiring, `${now}/${i}`);
    const node = encodeRewired(step, [from], [to]);
    from = to;
    return node;
  });
  if (nodes.length === 0) nodes.push(encodeNode("Identity", [part.value], now));
  const last = model.nodes.length;
  edits.nodes.set(last, [...(edits.nodes.get(last) ?? []), ...nodes]);
  // 2. Declared as long as input_ids.
  const sequence = model.inputs.find(({ name }) => name === "input_ids")?.shape?.[1] ?? null;
  const batch = output.shape?.[0] ?? null;
  const shape = [batch, cache.kvHeads, sequence, cache.headDim];
  edits.outputs.set(index, encodeValue({ ...output, name: now, shape }));
}
