import { open, writeFile } from "node:fs/promises";

import { CommandError } from "./exit.ts";

/** Modes of new files, less what the process's umask takes away. */
const EVERYBODY = 0o666;
const OWNER_ONLY = 0o600;

/** No file that we read is larger: proofs are at most 256 MiB. */
const MAX_FILE_BYTES = 1 << 30;

/** What {@link readUserFile} says of a directory, for whoever can say more. */
export const DIRECTORY = "it is a directory";

const REASONS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "there is no such file"],
  ["EISDIR", DIRECTORY],
  ["EACCES", "you may not read it"],
]);

/** All of a file. @throws CommandError, exit code 2, where it cannot be read, or is above 1 GiB. */
export async function readUserFile(path: string, what: string): Promise<Uint8Array> {
  const bytes = await readAll(path).catch((error: unknown) => {
    const code = systemCode(error);
    throw new CommandError(`cannot read ${what} ${path}: ${REASONS.get(code) ?? code}`);
  });
  if (bytes !== null) return bytes;
  throw new CommandError(`cannot read ${what} ${path}: it is larger than ${MAX_FILE_BYTES} bytes`);
}

/** Null where it is too large. A device has no size and need not end, so that reading counts. */
async function readAll(path: string): Promise<Uint8Array | null> {
  const file = await open(path);
  try {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of file.createReadStream({ autoClose: false })) {
      if (!(part instanceof Uint8Array)) throw new TypeError("a file's part is no bytes");
      size += part.length;
      if (size > MAX_FILE_BYTES) return null;
      parts.push(part);
    }
    return new Uint8Array(Buffer.concat(parts));
  } finally {
    await file.close();
  }
}

/** Writes a file; `exclusive` refuses one that exists. @throws CommandError where it cannot. */
export async function writeUserFile(
  path: string,
  content: Uint8Array | string,
  what: string,
  exclusive: boolean,
  mode: number = EVERYBODY,
): Promise<void> {
  try {
    await writeFile(path, content, { flag: exclusive ? "wx" : "w", mode });
  } catch (error) {
    const code = systemCode(error);
    const reason = code === "EEXIST" ? "it exists" : code === "ENOENT" ? "no such directory" : code;
    throw new CommandError(`cannot write ${what} ${path}: ${reason}`);
  }
}

/** Writes a proof, for its owner alone: its opening is the request and the answer in the clear. */
export async function writeProof(path: string, proof: Uint8Array): Promise<void> {
  await writeUserFile(path, proof, "the proof", false, OWNER_ONLY);
}

/** All of standard input, or null where it is longer than `limit` bytes. */
export async function readStandardInput(limit: number): Promise<Uint8Array | null> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of process.stdin as AsyncIterable<Uint8Array>) {
    size += part.length;
    if (size > limit) return null;
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** The name of a failed system call's error, or its message. */
export function systemCode(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
