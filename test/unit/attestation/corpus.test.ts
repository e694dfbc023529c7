import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { importPoint, isSignature, verifyEcdsa } from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { collectVectors, misjudgedVectors } from "../../corpus/collect.ts";
import { CORPUS, readCorpus } from "../../corpus/files.ts";
import { otherS, P384, smallPoint } from "../../corpus/p384.ts";
import { renderTable, tableIn } from "../../corpus/table.ts";
import type { Subject, Vector } from "../../corpus/vector.ts";
import { generateSigner } from "../../fakes/nitro.ts";
import { codeOfAsync } from "./refused.ts";

const ERRORS = new URL("../../../attestation/errors.ts", import.meta.url);
const PROTOCOL = new URL("../../../PROTOCOL.md", import.meta.url);

/** Codes that no vector can have, and why. */
const WITHOUT_VECTOR: Readonly<Record<string, string>> = {
  "policy/unchecked": "stands beside a check that was skipped, and refuses nothing",
};

/** What a vector's folder holds beside `expected.json` and a policy of its own. */
const FILES: Readonly<Record<Subject, readonly string[]>> = {
  document: ["document.cbor"],
  bundle: ["bundle.cbor"],
  exchange: ["bundle.cbor", "exchange.json"],
  proof: ["proof.cbor"],
  policy: ["policy.json"],
  inclusion: ["inclusion.json"],
  consistency: ["consistency.json"],
};

/** How to remake what a test below says is out of date. */
const REMAKE = "npm run vectors";

const corpus = readCorpus();

function declaredCodes(): readonly string[] {
  const source = readFileSync(ERRORS, "utf8");
  const union = /^export type AttestationErrorCode =([^;]*);/mu.exec(source)?.[1] ?? "";
  return [...union.matchAll(/^ {2}\| "([^"]+)"/gmu)].map(([, code = ""]) => code);
}

/** `<stage>`, number and words of an id. */
function partsOf({ id }: Vector): { readonly stage: string; readonly number: number } {
  const groups = /^(?<stage>[a-z]+)\/(?<number>\d{3})-[a-z0-9]+(?:-[a-z0-9]+)*$/u.exec(id)?.groups;
  if (groups === undefined) throw new TypeError(`${id} is no <stage>/<nnn>-<what>`);
  return { stage: groups["stage"] ?? "", number: Number(groups["number"]) };
}

describe("the corpus", () => {
  it("is judged as it says, every vector", async () => {
    expect(corpus.length).toBeGreaterThanOrEqual(150);
    expect(await misjudgedVectors(corpus)).toEqual([]);
  });

  it("is what the table at the end of PROTOCOL.md lists", () => {
    expect(tableIn(readFileSync(PROTOCOL, "utf8")), REMAKE).toBe(renderTable(corpus));
  });

  it("has a vector for every code, or a reason", () => {
    const codes = declaredCodes();
    expect(codes.length).toBeGreaterThan(60);
    const seen = new Set(corpus.map(({ expected }) => expected.outcome.code));
    expect(codes.filter((code) => !seen.has(code))).toEqual(Object.keys(WITHOUT_VECTOR));
    const known = new Set<string | null>([...codes, null]);
    expect([...seen].filter((code) => !known.has(code))).toEqual([]);
  });

  it("lies by stage, numbered without gaps, under the name of its code", () => {
    const counts = new Map<string, number>();
    for (const vector of corpus) {
      const { stage, number } = partsOf(vector);
      const next = (counts.get(stage) ?? 0) + 1;
      expect(number, vector.id).toBe(next);
      counts.set(stage, next);
      const { result, code } = vector.expected.outcome;
      expect([vector.id, stage]).toEqual([vector.id, code?.split("/")[0] ?? "accepted"]);
      expect(result, vector.id).toBe(code === null ? "verified" : "rejected");
    }
  });

  it("says what is wrong, and by which clause", () => {
    for (const { id, expected } of corpus) {
      expect(expected.what.length, id).toBeGreaterThan(2);
      expect(expected.clause, id).toMatch(/\d/u);
    }
  });

  it("holds the files that its subjects need, and no others", () => {
    const used = new Set<string>();
    for (const { id, expected } of corpus) {
      const { subject, policy } = expected;
      const own = policy === null || policy.startsWith("../../policies/") ? [] : [policy];
      if (policy !== null && own.length === 0) used.add(policy.slice("../../policies/".length));
      const wanted = ["expected.json", ...FILES[subject], ...own].toSorted();
      expect(readdirSync(join(CORPUS, id)).toSorted(), id).toEqual(wanted);
    }
    expect(readdirSync(join(CORPUS, "policies")).toSorted()).toEqual([...used].toSorted());
  });

  it(`can be made anew (${REMAKE}): the same vectors, with fresh keys`, async () => {
    const fresh = await collectVectors();
    expect(await misjudgedVectors(fresh)).toEqual([]);
    const byId = (vectors: readonly Vector[]): readonly unknown[] =>
      vectors
        .map(({ id, expected }) => [id, expected.subject, expected.what, expected.outcome] as const)
        .toSorted(([a], [b]) => (a < b ? -1 : 1));
    expect(byId(fresh), `run ${REMAKE}`).toEqual(byId(corpus));
    // Fresh keys make every document another; one that is not would be copied.
    const bytes = new Map(corpus.map(({ id, files }) => [id, files.get("document.cbor")]));
    const unusual = fresh.find(({ id }) => id.endsWith("-indefinite-payload-map"));
    expect(unusual?.files.get("document.cbor")).not.toEqual(bytes.get(unusual?.id ?? ""));
  });
});

describe("the points and signatures of unusual form", () => {
  it("are what they are called", async () => {
    const { reduced, unreduced } = smallPoint();
    for (const point of [reduced, P384.generator]) await importPoint("P-384", point);
    expect(await codeOfAsync(() => importPoint("P-384", unreduced))).toBe("certificate/key");
    const signer = await generateSigner();
    const [key, message] = [await importPoint("P-384", signer.point), Uint8Array.of(1)];
    const signature = await signer.sign(message);
    expect(otherS(signature)).not.toEqual(signature);
    expect(await verifyEcdsa(key, otherS(signature), message)).toBe(true);
    expect(isSignature("P-384", new Uint8Array([...signature.slice(0, 48), ...P384.order]))).toBe(
      false,
    );
  });
});
