import { EnclaveError } from "../errors.ts";

/** What of `process` changes who runs it. POSIX only. */
export interface Identity {
  geteuid?(): number;
  setgroups?(groups: readonly number[]): void;
  setgid?(id: number): void;
  setuid?(id: number): void;
}

/**
 * Gives up root for good, in every thread; where the process is not root, nothing is to be given up.
 *
 * @throws EnclaveError `boot/privileges` where it stays root.
 */
export function dropRoot(user: number, identity: Identity = process): void {
  try {
    if (effectiveUser(identity) !== 0) return;
    // In this order: without root, groups could not be given up any more.
    identity.setgroups?.([]);
    identity.setgid?.(user);
    identity.setuid?.(user);
    if (effectiveUser(identity) !== user) throw new Error("still root");
  } catch (cause) {
    throw new EnclaveError("boot/privileges", `root could not be given up for ${user}`, { cause });
  }
}

function effectiveUser(identity: Identity): number {
  const user = identity.geteuid?.();
  if (user === undefined) throw new Error("no POSIX system");
  return user;
}
