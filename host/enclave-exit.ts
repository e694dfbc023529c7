/** An enclave that runs, however it came to: when it serves, when and how it ended. */
import type { MemoryNeed } from "./enclave-log.ts";
import { MIB } from "./limits.ts";

/** How an enclave ended. */
export interface EnclaveExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The enclave's own reason, such as `manifest/digest`, if it gave one. */
  readonly reason: string | null;
  /** The model that it refused, as `id/version`, if that was why. */
  readonly model: string | null;
  /** What its models need, and what it found. */
  readonly memory: MemoryNeed | null;
  /** The end of its program's standard error: a crash at start says why only there. */
  readonly detail: string;
}

/** A started enclave. */
export interface EnclaveProcess {
  /** Settles with true in phase "serving", with false when it ended before. */
  readonly served: Promise<boolean>;
  readonly exited: Promise<EnclaveExit>;
  /** Asks it to end, and makes it end after `graceMs`. */
  stop(graceMs: number): Promise<EnclaveExit>;
  /** Ends it as soon as can be. Synchronous, so that an exit handler can. */
  kill(): void;
}

const CHANGED =
  ". The model's files are not those that were hashed a moment ago: let them be, and start again";
/** For a reason that came with a model. */
const MODEL_ADVICE: ReadonlyMap<string, string> = new Map([
  ["model/hash", CHANGED],
  ["model/size", CHANGED],
  ["provision/status", CHANGED],
]);

/** One line for a person: how it ended, and why if it said so. */
export function describeExit(exit: EnclaveExit): string {
  const ended = `ended${howItEnded(exit)}`;
  if (exit.reason !== null) {
    if (exit.model === null) return `${ended}: ${exit.reason}${describeMemory(exit)}`;
    return `${ended}: ${exit.reason} (${exit.model})${MODEL_ADVICE.get(exit.reason) ?? ""}`;
  }
  const detail = exit.detail.trim();
  return detail === "" ? ended : `${ended}: ${detail}`;
}

function describeMemory({ reason, memory }: EnclaveExit): string {
  if (reason !== "boot/memory" || memory === null) return "";
  const [need, have] = [memory.needBytes, memory.haveBytes].map((bytes) => Math.ceil(bytes / MIB));
  return (
    `. The models need ${need} MiB, and the enclave has ${have}: give it more (--memory, with ` +
    "--tee nitro), or texts less (--cache-mib)"
  );
}

function howItEnded({ code, signal }: EnclaveExit): string {
  if (signal !== null) return ` by ${signal}`;
  return code === null ? "" : ` with status ${code}`;
}
