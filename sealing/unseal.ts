/** Sealed versions opened into a new directory, by somebody who may have their keys. */
import { join } from "node:path";
import { sealedBytes, sealedPath } from "@countersign/protocol";
import { type Conversion, convertFiles } from "./conversion.ts";
import { findSealed, type FoundVersion } from "./listing.ts";
import type { ProviderOf } from "./providers/provider.ts";
import { requireSealed, type SealedVersion } from "./sealed-version.ts";
import { openFile } from "./segments.ts";
import { stageDirectory, type Staging } from "./staging.ts";
import type { Surroundings } from "./surroundings.ts";

const OPEN_FILES: Conversion = { word: "opening", convert: openFile, refusal: "sealing/sealed" };

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
    const convertible = entries.map((entry) => {
      const from = join(version.directory, ...sealedPath(entry.path).split("/"));
      return { entry, from, fromBytes: sealedBytes(entry.size), to: entry.path };
    });
    const opening = { below, key, modelDigest: digest };
    await convertFiles(OPEN_FILES, opening, convertible, staging, around);
  } finally {
    key.fill(0);
  }
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  return { name, digest, files: entries.length, bytes };
}
