/** CBOR has one form of each item here (RFC 8949 §4.1, PROTOCOL 2): shortest heads, definite lengths. */
import { concatBytes } from "@countersign/attestation";
import { hex, MODULE_ID } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { array, bstr, type Entry, head, indefinite, map, tag, tstr, uint } from "../cbor.ts";
import { accepted, refused } from "../document-case.ts";
import {
  envelope,
  labDocument,
  labEnvelope,
  register,
  registers,
  usualChain,
  withFields,
  withPayload,
} from "../lab.ts";

export async function cborCases(): Promise<readonly Case[]> {
  const lists = [nonMinimal, indefinites];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

/** The entries with one field's value replaced by what `change` makes of it. */
const reformed = (
  entries: readonly Entry[],
  field: string,
  change: (key: Uint8Array, value: Uint8Array) => Entry,
): readonly Entry[] =>
  entries.map(([key, value]) =>
    Buffer.compare(key, tstr(field)) === 0 ? change(key, value) : [key, value],
  );

async function nonMinimal(): Promise<readonly Case[]> {
  const [root, authority, leaf] = await usualChain();
  const [, ...others] = registers();
  const pcr0 = (key: Uint8Array, value: Uint8Array = bstr(register(1))): Promise<Uint8Array> =>
    withFields({ pcrs: map([[key, value], ...others]) });
  const rows: readonly (readonly [string, string, Promise<Uint8Array>])[] = [
    [
      "tag-18",
      "tag 18 in two bytes",
      labDocument({ envelope: (parts) => tag(18, envelope(parts), 1) }),
    ],
    [
      "array-of-four",
      "head of the envelope in two bytes",
      labDocument({ envelope: (parts) => concatBytes(head(4, 4, 1), envelope(parts).slice(1)) }),
    ],
    [
      "protected-header",
      "protected header a1013822 behind a head of two bytes",
      labEnvelope({ header: bstr(hex("a1013822"), 1) }),
    ],
    ["unprotected-header", "empty map in two bytes", labEnvelope({ unprotected: hex("b800") })],
    [
      "payload",
      "length of the payload in four bytes",
      labDocument({ envelope: (parts) => envelope(parts, { payload: bstr(parts.payload, 4) }) }),
    ],
    [
      "signature",
      "length of the signature in two bytes",
      labDocument({
        envelope: (parts) => envelope(parts, { signature: bstr(parts.signature, 2) }),
      }),
    ],
    [
      "payload-map",
      "head of the payload's map in two bytes",
      withPayload((entries) => map(entries, 1)),
    ],
    [
      "field-name",
      "name of the field digest behind a head of two bytes",
      withPayload((entries) =>
        map(reformed(entries, "digest", (_, value) => [tstr("digest", 1), value])),
      ),
    ],
    ["text", "digest behind a head of two bytes", withFields({ digest: tstr("SHA384", 1) })],
    [
      "certificate",
      "length of the certificate in four bytes",
      withFields({ certificate: bstr(leaf, 4) }),
    ],
    [
      "cabundle",
      "head of cabundle in two bytes",
      withFields({ cabundle: array([bstr(root), bstr(authority)], 1) }),
    ],
    ["pcrs", "head of pcrs in two bytes", withFields({ pcrs: map(registers(), 1) })],
    ["pcr-index", "index 0 in two bytes", pcr0(uint(0, 1))],
    ["pcr-index-8-bytes", "index 0 in nine bytes", pcr0(uint(0, 8))],
    ["pcr-value", "register 0 behind a head of three bytes", pcr0(uint(0), bstr(register(1), 2))],
    [
      "pcr-index-again-in-8-bytes",
      "index 0 once more, in nine bytes: a duplicate that no minimal encoding has",
      withFields({
        pcrs: map([...registers(), [uint(0, 8), bstr(register(9))]]),
      }),
    ],
    ["nonce", "length of the nonce in two bytes", withFields({ nonce: bstr(register(1, 16), 1) })],
  ];
  return Promise.all(
    rows.map(([name, what, document]) =>
      refused("cbor/non-minimal", `long-${name}`, what, "RFC 8949 §4.1", document),
    ),
  );
}

async function indefinites(): Promise<readonly Case[]> {
  const [root, authority, leaf] = await usualChain();
  const halves = (bytes: Uint8Array): Uint8Array =>
    indefinite(2, [bstr(bytes.slice(0, 40)), bstr(bytes.slice(40))]);
  const rows: readonly (readonly [string, string, Promise<Uint8Array>])[] = [
    [
      "envelope",
      "envelope of indefinite length",
      labDocument({
        envelope: (parts) => concatBytes(hex("9f"), envelope(parts).slice(1), hex("ff")),
      }),
    ],
    [
      "protected-header",
      "protected header in chunks",
      labEnvelope({ header: indefinite(2, [bstr(hex("a101")), bstr(hex("3822"))]) }),
    ],
    [
      "unprotected-header",
      "empty map of indefinite length",
      labEnvelope({ unprotected: hex("bfff") }),
    ],
    [
      "payload",
      "payload in chunks",
      labDocument({
        envelope: (parts) => envelope(parts, { payload: halves(parts.payload) }),
      }),
    ],
    [
      "signature",
      "signature in chunks",
      labDocument({
        envelope: (parts) => envelope(parts, { signature: halves(parts.signature) }),
      }),
    ],
    ["pcrs", "pcrs of indefinite length", withFields({ pcrs: indefinite(5, registers().flat()) })],
    [
      "cabundle",
      "cabundle of indefinite length",
      withFields({ cabundle: indefinite(4, [bstr(root), bstr(authority)]) }),
    ],
    [
      "module-id",
      "module_id in chunks",
      withFields({
        module_id: indefinite(3, [tstr(MODULE_ID.slice(0, 5)), tstr(MODULE_ID.slice(5))]),
      }),
    ],
    ["certificate", "certificate in chunks", withFields({ certificate: halves(leaf) })],
    [
      "field-name",
      "name of the field digest in chunks",
      withPayload((entries) =>
        map(
          reformed(entries, "digest", (_, value) => [
            indefinite(3, [tstr("dig"), tstr("est")]),
            value,
          ]),
        ),
      ),
    ],
    [
      "inside-an-indefinite-payload",
      "pcrs of indefinite length in a payload that is, too",
      labDocument({
        fields: { pcrs: indefinite(5, registers().flat()) },
        payload: (entries) => indefinite(5, entries.flat()),
      }),
    ],
  ];
  return Promise.all([
    ...rows.map(([name, what, document]) =>
      refused("cbor/indefinite", `indefinite-${name}`, what, "PROTOCOL 2", document),
    ),
    accepted(
      "indefinite-payload-map",
      "payload's map of indefinite length, as AWS writes it since 2025",
      "PROTOCOL 2",
      withPayload((entries) => indefinite(5, entries.flat())),
    ),
  ]);
}
