/** Bare attestation documents: AWS's own, the lab's, and the vectors. */
import { appraiseDocument, EvidenceCache, verifyEvidence } from "@countersign/attestation";
import { makeLab } from "../lab.ts";
import { marksIn, requireDocument } from "../oracle/document.ts";
import { resignDocument } from "../resign.ts";
import { awsDocuments, vectors } from "../seeds.ts";
import { ACCEPTED, type Input, type Run, type Seed, type Target } from "../target.ts";
import { sumOf } from "./judging.ts";
import { signedTarget } from "./signed.ts";
import { runTwice } from "./twice.ts";

/** One input in so many goes to `verifyEvidence` too, which judges less of it. */
const VERIFIED = 4;

export async function makeTarget(seed: number): Promise<Target> {
  const lab = await makeLab(seed);
  const challenged = { ...lab.strict, nonce: lab.challenge };
  const own: readonly Seed[] = lab.documents.flatMap((bytes, i) => {
    const signed = marksIn(bytes);
    return [
      { bytes, stance: challenged, signed, genuine: i === 1 },
      { bytes, stance: lab.lax, signed, genuine: true },
      // Some of them are of other code than the policy lists.
      { bytes, stance: lab.strict, signed, genuine: false },
    ];
  });
  const target = signedTarget({
    name: "document",
    batch: 32,
    lab,
    seeds: [...own, ...awsDocuments(), ...vectors("document", "document.cbor")],
    appraise: async (bytes, policy, context) =>
      (await appraiseDocument(bytes, policy, context)).verdict,
    oracle: (bytes, judged) => void requireDocument(bytes, judged),
    resign: (random, root) => resignDocument(random, root, lab.keys),
    document: (root) => root,
  });
  const cache = new EvidenceCache();
  return {
    ...target,
    async run(input) {
      const run = await target.run(input);
      if (run.breach !== null || sumOf(input.bytes) % VERIFIED !== 0) return run;
      const { outcome, breach } = await verifiedTwice(input, cache);
      const less = run.outcome === ACCEPTED && input.stance?.mode === "live";
      if (breach !== null || !less || outcome === ACCEPTED) return { ...run, breach };
      return { ...run, breach: `verified, but not by verifyEvidence: ${outcome}` };
    },
  };
}

/** By `verifyEvidence`, without a memory and with one: the same facts, or the same refusal. */
function verifiedTwice({ bytes, stance }: Input, cache: EvidenceCache): Promise<Run> {
  const { policy = "{}", nowMs = 0 } = stance ?? {};
  const roots: Uint8Array[] = [];
  JSON.parse(policy, (key, value: unknown) => {
    const digests = key === "roots" && Array.isArray(value) ? value.map(String) : [];
    for (const hex of digests) roots.push(new Uint8Array(Buffer.from(hex, "hex")));
    return value;
  });
  const caches = [null, cache];
  return runTwice(
    () => verifyEvidence(bytes, { roots }, nowMs, caches.shift() ?? null),
    () => undefined,
  );
}
