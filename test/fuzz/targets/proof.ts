/** Proofs with an opening and without: the lab's, and the vectors. */
import { appraiseProof, webHashes } from "@countersign/attestation";
import { makeLab } from "../lab.ts";
import { marksIn } from "../oracle/document.ts";
import { requireProof } from "../oracle/epoch.ts";
import { resignProof } from "../resign.ts";
import { vectors } from "../seeds.ts";
import type { Seed, Stance, Target } from "../target.ts";
import { under } from "../tree/element.ts";
import { signedTarget } from "./signed.ts";

export async function makeTarget(seed: number): Promise<Target> {
  const lab = await makeLab(seed);
  const archived = (stance: Stance): Stance => ({ ...stance, mode: "archive" });
  const own: readonly Seed[] = lab.proofs.flatMap((bytes) =>
    [lab.strict, lab.lax].map((stance) => {
      return { bytes, stance: archived(stance), signed: marksIn(bytes), genuine: true };
    }),
  );
  return signedTarget({
    name: "proof",
    batch: 16,
    lab,
    seeds: [...own, ...vectors("proof", "proof.cbor")],
    // A proof is judged in one mode only, without nonce or memory.
    appraise: async (bytes, policy, { nowMs }) =>
      (await appraiseProof(bytes, policy, { nowMs }, webHashes)).verdict,
    oracle: (bytes, judged) => requireProof(bytes, { ...judged, atMs: null, nonce: null }),
    resign: (random, root) => resignProof(random, root, lab.keys),
    document: (root) => under(under(root, 3)?.children[0], 3)?.children[0],
  });
}
