/** Proofs that are none: not deterministic CBOR, or another structure. PROTOCOL 2, 8. */
import {
  type AttestationErrorCode,
  type CborValue,
  concatBytes,
  encodeHex,
  encodeUtf8,
} from "@countersign/attestation";
import type { Case } from "../case.ts";
import { array, bstr, head, indefinite, map, tag, tstr, uint } from "../cbor.ts";
import { refused } from "../node-case.ts";
import { random } from "../node.ts";
import { type Honest, LATER, openingOf, proofInput } from "../proof-case.ts";
import { type Change, changed, entriesOf, mapOf, recode, replaced } from "../recode.ts";

const MAX_LEAVES = 65_536;

const MAX_RECEIPT = 4096;

/** The same content, not in deterministic CBOR; and what is no proof. */
export function proofEncodings({ bytes, epoch, exchange }: Honest): readonly Case[] {
  const entries = entriesOf(bytes);
  const opening = entries[3]?.[1] ?? new Uint8Array();
  const wrote = (key: number, value: Uint8Array): Uint8Array => map(replaced(entries, key, value));
  const leaves = openingOf(exchange).request.map((leaf) => bstr(leaf));
  const rows: readonly (readonly [
    AttestationErrorCode,
    name: string,
    what: string,
    bytes: Uint8Array,
  ])[] = [
    ["cbor/truncated", "proof-empty", "no bytes at all", new Uint8Array()],
    ["cbor/truncated", "proof-cut-in-receipt", "cut in the receipt", bytes.slice(0, 100)],
    ["cbor/truncated", "proof-cut-in-bundle", "cut in the bundle", bytes.slice(0, 2000)],
    ["cbor/truncated", "proof-without-last-byte", "cut by a byte", bytes.slice(0, -1)],
    [
      "cbor/truncated",
      "proof-claims-8-eib",
      "a string that claims 2^63 bytes",
      wrote(2, concatBytes(head(2, 2n ** 63n), exchange.receipt)),
    ],
    [
      "cbor/trailing",
      "proof-with-surplus-byte",
      "a byte after the proof",
      concatBytes(bytes, Uint8Array.of(0)),
    ],
    ["cbor/trailing", "proof-twice", "two proofs, one after the other", concatBytes(bytes, bytes)],
    ["cbor/key-order", "proof-keys-reversed", "all keys backwards", map(entries.toReversed())],
    [
      "cbor/key-order",
      "proof-opening-reversed",
      "the opening's keys backwards",
      wrote(4, map(entriesOf(opening).toReversed())),
    ],
    [
      "cbor/duplicate-key",
      "proof-receipt-twice",
      "two receipts",
      map([...entries, [uint(2), bstr(exchange.receipt)]]),
    ],
    [
      "cbor/indefinite",
      "proof-indefinite-map",
      "the map has indefinite length",
      indefinite(5, entries.flat()),
    ],
    [
      "cbor/indefinite",
      "proof-indefinite-leaves",
      "a list of leaves of indefinite length",
      wrote(4, map(replaced(entriesOf(opening), 2, indefinite(4, leaves)))),
    ],
    [
      "cbor/indefinite",
      "proof-bundle-in-chunks",
      "the bundle in chunks",
      wrote(3, indefinite(2, [bstr(epoch.bundle)])),
    ],
    [
      "cbor/non-minimal",
      "proof-receipt-length-non-minimal",
      "the receipt's length in four bytes",
      wrote(2, bstr(exchange.receipt, 4)),
    ],
    [
      "cbor/non-minimal",
      "proof-leaves-count-non-minimal",
      "the number of leaves in two bytes",
      wrote(4, map(replaced(entriesOf(opening), 2, array(leaves, 1)))),
    ],
    [
      "cbor/unsupported",
      "proof-opening-undefined",
      "undefined for the opening",
      wrote(4, Uint8Array.of(0xf7)),
    ],
    ["proof/structure", "proof-with-tag", "the self-described tag around it", tag(55_799, bytes)],
    ["proof/structure", "proof-is-a-bundle", "a bundle in place of a proof", epoch.bundle],
    ["proof/structure", "proof-is-text", "text instead of a map", tstr("proof")],
    [
      "proof/structure",
      "proof-is-array",
      "an array instead of a map",
      array(entries.map(([, item]) => item)),
    ],
    [
      "cbor/unsupported",
      "proof-is-a-byte-of-ones",
      "a byte that begins nothing",
      Uint8Array.of(0xff),
    ],
  ];
  return rows.map(([code, name, what, broken]) =>
    refused("bundle", code, name, what, "PROTOCOL 2", proofInput(broken), LATER),
  );
}

export function proofStructures({ bytes, exchange }: Honest): readonly Case[] {
  const opening = mapOf(bytes).get(4);
  const withOpening = (...changes: readonly Change[]): Change => [
    4,
    opening instanceof Map ? changed(opening, changes) : null,
  ];
  const many = Array<CborValue>(MAX_LEAVES + 1).fill(new Uint8Array());
  const rows: readonly (readonly [name: string, what: string, change: Change])[] = [
    ...[1, 2, 3].map(
      (key) => [`proof-without-${key}`, `key ${key} is missing`, [key, undefined]] as const,
    ),
    ["proof-with-5", "an unknown key", [5, 0]],
    ["proof-with-text-key", "an unknown key of text", ["note", "genuine"]],
    ["proof-v2", "the tag of another version", [1, "countersign/proof/v2"]],
    ["proof-tag-of-bundle", "the tag of another structure", [1, "countersign/bundle/v1"]],
    ["proof-tag-of-bytes", "the tag as a byte string", [1, encodeUtf8("countersign/proof/v1")]],
    ["proof-receipt-empty", "a receipt of no bytes", [2, new Uint8Array()]],
    [
      "proof-receipt-of-4097",
      "a receipt of one byte more than one may have",
      [2, new Uint8Array(MAX_RECEIPT + 1)],
    ],
    ["proof-receipt-null", "null for the receipt", [2, null]],
    ["proof-receipt-of-text", "the receipt in hexadecimal", [2, encodeHex(exchange.receipt)]],
    ["proof-bundle-empty", "a bundle of no bytes", [3, new Uint8Array()]],
    ["proof-bundle-null", "null for the bundle", [3, null]],
    ["proof-opening-null", "null for the opening", [4, null]],
    ["proof-opening-of-array", "an array for the opening", [4, []]],
    ["proof-opening-without-1", "an opening without Kc", withOpening([1, undefined])],
    ["proof-opening-without-2", "an opening without request leaves", withOpening([2, undefined])],
    ["proof-opening-without-3", "an opening without response leaves", withOpening([3, undefined])],
    ["proof-opening-with-4", "an unknown key of the opening", withOpening([4, 0])],
    ["proof-kc-of-31", "a Kc of 31 bytes", withOpening([1, random(31)])],
    ["proof-kc-of-33", "a Kc of 33 bytes", withOpening([1, random(33)])],
    ["proof-kc-empty", "a Kc of no bytes", withOpening([1, new Uint8Array()])],
    ["proof-kc-of-text", "a Kc in hexadecimal", withOpening([1, "ab".repeat(32)])],
    [
      "proof-leaves-of-bytes",
      "one byte string for the request leaves",
      withOpening([2, random(8)]),
    ],
    ["proof-leaf-of-text", "a response leaf as text", withOpening([3, ["HTTP/1.1 200 OK"]])],
    ["proof-leaf-null", "null for a leaf", withOpening([2, [null]])],
    ["proof-of-65537-leaves", "one request leaf more than may be", withOpening([2, many])],
  ];
  return rows.map(([name, what, change]) =>
    refused(
      "bundle",
      "proof/structure",
      name,
      what,
      "PROTOCOL 8",
      proofInput(recode(bytes, change)),
      LATER,
    ),
  );
}
