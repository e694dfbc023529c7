/** What Node and the browser are asked alike. Free of Node: it runs in the page as it is. */
import type { Curve } from "@countersign/attestation";
import { judge, type Judgement, type Library } from "../corpus/judge.ts";
import type { Vector } from "../corpus/vector.ts";
import { bytesOf, type PortableVector, vectorOf } from "./portable.ts";

/** A vector's judgement, or the crash that came in its place, which no engine may have. */
export type Answer =
  | { readonly id: string; readonly judgement: Judgement }
  | { readonly id: string; readonly crash: string };

/** The judgement of each vector, by the library that `libraryFor` has for it. */
export async function judgeAll(
  vectors: readonly PortableVector[],
  libraryFor: (vector: Vector) => Library,
): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  for (const portable of vectors) {
    const vector = vectorOf(portable);
    const { id } = vector;
    try {
      answers.push({ id, judgement: await judge(libraryFor(vector), vector) });
    } catch (error) {
      answers.push({ id, crash: String(error) });
    }
  }
  return answers;
}

export interface PointQuestion {
  readonly what: string;
  readonly curve: Curve;
  /** SEC 1 §2.3.3, hexadecimal. */
  readonly point: string;
}

/** "imported", or the whole refusal of each point. */
export async function importAll(
  library: Library,
  points: readonly PointQuestion[],
): Promise<readonly string[]> {
  const answers: string[] = [];
  for (const { what, curve, point } of points) {
    const answer = await library.importPoint(curve, bytesOf(point)).then(
      () => "imported",
      (error: unknown) => String(error),
    );
    answers.push(`${curve}, ${what}: ${answer}`);
  }
  return answers;
}

/** The part of a Wycheproof file that says what is asked. */
export interface SignatureGroup {
  readonly publicKey: { readonly uncompressed: string };
  readonly tests: readonly SignatureQuestion[];
}

export interface SignatureQuestion {
  readonly tcId: number;
  readonly msg: string;
  readonly sig: string;
}

/** Numbers of the tests whose signature verifies, P-384 with SHA-384. */
export async function verifyAll(
  library: Library,
  groups: readonly SignatureGroup[],
): Promise<readonly number[]> {
  const verified: number[] = [];
  for (const { publicKey, tests } of groups) {
    const key = await library.importPoint("P-384", bytesOf(publicKey.uncompressed));
    for (const { tcId, msg, sig } of tests) {
      if (await library.verifyEcdsa(key, bytesOf(sig), bytesOf(msg))) verified.push(tcId);
    }
  }
  return verified;
}
