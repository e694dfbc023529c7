/** Items that no document has: floats, undefined, bad text, odd keys (RFC 8949 §3.3, §5.3.1, §5.6). */
import { concatBytes } from "@countersign/attestation";
import { FAKE_NOW_MS, hex, MODULE_ID } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import {
  array,
  bstr,
  type Entry,
  head,
  indefinite,
  map,
  NULL,
  tag,
  tstr,
  uint,
  UNDEFINED,
} from "../cbor.ts";
import { refused } from "../document-case.ts";
import { labEnvelope, register, registers, withFields, withPayload } from "../lab.ts";

export async function itemCases(): Promise<readonly Case[]> {
  const lists = [unsupported, texts, keys];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

async function unsupported(): Promise<readonly Case[]> {
  const clause = "RFC 8949 §3.3";
  const timestamp = (value: Uint8Array): Promise<Uint8Array> => withFields({ timestamp: value });
  const nonce = (value: Uint8Array): Promise<Uint8Array> => withFields({ nonce: value });
  const rows: readonly (readonly [string, string, Promise<Uint8Array>])[] = [
    ["timestamp-float-16", "timestamp 1.0 as a float of 16 bits", timestamp(hex("f93c00"))],
    [
      "timestamp-float-64",
      "the right timestamp as a float of 64 bits",
      timestamp(float64(FAKE_NOW_MS)),
    ],
    ["timestamp-nan", "timestamp NaN", timestamp(hex("fb7ff8000000000000"))],
    ["nonce-undefined", "nonce undefined", nonce(UNDEFINED)],
    ["nonce-simple-0", "nonce of simple value 0", nonce(hex("e0"))],
    ["nonce-simple-32", "nonce of simple value 32", nonce(hex("f820"))],
    ["null-in-two-bytes", "null as simple value 22 in two bytes", nonce(hex("f816"))],
    ["break-for-a-value", "a break where the nonce's value should be", nonce(hex("ff"))],
    ["reserved-information-28", "additional information 28", timestamp(hex("1c"))],
    ["reserved-information-30", "additional information 30", nonce(hex("5e"))],
    [
      "tag-above-2-53",
      "tag 2^64 - 1 around the nonce",
      nonce(concatBytes(hex("dbffffffffffffffff"), bstr(register(1, 16)))),
    ],
    [
      "undefined-unprotected-header",
      "unprotected header undefined",
      labEnvelope({ unprotected: UNDEFINED }),
    ],
  ];
  return Promise.all(
    rows.map(([name, what, document]) => refused("cbor/unsupported", name, what, clause, document)),
  );
}

function float64(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = 0xfb;
  new DataView(bytes.buffer).setFloat64(1, value);
  return bytes;
}

async function texts(): Promise<readonly Case[]> {
  const rows = [
    ["lone-ff", "a byte that no UTF-8 has", "ff"],
    ["overlong-slash", "an overlong form", "c0af"],
    ["surrogate", "a surrogate", "eda080"],
    ["beyond-unicode", "a code point above U+10FFFF", "f4908080"],
    ["cut-sequence", "a sequence that ends early", "e282"],
  ] as const;
  const text = (bytes: string): Uint8Array => concatBytes(head(3, bytes.length / 2), hex(bytes));
  return Promise.all([
    ...rows.map(([name, what, bytes]) =>
      refused(
        "cbor/utf8",
        `module-id-${name}`,
        `module_id of ${what}`,
        "RFC 8949 §5.3.1",
        withFields({ module_id: text(bytes) }),
      ),
    ),
    refused(
      "cbor/utf8",
      "field-name-not-utf-8",
      "a field's name that is not UTF-8",
      "RFC 8949 §5.3.1",
      withPayload((entries) => map([...entries, [text("ff"), NULL]])),
    ),
  ]);
}

async function keys(): Promise<readonly Case[]> {
  const again = (...entries: readonly Entry[]): Promise<Uint8Array> =>
    withPayload((all) => map([...all, ...entries]));
  const twice = (name: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("cbor/duplicate-key", name, what, "RFC 8949 §5.6", document);
  const odd = (name: string, what: string, key: Uint8Array): Promise<Case> =>
    refused("cbor/key-type", `key-${name}`, what, "PROTOCOL 2", again([key, NULL]));
  const userData: Entry = [tstr("user_data"), bstr(register(7, 16))];
  const pcr0: Entry = [uint(0), bstr(register(7))];
  return Promise.all([
    twice(
      "module-id-twice",
      "module_id twice, with the same value",
      again([tstr("module_id"), tstr(MODULE_ID)]),
    ),
    twice("user-data-twice", "user_data twice, with two values", again(userData)),
    twice(
      "user-data-first",
      "user_data twice, the other value first",
      withPayload((entries) => map([userData, ...entries])),
    ),
    twice(
      "pcr0-twice",
      "register 0 twice, with two values",
      withFields({ pcrs: map([...registers(), pcr0]) }),
    ),
    twice(
      "pcr0-first",
      "register 0 twice, the other value first",
      withFields({ pcrs: map([pcr0, ...registers()]) }),
    ),
    twice(
      "in-an-indefinite-payload",
      "user_data twice in a payload of indefinite length",
      withPayload((entries) => indefinite(5, [...entries.flat(), ...userData])),
    ),
    odd("bytes", "a field named by a byte string", bstr(new Uint8Array(3))),
    odd("null", "a field named by null", NULL),
    odd("true", "a field named by true", hex("f5")),
    odd("array", "a field named by a list", array([])),
    odd("map", "a field named by a map", map([])),
    odd("tag", "a field named by a tagged text", tag(1, tstr("nonce"))),
    refused(
      "cbor/key-type",
      "pcr-index-bytes",
      "a register's index as a byte string",
      "PROTOCOL 2",
      withFields({ pcrs: map([...registers(), [bstr(hex("03")), bstr(register(4))]]) }),
    ),
  ]);
}
