/** The fields of a document (AWS Nitro Enclaves attestation process §3.2), but registers and certificates. */
import { encodeUtf8 } from "@countersign/attestation";
import { FAKE_NOW_MS, hex, MODULE_ID } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { array, bstr, type Entry, map, negative, NULL, tag, tstr, uint } from "../cbor.ts";
import { accepted, refused } from "../document-case.ts";
import {
  type FieldChanges,
  labDocument,
  register,
  registers,
  usualChain,
  withFields,
} from "../lab.ts";
import { SKEW_MS } from "../lab-policies.ts";

export async function documentCases(): Promise<readonly Case[]> {
  const lists = [missing, types, structure, values, optionals];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

const CLAUSE = "Nitro §3.2";

const field = (name: string, what: string, fields: FieldChanges): Promise<Case> =>
  refused("evidence/field", name, what, CLAUSE, withFields(fields));

const MANDATORY = ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"] as const;

/** The registers have a code of their own. */
const codeOf = (name: string): "evidence/pcrs" | "evidence/field" =>
  name === "pcrs" ? "evidence/pcrs" : "evidence/field";

const slug = (name: string): string => name.replaceAll("_", "-");

async function missing(): Promise<readonly Case[]> {
  return Promise.all(
    MANDATORY.flatMap((name) => [
      refused(
        codeOf(name),
        `${slug(name)}-missing`,
        `no field ${name}`,
        CLAUSE,
        withFields({ [name]: null }),
      ),
      refused(
        codeOf(name),
        `${slug(name)}-null`,
        `${name} is null`,
        CLAUSE,
        withFields({ [name]: NULL }),
      ),
    ]),
  );
}

async function types(): Promise<readonly Case[]> {
  const [root, , leaf] = await usualChain();
  const rows = [
    ["module-id-bytes", "module_id as a byte string", { module_id: bstr(encodeUtf8(MODULE_ID)) }],
    ["digest-bytes", "digest as a byte string", { digest: bstr(encodeUtf8("SHA384")) }],
    ["timestamp-text", "timestamp as text", { timestamp: tstr("1800000000000") }],
    ["timestamp-tagged", "timestamp behind tag 1", { timestamp: tag(1, uint(FAKE_NOW_MS)) }],
    [
      "timestamp-bignum",
      "timestamp as a bignum, tag 2",
      { timestamp: tag(2, bstr(hex("01a3185c5000"))) },
    ],
    ["timestamp-true", "timestamp true", { timestamp: hex("f5") }],
    ["certificate-text", "certificate as text", { certificate: tstr("MIIB") }],
    ["certificate-list", "certificate in a list", { certificate: array([bstr(leaf)]) }],
    ["cabundle-bytes", "cabundle as one byte string", { cabundle: bstr(root) }],
    ["cabundle-map", "cabundle as a map", { cabundle: map([[uint(0), bstr(root)]]) }],
    ["cabundle-with-null", "cabundle ends in null", { cabundle: array([bstr(root), NULL]) }],
    ["cabundle-with-text", "cabundle ends in text", { cabundle: array([bstr(root), tstr("a")]) }],
    ["public-key-text", "public_key as text", { public_key: tstr("key") }],
    ["user-data-text", "user_data as text", { user_data: tstr("data") }],
    ["nonce-text", "nonce as text", { nonce: tstr("nonce") }],
    ["nonce-integer", "nonce as an integer", { nonce: uint(7) }],
    ["user-data-false", "user_data false", { user_data: hex("f4") }],
    ["public-key-map", "public_key as a COSE_Key", { public_key: map([[uint(1), uint(2)]]) }],
  ] as const;
  return Promise.all(rows.map(([name, what, fields]) => field(name, what, fields)));
}

async function structure(): Promise<readonly Case[]> {
  const more = (...entries: readonly Entry[]): Promise<Uint8Array> =>
    labDocument({ payload: (all) => map([...all, ...entries]) });
  const unknown = (name: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("evidence/structure", name, what, CLAUSE, document);
  const tpm = (name: string, what: string, fields: FieldChanges): Promise<Case> =>
    refused("evidence/platform", name, what, "PROTOCOL 3", withFields(fields));
  return Promise.all([
    unknown("unknown-field", "a field that nobody knows", more([tstr("region"), tstr("fake-1")])),
    unknown("unknown-null-field", "an unknown field that is null", more([tstr("debug"), NULL])),
    unknown("field-of-other-case", "Nonce beside nonce", more([tstr("Nonce"), NULL])),
    unknown("empty-field-name", "a field without a name", more([tstr(""), NULL])),
    unknown("integer-field", "a field named by a number", more([uint(1), NULL])),
    unknown("proto-field", "a field named __proto__", more([tstr("__proto__"), map([])])),
    unknown(
      "field-name-with-nul",
      "digest with a NUL at its end, in place of digest",
      withFields({ digest: null, "digest\0": tstr("SHA384") }),
    ),
    tpm("nitrotpm-alone", "nitrotpm_pcrs in place of pcrs", {
      pcrs: null,
      nitrotpm_pcrs: map(registers()),
    }),
    tpm("nitrotpm-beside-pcrs", "nitrotpm_pcrs beside pcrs", { nitrotpm_pcrs: map(registers()) }),
    tpm("nitrotpm-null", "nitrotpm_pcrs null beside pcrs", { nitrotpm_pcrs: NULL }),
    accepted(
      "fields-in-other-order",
      "fields in another order than AWS's",
      "PROTOCOL 2",
      labDocument({ payload: (entries) => map(entries.toReversed()) }),
    ),
  ]);
}

async function values(): Promise<readonly Case[]> {
  const timestamp = (value: Uint8Array): FieldChanges => ({ timestamp: value });
  return Promise.all([
    field("digest-sha256", "digest SHA256", { digest: tstr("SHA256") }),
    field("digest-sha512", "digest SHA512", { digest: tstr("SHA512") }),
    field("digest-lower-case", "digest sha384", { digest: tstr("sha384") }),
    field("digest-with-space", "digest with a space at its end", { digest: tstr("SHA384 ") }),
    field("digest-empty", "digest of no characters", { digest: tstr("") }),
    field("timestamp-0", "timestamp 0", timestamp(uint(0))),
    field("timestamp-negative", "timestamp -1", timestamp(negative(-1))),
    field("timestamp-minus-2-53", "timestamp -2^53", timestamp(negative(-(2 ** 53)))),
    field("timestamp-2-53", "timestamp 2^53", timestamp(uint(2 ** 53))),
    field("timestamp-2-64-1", "timestamp 2^64 - 1", timestamp(uint(2n ** 64n - 1n))),
    refused(
      "chain/validity",
      "timestamp-2-53-1",
      "timestamp 2^53 - 1, which is a number still, judged at that time",
      CLAUSE,
      withFields(timestamp(uint(2 ** 53 - 1))),
      { mode: "archive" },
    ),
    refused(
      "freshness/age",
      "timestamp-in-seconds",
      "timestamp in seconds",
      CLAUSE,
      withFields(timestamp(uint(FAKE_NOW_MS / 1000))),
    ),
    refused(
      "freshness/future",
      "timestamp-in-microseconds",
      "timestamp in microseconds",
      CLAUSE,
      withFields(timestamp(uint(FAKE_NOW_MS * 1000))),
    ),
    accepted(
      "timestamp-ahead-by-the-skew",
      "timestamp ahead of the clock by the allowed skew exactly",
      "PROTOCOL 9",
      withFields(timestamp(uint(FAKE_NOW_MS + SKEW_MS))),
    ),
  ]);
}

async function optionals(): Promise<readonly Case[]> {
  const names = ["public_key", "user_data", "nonce"] as const;
  const all = (value: Uint8Array | null): FieldChanges =>
    Object.fromEntries(names.map((name) => [name, value]));
  return Promise.all([
    ...names.map((name) =>
      field(`${slug(name)}-1025`, `${name} of 1025 bytes`, { [name]: bstr(register(1, 1025)) }),
    ),
    accepted(
      "optional-fields-absent",
      "public_key, user_data and nonce left out",
      CLAUSE,
      withFields(all(null)),
    ),
    accepted(
      "optional-fields-empty",
      "public_key, user_data and nonce of no bytes",
      CLAUSE,
      withFields(all(bstr(new Uint8Array()))),
    ),
    accepted(
      "optional-fields-1024",
      "public_key, user_data and nonce of 1024 bytes",
      CLAUSE,
      withFields(all(bstr(register(1, 1024)))),
    ),
    accepted(
      "nonce-unasked",
      "a nonce that nobody asked for",
      CLAUSE,
      withFields({ nonce: bstr(register(1, 20)) }),
    ),
  ]);
}
