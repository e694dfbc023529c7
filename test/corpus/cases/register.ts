/** The registers of a document (AWS Nitro Enclaves attestation process §3.2). */
import type { Case } from "../case.ts";
import { array, bstr, type Entry, map, negative, NULL, tstr, uint } from "../cbor.ts";
import { accepted, refused } from "../document-case.ts";
import { register, registers, withFields } from "../lab.ts";

const CLAUSE = "Nitro §3.2";

export async function registerCases(): Promise<readonly Case[]> {
  const listed = (...entries: readonly Entry[]): Promise<Uint8Array> =>
    withFields({ pcrs: map(entries) });
  const more = (index: Uint8Array, value: Uint8Array = bstr(register(4))): Promise<Uint8Array> =>
    listed(...registers(), [index, value]);
  const value = (bytes: Uint8Array): Promise<Uint8Array> => more(uint(3), bytes);
  const rows: readonly (readonly [string, string, Promise<Uint8Array>])[] = [
    ["pcr-index-minus-1", "index -1", more(negative(-1))],
    ["pcr-index-32", "index 32", more(uint(32))],
    ["pcr-index-256", "index 256", more(uint(256))],
    ["pcr-index-2-32", "index 2^32", more(uint(2 ** 32))],
    ["pcr-index-2-63", "index 2^63", more(uint(2n ** 63n))],
    ["pcr-index-text", "an index as text", more(tstr("3"))],
    ["pcr-value-0", "a register of 0 bytes", value(bstr(new Uint8Array()))],
    ["pcr-value-32", "a register of 32 bytes", value(bstr(register(4, 32)))],
    ["pcr-value-47", "a register of 47 bytes", value(bstr(register(4, 47)))],
    ["pcr-value-49", "a register of 49 bytes", value(bstr(register(4, 49)))],
    ["pcr-value-64", "a register of 64 bytes", value(bstr(register(4, 64)))],
    ["pcr-value-text", "a register as text", value(tstr("0".repeat(48)))],
    ["pcr-value-null", "a register of null", value(NULL)],
    ["pcr-value-list", "a register as a list", value(array([]))],
    ["pcr0-47", "register 0 of 47 bytes", listed(...registers({ 0: register(1, 47) }))],
    ["pcr0-missing", "no register 0", listed(...registers({ 0: null }))],
    ["pcr1-missing", "no register 1", listed(...registers({ 1: null }))],
    ["pcr2-missing", "no register 2", listed(...registers({ 2: null }))],
    ["pcr0-alone", "register 0 and no other", listed(...registers({ 1: null, 2: null }))],
    ["pcrs-empty", "no register", listed()],
    [
      "pcrs-list",
      "pcrs as a list",
      withFields({ pcrs: array(registers().map(([, item]) => item)) }),
    ],
    ["pcrs-bytes", "pcrs as a byte string", withFields({ pcrs: bstr(register(1, 144)) })],
  ];
  const filled = (count: number): Entry[] =>
    registers(
      Object.fromEntries(Array.from({ length: count - 3 }, (_, i) => [i + 3, register(0)])),
    );
  return Promise.all([
    ...rows.map(([name, what, document]) => refused("evidence/pcrs", name, what, CLAUSE, document)),
    accepted("registers-16", "16 registers, as AWS writes it", CLAUSE, listed(...filled(16))),
    accepted("registers-32", "32 registers", CLAUSE, listed(...filled(32))),
    accepted(
      "register-16",
      "register 16, which the enclave extended",
      CLAUSE,
      listed(...registers({ 16: register(9) })),
    ),
    accepted(
      "registers-backwards",
      "registers from the last to the first",
      "PROTOCOL 2",
      listed(...filled(16).toReversed()),
    ),
  ]);
}
