import { CommandError } from "../exit.ts";
import { requireList, requireObject, requireText } from "../model-metadata.ts";
import type { FileHash, OriginFile } from "./origin.ts";

/** What the hub says of one revision of a repository. */
export interface HubListing {
  /** The commit that the revision was when we asked: 40 hexadecimal digits. */
  readonly commit: string;
  readonly licence: string | null;
  readonly files: readonly OriginFile[];
}

/** No repository of models has more; those that do are data sets. */
const MAX_FILES = 10_000;
const COMMIT = /^[0-9a-f]{40}$/u;
const SHA256 = /^[0-9a-f]{64}$/u;
const LICENCE_TAG = "license:";
const MAX_LICENCE_CHARACTERS = 100;

/**
 * Reads the answer to `GET /api/models/OWNER/NAME/revision/REVISION?blobs=true`.
 *
 * @throws CommandError where it is not of the hub's form.
 */
export function parseHubListing(text: string): HubListing {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed("it is not JSON");
  }
  const root = requireObject(value, "the hub's listing");
  const commit = root["sha"];
  if (typeof commit !== "string" || !COMMIT.test(commit)) throw malformed("sha is no commit");
  const siblings = requireList(root["siblings"], "siblings in the hub's listing");
  if (siblings.length > MAX_FILES) {
    throw malformed(`it has ${siblings.length} files, at most ${MAX_FILES}`);
  }
  return { commit, licence: licenceOf(root), files: siblings.map(parseSibling) };
}

function parseSibling(value: unknown): OriginFile {
  const sibling = requireObject(value, "a file in the hub's listing");
  const path = requireText(sibling["rfilename"], "rfilename in the hub's listing");
  const large = sibling["lfs"];
  if (large === undefined || large === null) {
    const size = parseSize(sibling["size"], path);
    return { path, size, hash: hashOf(sibling["blobId"], COMMIT, "git-blob", path) };
  }
  const lfs = requireObject(large, `lfs of ${path}`);
  const size = parseSize(lfs["size"], path);
  if (sibling["size"] !== undefined && sibling["size"] !== size) {
    throw malformed(`it gives two sizes for ${path}`);
  }
  return { path, size, hash: hashOf(lfs["sha256"], SHA256, "sha256", path) };
}

function parseSize(value: unknown, path: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw malformed(`it gives no size for ${path}`);
}

function hashOf(
  value: unknown,
  form: RegExp,
  algorithm: FileHash["algorithm"],
  path: string,
): FileHash {
  if (typeof value === "string" && form.test(value)) return { algorithm, hex: value };
  throw malformed(`it gives no hash for ${path}`);
}

/** The card's own word, or the tag that the hub makes of it. */
function licenceOf(root: Readonly<Record<string, unknown>>): string | null {
  const card = root["cardData"];
  const named =
    typeof card === "object" && card !== null && "license" in card ? card.license : undefined;
  if (typeof named === "string") return named.slice(0, MAX_LICENCE_CHARACTERS);
  const tags: readonly unknown[] = Array.isArray(root["tags"]) ? root["tags"] : [];
  const tag = tags.find((item) => typeof item === "string" && item.startsWith(LICENCE_TAG));
  if (typeof tag !== "string") return null;
  return tag.slice(LICENCE_TAG.length, LICENCE_TAG.length + MAX_LICENCE_CHARACTERS);
}

function malformed(what: string): CommandError {
  return new CommandError(
    `the hub's listing cannot be used: ${what}`,
    "is HF_ENDPOINT the address of a hub?",
  );
}
