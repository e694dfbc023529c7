/** The option `--key-services` of commands that build an image, or measure a simulation. */
import { createHash, X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";

import { type KeyServices, parseKeyServices, ProtocolError } from "@countersign/protocol";

import type { Arguments } from "./arguments.ts";
import { CommandError } from "./exit.ts";
import { readUserFile } from "./files.ts";
import { userPath } from "./paths.ts";

/**
 * The file of key services that replaces the checkout's own; null where none is named.
 *
 * @throws CommandError where it cannot be read, is none, or would end each boot of its enclave.
 */
export async function keyServicesFile(args: Arguments): Promise<string | null> {
  const path = args.text("key-services");
  if (path === null) return null;
  const bytes = await readUserFile(userPath(path), "the key services");
  try {
    requireRoots(parseKeyServices(bytes), path);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new CommandError(`${path}: ${error.message}`);
  }
  return userPath(path);
}

/** The enclave finds them among its own, and says no more than `key/services` where it does not. */
function requireRoots({ services, rootCertificates: named }: KeyServices, path: string): void {
  const known = new Set([...rootCertificates, ...named].map((pem) => digestOf(pem, path)));
  for (const { endpoint, roots } of services) {
    const missing = roots.find((pin) => !known.has(pin));
    if (missing === undefined) continue;
    throw new CommandError(
      `${path}: no certificate has the SHA-256 ${missing}, a root of ${endpoint}`,
      'put it in "rootCertificates" as PEM, unless Node has it',
    );
  }
}

function digestOf(pem: string, path: string): string {
  try {
    return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
  } catch {
    throw new CommandError(`${path}: a certificate in it cannot be read`);
  }
}
