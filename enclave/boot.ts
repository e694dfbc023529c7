/**
 * The enclave from its first instruction to serving, as the phase table of phase.ts has it.
 *
 * Every entry point shares it; they differ in the module, the transport and the log they bring.
 */
import {
  encodeModelSet,
  encodeRuntimeConfig,
  equalBytes,
  MODELS_REGISTER,
  modelsRegister,
} from "@countersign/attestation/attester";
import type { KeyServices, Provisioning, ProvisioningLimits } from "@countersign/protocol";
import type { Server } from "node:http";
import { createApp } from "./api/app.ts";
import type { Clock } from "./clock.ts";
import { watchClock } from "./clock-watch.ts";
import { type EpochTerms, sha256 } from "./epoch.ts";
import { Epochs } from "./epochs.ts";
import { EnclaveError } from "./errors.ts";
import { Gateway } from "./gateway.ts";
import { keyRelease } from "./keys/choice.ts";
import type { Log } from "./log.ts";
import { loadModels } from "./models/load.ts";
import type { ServedModels } from "./models/served.ts";
import type { Nsm } from "./nsm/nsm.ts";
import { nextPhase, type Phase, type PhaseEvent } from "./phase.ts";
import { provisioner } from "./provision.ts";
import { createEnclaveServer } from "./server.ts";
import type { Listener, Transport } from "./transport.ts";

/** A register that nobody has extended. */
const ZERO_REGISTER = new Uint8Array(48);
/** A handler may wait for its turn behind a full queue, and then run; but not longer than this. */
const MAX_HANDLER_TIMEOUT_MS = 600_000;
const HANDLER_GRACE_MS = 5_000;
/** Lengths of answers are filled up to buckets; there is no switch for the host to turn it off. */
const PADDING = "buckets";

export interface BootOptions {
  readonly platform: "aws-nitro" | "simulated";
  readonly nsm: Nsm;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  /** Where keys of sealed models may come from: measured, as the code is. */
  readonly keyServices: KeyServices;
  /** How long a host that nobody answers for is waited for. */
  readonly hostPatienceMs: number;
  /** Puts random bytes of the module into the generators that keys come from. */
  readonly mixRandomness: (bytes: Uint8Array) => void;
  /** Bytes that this process may still take. */
  readonly availableBytes: () => number;
}

/** An enclave that serves. */
export interface RunningEnclave {
  /** Resolves with the reason when it cannot go on: it serves nobody any more, and closes. */
  readonly failure: Promise<EnclaveError>;
  /** Ends all epochs, connections and engines; resolves when all have ended. There is no way back. */
  close(): Promise<void>;
}

/**
 * Runs every phase in order. Where one fails, what the ones before it opened is closed again.
 *
 * @throws whatever the failing phase threw.
 */
export async function boot(options: BootOptions): Promise<RunningEnclave> {
  const life = new Life(options.log);
  try {
    return await start(options, life);
  } catch (error) {
    await life.close();
    throw error;
  }
}

async function start(options: BootOptions, life: Life): Promise<RunningEnclave> {
  const { platform, nsm, transport, clock, log } = options;
  const watch = watchClock(clock);
  life.onClose(() => {
    watch.close();
  });
  // 1. What the host wants.
  const host = provisioner({ transport, clock, patienceMs: options.hostPatienceMs });
  const provisioning = await host.fetchProvisioning();
  life.step("provisioned");
  // 2. The models it named, and no other bytes. Keys to ask for those of sealed ones with are the first
  // that are made: what they come from has the module's own source mixed in.
  const { limits } = provisioning;
  options.mixRandomness(await nsm.random());
  const keys = keyRelease(options.keyServices, { nsm, platform, transport, clock, log });
  const models = await loadModels(
    provisioning,
    (id, version, path, size) => host.fetchModelFile(id, version, path, size),
    { log, clock, keys, availableBytes: options.availableBytes, ...limits },
  );
  life.onClose(() => models.close());
  life.step("models-loaded");
  // 3. Which models, into a register that can then change no more. No key of an epoch exists yet.
  const modelSet = encodeModelSet(models.refs);
  await measureModels(nsm, sha256(modelSet));
  life.step("models-locked");
  // 4. Keys, and a document that names them.
  const terms = await epochTerms(options, provisioning, models, modelSet);
  const epochs = await Epochs.open({ nsm, terms, clock, log });
  life.onClose(() => {
    epochs.close();
  });
  life.step("epoch-opened");
  // 5. Only now can anyone be answered.
  const gateway = new Gateway({
    epochs,
    app: createApp(models, clock),
    maxRequestBytes: limits.maxRequestBytes,
    handlerTimeoutMs: handlerTimeoutMs(limits),
    padding: PADDING,
    clock,
    log,
  });
  const phase = (): Phase => life.phase;
  const queue = (): ReturnType<ServedModels["queue"]> => models.queue();
  const server = createEnclaveServer({ gateway, epochs, phase, queue, log });
  const listener = await serve(server, transport);
  life.onClose(() => listener.close());
  life.step("listening");
  const failure = new Promise<EnclaveError>((resolve) => {
    void Promise.race([models.failure, epochs.failure, watch.failure]).then((reason) => {
      // What ends because it was closed did not fail.
      if (life.phase === "closed") return;
      // Not waited for: a run that ONNX Runtime does not give up would keep the reason from everyone.
      life.close().catch(() => {
        log("close-failed");
      });
      resolve(reason);
    });
  });
  return { failure, close: () => life.close() };
}

/** The phase, and what is to be closed when the last one comes. */
class Life {
  readonly #log: Log;
  readonly #closers: (() => Promise<void> | void)[] = [];
  #phase: Phase = "boot";
  #closing: Promise<unknown> | null = null;

  constructor(log: Log) {
    this.#log = log;
    log("phase", { phase: this.#phase });
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** @throws TypeError where the table has no such step: only a bug of ours takes one. */
  step(event: PhaseEvent): void {
    const before = this.#phase;
    this.#phase = nextPhase(before, event);
    this.#log("phase", { phase: this.#phase });
    if (this.#phase === "closed") throw new TypeError(`${event} in ${before}`);
  }

  onClose(close: () => Promise<void> | void): void {
    this.#closers.push(close);
  }

  /** Last opened, first closed, and none waits for another: what cannot end keeps no key alive. Once. */
  async close(): Promise<void> {
    if (this.#phase !== "closed") {
      this.#phase = nextPhase(this.#phase, "failed");
      this.#log("phase", { phase: this.#phase });
    }
    this.#closing ??= Promise.all(
      this.#closers
        .splice(0)
        .toReversed()
        .map(async (close) => {
          await close();
        }),
    );
    await this.#closing;
  }
}

/**
 * Extends the models register with the digest of the ModelSet and locks it.
 *
 * @throws EnclaveError `nsm/register` unless it was untouched before and is locked after, with the
 * value that clients expect.
 */
async function measureModels(nsm: Nsm, modelsDigest: Uint8Array): Promise<void> {
  const before = await nsm.describePcr(MODELS_REGISTER);
  if (before.locked || !equalBytes(before.value, ZERO_REGISTER)) {
    throw new EnclaveError("nsm/register", "the models register was used before");
  }
  await nsm.extendPcr(MODELS_REGISTER, modelsDigest);
  await nsm.lockPcr(MODELS_REGISTER);
  const after = await nsm.describePcr(MODELS_REGISTER);
  if (!after.locked || !equalBytes(after.value, await modelsRegister(modelsDigest))) {
    throw new EnclaveError("nsm/register", "the models register is not what it was set to");
  }
}

async function epochTerms(
  options: BootOptions,
  provisioning: Provisioning,
  models: ServedModels,
  modelSet: Uint8Array,
): Promise<EpochTerms> {
  const { limits } = provisioning;
  const [firstKeyId = 0] = await options.nsm.random();
  return {
    platform: options.platform,
    models: modelSet,
    config: encodeRuntimeConfig({
      engine: models.engine.name,
      engineVersion: models.engine.version,
      limits: new Map(Object.entries(limits)),
      features: new Map<string, string | boolean>([
        ["padding", PADDING],
        ["checkpoints", true],
      ]),
    }),
    epochSeconds: limits.epochSeconds,
    overlapSeconds: limits.epochOverlapSeconds,
    replaySlots: limits.replaySlots,
    // So that a key of an earlier boot is most likely unknown to this one, and its client told so.
    firstKeyId,
  };
}

function handlerTimeoutMs(limits: ProvisioningLimits): number {
  const behindTheQueue = limits.inferenceTimeoutMs * (limits.queueLength + 1) + HANDLER_GRACE_MS;
  return Math.max(
    limits.inferenceTimeoutMs + HANDLER_GRACE_MS,
    Math.min(behindTheQueue, MAX_HANDLER_TIMEOUT_MS),
  );
}

function serve(server: Server, transport: Transport): Promise<Listener> {
  return transport.listen((connection) => {
    server.emit("connection", connection);
  });
}
