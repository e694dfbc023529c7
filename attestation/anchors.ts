import { encodeHex, equalBytes } from "./bytes.ts";
import { webHashes } from "./hashes.ts";
import type { Platform, Policy } from "./policy.ts";
import { AWS_NITRO_ROOT_SHA256 } from "./roots.ts";
import { Refusal } from "./verdict.ts";

/** Roots of vendors, which a policy names by digest alone. */
const BUILT_IN: ReadonlyMap<Platform, readonly Uint8Array[]> = new Map([
  ["aws-nitro", [AWS_NITRO_ROOT_SHA256]],
]);

/**
 * Requires that every root digest of the policy has a certificate, and every certificate a digest.
 *
 * A digest nobody has a certificate for is a typing error that would otherwise show up as a node
 * that cannot be trusted. Apart from `parsePolicy` because WebCrypto hashes later, not at once.
 *
 * @throws {@link AttestationError} `policy/syntax`.
 */
export async function requireKnownRoots(policy: Policy): Promise<void> {
  for (const [platform, { roots, rootCertificates }] of policy.platforms) {
    const named: Uint8Array[] = [];
    for (const der of rootCertificates) named.push(await webHashes.sha256(der));
    const known = [...named, ...(BUILT_IN.get(platform) ?? [])];
    for (const [i, root] of roots.entries()) {
      if (!known.some((digest) => equalBytes(digest, root))) {
        const at = `/platforms/${platform}/roots/${i}`;
        const wanted = "a built-in root, or its certificate in rootCertificates";
        throw new Refusal("policy/syntax", `${at}: no certificate for ${encodeHex(root)}`, wanted);
      }
    }
    for (const [i, digest] of named.entries()) {
      if (!roots.some((root) => equalBytes(root, digest))) {
        const at = `/platforms/${platform}/rootCertificates/${i}`;
        const wanted = "certificates only of roots that are listed";
        throw new Refusal("policy/syntax", `${at}: ${encodeHex(digest)} is not in roots`, wanted);
      }
    }
  }
}
