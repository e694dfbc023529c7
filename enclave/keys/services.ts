/** The measured file that says which key services this enclave may ask, and whose certificates count. */
import { type KeyService, type KeyServices, parseKeyServices } from "@countersign/protocol";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { EnclaveError } from "../errors.ts";

/** The committed file, or what the image's builder put in its place: measured like the code beside it. */
export const KEY_SERVICES_FILE: string = fileURLToPath(
  new URL("../key-services.json", import.meta.url),
);

/** @throws EnclaveError `key/services` where it cannot be read. */
export function readKeyServices(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new EnclaveError("key/services", "the file of key services cannot be read", { cause });
  }
}

/**
 * What the file says, with every root that it pins found before any is needed.
 *
 * @throws EnclaveError `key/services`, ProtocolError `key-services/structure`.
 */
export function requireKeyServices(bytes: Uint8Array): KeyServices {
  const services = parseKeyServices(bytes);
  const known = knownRoots(services);
  for (const { roots } of services.services) pinned(known, roots);
  return services;
}

/**
 * PEM of the roots that vouch for `service`, and of no other.
 *
 * @throws EnclaveError `key/services` where one is in neither the file nor Node.
 */
export function pinnedRoots(services: KeyServices, service: KeyService): readonly string[] {
  return pinned(knownRoots(services), service.roots);
}

/** PEM by SHA-256. Node's own roots are part of its binary, and so of the image. */
function knownRoots(services: KeyServices): ReadonlyMap<string, string> {
  const all = [...rootCertificates, ...services.rootCertificates];
  return new Map(all.map((pem) => [digestOf(pem), pem]));
}

function pinned(known: ReadonlyMap<string, string>, pins: readonly string[]): readonly string[] {
  return pins.map((pin) => {
    const pem = known.get(pin);
    if (pem === undefined) throw new EnclaveError("key/services", `no certificate for root ${pin}`);
    return pem;
  });
}

/** Of the DER, whatever its text is wrapped in. @throws EnclaveError `key/services`. */
function digestOf(pem: string): string {
  try {
    return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
  } catch (cause) {
    throw new EnclaveError("key/services", "a root is no certificate", { cause });
  }
}
