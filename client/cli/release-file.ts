import { MAX_RELEASE_BYTES, parseRelease, type Release } from "@countersign/image";

import { CommandError } from "./exit.ts";
import { readUserFile } from "./files.ts";
import { imageFailure } from "./image-options.ts";
import { userPath } from "./paths.ts";

/** Reads a release file that the user named. @throws CommandError */
export async function readReleaseFile(path: string): Promise<Release> {
  const bytes = await readUserFile(userPath(path), "the release");
  if (bytes.length > MAX_RELEASE_BYTES) {
    throw new CommandError(`${path} has ${bytes.length} bytes: it is no release file`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CommandError(`${path} is not UTF-8: it is no release file`);
  }
  try {
    return parseRelease(text);
  } catch (error) {
    throw imageFailure(error);
  }
}
