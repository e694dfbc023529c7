/**
 * Tables of a request's members: each is honoured, accepted because it asks for nothing that we do
 * not do anyway, or refused by its name. None is dropped: the receipt's digest of the parameters as
 * resolved says what was done, so it must be all that was asked for.
 */
import { EnclaveError } from "../../errors.ts";
import type { JsonValue } from "../../text/model.ts";

/** Reads one member's value, which is not null. @param param - its name, for a refusal. */
export type Reader<T> = (value: unknown, param: string) => T;

/** The members that are honoured. */
export type Honoured<T> = { readonly [K in keyof T]: Reader<T[K]> };

/** A member that changes nothing: which values it may have, and why that is true. */
export interface Accepted {
  readonly rule: "accepted";
  readonly read: Reader<unknown>;
  readonly why: string;
}

/** A member that we know, and do not do. */
export interface Refused {
  readonly rule: "refused";
  readonly why: string;
}

export type Others = Readonly<Record<string, Accepted | Refused>>;

/** What was given; null where it was absent. */
export type Given<T> = { readonly [K in keyof T]: T[K] | null };

/** An object of a request, and what becomes of each of its members. */
export interface MemberTable<T> {
  readonly honoured: Honoured<T>;
  readonly others: Others;
}

/** Of a name that the caller chose, this much is shown in a refusal. */
const SHOWN_CHARACTERS = 64;

export function accepted(read: Reader<unknown>, why: string): Accepted {
  return { rule: "accepted", read, why };
}

export function refused(why: string): Refused {
  return { rule: "refused", why };
}

/**
 * Reads an object by its table. A null is an absent member, as OpenAI's API has it.
 *
 * @param param - the object's own name; empty for the request.
 * @throws {@link EnclaveError} `request/unsupported`, `request/structure`, `request/parameter`, with
 * the member's name.
 */
export function readMembers<T>(table: MemberTable<T>, value: unknown, param: string): Given<T> {
  const object = requireObject(value, param);
  for (const [name, given] of Object.entries(object)) {
    if (Object.hasOwn(table.honoured, name)) continue;
    requireAccepted(table.others, name, given, nameOf(param, name));
  }
  const read: Record<string, unknown> = {};
  for (const [name, reader] of Object.entries<Reader<unknown>>(table.honoured)) {
    const given = Object.hasOwn(object, name) ? (object[name] ?? null) : null;
    read[name] = given === null ? null : reader(given, nameOf(param, name));
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parser of tabled objects
  return read as Given<T>;
}

function requireAccepted(others: Others, name: string, given: unknown, param: string): void {
  const row = Object.hasOwn(others, name) ? others[name] : undefined;
  if (row === undefined) throw unsupported(param, "is no member known here");
  if (given === null) return;
  if (row.rule === "refused") throw unsupported(param, row.why);
  row.read(given, param);
}

/** An object that came as JSON. */
export type JsonObject = { readonly [name: string]: JsonValue };

/** @param value - that came as JSON. @throws {@link EnclaveError} `request/structure`. */
export function requireObject(value: unknown, param: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parser of JSON objects
    return value as JsonObject;
  }
  throw malformed(param, "is no JSON object");
}

/** @throws {@link EnclaveError} `request/structure` where the member was absent. */
export function required<T>(value: T | null, param: string): T {
  if (value === null) throw malformed(param, "is missing");
  return value;
}

/** The name of a member, as refusals give it: `messages[2].content`. */
export function nameOf(object: string, member: string): string {
  const shown = member.slice(0, SHOWN_CHARACTERS);
  return object === "" ? shown : `${object}.${shown}`;
}

/** What the request asks for is not done here. */
export function unsupported(param: string, why: string): EnclaveError {
  return new EnclaveError("request/unsupported", `${subject(param)} ${why}`, { param });
}

/** The request has not the form that the API has. */
export function malformed(param: string, why: string): EnclaveError {
  return new EnclaveError("request/structure", `${subject(param)} ${why}`, { param });
}

/** A value is out of its range. */
export function outOfRange(param: string, why: string): EnclaveError {
  return new EnclaveError("request/parameter", `${subject(param)} ${why}`, { param });
}

function subject(param: string): string {
  return param === "" ? "the request" : JSON.stringify(param);
}
