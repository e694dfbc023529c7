import { setTimeout as delay } from "node:timers/promises";
import type { EnclaveCommand } from "./enclave-command.ts";
import { describeExit, type EnclaveExit, type EnclaveProcess } from "./enclave-exit.ts";
import { startEnclave } from "./enclave-process.ts";
import { HostError } from "./errors.ts";
import {
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  BACKOFF_RESET_MS,
  BOOT_TIMEOUT_MS,
  ENCLAVE_STOP_MS,
  STATUS_FAILURES,
  STATUS_INTERVAL_MS,
  STATUS_TIMEOUT_MS,
} from "./limits.ts";
import type { Log } from "./log.ts";
import { askStatus, type EnclaveStatus } from "./status.ts";

/** What the rest of the host knows of the enclave. */
export interface EnclaveView {
  /** Whether exchanges may be sent to it. */
  readonly serving: boolean;
  /** Rises with every enclave that reached "serving": what was cached of another is void. */
  readonly generation: number;
  /** Enclaves that ended by themselves and were started again. */
  readonly restarts: number;
  /** As of the last probe; null while it does not serve. */
  readonly status: EnclaveStatus | null;
}

export interface SupervisorTiming {
  readonly bootTimeoutMs: number;
  readonly statusIntervalMs: number;
  readonly statusTimeoutMs: number;
  readonly statusFailures: number;
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  readonly backoffResetMs: number;
  readonly stopMs: number;
}

export const DEFAULT_TIMING: SupervisorTiming = {
  bootTimeoutMs: BOOT_TIMEOUT_MS,
  statusIntervalMs: STATUS_INTERVAL_MS,
  statusTimeoutMs: STATUS_TIMEOUT_MS,
  statusFailures: STATUS_FAILURES,
  backoffFirstMs: BACKOFF_FIRST_MS,
  backoffMaxMs: BACKOFF_MAX_MS,
  backoffResetMs: BACKOFF_RESET_MS,
  stopMs: ENCLAVE_STOP_MS,
};

type BootOutcome =
  | { readonly kind: "serving"; readonly process: EnclaveProcess }
  | { readonly kind: "exited"; readonly exit: EnclaveExit }
  | { readonly kind: "timeout" };

/**
 * Keeps one enclave running.
 *
 * The first start must succeed: an enclave that refuses its models will refuse them again. After
 * that, one that ends or hangs is started anew, with growing pauses, until {@link stop}.
 */
export class Supervisor implements EnclaveView {
  readonly #command: EnclaveCommand;
  readonly #timing: SupervisorTiming;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  #process: EnclaveProcess | null = null;
  #loop: Promise<void> = Promise.resolve();
  #serving = false;
  #generation = 0;
  #restarts = 0;
  #status: EnclaveStatus | null = null;

  constructor(command: EnclaveCommand, timing: SupervisorTiming, log: Log) {
    this.#command = command;
    this.#timing = timing;
    this.#log = log;
  }

  get serving(): boolean {
    return this.#serving;
  }

  get generation(): number {
    return this.#generation;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get status(): EnclaveStatus | null {
    return this.#status;
  }

  /**
   * Starts the enclave and resolves once it serves. Call it once.
   *
   * @throws {@link HostError} `enclave/boot`, `enclave/timeout`, `enclave/stopped`.
   */
  async start(): Promise<void> {
    if (this.#process !== null) throw new TypeError("the supervisor was started before");
    if (this.#stopping.signal.aborted) {
      throw new HostError("enclave/stopped", "stopped before the enclave started");
    }
    const outcome = await this.#firstBoot();
    if (this.#stopping.signal.aborted) {
      throw new HostError("enclave/stopped", "stopped before the enclave served");
    }
    if (outcome.kind === "serving") {
      this.#loop = this.#keep(outcome.process);
      return;
    }
    if (outcome.kind === "timeout") {
      const found = `the enclave did not serve within ${this.#timing.bootTimeoutMs} ms`;
      throw new HostError("enclave/timeout", found);
    }
    throw new HostError("enclave/boot", `the enclave ${describeExit(outcome.exit)}`);
  }

  /** Ends the enclave and starts no other. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#serving = false;
    await this.#process?.stop(this.#timing.stopMs);
    await this.#loop;
  }

  /** Ends the enclave at once, from a second Ctrl-C or an exit handler. */
  kill(): void {
    this.#stopping.abort();
    this.#serving = false;
    this.#process?.kill();
  }

  /** Whoever runs an attached enclave starts another when one fails: that is not ours to give up on. */
  async #firstBoot(): Promise<BootOutcome> {
    for (;;) {
      const outcome = await this.#boot();
      if (this.#command.kind !== "attached" || outcome.kind !== "exited") return outcome;
      if (this.#stopping.signal.aborted) return outcome;
      this.#logExit(outcome.exit, 0);
      if (await interrupted(this.#timing.backoffFirstMs, this.#stopping.signal)) return outcome;
    }
  }

  async #keep(first: EnclaveProcess): Promise<void> {
    let running: EnclaveProcess | null = first;
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      if (running !== null) {
        const sinceMs = performance.now();
        await this.#watch(running);
        const exit = await running.exited;
        this.#serving = false;
        this.#status = null;
        const uptimeMs = Math.round(performance.now() - sinceMs);
        if (uptimeMs >= this.#timing.backoffResetMs) failures = 0;
        this.#logExit(exit, uptimeMs);
      }
      const pauseMs = this.#pauseMs(failures);
      const interruptedPause = await interrupted(pauseMs, this.#stopping.signal);
      // No await from here to the start of the process: a stop comes before or finds it.
      if (interruptedPause || this.#stopping.signal.aborted) return;
      failures += 1;
      this.#restarts += 1;
      this.#log("enclave-restarting", { restarts: this.#restarts, afterMs: pauseMs });
      running = await this.#restart();
    }
  }

  /** Waiting for an enclave that somebody else starts costs it nothing, so it is not put off. */
  #pauseMs(failures: number): number {
    const { backoffFirstMs, backoffMaxMs } = this.#timing;
    if (this.#command.kind === "attached") return backoffFirstMs;
    return Math.min(backoffMaxMs, backoffFirstMs * 2 ** Math.min(failures, 16));
  }

  async #restart(): Promise<EnclaveProcess | null> {
    const outcome = await this.#boot();
    switch (outcome.kind) {
      case "serving":
        this.#log("enclave-restarted", { restarts: this.#restarts });
        return outcome.process;
      case "timeout":
        this.#log("enclave-boot-timeout", { ms: this.#timing.bootTimeoutMs });
        return null;
      case "exited":
        this.#logExit(outcome.exit, 0);
        return null;
      default:
        return outcome satisfies never;
    }
  }

  /** Starts a process and waits until it serves, ends, or takes too long. */
  async #boot(): Promise<BootOutcome> {
    const started = startEnclave(this.#command, this.#log);
    this.#process = started;
    let late = false;
    const giveUp = (): void => {
      late = true;
      started.kill();
    };
    const isOurs = this.#command.kind !== "attached";
    const timer = isOurs ? setTimeout(giveUp, this.#timing.bootTimeoutMs) : undefined;
    if (!isOurs) this.#log("enclave-awaited");
    const served = await started.served;
    clearTimeout(timer);
    if (!served) {
      const exit = await started.exited;
      return late ? { kind: "timeout" } : { kind: "exited", exit };
    }
    const status = await this.#probe();
    // A stop that came meanwhile has told the process to end already.
    if (!this.#stopping.signal.aborted) {
      this.#status = status;
      this.#generation += 1;
      this.#serving = true;
    }
    return { kind: "serving", process: started };
  }

  /** Probes until the process has ended; ends it when it no longer answers. */
  async #watch(running: EnclaveProcess): Promise<void> {
    let ended = false;
    const ending = new AbortController();
    void running.exited.then(() => {
      ended = true;
      this.#serving = false;
      ending.abort();
    });
    let unanswered = 0;
    while (!(await interrupted(this.#timing.statusIntervalMs, ending.signal))) {
      const status = await this.#probe();
      if (ended || this.#stopping.signal.aborted) continue;
      if (status !== null) {
        this.#status = status;
        unanswered = 0;
        continue;
      }
      unanswered += 1;
      if (unanswered < this.#timing.statusFailures) continue;
      this.#log("enclave-hung", { probes: unanswered });
      this.#serving = false;
      running.kill();
      return;
    }
  }

  async #probe(): Promise<EnclaveStatus | null> {
    try {
      const status = await askStatus(this.#command.address, this.#timing.statusTimeoutMs);
      return status.phase === "serving" ? status : null;
    } catch (error) {
      if (error instanceof HostError) return null;
      throw error;
    }
  }

  #logExit(exit: EnclaveExit, uptimeMs: number): void {
    const { code, signal, reason, model } = exit;
    const refused = model === null ? {} : { model };
    this.#log("enclave-exited", { code, signal, reason, ...refused, uptimeMs });
  }
}

/** Waits `ms`. True: the signal came first. */
async function interrupted(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(ms, undefined, { signal });
    return false;
  } catch (error) {
    if (signal.aborted) return true;
    throw error;
  }
}
