/** Sealed versions opened into a new directory, by somebody who may have their keys. */
import { join } from "node:path";
import { sealedBytes, sealedPath } from "@countersign/protocol";
import { openPlain } from "./files.ts";
import { findSealed, type FoundVersion } from "./listing.ts";
import type { ProviderOf } from "./providers/provider.ts";
import { requireSealed, type SealedVersion } from "./sealed-version.ts";
import { openFile } from "./segments.ts";
import { stageDirectory, type Staging } from "./staging.ts";
import type { Surroundings } from "./surroundings.ts";

/** One version that was opened. */
export interface UnsealedModel {
  /** `<id>/<version>`, or "" where one version was named. */
  readonly name: string;
  readonly digest: Uint8Array;
  readonly files: number;
  readonly bytes: number;
}

/**
 * Opens the sealed versions of `directory` into `out`, which only its owner may read.
 *
 * @throws {@link SealingError} `sealing/input`, `sealing/sealed`, `sealing/segment`, `sealing/changed`,
 * `sealing/output`, and the provider's.
 */
export async function unsealModels(
  directory: string,
  out: string,
  providerOf: ProviderOf,
  around: Surroundings,
): Promise<readonly UnsealedModel[]> {
  const versions: (FoundVersion & { readonly sealedAs: SealedVersion })[] = [];
  for (const version of await findSealed(directory)) {
    versions.push({ ...version, sealedAs: await requireSealed(version.directory) });
  }
  const entries = versions.flatMap(({ sealedAs }) => sealedAs.entries);
  around.progress.begin(entries.reduce((sum, { size }) => sum + size, 0));
  return await stageDirectory(out, directory, "owner", async (staging) => {
    const opened: UnsealedModel[] = [];
    for (const { name, sealedAs } of versions) {
      opened.push(await unsealVersion(sealedAs, name, staging, providerOf, around));
    }
    return opened;
  });
}

async function unsealVersion(
  version: SealedVersion,
  name: string,
  staging: Staging,
  providerOf: ProviderOf,
  around: Surroundings,
): Promise<UnsealedModel> {
  const { digest, entries, envelope } = version;
  const below = name === "" ? "" : `${name}/`;
  const provider = await providerOf(envelope);
  const key = await provider.unwrap(envelope, digest);
  try {
    for (const [index, entry] of entries.entries()) {
      const path = join(version.directory, ...sealedPath(entry.path).split("/"));
      const part = `opening ${below}${entry.path}`;
      const task = {
        key,
        modelDigest: digest,
        index,
        entry,
        path,
        onSegment: (bytes: number): void => {
          around.progress.at(part, bytes);
          around.signal.throwIfAborted();
        },
      };
      const from = await openPlain(path, sealedBytes(entry.size), "sealing/sealed");
      try {
        await staging.write(`${below}${entry.path}`, async (to) => {
          await openFile(task, from, to);
        });
      } finally {
        await from.close();
      }
    }
  } finally {
    key.fill(0);
  }
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  return { name, digest, files: entries.length, bytes };
}
