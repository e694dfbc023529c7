/** Policy files. */
import { parsePolicy, requireKnownRoots } from "@countersign/attestation";
import { mutateBytes } from "../bytes.ts";
import { makeLab } from "../lab.ts";
import { requirePolicy } from "../oracle/policy.ts";
import type { Random } from "../random.ts";
import { AWS_STANCE, policyTexts } from "../seeds.ts";
import type { Input, Target } from "../target.ts";
import { mutateJson, readJson, writeJson } from "../tree/json.ts";
import { runTwice } from "./twice.ts";

export async function makeTarget(seed: number): Promise<Target> {
  const lab = await makeLab(seed);
  const own = [lab.strict, lab.lax, AWS_STANCE].map(({ policy }) => encode(policy));
  return {
    name: "policy",
    batch: 64,
    seeds: [
      ...own.map((bytes) => ({ ...inputOf(bytes), genuine: true })),
      ...policyTexts().map((bytes) => ({ ...inputOf(bytes), genuine: false })),
    ],
    mutate,
    run({ bytes }) {
      // As a file is read: what is no UTF-8 becomes replacement characters.
      const text = textOf(bytes);
      return runTwice(
        async () => {
          const policy = parsePolicy(text);
          await requireKnownRoots(policy);
          return policy;
        },
        (policy) => requirePolicy(policy, text),
      );
    },
  };
}

function mutate(random: Random, parent: Input, other: Input): Input {
  const root = random.once(3) ? null : readJson(textOf(parent.bytes));
  if (root === null) return inputOf(mutateBytes(random, parent.bytes, other.bytes));
  mutateJson(random, root, readJson(textOf(other.bytes)) ?? root);
  const text = writeJson(root);
  // White space is free, and the positions in messages count it.
  return inputOf(encode(random.once(4) ? text.replaceAll(",", ",\r\n\t ") : text));
}

function inputOf(bytes: Uint8Array): Input {
  return { bytes, stance: null, signed: [] };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}

function encode(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "utf8"));
}
