/** A new envelope around the same data key: no segment is read, let alone written. */
import { encodeEnvelope, encodeSeal, type Envelope, SEAL_PATH } from "@countersign/protocol";
import { findSealed } from "./listing.ts";
import type { KeyProvider, ProviderOf } from "./providers/provider.ts";
import { requireSealed, type SealedVersion } from "./sealed-version.ts";
import { replaceFile } from "./staging.ts";

/** One version that has another envelope. */
export interface ResealedModel {
  /** `<id>/<version>`, or "" where one version was named. */
  readonly name: string;
  readonly digest: Uint8Array;
  readonly before: Envelope;
  readonly after: Envelope;
  /** `key-service`: KMS moved the key itself. `here`: the data key was in this process. */
  readonly moved: "key-service" | "here";
}

/** The key that versions get. */
export interface NewKey {
  readonly provider: KeyProvider;
  /**
   * Moves the wrapped key of an envelope without showing it; null where nobody can do that between
   * these two keys.
   */
  reencrypt(envelope: Envelope): ((modelDigest: Uint8Array) => Promise<Envelope>) | null;
}

/**
 * Replaces the envelopes of the sealed versions in `directory`, one after the other, each in one step.
 *
 * What the old envelope opens stays the same: a copy of it opens the segments as long as the old key is
 * there. @throws {@link SealingError} `sealing/input`, `sealing/sealed`, `sealing/output`, and the
 * providers'.
 */
export async function resealModels(
  directory: string,
  providerOf: ProviderOf,
  newKey: NewKey,
  onResealed: (model: ResealedModel) => void,
): Promise<void> {
  const versions: { readonly name: string; readonly version: SealedVersion }[] = [];
  for (const { name, directory: at } of await findSealed(directory)) {
    versions.push({ name, version: await requireSealed(at) });
  }
  for (const { name, version } of versions) {
    const { manifest, digest, envelope: before } = version;
    const reencrypt = newKey.reencrypt(before);
    const after =
      reencrypt === null
        ? await rewrap(version, await providerOf(before), newKey.provider)
        : await reencrypt(digest);
    const seal = encodeSeal({ manifest, envelope: encodeEnvelope(after) });
    await replaceFile(version.directory, SEAL_PATH, seal);
    const moved = reencrypt === null ? "here" : "key-service";
    onResealed({ name, digest, before, after, moved });
  }
}

async function rewrap(
  { envelope, digest }: SealedVersion,
  from: KeyProvider,
  to: KeyProvider,
): Promise<Envelope> {
  const key = await from.unwrap(envelope, digest);
  try {
    return await to.wrap(key, digest);
  } finally {
    key.fill(0);
  }
}
