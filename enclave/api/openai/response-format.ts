import type { Constraint, JsonSchema } from "../../text/generation.ts";
import {
  accepted,
  type Given,
  malformed,
  type MemberTable,
  readMembers,
  refused,
  required,
  requireObject,
} from "./members.ts";
import { flag, textOf, wordOf } from "./readers.ts";

/** Where in the request the schema is: refusals of it begin so. */
export const SCHEMA_PARAM = "response_format.json_schema.schema";

const MAX_NAME_CHARACTERS = 64;

interface SchemaMembers {
  readonly schema: JsonSchema;
}

interface FormatMembers {
  readonly type: "text" | "json_object" | "json_schema";
  readonly json_schema: Given<SchemaMembers>;
}

const SCHEMA: MemberTable<SchemaMembers> = {
  honoured: { schema: requireObject },
  others: {
    name: accepted(textOf(1, MAX_NAME_CHARACTERS), "is for the caller: answers do not carry it"),
    strict: accepted(flag, "every schema is held to the letter, strict or not"),
    description: refused("is not done here: put it into a message"),
  },
};

const FORMAT: MemberTable<FormatMembers> = {
  honoured: {
    type: wordOf(["text", "json_object", "json_schema"], ["grammar", "python"]),
    json_schema: (value, param) => readMembers(SCHEMA, value, param),
  },
  others: {},
};

/**
 * What `response_format` wants every answer to be; null for text.
 *
 * @throws {@link EnclaveError} `request/structure`, `request/unsupported`.
 */
export function formatConstraint(value: unknown): Constraint | null {
  const format = readMembers(FORMAT, value, "response_format");
  const type = required(format.type, "response_format.type");
  if (type !== "json_schema" && format.json_schema !== null) {
    throw malformed("response_format.json_schema", `is without type "json_schema"`);
  }
  switch (type) {
    case "text":
      return null;
    case "json_object":
      return [{ kind: "json-object" }];
    case "json_schema": {
      const given = required(format.json_schema, "response_format.json_schema");
      return [{ kind: "json-schema", schema: required(given.schema, SCHEMA_PARAM) }];
    }
    default:
      return type satisfies never;
  }
}
