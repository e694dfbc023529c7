/** Who makes which value of a graph, and who reads it. */
import type { GraphModel, GraphNode } from "./model.ts";
import { malformed } from "./protobuf.ts";

/** Constants stand at most this many nodes behind an initializer: cast, transposed, dequantised. */
const MAX_CONSTANT_STEPS = 4;
/** Of constants, these make constants of as many axes. */
const SHAPELESS = ["Identity", "Cast", "Transpose", "DequantizeLinear"];
/** DequantizeLinear has the most: values, scale, zero point. */
const MAX_CONSTANT_INPUTS = 3;

export interface Wiring {
  readonly model: GraphModel;
  /** Index of the node that makes a value. */
  readonly makers: ReadonlyMap<string, number>;
  /** Indexes of the nodes that read a value; a node that reads it twice is there twice. */
  readonly readers: ReadonlyMap<string, readonly number[]>;
  /** Every name of the graph, so that new ones are new. */
  readonly names: Set<string>;
}

/** @throws {@link EnclaveError} `model/load` where two nodes make one value. */
export function wiringOf(model: GraphModel): Wiring {
  const makers = new Map<string, number>();
  const readers = new Map<string, number[]>();
  const given = [...model.inputs.map(({ name }) => name), ...model.initializers.keys()];
  const names = new Set([...given, ...model.innerNames]);
  const taken = new Set(given);
  model.nodes.forEach((node, index) => {
    for (const name of node.outputs) {
      // An output that nobody wants has the empty name.
      if (name === "") continue;
      if (taken.has(name)) throw malformed(`${JSON.stringify(name)} is made twice`);
      taken.add(name);
      names.add(name);
      makers.set(name, index);
    }
    for (const name of node.inputs) {
      names.add(name);
      const known = readers.get(name);
      if (known === undefined) readers.set(name, [index]);
      else known.push(index);
    }
  });
  return { model, makers, readers, names };
}

export function makerOf(wiring: Wiring, value: string): GraphNode | null {
  const index = wiring.makers.get(value);
  return index === undefined ? null : (wiring.model.nodes[index] ?? null);
}

/** A name that the graph does not have yet; from now on it does. */
export function freshName(wiring: Wiring, wish: string): string {
  let name = wish;
  for (let i = 1; wiring.names.has(name); i++) name = `${wish}.${i}`;
  wiring.names.add(name);
  return name;
}

/** Axes of a constant; null where `value` is none, or is made in a way that we do not follow. */
export function constantRank(
  wiring: Wiring,
  value: string,
  steps: number = MAX_CONSTANT_STEPS,
): number | null {
  const stored = wiring.model.initializers.get(value);
  if (stored !== undefined) return stored.length;
  const maker = makerOf(wiring, value);
  if (maker === null) return null;
  if (maker.type === "Constant") return maker.attributes.get("value")?.rank ?? null;
  if (steps === 0 || !SHAPELESS.includes(maker.type)) return null;
  if (maker.inputs.length > MAX_CONSTANT_INPUTS) return null;
  const ranks = maker.inputs.map((name) => constantRank(wiring, name, steps - 1));
  return ranks.includes(null) ? null : (ranks[0] ?? null);
}
