/** Bundles: the lab's, and the vectors. */
import { appraiseBundle } from "@countersign/attestation";
import { makeLab } from "../lab.ts";
import { marksIn } from "../oracle/document.ts";
import { requireBundle } from "../oracle/epoch.ts";
import { resignBundle } from "../resign.ts";
import { vectors } from "../seeds.ts";
import type { Seed, Target } from "../target.ts";
import { under } from "../tree/element.ts";
import { signedTarget } from "./signed.ts";

export async function makeTarget(seed: number): Promise<Target> {
  const lab = await makeLab(seed);
  const challenged = { ...lab.strict, nonce: lab.challenge };
  const own: readonly Seed[] = lab.bundles.flatMap((bytes, i) =>
    [lab.strict, lab.lax, challenged].map((stance) => {
      const genuine = stance !== challenged || i === 1;
      return { bytes, stance, signed: marksIn(bytes), genuine };
    }),
  );
  return signedTarget({
    name: "bundle",
    batch: 16,
    lab,
    seeds: [...own, ...vectors("bundle", "bundle.cbor")],
    appraise: async (bytes, policy, context) =>
      (await appraiseBundle(bytes, policy, context)).verdict,
    oracle: (bytes, judged) => void requireBundle(bytes, judged),
    resign: (random, root) => resignBundle(random, root, lab.keys),
    document: (root) => under(root, 3)?.children[0],
  });
}
