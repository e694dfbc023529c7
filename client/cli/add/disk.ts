import { CommandError } from "../exit.ts";
import { systemCode } from "../files.ts";

/** What `work` yields on our own disk. @throws CommandError for a disk that does not play along. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskError(error, path);
  }
}

/** A failed system call, in words; every other error as it is. */
export function diskError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  const code = systemCode(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new CommandError(
      `the disk is full: ${path} could not be written`,
      "make room and run the same command again: it goes on from there",
    );
  }
  return new CommandError(`cannot write ${path}: ${code}`);
}
