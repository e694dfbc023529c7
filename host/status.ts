import { setTimeout as delay } from "node:timers/promises";
import type { EnclaveAddress } from "./enclave-address.ts";
import { HostError } from "./errors.ts";
import { BOOT_PROBE_MS, MAX_STATUS_BYTES, STATUS_TIMEOUT_MS } from "./limits.ts";
import { ask } from "./upstream.ts";

/** What the enclave's `GET /status` says, as far as the host uses it. */
export interface EnclaveStatus {
  readonly phase: string;
  /** Times are Unix seconds. Null before the first epoch. */
  readonly epoch: {
    readonly sequence: number;
    readonly notBefore: number;
    readonly notAfter: number;
  } | null;
  readonly queue: { readonly depth: number; readonly limit: number } | null;
}

/**
 * Asks the enclave at `address` how it is.
 *
 * @throws {@link HostError} `enclave/unreachable`, `enclave/timeout`, `enclave/answer`.
 */
export async function askStatus(
  address: EnclaveAddress,
  timeoutMs: number,
): Promise<EnclaveStatus> {
  const question = { method: "GET", path: "/status", body: null } as const;
  const answer = await ask(address, { ...question, maxBytes: MAX_STATUS_BYTES, timeoutMs });
  if (answer.status !== 200) {
    throw new HostError("enclave/answer", `GET /status answered ${answer.status}`);
  }
  return parseStatus(Buffer.from(answer.bytes).toString("utf8"));
}

/** Asks until the enclave says that it serves: true. False: `signal` came first. */
export async function answersServing(
  address: EnclaveAddress,
  signal: AbortSignal,
): Promise<boolean> {
  while (!signal.aborted) {
    try {
      const { phase } = await askStatus(address, STATUS_TIMEOUT_MS);
      if (phase === "serving") return !signal.aborted;
    } catch (error) {
      // Nobody listens yet.
      if (!(error instanceof HostError)) throw error;
    }
    await delay(BOOT_PROBE_MS);
  }
  return false;
}

/** @throws {@link HostError} `enclave/answer`. */
export function parseStatus(text: string): EnclaveStatus {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HostError("enclave/answer", "GET /status is not JSON", { cause: error });
  }
  const phase = member(value, "phase");
  if (typeof phase !== "string") throw new HostError("enclave/answer", "GET /status has no phase");
  const epoch = member(value, "epoch");
  const sequence = count(epoch, "sequence");
  const notBefore = count(epoch, "notBefore");
  const notAfter = count(epoch, "notAfter");
  const queue = member(value, "queue");
  const depth = count(queue, "depth");
  const limit = count(queue, "limit");
  return {
    phase,
    epoch:
      sequence === null || notBefore === null || notAfter === null
        ? null
        : { sequence, notBefore, notAfter },
    queue: depth === null || limit === null ? null : { depth, limit },
  };
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

function count(value: unknown, name: string): number | null {
  const found = member(value, name);
  return typeof found === "number" && Number.isSafeInteger(found) && found >= 0 ? found : null;
}
