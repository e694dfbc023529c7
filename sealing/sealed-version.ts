/** A sealed version on the disk: its seal, and whether every file is there that it names. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  type Envelope,
  type ManifestEntry,
  MAX_SEAL_BYTES,
  parseEnvelope,
  parseManifest,
  parseSeal,
  ProtocolError,
  SEAL_PATH,
  sealedBytes,
  sealedPath,
} from "@countersign/protocol";
import { SealingError } from "./errors.ts";
import { readSmall } from "./files.ts";
import { listFiles } from "./listing.ts";

export interface SealedVersion {
  readonly directory: string;
  readonly manifest: Uint8Array;
  /** SHA-256 of the manifest. Nobody vouches for it before the files have been opened. */
  readonly digest: Uint8Array;
  readonly entries: readonly ManifestEntry[];
  readonly envelope: Envelope;
}

/**
 * Reads the seal of `directory`. Needs no key.
 *
 * @throws {@link SealingError} `sealing/sealed`.
 */
export async function readSealed(directory: string): Promise<SealedVersion> {
  const { bytes } = await readSmall(join(directory, SEAL_PATH), MAX_SEAL_BYTES, "sealing/sealed");
  try {
    const { manifest, envelope } = parseSeal(bytes);
    return {
      directory,
      manifest,
      digest: new Uint8Array(createHash("sha256").update(manifest).digest()),
      entries: parseManifest(manifest),
      envelope: parseEnvelope(envelope),
    };
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    const message = `${join(directory, SEAL_PATH)}: ${cause.message}`;
    throw new SealingError("sealing/sealed", message, { cause });
  }
}

/**
 * What lies in the directory otherwise than the seal says; empty where it is whole.
 *
 * Names and lengths only: whether a segment opens is seen with the key.
 */
export async function sealedFaults(version: SealedVersion): Promise<readonly string[]> {
  const expected = new Map(
    version.entries.map(({ path, size }) => [sealedPath(path), sealedBytes(size)]),
  );
  const faults: string[] = [];
  const foreign = (path: string, found: string): void => {
    faults.push(`${path} ${found}`);
  };
  for (const { path, size } of await listFiles(version.directory, foreign)) {
    if (path === SEAL_PATH) continue;
    const want = expected.get(path);
    if (want === undefined) faults.push(`${path} does not belong here`);
    else if (size !== want) faults.push(`${path} has ${size} bytes, want ${want}`);
    expected.delete(path);
  }
  for (const path of expected.keys()) faults.push(`${path} is missing`);
  return faults;
}

/** {@link readSealed}, of a version that is whole. @throws {@link SealingError} `sealing/sealed`. */
export async function requireSealed(directory: string): Promise<SealedVersion> {
  const version = await readSealed(directory);
  const [fault, ...others] = await sealedFaults(version);
  if (fault === undefined) return version;
  const more = others.length === 0 ? "" : `, and ${others.length} more`;
  throw new SealingError("sealing/sealed", `${directory}: ${fault}${more}`);
}
