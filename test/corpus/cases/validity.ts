/** Whether each certificate is valid at the time of judgement (RFC 5280 §6.1.3 (a)(2)). */
import { type CertificateParts, FAKE_NOW_MS, tlv, utcTime } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { uint } from "../cbor.ts";
import { accepted, type Circumstances, refused } from "../document-case.ts";
import { AUTHORITY, labChain, labDocument, LEAF } from "../lab.ts";
import { labRoot, type RootName } from "../lab-roots.ts";

export async function validityCases(): Promise<readonly Case[]> {
  return (await Promise.all([each(), ends(), calendar(), archived()])).flat();
}

const CLAUSE = "RFC 5280 §6.1.3 (a)(2)";
/** {@link FAKE_NOW_MS} as a certificate writes it. */
const NOW = "270115080000Z";

const between = (from: string, to: string): Partial<CertificateParts> => ({
  validity: tlv(0x30, utcTime(from), utcTime(to)),
});

async function at(index: number, parts: Partial<CertificateParts>): Promise<Uint8Array> {
  return labDocument({ chain: await labChain({ changes: { [index]: parts } }) });
}

async function below(name: RootName): Promise<Uint8Array> {
  const [, ...others] = await labChain();
  return labDocument({ chain: [await labRoot(name), ...others] });
}

/** Each certificate in turn, a day too early and a day too late. */
async function each(): Promise<readonly Case[]> {
  const over = between("260101000000Z", "270114080000Z");
  const early = between("270116080000Z", "280101000000Z");
  const places = [
    ["leaf", LEAF],
    ["authority", AUTHORITY],
  ] as const;
  return Promise.all([
    ...places.flatMap(([place, index]) => [
      refused(
        "chain/validity",
        `${place}-expired`,
        `${place} expired a day ago`,
        CLAUSE,
        at(index, over),
      ),
      refused(
        "chain/validity",
        `${place}-not-yet`,
        `${place} not valid before tomorrow`,
        CLAUSE,
        at(index, early),
      ),
    ]),
    refused(
      "chain/validity",
      "root-expired",
      "root expired six years ago",
      CLAUSE,
      below("expired"),
      { policy: "roots" },
    ),
    refused(
      "chain/validity",
      "root-not-yet",
      "root not valid for another eight years",
      CLAUSE,
      below("future"),
      { policy: "roots" },
    ),
  ]);
}

/** Both ends belong to the validity (RFC 5280 §4.1.2.5). */
async function ends(): Promise<readonly Case[]> {
  const from = between(NOW, "280101000000Z");
  const to = between("260101000000Z", NOW);
  const when = (nowMs: number): Circumstances => ({ nowMs });
  const second = (validity: Partial<CertificateParts>): Promise<Uint8Array> => at(LEAF, validity);
  const inclusive = "RFC 5280 §4.1.2.5";
  return Promise.all([
    accepted("leaf-at-not-before", "leaf judged at its notBefore", inclusive, second(from)),
    accepted("leaf-at-not-after", "leaf judged at its notAfter", inclusive, second(to)),
    accepted(
      "authority-at-not-after",
      "authority judged at its notAfter",
      inclusive,
      at(AUTHORITY, to),
    ),
    accepted(
      "leaf-of-a-moment",
      "leaf whose notBefore is its notAfter, judged then",
      inclusive,
      second(between(NOW, NOW)),
    ),
    refused(
      "chain/validity",
      "leaf-1-ms-early",
      "leaf judged 1 ms before its notBefore",
      inclusive,
      second(from),
      when(FAKE_NOW_MS - 1),
    ),
    refused(
      "chain/validity",
      "leaf-1-ms-late",
      "leaf judged 1 ms after its notAfter",
      inclusive,
      second(to),
      when(FAKE_NOW_MS + 1),
    ),
    refused(
      "chain/validity",
      "leaf-1-s-early",
      "leaf judged 1 s before its notBefore",
      inclusive,
      second(from),
      when(FAKE_NOW_MS - 1000),
    ),
    refused(
      "chain/validity",
      "leaf-1-s-late",
      "leaf judged 1 s after its notAfter",
      inclusive,
      second(to),
      when(FAKE_NOW_MS + 1000),
    ),
    refused(
      "chain/validity",
      "authority-1-ms-late",
      "authority judged 1 ms after its notAfter",
      inclusive,
      at(AUTHORITY, to),
      when(FAKE_NOW_MS + 1),
    ),
  ]);
}

/** Days at which a calendar goes wrong; the times in milliseconds are JavaScript's own. */
async function calendar(): Promise<readonly Case[]> {
  const moments = [
    ["last-of-february", "the last second of February", "2027-02-28T23:59:59Z"],
    ["first-of-march", "the first second of March", "2027-03-01T00:00:00Z"],
    ["last-of-october", "the last second of October", "2027-10-31T23:59:59Z"],
    ["last-of-the-year", "the last second of the year", "2027-12-31T23:59:59Z"],
  ] as const;
  return Promise.all(
    moments.flatMap(([name, what, text]) => {
      const nowMs = Date.parse(text);
      const utc = text.slice(2).replaceAll(/[-:T]/gu, "");
      const document = labChain({ changes: { [LEAF]: between("260101000000Z", utc) } }).then(
        (chain) => labDocument({ chain, fields: { timestamp: uint(nowMs) } }),
      );
      return [
        accepted(`leaf-until-${name}`, `leaf judged at its notAfter, ${what}`, CLAUSE, document, {
          nowMs,
        }),
        refused(
          "chain/validity",
          `leaf-after-${name}`,
          `leaf judged 1 ms after its notAfter, ${what}`,
          CLAUSE,
          document,
          { nowMs: nowMs + 1 },
        ),
      ];
    }),
  );
}

/** In archive mode certificates are judged at the document's time, whatever the clock says. */
async function archived(): Promise<readonly Case[]> {
  const hours = between("270115070000Z", "270115090000Z");
  const day = 86_400_000;
  const document = at(LEAF, hours);
  const late = labDocument({
    chain: await labChain({ changes: { [LEAF]: hours } }),
    fields: { timestamp: uint(FAKE_NOW_MS + 3_600_001) },
  });
  return Promise.all([
    refused(
      "chain/validity",
      "leaf-over-now",
      "leaf of two hours, judged live a day later",
      "PROTOCOL 9",
      document,
      {
        nowMs: FAKE_NOW_MS + day,
      },
    ),
    refused(
      "chain/validity",
      "leaf-over-at-the-document-s-time",
      "document dated 1 ms after its leaf's notAfter, from the archive",
      "PROTOCOL 9",
      late,
      {
        mode: "archive",
        nowMs: FAKE_NOW_MS + day,
      },
    ),
    refused(
      "chain/validity",
      "leaf-over-in-the-policy-that-checks-no-age",
      "leaf of two hours, judged a day later by a policy that checks no age",
      "PROTOCOL 9",
      document,
      {
        policy: "unchecked",
        nowMs: FAKE_NOW_MS + day,
      },
    ),
  ]);
}
