import { chmodSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostError, systemCode } from "./errors.ts";
import { MAX_SOCKET_PATH_BYTES } from "./limits.ts";
import { type NodeLock, takeLock } from "./lock.ts";

/** The node's own directory, locked, with the paths it needs. */
export interface NodeState {
  readonly lock: NodeLock;
  readonly enclaveSocket: string;
  readonly provisionSocket: string;
  readonly vendorKey: string;
  /** Removes the sockets' directory and the lock. Synchronous, so that an exit handler can. */
  close(): void;
}

const ENCLAVE_SOCKET = "enclave.sock";
const PROVISION_SOCKET = "provision.sock";
const LONGEST_NAME = `/${PROVISION_SOCKET}`;

/**
 * Makes and locks the state directory.
 *
 * It removes no more than it made: the sockets by their names, and their directory once it is empty.
 *
 * @throws {@link HostError} `state/locked`, `state/unusable`, `socket/path`.
 */
export function openState(directory: string, listen: string): NodeState {
  makeDirectory(directory);
  const nested = join(directory, "run");
  const fits = Buffer.byteLength(nested + LONGEST_NAME) <= MAX_SOCKET_PATH_BYTES;
  const run = fits ? nested : temporaryDirectory();
  const lock = takeLockOr(directory, listen, run, () => {
    if (!fits) removeSockets(run);
  });
  const close = (): void => {
    removeSockets(run);
    lock.release();
  };
  try {
    // What a dead node left: its sockets here, or its own temporary directory.
    removeAbandoned(lock.takenOver?.run ?? "");
    removeSockets(nested);
    makeDirectory(run);
    chmodSync(run, 0o700);
  } catch (error) {
    close();
    throw error;
  }
  return {
    lock,
    enclaveSocket: join(run, ENCLAVE_SOCKET),
    provisionSocket: join(run, PROVISION_SOCKET),
    vendorKey: join(directory, "simulated-vendor.pem"),
    close,
  };
}

const TEMPORARY_PREFIX = "countersign-";

function takeLockOr(directory: string, listen: string, run: string, undo: () => void): NodeLock {
  try {
    return takeLock(directory, listen, run);
  } catch (error) {
    undo();
    throw error;
  }
}

/** Private when it is new; one that is there stays as its owner made it. */
function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (!statSync(directory).isDirectory()) throw new TypeError("not a directory");
  } catch (error) {
    throw new HostError(
      "state/unusable",
      `cannot use ${directory} (${systemCode(error) ?? "not a directory"}): ` +
        `name a directory that this user may write with --state`,
      { cause: error },
    );
  }
}

function removeSockets(run: string): void {
  try {
    for (const name of [ENCLAVE_SOCKET, PROVISION_SOCKET]) rmSync(join(run, name), { force: true });
    rmdirSync(run);
  } catch (error) {
    // Not there, no directory, or one that holds what is not ours.
    const left = ["ENOENT", "ENOTDIR", "ENOTEMPTY", "EEXIST"];
    if (!left.includes(systemCode(error) ?? "")) throw error;
  }
}

/** The path of a Unix socket is short: a state directory that lies deep has its sockets here. */
function temporaryDirectory(): string {
  const run = mkdtempSync(join(tmpdir(), TEMPORARY_PREFIX));
  if (Buffer.byteLength(run + LONGEST_NAME) <= MAX_SOCKET_PATH_BYTES) return run;
  removeSockets(run);
  throw new HostError(
    "socket/path",
    `${run} is too long for the path of a Unix socket (${MAX_SOCKET_PATH_BYTES} bytes): ` +
      `use a shorter --state, or a shorter TMPDIR`,
  );
}

/** Only a directory of the form that {@link temporaryDirectory} makes: the file could say anything. */
function removeAbandoned(run: string): void {
  const prefix = join(tmpdir(), TEMPORARY_PREFIX);
  if (!run.startsWith(prefix) || !/^[A-Za-z0-9]{6}$/u.test(run.slice(prefix.length))) return;
  removeSockets(run);
}
