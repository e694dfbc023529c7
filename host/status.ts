import { HostError } from "./errors.ts";
import { MAX_STATUS_BYTES } from "./limits.ts";
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
 * Asks the enclave at `socketPath` how it is.
 *
 * @throws {@link HostError} `enclave/unreachable`, `enclave/timeout`, `enclave/answer`.
 */
export async function askStatus(socketPath: string, timeoutMs: number): Promise<EnclaveStatus> {
  const question = { method: "GET", path: "/status", body: null } as const;
  const answer = await ask(socketPath, { ...question, maxBytes: MAX_STATUS_BYTES, timeoutMs });
  if (answer.status !== 200) {
    throw new HostError("enclave/answer", `GET /status answered ${answer.status}`);
  }
  return parseStatus(Buffer.from(answer.bytes).toString("utf8"));
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
