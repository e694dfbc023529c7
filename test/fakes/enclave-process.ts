/** The simulated enclave as the process that it is, fed by the host's own code, reached at its socket. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EnclaveContact } from "../../host/contact.ts";
import { simulatedEnclave } from "../../host/enclave-command.ts";
import { describeExit, type EnclaveExit } from "../../host/enclave-exit.ts";
import { startEnclave } from "../../host/enclave-process.ts";
import type { Log, LogFields } from "../../host/log.ts";
import { keyAccess, serveProvisioning } from "../../host/provision.ts";
import { scanModels } from "../../host/store.ts";
import {
  type ClientRequest,
  epochOf,
  type EpochView,
  open,
  type Opened,
  seal,
  send,
} from "./ring.ts";

const MODELS = fileURLToPath(new URL("../../models", import.meta.url));

export interface ProcessLine {
  readonly event: string;
  readonly fields: LogFields;
}

export interface RealEnclave {
  readonly socketPath: string;
  readonly agent: Agent;
  readonly epoch: EpochView;
  /** What it wrote to its standard output, as the host forwards it. */
  readonly lines: readonly ProcessLine[];
  /** How it ended, or null while it runs. */
  exit(): EnclaveExit | null;
  exchange(wanted: ClientRequest): Promise<Opened>;
  close(): Promise<void>;
}

/** Starts it with the models of this repository. */
export async function startRealEnclave(maxBodyBytes: number): Promise<RealEnclave> {
  const directory = await mkdtemp(join(tmpdir(), "real-"));
  const run = join(directory, "run");
  await mkdir(run);
  const { models } = await scanModels(MODELS);
  const paths = { enclaveSocket: join(run, "e"), provisionSocket: join(run, "p") };
  const choice = {
    epochSeconds: 3600,
    maxBodyBytes,
    cacheBytes: 1 << 28,
    maxSequences: 8,
    cpus: 2,
  };
  const lines: ProcessLine[] = [];
  const log: Log = (event, fields = {}) => {
    lines.push({ event, fields });
  };
  const services = { kind: "unix", path: paths.provisionSocket } as const;
  const contact = new EnclaveContact(log);
  const keys = keyAccess([], () => Promise.reject(new Error("nobody asks")), log);
  const provision = await serveProvisioning(services, models, choice, contact, keys);
  const vendorKey = join(directory, "vendor.pem");
  const command = simulatedEnclave({
    ...paths,
    vendorKey,
    keyServices: null,
    simulateDebug: false,
  });
  const started = startEnclave(command, log);
  const ended: { exit: EnclaveExit | null } = { exit: null };
  void started.exited.then((exit) => {
    ended.exit = exit;
  });
  if (!(await started.served)) throw new Error(describeExit(await started.exited));
  const reached = { socketPath: paths.enclaveSocket, agent: new Agent({ keepAlive: true }) };
  const epoch = epochOf((await send(reached, "GET", "/bundle")).body);
  return {
    ...reached,
    epoch,
    lines,
    exit: () => ended.exit,
    async exchange(wanted) {
      const sealed = await seal(epoch, wanted);
      const answer = await send(reached, "POST", "/gateway", sealed.body);
      if (answer.status !== 200) throw new Error(`outer ${answer.status}`);
      return open(sealed, answer.body);
    },
    async close() {
      reached.agent.destroy();
      await started.stop(5000);
      await provision.close();
      await rm(directory, { recursive: true });
    },
  };
}
