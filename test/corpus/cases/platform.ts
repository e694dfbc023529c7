/** Platforms: which hardware a bundle says made its document. PROTOCOL 3, 9. */
import { type FakeEpoch, type PolicyFile, writeBundle } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { accepted, bundleInput, type Circumstances, type Input, refused } from "../node-case.ts";
import { platformOf } from "../node-policies.ts";
import { enclave, epochWith } from "../node.ts";
import { manyEndorsements } from "./bundle-form.ts";

/** Names of hardware, and what stands behind them. */
export async function bundlePlatforms({ parts }: FakeEpoch): Promise<readonly Case[]> {
  const named = (platform: string, endorsements = 0): Input =>
    bundleInput(writeBundle({ ...parts, platform, endorsements: manyEndorsements(endorsements) }));
  const untrusted = (name: string, what: string, input: Input, rest: Circumstances = {}): Case =>
    refused("platform", "policy/platform", name, what, "PROTOCOL 9", input, rest);
  const twoVendors = { policy: "node-two-vendors" } as const;
  const aws = enclave().sibling({
    moduleId: "i-00000000000000002-enc0000000000000002",
    domain: ".lab-1.aws",
  });
  const hardware = await epochWith({ platform: "aws-nitro" }, aws);
  const onlyAws = (file: PolicyFile): void => {
    file.platforms = { "aws-nitro": platformOf(enclave()) };
  };
  const nitroInput = bundleInput(hardware.bundle);
  return [
    ...["aws-nitrotpm", "amd-sev-snp", "intel-tdx"].map((platform) =>
      untrusted(
        `platform-${platform}`,
        "a platform that this verifier does not know",
        named(platform),
      ),
    ),
    untrusted("platform-with-capital", "a platform with a capital letter", named("Simulated")),
    untrusted("platform-of-128", "a name of as many characters as may be", named("x".repeat(128))),
    untrusted(
      "platform-unknown-with-16-endorsements",
      "an unknown platform with as many endorsements as may be",
      named("amd-sev-snp", 16),
    ),
    untrusted(
      "platform-aws-nitro-not-in-policy",
      "a platform that the policy does not name",
      nitroInput,
    ),
    untrusted(
      "platform-simulated-not-in-policy",
      "a simulation, under a policy for hardware alone",
      named("simulated"),
      { policy: onlyAws },
    ),
    accepted(
      "platform-aws-nitro",
      "a platform whose root the policy names beside its certificate",
      "PROTOCOL 9",
      nitroInput,
      { policy: onlyAws },
    ),
    accepted(
      "platform-simulated-of-two",
      "one of the two platforms that the policy names",
      "PROTOCOL 9",
      named("simulated"),
      twoVendors,
    ),
    refused(
      "chain",
      "chain/root",
      "simulation-passed-off-as-hardware",
      "the bundle says aws-nitro; the document chains to the root of the simulation",
      "PROTOCOL 9",
      named("aws-nitro"),
      twoVendors,
    ),
    refused(
      "chain",
      "evidence/platform",
      "simulation-under-a-root-for-hardware",
      "the bundle says aws-nitro and the policy pins its root so; the leaf is a simulation's",
      "PROTOCOL 3",
      named("aws-nitro"),
      { policy: onlyAws },
    ),
    refused(
      "chain",
      "evidence/platform",
      "hardware-passed-off-as-simulation",
      "the bundle says simulated and the policy pins its root so; the leaf is a Nitro enclave's",
      "PROTOCOL 3",
      bundleInput(writeBundle({ ...hardware.parts, platform: "simulated" })),
    ),
  ];
}
