/** All cases of the corpus, in their order, and what the judge says of them. */
import { isDeepStrictEqual } from "node:util";
import * as attestation from "@countersign/attestation";
import type { Case } from "./case.ts";
import { appraisalCases } from "./cases/appraisal.ts";
import { bindingCases } from "./cases/binding.ts";
import { bundleCases } from "./cases/bundle.ts";
import { cabundleCases } from "./cases/cabundle.ts";
import { cborCases } from "./cases/cbor.ts";
import { certificateCases } from "./cases/certificate.ts";
import { chainCases } from "./cases/chain.ts";
import { coseCases } from "./cases/cose.ts";
import { documentCases } from "./cases/document.ts";
import { epochCases } from "./cases/epoch.ts";
import { exchangeCases } from "./cases/exchange.ts";
import { extensionCases } from "./cases/extension.ts";
import { extensionFormCases } from "./cases/extension-form.ts";
import { freshnessCases } from "./cases/freshness.ts";
import { itemCases } from "./cases/item.ts";
import { keyCases } from "./cases/key.ts";
import { limitCases } from "./cases/limit.ts";
import { linkCases } from "./cases/link.ts";
import { measurementCases } from "./cases/measurement.ts";
import { merkleCases } from "./cases/merkle.ts";
import { moduleCases } from "./cases/module.ts";
import { nameCases } from "./cases/name.ts";
import { policyCases } from "./cases/policy.ts";
import { proofCases } from "./cases/proof.ts";
import { receiptCases } from "./cases/receipt.ts";
import { registerCases } from "./cases/register.ts";
import { roleCases } from "./cases/role.ts";
import { signatureCases } from "./cases/signature.ts";
import { tbsCases } from "./cases/tbs.ts";
import { timeCases } from "./cases/time.ts";
import { truncationCases } from "./cases/truncation.ts";
import { usageCases } from "./cases/usage.ts";
import { validityCases } from "./cases/validity.ts";
import { judge } from "./judge.ts";
import type { Outcome, Vector } from "./vector.ts";

/** Their order is that of the numbers: what is new goes to the end of its list. */
const LISTS: readonly (() => Promise<readonly Case[]>)[] = [
  truncationCases,
  cborCases,
  itemCases,
  limitCases,
  coseCases,
  documentCases,
  moduleCases,
  registerCases,
  cabundleCases,
  certificateCases,
  tbsCases,
  timeCases,
  signatureCases,
  nameCases,
  usageCases,
  keyCases,
  extensionCases,
  extensionFormCases,
  chainCases,
  linkCases,
  roleCases,
  validityCases,
  measurementCases,
  freshnessCases,
  appraisalCases,
  epochCases,
  bundleCases,
  bindingCases,
  exchangeCases,
  receiptCases,
  proofCases,
  merkleCases,
  policyCases,
];

/** A fresh corpus: new keys, the same cases, each with its number. */
export async function collectVectors(): Promise<readonly Vector[]> {
  const lists: (readonly Case[])[] = [];
  for (const list of LISTS) lists.push(await list());
  const vectors = numbered(lists.flat());
  requireOneFileAPath(vectors);
  return vectors;
}

/** Gives each case its number within its stage. */
export function numbered(cases: readonly Case[]): readonly Vector[] {
  const counts = new Map<string, number>();
  const seen = new Set<string>();
  return cases.map(({ name, expected, files }) => {
    const [stage = "", what = "", more] = name.split("/");
    if (!/^[a-z]+$/u.test(stage) || !/^[a-z0-9-]+$/u.test(what) || more !== undefined) {
      throw new TypeError(`${name} is not <stage>/<what>`);
    }
    if (seen.has(name)) throw new TypeError(`two cases ${name}`);
    seen.add(name);
    const number = (counts.get(stage) ?? 0) + 1;
    counts.set(stage, number);
    return { id: `${stage}/${String(number).padStart(3, "0")}-${what}`, expected, files };
  });
}

/** Vectors may share a file, not a name: what one would write over is another's. */
function requireOneFileAPath(vectors: readonly Vector[]): void {
  const written = new Map<string, Uint8Array>();
  for (const { id, files } of vectors) {
    for (const [name, bytes] of files) {
      const { pathname } = new URL(name, `file:///${id}/`);
      const before = written.get(pathname);
      if (before !== undefined && !attestation.equalBytes(before, bytes)) {
        throw new TypeError(`two files ${pathname}, one of them of ${id}`);
      }
      written.set(pathname, bytes);
    }
  }
}

export interface Misjudged {
  readonly id: string;
  readonly expected: Outcome;
  /** What came of it instead; a text where it is no outcome. */
  readonly found: Outcome | string;
}

/** The vectors that do not yield what they say. */
export async function misjudgedVectors(vectors: readonly Vector[]): Promise<readonly Misjudged[]> {
  const wrong: Misjudged[] = [];
  for (const vector of vectors) {
    const { id, expected } = vector;
    const found = await outcomeOf(vector);
    if (!isDeepStrictEqual(found, expected.outcome)) {
      wrong.push({ id, expected: expected.outcome, found });
    }
  }
  return wrong;
}

async function outcomeOf(vector: Vector): Promise<Outcome | string> {
  try {
    return (await judge(attestation, vector)).outcome;
  } catch (error) {
    return `no verdict: ${String(error)}`;
  }
}
