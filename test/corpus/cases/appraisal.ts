/** What the policy's own words switch off, and its date (PROTOCOL 9). */
import type { CheckId } from "@countersign/attestation";
import { FAKE_NOW_MS } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { map, uint } from "../cbor.ts";
import { accepted, ARCHIVED, type Circumstances, refused, UNBOUND } from "../document-case.ts";
import { labDocument, register, registers, withFields } from "../lab.ts";
import { EXPIRES_MS } from "../lab-policies.ts";

export async function appraisalCases(): Promise<readonly Case[]> {
  const lists = [switches, expiry];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

const CLAUSE = "PROTOCOL 9";

const withRegisters = (changes: Parameters<typeof registers>[0]): Promise<Uint8Array> =>
  withFields({ pcrs: map(registers(changes)) });

const dated = (timestampMs: number): Promise<Uint8Array> =>
  withFields({ timestamp: uint(timestampMs) });

/** Checks that are off by the policy's own word: skipped, and the verdict says which. */
async function switches(): Promise<readonly Case[]> {
  const skipped: readonly CheckId[] = ["measurement", ...UNBOUND, "freshness"];
  return Promise.all([
    accepted(
      "unchecked",
      "measurement and freshness unchecked",
      CLAUSE,
      withRegisters({ 0: register(0x77) }),
      {
        policy: "unchecked",
        skipped,
      },
    ),
    accepted(
      "unchecked-age",
      "document of a year ago, by a policy that checks no age",
      CLAUSE,
      dated(FAKE_NOW_MS - 365 * 86_400_000),
      {
        policy: "unchecked",
        skipped,
      },
    ),
    accepted(
      "unchecked-in-archive",
      "measurement and freshness unchecked, from the archive",
      CLAUSE,
      labDocument(),
      {
        policy: "unchecked",
        mode: "archive",
        skipped,
      },
    ),
  ]);
}

async function expiry(): Promise<readonly Case[]> {
  const document = labDocument();
  const archived = (nowMs: number): Circumstances => ({ mode: "archive", nowMs });
  return Promise.all([
    refused(
      "policy/expired",
      "at-expiry",
      "policy judged at its expires",
      CLAUSE,
      document,
      archived(EXPIRES_MS),
    ),
    refused(
      "policy/expired",
      "after-expiry",
      "policy judged a year after its expires, live",
      CLAUSE,
      document,
      {
        nowMs: EXPIRES_MS + 365 * 86_400_000,
      },
    ),
    accepted(
      "policy-1-ms-before-expiry",
      "policy judged 1 ms before its expires",
      CLAUSE,
      document,
      {
        ...archived(EXPIRES_MS - 1),
        skipped: ARCHIVED,
      },
    ),
  ]);
}
