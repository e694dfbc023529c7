/** A version of a model, or every version of a repository, sealed into a new directory. */
import {
  encodeEnvelope,
  encodeSeal,
  type Envelope,
  SEAL_PATH,
  sealedPath,
} from "@countersign/protocol";
import { type Conversion, convertFiles } from "./conversion.ts";
import { findVersions, type FoundVersion, type ListedFile } from "./listing.ts";
import { hashPlain, listPlain, type PlainVersion } from "./plain-version.ts";
import type { KeyProvider } from "./providers/provider.ts";
import { sealFile } from "./segments.ts";
import { stageDirectory, type Staging } from "./staging.ts";
import type { Surroundings } from "./surroundings.ts";

const SEAL_FILES: Conversion = { word: "sealing", convert: sealFile, refusal: "sealing/input" };

/** One version that was sealed. */
export interface SealedModel {
  /** `<id>/<version>`, or "" where one version was named. */
  readonly name: string;
  readonly digest: Uint8Array;
  readonly files: number;
  /** Of the plaintext. */
  readonly bytes: number;
  readonly envelope: Envelope;
}

/**
 * Seals what `directory` holds into `out`, which is there whole in the end or not at all.
 *
 * @throws {@link SealingError} `sealing/input`, `sealing/changed`, `sealing/output`, and the provider's.
 */
export async function sealModels(
  directory: string,
  out: string,
  provider: KeyProvider,
  around: Surroundings,
): Promise<readonly SealedModel[]> {
  // 1. What there is, before anything is read, so that a mistake is found at once.
  const found = await findVersions(directory);
  const versions: (FoundVersion & { readonly files: readonly ListedFile[] })[] = [];
  for (const version of found) {
    versions.push({ ...version, files: await listPlain(version.directory) });
  }
  // 2. The tags need the model's digest, and the digest every byte: each file is read twice.
  const bytes = versions.flatMap(({ files }) => files).reduce((sum, { size }) => sum + size, 0);
  around.progress.begin(2 * bytes);
  return await stageDirectory(out, directory, "everybody", async (staging) => {
    const sealed: SealedModel[] = [];
    for (const { directory: at, name, files } of versions) {
      const below = name === "" ? "" : `${name}/`;
      const plain = await hashPlain(at, below, files, around);
      sealed.push(await sealVersion(plain, name, staging, provider, around));
    }
    return sealed;
  });
}

async function sealVersion(
  plain: PlainVersion,
  name: string,
  staging: Staging,
  provider: KeyProvider,
  around: Surroundings,
): Promise<SealedModel> {
  const { manifest, digest, files } = plain;
  const below = name === "" ? "" : `${name}/`;
  const { key, envelope } = await provider.generate(digest);
  try {
    const convertible = files.map(({ entry, file: from }) => {
      return { entry, from, fromBytes: entry.size, to: sealedPath(entry.path) };
    });
    const version = { below, key, modelDigest: digest };
    await convertFiles(SEAL_FILES, version, convertible, staging, around);
  } finally {
    key.fill(0);
  }
  const seal = encodeSeal({ manifest, envelope: encodeEnvelope(envelope) });
  await staging.write(`${below}${SEAL_PATH}`, async (to) => await to.writeFile(seal));
  const bytes = files.reduce((sum, { entry }) => sum + entry.size, 0);
  return { name, digest, files: files.length, bytes, envelope };
}
