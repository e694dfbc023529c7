/** The option `--key-services` of commands that build an image, or measure a simulation. */
import { parseKeyServices, ProtocolError } from "@countersign/protocol";

import type { Arguments } from "./arguments.ts";
import { CommandError } from "./exit.ts";
import { readUserFile } from "./files.ts";
import { userPath } from "./paths.ts";

/**
 * The file of key services that replaces the checkout's own; null where none is named.
 *
 * @throws CommandError where it cannot be read, or is none.
 */
export async function keyServicesFile(args: Arguments): Promise<string | null> {
  const path = args.text("key-services");
  if (path === null) return null;
  const bytes = await readUserFile(userPath(path), "the key services");
  try {
    parseKeyServices(bytes);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new CommandError(`${path}: ${error.message}`);
  }
  return userPath(path);
}
