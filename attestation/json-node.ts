/** Values of a JSON text together with the pointer to them, so that each refusal says where. */
import { decodeHex } from "./bytes.ts";
import type { AttestationError } from "./errors.ts";
import { childPointer, jsonError, type JsonValue } from "./json.ts";

/** Printable ASCII without spaces, 1 to 128 characters. */
const NAME = /^[!-~]{1,128}$/u;

/** One JSON value. Each method throws {@link AttestationError} `policy/syntax` on another type. */
export class JsonNode {
  readonly pointer: string;
  readonly value: JsonValue;

  constructor(pointer: string, value: JsonValue) {
    this.pointer = pointer;
    this.value = value;
  }

  refusal(message: string): AttestationError {
    return jsonError(this.pointer, message);
  }

  /** An object whose keys are all known, and none of `required` missing. */
  object(required: readonly string[], optional: readonly string[] = []): JsonObject {
    const members = this.members();
    // A key that is spelt wrong is unknown and missing; where it stands helps more.
    for (const [key, member] of members) {
      if (!required.includes(key) && !optional.includes(key)) {
        throw member.refusal(`unknown key, want one of ${[...required, ...optional].join(", ")}`);
      }
    }
    for (const key of required) {
      if (!members.has(key)) throw this.refusal(`key "${key}" is missing`);
    }
    return new JsonObject(this, members);
  }

  members(): ReadonlyMap<string, JsonNode> {
    const object = this.value;
    if (!isObject(object)) throw this.refusal("want an object");
    const members = new Map<string, JsonNode>();
    for (const [key, value] of object) {
      members.set(key, new JsonNode(childPointer(this.pointer, key), value));
    }
    return members;
  }

  items(least: number, most: number): readonly JsonNode[] {
    const value = this.value;
    if (!isList(value)) throw this.refusal("want an array");
    if (value.length < least) throw this.refusal(`want at least ${least} item`);
    if (value.length > most) throw this.refusal(`${value.length} items, want ≤ ${most}`);
    return value.map((item, i) => new JsonNode(childPointer(this.pointer, i), item));
  }

  text(): string {
    if (typeof this.value !== "string") throw this.refusal("want a string");
    return this.value;
  }

  nameText(): string {
    const text = this.text();
    if (!NAME.test(text)) {
      throw this.refusal("want 1 to 128 characters of printable ASCII without spaces");
    }
    return text;
  }

  boolean(): boolean {
    if (typeof this.value !== "boolean") throw this.refusal("want true or false");
    return this.value;
  }

  integer(least: number, most: number): number {
    const value = this.value;
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
      throw this.refusal(`want an integer from ${least} to ${most}`);
    }
    return value;
  }

  oneOf<T extends string>(choices: readonly T[]): T {
    const choice = choices.find((candidate) => candidate === this.value);
    if (choice === undefined) throw this.refusal(`want one of ${choices.join(", ")}`);
    return choice;
  }

  hex(bytes: number): Uint8Array {
    const text = this.text();
    const decoded = decodeHex(text);
    if (decoded?.length !== bytes) {
      throw this.refusal(`${text.length} characters, want ${2 * bytes} of hexadecimal`);
    }
    return decoded;
  }
}

/** An object whose keys were judged. */
export class JsonObject {
  readonly #node: JsonNode;
  readonly #members: ReadonlyMap<string, JsonNode>;

  constructor(node: JsonNode, members: ReadonlyMap<string, JsonNode>) {
    this.#node = node;
    this.#members = members;
  }

  /** A required member. */
  get(key: string): JsonNode {
    const member = this.#members.get(key);
    if (member === undefined) throw this.#node.refusal(`key "${key}" is missing`);
    return member;
  }

  find(key: string): JsonNode | null {
    return this.#members.get(key) ?? null;
  }
}

function isObject(value: JsonValue): value is ReadonlyMap<string, JsonValue> {
  return value instanceof Map;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
