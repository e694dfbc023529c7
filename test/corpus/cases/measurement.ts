/** Debug mode and measurements of a genuine document (PROTOCOL 3, 9). */
import type { Case } from "../case.ts";
import { map } from "../cbor.ts";
import { accepted, type Circumstances, refused } from "../document-case.ts";
import { labDocument, register, registers, withFields } from "../lab.ts";
import { REVOKED_FILL } from "../lab-policies.ts";

export async function measurementCases(): Promise<readonly Case[]> {
  const lists = [debug, measurements];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

const CLAUSE = "PROTOCOL 9";

const withRegisters = (changes: Parameters<typeof registers>[0]): Promise<Uint8Array> =>
  withFields({ pcrs: map(registers(changes)) });

async function debug(): Promise<readonly Case[]> {
  const zero = register(0);
  const all = withRegisters({ 0: zero, 1: zero, 2: zero });
  const row = (name: string, what: string, document: Promise<Uint8Array>, how?: Circumstances) =>
    refused("policy/debug", name, what, "PROTOCOL 3", document, how);
  const almost = register(0);
  almost[47] = 1;
  return Promise.all([
    row("debug-enclave", "registers 0, 1 and 2 are zero", all),
    row("pcr0-zero", "register 0 alone is zero", withRegisters({ 0: zero })),
    row("pcr1-zero", "register 1 alone is zero", withRegisters({ 1: zero })),
    row("pcr2-zero", "register 2 alone is zero", withRegisters({ 2: zero })),
    row(
      "debug-enclave-any-measurement",
      "a debug enclave, by a policy that takes any measurement",
      all,
      {
        policy: "unchecked",
      },
    ),
    row("debug-enclave-in-archive", "a debug enclave, from the archive", all, { mode: "archive" }),
    refused(
      "policy/measurement",
      "pcr0-almost-zero",
      "register 0 of zeros but for its last bit, which is no debug mode",
      "PROTOCOL 3",
      withRegisters({ 0: almost }),
    ),
    accepted("debug-enclave-allowed", "a debug enclave, by a policy that says so", CLAUSE, all, {
      policy: "debug",
    }),
    accepted(
      "half-debug-enclave-allowed",
      "register 1 alone zero, by a policy that says so",
      CLAUSE,
      withRegisters({ 1: zero }),
      {
        policy: "debug",
      },
    ),
    accepted(
      "production-where-debug-is-allowed",
      "no debug enclave, by a policy that takes both",
      CLAUSE,
      labDocument(),
      {
        policy: "debug",
      },
    ),
  ]);
}

async function measurements(): Promise<readonly Case[]> {
  const row = (name: string, what: string, changes: Parameters<typeof registers>[0]) =>
    refused("policy/measurement", name, what, CLAUSE, withRegisters(changes));
  const revoked = register(REVOKED_FILL);
  const lastBit = register(1);
  lastBit[47] = 0;
  const signed = { 0: register(4), 1: register(5), 2: register(6) };
  return Promise.all([
    row("other-pcr0", "another register 0", { 0: register(9) }),
    row("other-pcr1", "another register 1", { 1: register(9) }),
    row("other-pcr2", "another register 2", { 2: register(9) }),
    row("pcr0-last-bit", "register 0 with its last bit changed", { 0: lastBit }),
    row("registers-exchanged", "registers 0 and 1 in each other's place", {
      0: register(2),
      1: register(1),
    }),
    row("mixed-registers", "register 0 of one build, 1 and 2 of another", {
      0: register(7),
    }),
    row(
      "further-register-missing",
      "a build whose register 4 the policy names, without it",
      signed,
    ),
    row("further-register-other", "a build whose register 4 the policy names, with another", {
      ...signed,
      4: register(0x45),
    }),
    accepted(
      "further-register",
      "a build whose register 4 the policy names",
      CLAUSE,
      withRegisters({ ...signed, 4: register(0x44) }),
    ),
    accepted(
      "further-register-unasked",
      "a register 4 that the policy does not name",
      CLAUSE,
      withRegisters({ 4: register(0x44) }),
    ),
    ...[0, 1, 2].map((index) =>
      refused(
        "policy/revoked",
        `pcr${index}-revoked`,
        `revoked value in register ${index}`,
        CLAUSE,
        withRegisters({ [index]: revoked }),
      ),
    ),
    refused(
      "policy/revoked",
      "revoked-though-unchecked",
      "revoked value, by a policy that takes any measurement",
      CLAUSE,
      withRegisters({ 0: revoked }),
      {
        policy: "unchecked",
      },
    ),
    refused(
      "policy/revoked",
      "revoked-in-archive",
      "revoked value, from the archive",
      CLAUSE,
      withRegisters({ 0: revoked }),
      {
        mode: "archive",
      },
    ),
    accepted(
      "revoked-value-elsewhere",
      "revoked value in register 4, which is none of the image's",
      CLAUSE,
      withRegisters({ 4: revoked }),
    ),
  ]);
}
