import {
  type AttestationErrorCode,
  type CheckId,
  EVIDENCE_CHECKS,
  EXCHANGE_CHECKS,
} from "@countersign/attestation";
import { expect, it } from "vitest";

import { EVIDENCE_WORDS } from "../../../attestation/evidence-words.ts";
import { EXCHANGE_WORDS } from "../../../attestation/exchange-words.ts";
import { remedyOf, type Words } from "../../../attestation/words.ts";
import { FAILURES, verdictHelp } from "../../../client/cli/failures.ts";
import { attestationErrorCodes } from "./source-codes.ts";

/** One sentence or more, with words between a capital and a full stop. */
const SENTENCES = /^[A-Z`].{9,}\.$/u;

function codesOf({ codes }: Words): readonly AttestationErrorCode[] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- keys of a table of codes
  return Object.keys(codes) as AttestationErrorCode[];
}

it("has words for every class of failure, and help that names it", () => {
  for (const [failure, { means, why, fix }] of Object.entries(FAILURES)) {
    for (const text of [means, why, fix]) expect(text, failure).toMatch(SENTENCES);
    expect(verdictHelp()).toContain(`\n  ${failure} `);
  }
});

it("has for every code a class, a reason and a remedy, whichever check fails with it", () => {
  const known = attestationErrorCodes();
  expect(known.length).toBeGreaterThan(60);
  expect(codesOf(EXCHANGE_WORDS).toSorted()).toEqual(known.toSorted());
  const judged: readonly (readonly [Words, readonly CheckId[]])[] = [
    [EVIDENCE_WORDS, EVIDENCE_CHECKS],
    [EXCHANGE_WORDS, EXCHANGE_CHECKS],
  ];
  for (const [words, ids] of judged) {
    for (const code of codesOf(words)) {
      for (const id of ids) {
        const { failure, why, fix } = remedyOf(words, id, code);
        expect(Object.keys(FAILURES), code).toContain(failure);
        expect(why, `${id}, ${code}: why`).toMatch(SENTENCES);
        expect(fix, `${id}, ${code}: fix`).toMatch(SENTENCES);
      }
    }
  }
});
