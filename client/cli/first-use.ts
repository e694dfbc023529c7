import { createHash } from "node:crypto";

import {
  AttestationError,
  AWS_NITRO_ROOT,
  encodeHex,
  equalBytes,
  parseBundle,
  parseEvidence,
  parseModelSet,
} from "@countersign/attestation";

import { CommandError, EXIT } from "./exit.ts";
import { composePolicy, encodePolicy, type PolicyFile } from "./policies.ts";

const CODE_REGISTERS = [0, 1, 2] as const;
const NAME = "first-use";
const PEM_LINE = /.{1,64}/gu;

/**
 * The policy that trusts whatever a node's bundle claims: trust on first use.
 *
 * Nothing of the claims is verified here. A policy for enclaves in debug mode is not written, since
 * that would be no trust but blindness.
 */
export function firstUsePolicy(bundle: Uint8Array, nowMs: number): PolicyFile {
  try {
    const { platform, evidence, models } = parseBundle(bundle);
    const unverifiedClaims = parseEvidence(evidence);
    const [root] = unverifiedClaims.cabundle;
    if (root === undefined)
      throw new CommandError("the node's document names no root", null, EXIT.rejected);
    requireVendorsRoot(platform, root);
    const registers = CODE_REGISTERS.map((index) => {
      const value = unverifiedClaims.pcrs.get(index) ?? new Uint8Array(0);
      if (value.every((byte) => byte === 0)) {
        throw new CommandError(
          `register ${index} of the node is zero: the enclave is in debug mode, which hides nothing`,
          "ask the operator to start it without debug mode",
          EXIT.rejected,
        );
      }
      return [`pcr${index}`, encodeHex(value)] as const;
    });
    const entry = {
      roots: [createHash("sha256").update(root).digest("hex")],
      rootCertificates: [pemOf(root)],
      measurements: [{ name: NAME, ...Object.fromEntries(registers) }],
      debug: false,
    };
    const policy = composePolicy(platform, entry, parseModelSet(models), nowMs);
    // A platform we do not know, no models: what makes no policy is the bundle's fault, not ours.
    encodePolicy(policy);
    return policy;
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    throw new CommandError(
      `the node's bundle makes no policy: ${error.message}`,
      null,
      EXIT.rejected,
    );
  }
}

/**
 * First use may decide which code and which simulation to trust, not what the word "aws-nitro" means:
 * every later verdict would name hardware that was never there.
 *
 * @throws CommandError
 */
function requireVendorsRoot(platform: string, root: Uint8Array): void {
  if (platform !== "aws-nitro" || equalBytes(root, AWS_NITRO_ROOT.der)) return;
  throw new CommandError(
    "the node says that it is AWS Nitro, but its root certificate is not AWS's",
    "do not use this node; nothing is written",
    EXIT.rejected,
  );
}

function pemOf(der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").match(PEM_LINE) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
