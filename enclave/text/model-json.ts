/**
 * The JSON files of a Hugging Face export, read strictly: bounded, without duplicate names, and with
 * the file and the field in every refusal.
 *
 * They are in the manifest, so a digest vouches for them; what they say is still not to be believed.
 */
import { decodeUtf8 } from "@countersign/attestation/attester";
import { EnclaveError } from "../errors.ts";
import { visitJson } from "../json-strings.ts";

export type ModelJsonCode = "model/config" | "model/tokenizer" | "model/template";

/** One object of a file. Absent and `null` members read the same, as in Python. */
export interface Section {
  readonly file: string;
  /** JSON pointer of this object in the file. */
  readonly at: string;
  readonly code: ModelJsonCode;
  readonly members: Readonly<Record<string, unknown>>;
}

/** Arrays and objects in each other: a tokenizer's sequence of sequences has about ten. */
const MAX_DEPTH = 32;

/** @throws {@link EnclaveError} with `code` unless `bytes` are one JSON object within the bounds. */
export function parseSection(
  bytes: Uint8Array,
  file: string,
  code: ModelJsonCode,
  maxBytes: number,
): Section {
  const section = { file, at: "", code, members: {} };
  if (bytes.length > maxBytes) {
    throw wrong(section, null, `is ${bytes.length} bytes long, over ${maxBytes}`);
  }
  let value: unknown;
  let text: string;
  try {
    text = decodeUtf8(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong(section, null, "is not JSON", cause);
  }
  requireExact(section, text);
  if (!isRecord(value)) throw wrong(section, null, "is no object");
  return { ...section, members: value };
}

/**
 * Refuses text in which an object has a name twice, and what is too deep.
 *
 * @param text - JSON, as JSON.parse found.
 */
function requireExact(section: Section, text: string): void {
  visitJson(text, {
    string(content, repeated) {
      if (repeated) throw wrong(section, content, "is there twice");
    },
    open(depth) {
      if (depth > MAX_DEPTH) throw wrong(section, null, `is over ${MAX_DEPTH} levels deep`);
    },
  });
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Array.isArray narrows to `any[]`. */
export function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

/** A member of a section, where it has one of its own: names like `constructor` are not inherited. */
export function memberAt(section: Section, key: string): unknown {
  return Object.hasOwn(section.members, key) ? (section.members[key] ?? null) : null;
}

export function sectionAt(section: Section, key: string): Section | null {
  const value = memberAt(section, key);
  return value === null ? null : asSection(section, key, value);
}

/** `value`, which is at `key` of `section`, as a section. */
export function asSection(section: Section, key: string, value: unknown): Section {
  if (!isRecord(value)) throw wrong(section, key, "is no object");
  return { ...section, at: `${section.at}/${key}`, members: value };
}

export function listAt(section: Section, key: string): readonly unknown[] | null {
  const value = memberAt(section, key);
  if (value === null) return null;
  if (!isList(value)) throw wrong(section, key, "is no list");
  return value;
}

export function textAt(section: Section, key: string): string | null {
  const value = memberAt(section, key);
  if (value === null) return null;
  if (typeof value !== "string") throw wrong(section, key, "is no text");
  if (!value.isWellFormed()) throw wrong(section, key, "is no well-formed text");
  return value;
}

export function booleanAt(section: Section, key: string): boolean | null {
  const value = memberAt(section, key);
  if (value === null) return null;
  if (typeof value !== "boolean") throw wrong(section, key, "is neither true nor false");
  return value;
}

export function numberAt(
  section: Section,
  key: string,
  least: number,
  most: number,
): number | null {
  const value = memberAt(section, key);
  if (value === null) return null;
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw wrong(section, key, `is no number from ${least} to ${most}`);
}

export function integerAt(
  section: Section,
  key: string,
  least: number,
  most: number,
): number | null {
  const value = memberAt(section, key);
  if (value === null) return null;
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
    return value;
  }
  throw wrong(section, key, `is no integer from ${least} to ${most}`);
}

/** {@link integerAt} of a member that has to be there. */
export function requireInteger(section: Section, key: string, least: number, most: number): number {
  const value = integerAt(section, key, least, most);
  if (value === null) throw wrong(section, key, "is missing");
  return value;
}

/** @param key - of the member at fault, or null for the section itself. */
export function wrong(
  section: Section,
  key: string | null,
  what: string,
  cause?: unknown,
): EnclaveError {
  const shown = key === null ? section.at : `${section.at}/${key.slice(0, 64)}`;
  return new EnclaveError(
    section.code,
    `${section.file}${shown === "" ? "" : `#${shown}`} ${what}`,
    {
      ...(cause === undefined ? {} : { cause }),
      ...(key === null ? {} : { param: key.slice(0, 64) }),
    },
  );
}
