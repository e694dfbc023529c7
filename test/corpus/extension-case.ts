/** Cases in which one certificate of a chain has other extensions than usual. */
import { type AttestationErrorCode, encodeUtf8 } from "@countersign/attestation";
import {
  basicConstraints,
  extension,
  extensions,
  hex,
  keyUsage,
  tlv,
  USAGE,
} from "../fakes/nitro.ts";
import type { Case } from "./case.ts";
import { certificateCases, type Place } from "./certificate-case.ts";

/** What the lab's leaf and the authority above it have. */
export const LEAF_BASIC: Uint8Array = basicConstraints(false, null);
export const LEAF_USAGE: Uint8Array = keyUsage(USAGE.sign);
export const BASIC: Uint8Array = basicConstraints(true, 0);
export const USAGE_BOTH: Uint8Array = keyUsage(USAGE.both);

/** An identifier of nobody's: 1.2.3. */
export const UNKNOWN: Uint8Array = hex("2a03");

/** RFC 5280 §4.2.1.13: one distribution point with one URI, which nobody answers. */
export const CRL_POINTS: Uint8Array = tlv(
  0x30,
  tlv(0x30, tlv(0xa0, tlv(0xa0, tlv(0x86, encodeUtf8("http://crl.example/lab.crl"))))),
);
/** RFC 5280 §4.2.1.2, §4.2.1.1. */
export const KEY_ID: Uint8Array = tlv(0x04, new Uint8Array(20).fill(5));
export const AUTHORITY_KEY_ID: Uint8Array = tlv(0x30, tlv(0x80, new Uint8Array(20).fill(5)));

/** An extension that is not critical. */
export function loose(oid: Uint8Array, value: Uint8Array): Uint8Array {
  return extension(oid, false, value);
}

/** An extension whose flag is written as given. */
export function flagged(oid: Uint8Array, flag: Uint8Array, value: Uint8Array): Uint8Array {
  return tlv(0x30, tlv(0x06, oid), flag, tlv(0x04, value));
}

/** Extensions that nobody knows, each another. */
export function fillers(count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, i) => loose(Uint8Array.of(42, i), new Uint8Array()));
}

export type ExtensionRow = readonly [
  /** Null: it is accepted. */
  code: AttestationErrorCode | null,
  name: string,
  what: string,
  clause: string,
  list: readonly Uint8Array[],
];

export function casesAt(place: Place, rows: readonly ExtensionRow[]): readonly Promise<Case>[] {
  return rows.flatMap(([code, name, what, clause, list]) =>
    certificateCases([code, name, what, clause, { extensions: extensions(...list) }, place]),
  );
}
