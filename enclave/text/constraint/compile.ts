import { EnclaveError } from "../../errors.ts";
import type { Constraint, ConstraintPart } from "../generation.ts";
import { object } from "./json.ts";
import { type Network, NetworkBuilder } from "./network.ts";
import { SchemaCompiler, anyValue } from "./schema.ts";
import { fits, framesNeeded } from "./viability.ts";

/** Choices within choices. */
const MAX_CHOICES_DEEP = 16;

/**
 * The network that writes what `constraint` allows, and can always be read to its end.
 *
 * @throws {@link EnclaveError} `constraint/schema`.
 */
export function compileNetwork(constraint: Constraint): Network {
  const builder = new NetworkBuilder();
  const network = builder.build((start) => parts(builder, start, constraint, 0));
  const every = Array.from({ length: 256 }, () => true);
  if (!fits(framesNeeded(network, every)[network.start], null)) {
    throw new EnclaveError("constraint/schema", "no value fits, or none of bounded depth", {
      param: "#",
    });
  }
  return network;
}

function parts(
  builder: NetworkBuilder,
  from: number,
  constraint: Constraint,
  depth: number,
): number {
  return constraint.reduce((at, part) => readPart(builder, at, part, depth), from);
}

function readPart(
  builder: NetworkBuilder,
  from: number,
  part: ConstraintPart,
  depth: number,
): number {
  switch (part.kind) {
    case "literal":
      return builder.literal(from, part.text);
    case "json-object":
      return object(builder, from, [], anyValue(builder));
    case "json-schema":
      return new SchemaCompiler(builder, part.schema).root(from);
    case "choice":
      if (depth >= MAX_CHOICES_DEEP) throw new TypeError("choices nested too deep");
      return builder.either(
        from,
        part.options.map((option) => (at) => parts(builder, at, option, depth + 1)),
      );
    default:
      return part satisfies never;
  }
}
