import { randomBytes } from "node:crypto";
import type { Log } from "./log.ts";
import { type Cell, type Histogram, Registry } from "./metrics.ts";
import type { EnclaveView } from "./supervisor.ts";

export type Route = "gateway" | "bundle" | "challenge" | "other";

/**
 * How a request ended. `completed`: the answer went out whole, with a status below 400. `refused`: a
 * 4xx. `unavailable`: a 5xx. `cancelled`: the client left first. `broken`: the enclave broke off
 * mid-answer, so the client's connection was broken too.
 */
export type Outcome = "completed" | "refused" | "unavailable" | "cancelled" | "broken";

const ROUTES: readonly Route[] = ["gateway", "bundle", "challenge", "other"];
const OUTCOMES: readonly Outcome[] = ["completed", "refused", "unavailable", "cancelled", "broken"];
const LATENCY_BOUNDS_SECONDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];

/** One ended request, as it is counted and, if asked for, logged. */
export interface RequestRecord {
  readonly route: Route;
  readonly outcome: Outcome;
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationMs: number;
  readonly requestId: string;
}

/** The node's metrics, and its line for each request. */
export class Observer {
  readonly #registry = new Registry();
  readonly #requests = new Map<string, Cell>();
  readonly #bytesIn: Cell;
  readonly #bytesOut: Cell;
  readonly #latency: Histogram;
  readonly #log: Log | null;

  /** @param log - for a line a request, or null for none. */
  constructor(enclave: EnclaveView, inFlight: () => number, log: Log | null) {
    const registry = this.#registry;
    this.#log = log;
    const names = ["route", "outcome"];
    const help = "Requests that ended, by route and outcome.";
    const requests = registry.counter("countersign_requests_total", help, names);
    for (const route of ROUTES) {
      for (const outcome of OUTCOMES) {
        this.#requests.set(`${route} ${outcome}`, requests.cell(route, outcome));
      }
    }
    this.#bytesIn = registry
      .counter("countersign_request_bytes_total", "Encrypted bytes read from clients.", [])
      .cell();
    this.#bytesOut = registry
      .counter("countersign_response_bytes_total", "Encrypted bytes sent to clients.", [])
      .cell();
    this.#latency = registry.histogram(
      "countersign_exchange_duration_seconds",
      "Exchanges through the gateway, from the request's header to the answer's last byte.",
      LATENCY_BOUNDS_SECONDS,
    );
    registry.gauge("countersign_requests_in_flight", "Exchanges being relayed.", inFlight);
    registerEnclave(registry, enclave);
    registerProcess(registry);
  }

  record(record: RequestRecord): void {
    this.#requests.get(`${record.route} ${record.outcome}`)?.add(1);
    if (record.route === "gateway") {
      this.#bytesIn.add(record.bytesIn);
      this.#bytesOut.add(record.bytesOut);
      this.#latency.observe(record.durationMs / 1000);
    }
    if (this.#log === null) return;
    const { route, outcome, status, bytesIn, bytesOut, durationMs, requestId } = record;
    const ms = Math.round(durationMs * 1000) / 1000;
    this.#log("request", { route, outcome, status, bytesIn, bytesOut, ms, id: requestId });
  }

  /** The Prometheus exposition. */
  render(): string {
    return this.#registry.render();
  }
}

/** Numbers requests: a random word for this process, then a counter. It says nothing of a client. */
export function requestIds(): () => string {
  const prefix = randomBytes(4).toString("hex");
  let count = 0;
  return () => {
    count += 1;
    return `${prefix}-${count.toString(36)}`;
  };
}

/** The outcome of an answer that went out whole. */
export function outcomeOf(status: number): Outcome {
  if (status >= 500) return "unavailable";
  return status >= 400 ? "refused" : "completed";
}

function registerEnclave(registry: Registry, enclave: EnclaveView): void {
  registry.gauge("countersign_enclave_up", "Whether the enclave serves.", () =>
    enclave.serving ? 1 : 0,
  );
  registry.observedCounter(
    "countersign_enclave_restarts_total",
    "Enclaves that ended by themselves and were started again.",
    () => enclave.restarts,
  );
  registry.gauge(
    "countersign_epoch_sequence",
    "Sequence number of the enclave's epoch.",
    () => enclave.status?.epoch?.sequence ?? null,
  );
  registry.gauge(
    "countersign_epoch_not_after_seconds",
    "End of the enclave's epoch, Unix time.",
    () => enclave.status?.epoch?.notAfter ?? null,
  );
  registry.gauge(
    "countersign_queue_depth",
    "Requests waiting for inference.",
    () => enclave.status?.queue?.depth ?? null,
  );
  registry.gauge(
    "countersign_queue_limit",
    "Requests that may wait for inference.",
    () => enclave.status?.queue?.limit ?? null,
  );
}

function registerProcess(registry: Registry): void {
  const startedAt = Date.now() / 1000 - process.uptime();
  registry.gauge(
    "process_start_time_seconds",
    "Start of the host process, Unix time.",
    () => startedAt,
  );
  registry.gauge("process_resident_memory_bytes", "Resident memory of the host process.", () =>
    process.memoryUsage.rss(),
  );
}
