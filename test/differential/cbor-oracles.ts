/** Two other CBOR decoders, asked as oracles: cborg as strict as it gets, cbor-x as it comes. */
import {
  AttestationError,
  type CborProfile,
  CborTag,
  decodeCbor,
  encodeHex,
  type CborValue,
} from "@countersign/attestation";
import { Decoder, setSizeLimits, Tag } from "cbor-x";
import { decode, type DecodeOptions, type TagDecoder } from "cborg";
import { ACCEPTS, type Opinion, refuses } from "./ledger.ts";

/** An opinion, and what was read where it accepts. */
export interface Reading {
  readonly opinion: Opinion;
  readonly value: unknown;
}

export function ourReading(bytes: Uint8Array, profile: CborProfile): Reading {
  try {
    return { opinion: ACCEPTS, value: decodeCbor(bytes, profile) };
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    return { opinion: refuses(error.message), value: undefined };
  }
}

/** Every tag is kept, as ours are. */
const TAGS = new Proxy<Record<number, TagDecoder>>(
  {},
  { get: (_, tag) => (content: () => CborValue) => new CborTag(Number(tag), content()) },
);

/** All that cborg can be asked to refuse; it has no word for the order or the type of keys. */
const STRICT: DecodeOptions = {
  strict: true,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  allowBigInt: true,
  useMaps: true,
  rejectDuplicateMapKeys: true,
  tags: TAGS,
};
const INDEFINITE_MAP = 0xbf;

/** @param form - `vendor`: an outermost map may have indefinite length; cborg then takes any. */
export function cborgReading(bytes: Uint8Array, { form }: CborProfile): Reading {
  const allowIndefinite = form === "vendor" && bytes[0] === INDEFINITE_MAP;
  return reading(() => decode(bytes, { ...STRICT, allowIndefinite }));
}

// A head that claims millions of items would make cbor-x allocate them.
setSizeLimits({ maxArraySize: 65_536, maxMapSize: 65_536, maxObjectSize: 65_536 });
const decoder = new Decoder({ mapsAsObjects: false, useRecords: false });

export function cborXReading(bytes: Uint8Array): Reading {
  // A copy, because cbor-x hangs a view on what it is given.
  return reading(() => asOurs(decoder.decode(new Uint8Array(bytes))));
}

/** Whatever an oracle throws is a refusal, a fault of its own too. */
function reading(run: () => unknown): Reading {
  try {
    return { opinion: ACCEPTS, value: run() };
  } catch (error) {
    return {
      opinion: refuses(error instanceof Error ? error.message : "no error"),
      value: undefined,
    };
  }
}

/** cbor-x reads every integer of 8 bytes as a bigint; we do where it does not fit a number. */
function asOurs(value: unknown): unknown {
  if (typeof value === "bigint") {
    const small = value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER;
    return small ? Number(value) : value;
  }
  if (Array.isArray(value)) return value.map(asOurs);
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [asOurs(k), asOurs(v)]));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- compared with ours right away
  if (value instanceof Tag) return new CborTag(value.tag, asOurs(value.value) as CborValue);
  return value;
}

/** Where two readings differ in value or in type; null where they do not. */
export function difference(ours: unknown, theirs: unknown, at = "item"): string | null {
  if (ours instanceof Uint8Array && theirs instanceof Uint8Array) {
    return Buffer.compare(ours, theirs) === 0 ? null : `reads other bytes at ${at}`;
  }
  if (Array.isArray(ours) && Array.isArray(theirs)) return listDifference(ours, theirs, at);
  if (ours instanceof Map && theirs instanceof Map) {
    // Both hold their entries in the order in which they were read.
    return listDifference([...ours].flat(1), [...theirs].flat(1), at);
  }
  if (ours instanceof CborTag) {
    const same = theirs instanceof CborTag && theirs.tag === ours.tag;
    return same
      ? difference(ours.value, theirs.value, `${at}, tagged ${ours.tag}`)
      : `reads a meaning into tag ${ours.tag} at ${at}`;
  }
  return Object.is(ours, theirs) ? null : `reads ${shown(theirs)} for ${shown(ours)} at ${at}`;
}

function listDifference(
  ours: readonly unknown[],
  theirs: readonly unknown[],
  at: string,
): string | null {
  if (ours.length !== theirs.length) return `reads ${theirs.length} for ${ours.length} at ${at}`;
  for (const [index, item] of ours.entries()) {
    const found = difference(item, theirs[index], `${at}[${index}]`);
    if (found !== null) return found;
  }
  return null;
}

function shown(value: unknown): string {
  if (value instanceof Uint8Array) return `h'${encodeHex(value.subarray(0, 16))}'`;
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  return typeof value === "object" && value !== null ? value.constructor.name : String(value);
}
