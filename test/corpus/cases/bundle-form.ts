/** Bundles that are none: not deterministic CBOR, or another structure. PROTOCOL 2, 4. */
import {
  type AttestationErrorCode,
  type CborKey,
  concatBytes,
  encodeUtf8,
} from "@countersign/attestation";
import type { Case } from "../case.ts";
import {
  array,
  bstr,
  type Entry,
  head,
  indefinite,
  map,
  tag,
  tstr,
  uint,
  UNDEFINED,
} from "../cbor.ts";
import { bundleInput, refused } from "../node-case.ts";
import { random } from "../node.ts";
import { type Change, entriesOf, recode, replaced } from "../recode.ts";

/** Keys of the Bundle that hold byte strings, by what they hold. */
const PARTS = [
  [3, "evidence"],
  [4, "binding"],
  [5, "keyset"],
  [6, "models"],
  [7, "config"],
] as const;

/** The same content, not in deterministic CBOR; and what is no CBOR of ours. */
export function bundleEncodings(bundle: Uint8Array): readonly Case[] {
  const entries = entriesOf(bundle);
  const [first = [], second = [], ...rest] = entries;
  const evidence = entries[2]?.[1] ?? new Uint8Array();
  // The head of a byte string of 256 to 65 535 bytes has three bytes.
  const content = evidence.subarray(3);
  const platform = encodeUtf8("simulated");
  const wrote = (key: CborKey, value: Uint8Array): Uint8Array => map(replaced(entries, key, value));
  const swapped = [second, first, ...rest].flatMap((entry) => [...entry]);
  const twice = [first, second, second, ...rest].flatMap((entry) => [...entry]);
  const bodyOf = (list: readonly Entry[]): Uint8Array => concatBytes(...list.flat());
  const count = (n: number): Uint8Array => head(5, n);
  const rows: readonly (readonly [AttestationErrorCode, string, string, string, Uint8Array])[] = [
    ["cbor/truncated", "bundle-empty", "no bytes at all", "§3", new Uint8Array()],
    ["cbor/truncated", "bundle-head-alone", "a head and nothing after it", "§3", count(8)],
    ["cbor/truncated", "bundle-cut-in-document", "cut in the document", "§3", bundle.slice(0, 900)],
    ["cbor/truncated", "bundle-without-last-byte", "cut by a byte", "§3", bundle.slice(0, -1)],
    [
      "cbor/truncated",
      "bundle-of-nine-keys",
      "nine announced, eight there",
      "§3",
      concatBytes(count(9), bodyOf(entries)),
    ],
    [
      "cbor/truncated",
      "bundle-claims-4-gib",
      "a string that claims 2^32 bytes",
      "§3",
      wrote(3, concatBytes(head(2, 2 ** 32), content)),
    ],
    [
      "cbor/trailing",
      "bundle-of-seven-keys",
      "seven announced, eight there",
      "§5.1",
      concatBytes(count(7), bodyOf(entries)),
    ],
    [
      "cbor/trailing",
      "bundle-with-surplus-byte",
      "a byte after the item",
      "§5.1",
      concatBytes(bundle, Uint8Array.of(0)),
    ],
    [
      "cbor/trailing",
      "bundle-twice",
      "two bundles, one after the other",
      "§5.1",
      concatBytes(bundle, bundle),
    ],
    [
      "cbor/key-order",
      "bundle-keys-swapped",
      "key 2 before key 1",
      "§4.2.1",
      concatBytes(count(8), ...swapped),
    ],
    [
      "cbor/key-order",
      "bundle-keys-reversed",
      "all keys backwards",
      "§4.2.1",
      map(entries.toReversed()),
    ],
    [
      "cbor/duplicate-key",
      "bundle-platform-twice",
      "key 2 twice, alike",
      "§5.6",
      concatBytes(count(9), ...twice),
    ],
    [
      "cbor/duplicate-key",
      "bundle-platform-again-at-end",
      "key 2 again, with another value",
      "§5.6",
      map([...entries, [uint(2), tstr("aws-nitro")]]),
    ],
    [
      "cbor/indefinite",
      "bundle-indefinite-map",
      "the map has indefinite length",
      "§4.2.1",
      indefinite(5, entries.flat()),
    ],
    [
      "cbor/indefinite",
      "bundle-indefinite-endorsements",
      "an inner map of indefinite length",
      "§4.2.1",
      wrote(8, indefinite(5, [])),
    ],
    [
      "cbor/indefinite",
      "bundle-platform-in-chunks",
      "a text string in chunks",
      "§4.2.1",
      wrote(2, indefinite(3, [tstr("simu"), tstr("lated")])),
    ],
    [
      "cbor/indefinite",
      "bundle-evidence-in-chunks",
      "a byte string in chunks",
      "§4.2.1",
      wrote(3, indefinite(2, [bstr(content)])),
    ],
    [
      "cbor/non-minimal",
      "bundle-count-non-minimal",
      "the map's count in two bytes",
      "§4.2.1",
      map(entries, 1),
    ],
    [
      "cbor/non-minimal",
      "bundle-key-non-minimal",
      "key 1 in two bytes",
      "§4.2.1",
      map([[uint(1, 1), tstr("countersign/bundle/v1")], ...entries.slice(1)]),
    ],
    [
      "cbor/non-minimal",
      "bundle-evidence-length-non-minimal",
      "a length in four bytes",
      "§4.2.1",
      wrote(3, bstr(content, 4)),
    ],
    [
      "cbor/non-minimal",
      "bundle-platform-length-non-minimal",
      "a length in eight bytes",
      "§4.2.1",
      wrote(2, tstr("simulated", 8)),
    ],
    [
      "cbor/unsupported",
      "bundle-platform-float",
      "a float for a platform",
      "§3.3",
      wrote(2, Uint8Array.of(0xf9, 0x3c, 0)),
    ],
    [
      "cbor/unsupported",
      "bundle-platform-undefined",
      "undefined for a platform",
      "§3.3",
      wrote(2, UNDEFINED),
    ],
    [
      "cbor/unsupported",
      "bundle-platform-simple",
      "simple value 16 for a platform",
      "§3.3",
      wrote(2, Uint8Array.of(0xf0)),
    ],
    [
      "cbor/unsupported",
      "bundle-reserved-head",
      "additional information 28",
      "§3",
      wrote(2, Uint8Array.of(0x1c)),
    ],
    [
      "cbor/unsupported",
      "bundle-stray-break",
      "a break where a value should be",
      "§3.2.1",
      wrote(8, Uint8Array.of(0xff)),
    ],
    [
      "cbor/utf8",
      "bundle-platform-no-utf8",
      "a platform that is not UTF-8",
      "§3.1",
      wrote(2, concatBytes(head(3, 2), Uint8Array.of(0xc0, 0x80))),
    ],
    [
      "cbor/utf8",
      "bundle-platform-surrogate",
      "a platform with half a surrogate pair",
      "§3.1",
      wrote(2, concatBytes(head(3, 3), Uint8Array.of(0xed, 0xa0, 0x80))),
    ],
    [
      "cbor/key-type",
      "bundle-key-of-bytes",
      "a byte string for a key",
      "§3.1",
      map([...entries, [bstr(platform), uint(0)]]),
    ],
    [
      "cbor/key-type",
      "bundle-key-null",
      "null for a key",
      "§3.1",
      map([...entries, [Uint8Array.of(0xf6), uint(0)]]),
    ],
    [
      "cbor/too-deep",
      "bundle-nested-one-deeper",
      "an item nine deep, one deeper than may be",
      "PROTOCOL 13",
      wrote(8, nested(8)),
    ],
    [
      "bundle/structure",
      "bundle-nested-eight-deep",
      "an item as deep as may be, in arrays for endorsements",
      "PROTOCOL 13",
      wrote(8, nested(7)),
    ],
  ];
  return rows.map(([code, name, what, clause, bytes]) =>
    unreadable(code, name, what, clause.startsWith("§") ? `RFC 8949 ${clause}` : clause, bytes),
  );
}

/** Keys and values that are not a Bundle's. */
export function bundleStructures(bundle: Uint8Array): readonly Case[] {
  const rows: readonly (readonly [name: string, what: string, change: Change])[] = [
    ...[1, 2, 3, 4, 5, 6, 7, 8].map(
      (key) => [`bundle-without-${key}`, `key ${key} is missing`, [key, undefined]] as const,
    ),
    ["bundle-with-9", "an unknown key", [9, 0]],
    ["bundle-with-minus-1", "an unknown negative key", [-1, 0]],
    ["bundle-with-text-key", "an unknown key of text", ["platform", "simulated"]],
    ["bundle-with-64-bit-key", "an unknown key of 64 bits", [2n ** 63n, 0]],
    ["bundle-v2", "the tag of another version", [1, "countersign/bundle/v2"]],
    ["bundle-tag-of-proof", "the tag of another structure", [1, "countersign/proof/v1"]],
    ["bundle-tag-of-bytes", "the tag as a byte string", [1, encodeUtf8("countersign/bundle/v1")]],
    ["bundle-platform-empty", "a platform without a name", [2, ""]],
    ["bundle-platform-of-bytes", "a platform of bytes", [2, encodeUtf8("simulated")]],
    ["bundle-platform-with-space", "a platform with a space", [2, "simulated "]],
    ["bundle-platform-with-nul", "a platform with a control character", [2, "simulated\0"]],
    ["bundle-platform-no-ascii", "a platform beyond ASCII", [2, "simul\u0430ted"]],
    ["bundle-platform-of-129", "a platform of 129 characters", [2, "x".repeat(129)]],
    ...PARTS.flatMap(([key, part]) => [
      [`bundle-${part}-empty`, `${part} of no bytes`, [key, new Uint8Array()]] as const,
      [`bundle-${part}-of-text`, `${part} as text`, [key, "text"]] as const,
    ]),
    ["bundle-evidence-null", "null for evidence", [3, null]],
    ["bundle-binding-of-map", "the binding as a map instead of its bytes", [4, new Map([[1, 0]])]],
    ["bundle-endorsements-array", "an array for endorsements", [8, []]],
    ["bundle-endorsements-null", "null for endorsements", [8, null]],
    [
      "bundle-with-endorsement",
      "an endorsement, which these platforms have none of",
      [8, new Map([["vcek", random(8)]])],
    ],
    ["bundle-endorsement-of-text", "an endorsement as text", [8, new Map([["vcek", "text"]])]],
    [
      "bundle-endorsement-key-integer",
      "an endorsement without a name",
      [8, new Map([[1, random(8)]])],
    ],
    [
      "bundle-endorsement-key-with-space",
      "an endorsement whose key is no name",
      [8, new Map([["a b", random(8)]])],
    ],
    [
      "bundle-with-17-endorsements",
      "one endorsement more than any platform may have",
      [8, manyEndorsements(17)],
    ],
  ];
  const tagged = tag(55_799, bundle);
  const others: readonly (readonly [string, string, Uint8Array])[] = [
    ["bundle-with-tag", "the self-described tag around it", tagged],
    [
      "bundle-is-array",
      "an array instead of a map",
      array(entriesOf(bundle).map(([, item]) => item)),
    ],
    ["bundle-is-text", "text instead of a map", tstr("bundle")],
    ["bundle-in-bytes", "a bundle within a byte string", bstr(bundle)],
  ];
  return [
    ...rows.map(([name, what, change]) =>
      unreadable("bundle/structure", name, what, "PROTOCOL 4", recode(bundle, change)),
    ),
    ...others.map(([name, what, bytes]) =>
      unreadable("bundle/structure", name, what, "PROTOCOL 4", bytes),
    ),
  ];
}

/** Refused by the check "bundle", which reads it. */
export function unreadable(
  code: AttestationErrorCode,
  name: string,
  what: string,
  clause: string,
  bundle: Uint8Array,
): Case {
  return refused("bundle", code, name, what, clause, bundleInput(bundle));
}

export function manyEndorsements(count: number): ReadonlyMap<string, Uint8Array> {
  return new Map(Array.from({ length: count }, (_, i) => [`endorsement-${i}`, Uint8Array.of(i)]));
}

/** An integer in so many arrays. */
function nested(depth: number): Uint8Array {
  return concatBytes(...Array.from({ length: depth }, () => head(4, 1)), uint(0));
}
