/** A whole node: lock, models, sockets, enclave, public address, in this order, undone in reverse. */
import { access, constants, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { createHostListener } from "./app.ts";
import type { NodeOptions } from "./args.ts";
import { TokenBucket } from "./bucket.ts";
import { BundleCache } from "./bundle.ts";
import { Challenger } from "./challenge.ts";
import { EnclaveContact } from "./contact.ts";
import { defaultChain } from "./credentials.ts";
import { type EnclaveCommand, type EnclaveSetting, isScript } from "./enclave-command.ts";
import type { EnclaveAddress, ServicesAddress } from "./enclave-address.ts";
import { HostError, systemCode } from "./errors.ts";
import { type NeededKeyServices, neededKeyServices } from "./key-services.ts";
import {
  ANSWER_TIMEOUT_MS,
  CHALLENGE_BURST,
  CHALLENGES_PER_SECOND,
  IDLE_TIMEOUT_MS,
  RUNNER_STOP_MS,
  STOP_GRACE_MS,
} from "./limits.ts";
import { formatAddress, listenPublicly, type PublicServer } from "./listen.ts";
import type { Log } from "./log.ts";
import { Observer, requestIds } from "./observe.ts";
import { keyAccess, serveProvisioning } from "./provision.ts";
import { InFlight } from "./relay.ts";
import { type NodeState, openState } from "./state.ts";
import { type ModelStore, scanModels } from "./store.ts";
import { Supervisor, type SupervisorTiming } from "./supervisor.ts";
import { openUpstream, type Upstream } from "./upstream.ts";

/** What makes the enclave: paths and wishes are the node's, the program is the caller's. */
export type EnclaveFactory = (setting: EnclaveSetting) => EnclaveCommand;

export interface NodeParts {
  readonly options: NodeOptions;
  readonly enclave: EnclaveFactory;
  readonly timing: SupervisorTiming;
  readonly log: Log;
}

/**
 * A node from its start to its end. {@link start} once, {@link stop} once it resolved; {@link kill}
 * at any time.
 */
export class Node {
  readonly #parts: NodeParts;
  readonly #inFlight = new InFlight();
  /** What was opened, latest last. */
  readonly #undo: (() => Promise<void>)[] = [];
  #supervisor: Supervisor | null = null;
  #public: PublicServer | null = null;
  #upstream: Upstream | null = null;
  #state: NodeState | null = null;
  #stopping = false;
  #running = false;

  constructor(parts: NodeParts) {
    this.#parts = parts;
  }

  /**
   * Resolves with the node's URL once the enclave serves.
   *
   * @throws {@link HostError} whatever stands in the way; nothing is left behind.
   */
  async start(): Promise<string> {
    const { options, log } = this.#parts;
    try {
      await requireImage(options);
      const state = openState(options.state, formatAddress(options.listen));
      this.#state = state;
      this.#onStop(() => {
        state.close();
      });
      if (state.lock.takenOver !== null) log("lock-taken-over", { pid: state.lock.takenOver.pid });
      const store = await scanModels(options.models);
      const keyServices = await neededKeyServices(options.keyServices, store.models);
      this.#logStore(store, keyServices);
      const contact = new EnclaveContact(log);
      const command = this.#command(state, contact);
      const supervisor = this.#supervise(command);
      const url = await this.#listen(command.address, supervisor);
      state.lock.update(url);
      log("bound", { url, pid: process.pid });
      const services = servicesOf(options, state);
      const choice = { ...options, cpus: cpusOf(options) };
      const keys = keyAccess(keyServices, defaultChain, log);
      const provision = await serveProvisioning(services, store.models, choice, contact, keys);
      this.#onStop(() => provision.close());
      this.#requireGoingOn();
      this.#onStop(() => supervisor.stop());
      // First of all: the enclave would wait for connections that are kept alive.
      this.#onStop(() => this.#upstream?.agent.destroy());
      await supervisor.start();
      this.#running = true;
      log("listening", { url, pid: process.pid });
      return url;
    } catch (error) {
      await this.#unwind();
      throw error;
    }
  }

  /** Lets exchanges finish for `graceMs`, then ends everything. */
  async stop(graceMs: number = STOP_GRACE_MS): Promise<void> {
    this.#stopping = true;
    this.#parts.log("stopping", { inFlight: this.#inFlight.count });
    this.#public?.stopListening();
    await this.#inFlight.drained(graceMs);
    await this.#unwind();
    this.#parts.log("stopped");
  }

  /** Makes a {@link start} under way fail soon. No effect on a node that runs. */
  interrupt(): void {
    if (this.#running) return;
    this.#stopping = true;
    this.#supervisor?.kill();
  }

  /** Ends the enclave and removes lock and sockets, synchronously: for an exit that cannot wait. */
  kill(): void {
    this.#stopping = true;
    this.#supervisor?.kill();
    this.#state?.close();
  }

  #command(state: NodeState, contact: EnclaveContact): EnclaveCommand {
    const { enclave, options } = this.#parts;
    const { enclaveSocket, provisionSocket, vendorKey } = state;
    const { tee, keyServices } = options;
    return enclave({ tee, keyServices, enclaveSocket, provisionSocket, vendorKey, contact });
  }

  #supervise(command: EnclaveCommand): Supervisor {
    const { timing, log } = this.#parts;
    const ours = command.kind === "process" ? timing : { ...timing, stopMs: RUNNER_STOP_MS };
    const supervisor = new Supervisor(command, ours, log);
    this.#supervisor = supervisor;
    return supervisor;
  }

  /** Binds early: a taken port must not wait for the models to load. Until then it answers 503. */
  async #listen(enclave: EnclaveAddress, supervisor: Supervisor): Promise<string> {
    const { options, log } = this.#parts;
    const inFlight = this.#inFlight;
    const perRequest = options.log === "json" ? log : null;
    const observer = new Observer(supervisor, () => inFlight.count, perRequest);
    const upstream = openUpstream(enclave, options.maxInFlight);
    this.#upstream = upstream;
    const nowMs = (): number => performance.now();
    const bucket = new TokenBucket(CHALLENGES_PER_SECOND, CHALLENGE_BURST, nowMs());
    const listener = createHostListener({
      upstream,
      enclave: supervisor,
      observer,
      inFlight,
      nextRequestId: requestIds(),
      limits: {
        maxBodyBytes: options.maxBodyBytes,
        maxInFlight: options.maxInFlight,
        idleTimeoutMs: IDLE_TIMEOUT_MS,
        answerTimeoutMs: ANSWER_TIMEOUT_MS,
      },
      bundles: new BundleCache(enclave, supervisor, nowMs),
      challenger: new Challenger(enclave, supervisor, bucket, nowMs),
      stopping: () => this.#stopping,
    });
    const server = await listenPublicly(options.listen, listener, options.maxInFlight);
    this.#public = server;
    this.#onStop(() => server.close());
    return server.url;
  }

  #logStore({ models, skipped }: ModelStore, services: NeededKeyServices): void {
    const { log } = this.#parts;
    for (const path of skipped) log("model-skipped", { path, why: "no version directory" });
    for (const { id, version, digest, envelope, files } of models) {
      const bytes = files.reduce((total, { size }) => total + size, 0);
      const hex = Buffer.from(digest).toString("hex");
      log("model", { id, version, digest: hex, files: files.length, bytes });
      if (envelope === null) continue;
      log("sealed-model", { id, version, kind: envelope.kind, key: envelope.key });
    }
    for (const { kind, host, port } of services) log("key-service", { kind, host, port });
  }

  #requireGoingOn(): void {
    if (this.#stopping)
      throw new HostError("enclave/stopped", "stopped before the enclave started");
  }

  #onStop(undo: () => void | Promise<void>): void {
    this.#undo.push(async () => {
      await undo();
    });
  }

  async #unwind(): Promise<void> {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) await undo();
  }
}

/** Before minutes are spent on hashing models. That it is an image is for the runner to find. */
async function requireImage({ tee }: NodeOptions): Promise<void> {
  if (tee.kind !== "nitro" || tee.run.kind !== "runner") return;
  const { image, program } = tee.run;
  await requireFile("read", image, constants.R_OK);
  if (program === null) return;
  // It may be one that can be run and not read.
  if (isScript(program)) await requireFile("read", program, constants.R_OK);
  else await requireFile("run", program, constants.X_OK);
}

async function requireFile(verb: "read" | "run", file: string, mode: number): Promise<void> {
  const refuse = (why: string, cause?: unknown): HostError =>
    new HostError("enclave/image", `cannot ${verb} ${file}: ${why}`, { cause });
  await access(file, mode).catch((error: unknown) => {
    throw refuse(systemCode(error) ?? "error", error);
  });
  if (!(await stat(file)).isFile()) throw refuse("not a file");
}

function servicesOf({ tee }: NodeOptions, state: NodeState): ServicesAddress {
  return tee.kind === "simulated" ? { kind: "unix", path: state.provisionSocket } : tee.services;
}

/** Processors of the enclave: the simulation has this machine's. */
function cpusOf({ tee }: NodeOptions): number {
  return tee.kind === "simulated" ? availableParallelism() : tee.cpus;
}
