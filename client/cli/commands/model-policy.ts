import { encodeHex, type Policy } from "@countersign/attestation";
import type { ExplainedKeyPolicy, KeyPolicyOptions, KeyPolicyRelease } from "@countersign/sealing";

import type { Arguments } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import { CommandError, EXIT, UsageError } from "../exit.ts";
import { requiredText } from "../image-options.ts";
import { loadPolicy } from "../policies.ts";
import { readReleaseFile } from "../release-file.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

/** Registers that are what they will stay when the enclave asks for a key; PCR16 is zero then. */
const KEY_REGISTERS: ReadonlySet<number> = new Set([0, 1, 2, 8]);

export const modelPolicyCommand: Command = {
  name: "model policy",
  summary: "print the KMS key policy under which only released enclaves open your models",
  synopsis: "--release FILE… --account ID --node-role ARN --owner-role ARN [--model SHA]…",
  details: `The policy of a symmetric key of AWS KMS, ready to paste; what each statement is for goes to standard
error. The node's role can decrypt from an enclave whose PCR0, PCR1 and PCR2 are the release's, and do
nothing else; PCR8, too, where the image is signed. For a change of release name both, and later the
new one alone. Nobody decrypts outside an enclave, unless --allow-unseal lets the owner.

--policy FILE takes the measurements from a client's policy in place of a release, and all of them: for
the simulation, which has no release.

example:
  countersign model policy --release release.json --account 111122223333 \\
    --node-role arn:aws:iam::111122223333:role/node --owner-role arn:aws:iam::111122223333:role/owner`,
  options: [
    {
      name: "release",
      value: "FILE",
      description: 'a release that may open models ("countersign release"); repeatable',
      repeatable: true,
    },
    { name: "policy", value: "FILE", description: "or the measurements that this policy allows" },
    { name: "account", value: "ID", description: "the key's AWS account, 12 digits" },
    { name: "node-role", value: "ARN", description: "the role of the host that runs the enclave" },
    { name: "owner-role", value: "ARN", description: "the role, or user, that seals" },
    {
      name: "model",
      value: "DIGEST",
      description: "a model that may be opened (default all that this key seals); repeatable",
      repeatable: true,
    },
    {
      name: "allow-unseal",
      value: null,
      description: "the owner may decrypt without an enclave, for model unseal",
    },
  ],
  operands: [0, 0, ""],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const options: KeyPolicyOptions = {
    account: requiredText(args, "account"),
    nodeRole: requiredText(args, "node-role"),
    ownerRole: requiredText(args, "owner-role"),
    ownerDecrypts: args.flag("allow-unseal"),
    releases: await releasesOf(args),
    models: args.texts("model"),
  };
  // The AWS SDK comes with it, and takes a while.
  const { encodeKeyPolicy, kmsKeyPolicy, SealingError } = await import("@countersign/sealing");
  let explained: ExplainedKeyPolicy;
  try {
    explained = kmsKeyPolicy(options);
  } catch (error) {
    if (!(error instanceof SealingError)) throw error;
    throw new CommandError(printable(error.message));
  }
  if (json) {
    const { policy, explanations } = explained;
    terminal.print(jsonLine({ version: 1, policy, statements: explanations }));
    return EXIT.ok;
  }
  terminal.write(new TextEncoder().encode(encodeKeyPolicy(explained.policy)));
  if (!quiet) explain(terminal, explained, options);
  return EXIT.ok;
}

async function releasesOf(args: Arguments): Promise<readonly KeyPolicyRelease[]> {
  const [files, policy] = [args.texts("release"), args.text("policy")];
  if ((files.length === 0) === (policy === null)) {
    throw new UsageError("want --release or --policy", "one of them: it names the enclaves");
  }
  if (policy !== null) return releasesOfPolicy(await loadPolicy(policy), policy);
  const releases: KeyPolicyRelease[] = [];
  for (const file of files) {
    const { name, measurements } = await readReleaseFile(file);
    releases.push({ name, ...measurements });
  }
  return releases;
}

/** The code that a client's policy allows. A key policy has no words for "unchecked". */
function releasesOfPolicy({ platforms }: Policy, path: string): readonly KeyPolicyRelease[] {
  return [...platforms].flatMap(([platform, { measurements, debug }]) => {
    if (measurements === "unchecked" || debug) {
      const what = debug ? "accepts debug enclaves" : "does not check the code";
      throw new CommandError(`${path} ${what} of "${platform}", and a key is not given to those`);
    }
    return measurements.map(({ name, registers }) => {
      const hex = new Map([...registers].map(([index, value]) => [index, encodeHex(value)]));
      const other = [...hex.keys()].find((index) => !KEY_REGISTERS.has(index));
      if (other !== undefined) {
        throw new CommandError(
          `${path} demands pcr${other} of "${name}", and a key policy of ours has no such condition`,
        );
      }
      const [pcr0 = "", pcr1 = "", pcr2 = ""] = [hex.get(0), hex.get(1), hex.get(2)];
      return { name, pcr0, pcr1, pcr2, pcr8: hex.get(8) ?? null };
    });
  });
}

function explain(
  terminal: Terminal,
  { explanations }: ExplainedKeyPolicy,
  { account, nodeRole }: KeyPolicyOptions,
): void {
  const width = Math.max(...explanations.map(({ sid }) => sid.length));
  for (const { sid, text } of explanations) {
    terminal.note(printable(`${terminal.paint.bold(sid.padEnd(width))}  ${text}`));
  }
  if (nodeRole.split(":")[4] === account) return;
  terminal.note(
    `\nThe node's role is of another account: there it needs a policy that allows kms:Decrypt on this key,` +
      ` too. It adds nothing to what this one allows.`,
  );
}
