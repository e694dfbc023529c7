/** Age and nonce of a genuine document, live and from the archive (PROTOCOL 9). */
import { FAKE_NOW_MS, hex, tlv, utcTime } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { bstr, uint } from "../cbor.ts";
import { accepted, ARCHIVED, refused, UNBOUND } from "../document-case.ts";
import { labChain, labDocument, LEAF, register, withFields } from "../lab.ts";
import { MAX_AGE_MS, SKEW_MS } from "../lab-policies.ts";

export async function freshnessCases(): Promise<readonly Case[]> {
  const lists = [ages, archive, nonces];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

const CLAUSE = "PROTOCOL 9";

const dated = (timestampMs: number): Promise<Uint8Array> =>
  withFields({ timestamp: uint(timestampMs) });

async function ages(): Promise<readonly Case[]> {
  const oldest = FAKE_NOW_MS - MAX_AGE_MS - SKEW_MS;
  const newest = FAKE_NOW_MS + SKEW_MS;
  return Promise.all([
    accepted("age-at-the-limit", "document as old as age and skew allow", CLAUSE, dated(oldest)),
    refused(
      "freshness/age",
      "age-1-ms-above",
      "document 1 ms older than age and skew allow",
      CLAUSE,
      dated(oldest - 1),
    ),
    refused(
      "freshness/age",
      "a-day-old",
      "document of the day before",
      CLAUSE,
      dated(FAKE_NOW_MS - 86_400_000),
    ),
    refused(
      "freshness/future",
      "future-1-ms-above",
      "document 1 ms further ahead than the skew allows",
      CLAUSE,
      dated(newest + 1),
    ),
    refused(
      "freshness/future",
      "a-day-ahead",
      "document of the next day",
      CLAUSE,
      dated(FAKE_NOW_MS + 86_400_000),
    ),
  ]);
}

async function archive(): Promise<readonly Case[]> {
  const old = dated(FAKE_NOW_MS - 30 * 86_400_000);
  const nonce = hex("00112233445566778899aabbccddeeff");
  const answer = withFields({ timestamp: uint(FAKE_NOW_MS - 30 * 86_400_000), nonce: bstr(nonce) });
  const expired = labDocument({
    chain: await labChain({
      changes: {
        [LEAF]: { validity: tlv(0x30, utcTime("270115070000Z"), utcTime("270115090000Z")) },
      },
    }),
  });
  const later = FAKE_NOW_MS + 2 * 365 * 86_400_000;
  return Promise.all([
    refused("freshness/age", "a-month-old", "document of a month ago, judged live", CLAUSE, old),
    accepted("archive-a-month-old", "document of a month ago, from the archive", CLAUSE, old, {
      mode: "archive",
      skipped: ARCHIVED,
    }),
    accepted(
      "archive-expired-since",
      "document whose certificates expired two years ago, from the archive",
      CLAUSE,
      expired,
      {
        mode: "archive",
        nowMs: later,
        skipped: ARCHIVED,
      },
    ),
    refused(
      "chain/validity",
      "expired-two-years-ago",
      "document whose certificates expired two years ago, judged live",
      CLAUSE,
      expired,
      {
        nowMs: later,
      },
    ),
    accepted(
      "archive-with-nonce",
      "document of a month ago that answers our nonce, from the archive",
      CLAUSE,
      answer,
      {
        mode: "archive",
        nonce,
      },
    ),
    refused(
      "freshness/nonce",
      "archive-other-nonce",
      "document of a month ago that answers another nonce, from the archive",
      CLAUSE,
      answer,
      {
        mode: "archive",
        nonce: hex("ff112233445566778899aabbccddeeff"),
      },
    ),
    refused(
      "freshness/future",
      "archive-from-the-future",
      "document of the next day, from the archive",
      CLAUSE,
      dated(FAKE_NOW_MS + 86_400_000),
      {
        mode: "archive",
      },
    ),
    accepted(
      "archive-without-challenge",
      "document without a nonce, from the archive, by a policy that wants a challenge",
      CLAUSE,
      labDocument(),
      {
        policy: "challenge",
        mode: "archive",
        skipped: ARCHIVED,
      },
    ),
  ]);
}

async function nonces(): Promise<readonly Case[]> {
  const nonce = register(0x5a, 32);
  const of = (bytes: Uint8Array): Promise<Uint8Array> => withFields({ nonce: bstr(bytes) });
  const last = nonce.slice();
  last[31] = 0x5b;
  const row = (name: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("freshness/nonce", name, what, CLAUSE, document, { nonce });
  return Promise.all([
    accepted("our-nonce", "our nonce", CLAUSE, of(nonce), { nonce }),
    accepted(
      "our-nonce-required",
      "our nonce, by a policy that wants a challenge",
      CLAUSE,
      of(nonce),
      {
        nonce,
        policy: "challenge",
      },
    ),
    accepted("our-nonce-any-age", "our nonce, by a policy that checks no age", CLAUSE, of(nonce), {
      nonce,
      policy: "unchecked",
      skipped: ["measurement", ...UNBOUND],
    }),
    refused(
      "policy/challenge",
      "no-challenge-sent",
      "no challenge sent, by a policy that wants one",
      CLAUSE,
      of(nonce),
      {
        policy: "challenge",
      },
    ),
    row("nonce-missing", "no nonce in the document", labDocument()),
    row("nonce-of-no-bytes", "a nonce of no bytes in the document", of(new Uint8Array())),
    row("nonce-one-bit-off", "our nonce with its last bit changed", of(last)),
    row("nonce-one-byte-short", "our nonce without its last byte", of(nonce.slice(0, 31))),
    row("nonce-longer", "our nonce and a zero byte", of(new Uint8Array([...nonce, 0]))),
    row("nonce-in-user-data", "our nonce in user_data", withFields({ user_data: bstr(nonce) })),
    refused(
      "freshness/nonce",
      "other-nonce-any-age",
      "another nonce, by a policy that checks no age",
      CLAUSE,
      of(last),
      {
        nonce,
        policy: "unchecked",
        skipped: ["measurement", ...UNBOUND],
      },
    ),
    refused(
      "freshness/age",
      "nonce-of-yesterday",
      "our nonce in a document of the day before",
      CLAUSE,
      withFields({ nonce: bstr(nonce), timestamp: uint(FAKE_NOW_MS - 86_400_000) }),
      {
        nonce,
      },
    ),
  ]);
}
