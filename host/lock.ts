/**
 * One node for a state directory: `node.json` names the process that has it.
 *
 * The file appears with its content in one step (link(2)), so a reader never sees half of it. A
 * process id alone says little where ids are reused, in a container above all: the time at which
 * the process started, as the kernel tells it, must agree as well.
 */
import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HostError, systemCode } from "./errors.ts";

/** What `node.json` says. */
export interface LockRecord {
  readonly pid: number;
  /** The address as asked for, then the URL once it is bound. */
  readonly listen: string;
  /** Start of the process in clock ticks since boot, or null where the kernel does not say. */
  readonly startTicks: string | null;
  /** Directory of the sockets. */
  readonly run: string;
}

/** A held lock. */
export interface NodeLock {
  /** Whether a dead node's lock was taken over. */
  readonly takenOver: LockRecord | null;
  /** Writes the address that was bound. */
  update(listen: string): void;
  /** Removes the lock. Safe to call twice and from an exit handler. */
  release(): void;
}

const LOCK_NAME = "node.json";

/**
 * Takes the lock of `directory`, over a dead process if need be.
 *
 * @throws {@link HostError} `state/locked` while its process lives, `state/unusable`.
 */
export function takeLock(directory: string, listen: string, run: string): NodeLock {
  const path = join(directory, LOCK_NAME);
  const own = { pid: process.pid, listen, startTicks: startTicks(process.pid), run };
  let takenOver: LockRecord | null = null;
  while (!create(path, own)) {
    const text = readLock(path);
    if (text === null) continue;
    const found = parseLock(text);
    if (found !== null && isAlive(found)) throw locked(directory, found);
    // The file could have changed hands since it was read: what was moved away must be what was
    // read, or it goes back.
    const aside = `${path}.${randomBytes(6).toString("hex")}`;
    if (!move(path, aside)) continue;
    const moved = readLock(aside);
    if (moved !== text) restore(aside, path);
    rmSync(aside, { force: true });
    if (moved === text) takenOver = found;
  }
  let held = true;
  return {
    takenOver,
    update: (bound) => {
      if (!held) return;
      const temporary = `${path}.${randomBytes(6).toString("hex")}`;
      writeFileSync(temporary, encodeLock({ ...own, listen: bound }), { mode: 0o600 });
      renameSync(temporary, path);
    },
    release: () => {
      if (!held) return;
      held = false;
      rmSync(path, { force: true });
    },
  };
}

function locked(directory: string, found: LockRecord): HostError {
  return new HostError(
    "state/locked",
    `process ${found.pid} already runs a node with ${directory}, at ${found.listen}. ` +
      `Stop it (kill ${found.pid}), or give this node its own --state directory`,
  );
}

function encodeLock(record: LockRecord): string {
  return `${JSON.stringify(record)}\n`;
}

/** Whether the lock file was made. False: there is one. */
function create(path: string, record: LockRecord): boolean {
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    writeFileSync(temporary, encodeLock(record), { mode: 0o600, flag: "wx" });
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw new HostError("state/unusable", `cannot write ${path}: ${systemCode(error) ?? "error"}`, {
      cause: error,
    });
  } finally {
    rmSync(temporary, { force: true });
  }
}

function readLock(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return null;
    throw new HostError("state/unusable", `cannot read ${path}: ${systemCode(error) ?? "error"}`, {
      cause: error,
    });
  }
}

function move(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
}

function restore(aside: string, path: string): void {
  try {
    linkSync(aside, path);
    unlinkSync(aside);
  } catch (error) {
    // Someone else has the lock by now: theirs stays.
    if (systemCode(error) !== "EEXIST") throw error;
  }
}

/** The record, or null where the file is not one: such a file has no owner. */
function parseLock(text: string): LockRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  if (!("pid" in value) || !("listen" in value) || !("startTicks" in value)) return null;
  const { pid, listen, startTicks: ticks } = value;
  if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid < 1) return null;
  if (typeof listen !== "string" || (ticks !== null && typeof ticks !== "string")) return null;
  const run = "run" in value && typeof value.run === "string" ? value.run : "";
  return { pid, listen, startTicks: ticks, run };
}

function isAlive(record: LockRecord): boolean {
  // This process holds no lock yet, so a record with its own id is left from an earlier life.
  if (record.pid === process.pid) return false;
  try {
    process.kill(record.pid, 0);
  } catch (error) {
    if (systemCode(error) === "ESRCH") return false;
  }
  const now = startTicks(record.pid);
  return now === null || record.startTicks === null || now === record.startTicks;
}

/** Field 22 of /proc/PID/stat, proc_pid_stat(5); the second field may hold spaces and brackets. */
function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}
