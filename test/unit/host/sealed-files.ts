/** Sealed versions as they lie on a host's disk. What is sealed in them is noise: no host can tell. */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import {
  encodeEnvelope,
  encodeManifest,
  encodeSeal,
  type Envelope,
  sealedBytes,
} from "@countersign/protocol";
import { plant } from "./support.ts";

export const KMS_KEY =
  "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef";
export const KMS_ENVELOPE: Envelope = {
  kind: "aws-kms",
  key: KMS_KEY,
  wrapped: new Uint8Array(184).fill(1),
};
export const FILE_ENVELOPE: Envelope = {
  kind: "file",
  key: "0123456789abcdef0123456789abcdef",
  wrapped: new Uint8Array(60).fill(2),
};

/** The manifest of files with these sizes, as their owner made it. */
export function manifestOf(sizes: Readonly<Record<string, number>>): Uint8Array {
  const entries = Object.entries(sizes).map(([path, size]) => ({
    path,
    size,
    sha256: createHash("sha256").update(path).digest(),
  }));
  return encodeManifest(entries);
}

/** The files of a sealed version, by their paths in its directory. */
export function sealedVersion(
  sizes: Readonly<Record<string, number>>,
  envelope: Envelope = KMS_ENVELOPE,
): Record<string, Uint8Array> {
  const seal = encodeSeal({ manifest: manifestOf(sizes), envelope: encodeEnvelope(envelope) });
  const files = Object.entries(sizes).map(([path, size]) => {
    return [`${path}.sealed`, new Uint8Array(randomBytes(sealedBytes(size)))] as const;
  });
  return { "seal.cbor": seal, ...Object.fromEntries(files) };
}

/** Writes the files of one version below `directory`. */
export async function plantVersion(
  directory: string,
  version: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  await plant(join(directory, version), files);
}
