/** An operator's node on an emulated enclave, and what its host says; a client's policy for it. */
import { createHash, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeHex } from "@countersign/attestation";
import type { MeasuredImage } from "@countersign/image";
import { hashRepository } from "../../client/cli/models.ts";
import { type HostEvent, type RunningNode, startNode } from "../../client/cli/node-process.ts";
import { composePolicy, type PolicyFile } from "../../client/cli/policies.ts";
import { rootCertificate, servicePath, vsockPath } from "./machine.ts";
import type { Packages } from "./packages.ts";
import { pidPath } from "./qemu.ts";

const RUNNER = new URL("runner.ts", import.meta.url).pathname;
const ENCLAVE_PORT = 5000;
const SERVICES_PORT = 7000;
const POLL_MS = 50;
const NAME = "emulated";

/** What the client pins: the module's test root, this image, these models. */
export async function emulationPolicy(
  packages: Packages,
  folder: string,
  image: MeasuredImage,
  models: string,
): Promise<PolicyFile> {
  const certificate = await rootCertificate(packages, folder);
  const root = createHash("sha256").update(new X509Certificate(certificate).raw).digest("hex");
  const [pcr0, pcr1, pcr2] = [image.pcr0, image.pcr1, image.pcr2].map((pcr) => encodeHex(pcr));
  if (pcr0 === undefined || pcr1 === undefined || pcr2 === undefined) throw new TypeError("no PCR");
  const entry = {
    roots: [root],
    rootCertificates: [certificate],
    measurements: [{ name: NAME, pcr0, pcr1, pcr2 }],
    debug: false,
  };
  return composePolicy("aws-nitro", entry, await hashRepository(models), Date.now());
}

/** Writes a policy file; whoever reads it judges whether it is one. */
export async function writePolicy(path: string, policy: object): Promise<string> {
  await writeFile(path, JSON.stringify(policy));
  return path;
}

export interface NodeSetting {
  readonly folder: string;
  readonly image: string;
  readonly models: string;
  readonly memoryMib: number;
  /** For the keys and values of texts. */
  readonly cacheMib: number;
  readonly listen: string;
}

export class OperatedNode {
  readonly events: HostEvent[] = [];
  readonly errors: string[] = [];
  readonly #folder: string;
  #node: RunningNode | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get url(): string {
    if (this.#node === null) throw new TypeError("the node does not run");
    return this.#node.url;
  }

  /**
   * @param more - words of the command line besides.
   * @throws CommandError where the host gives up, with its own words.
   */
  async start(setting: NodeSetting, more: readonly string[] = []): Promise<void> {
    tellRunner(setting.folder);
    this.#node = await startNode([...nodeWords(setting), ...more], {
      event: (event) => this.events.push(event),
      error: (line) => this.errors.push(line),
    });
  }

  /** Waits for an event after the first `from` of them. */
  async event(name: string, from: number, timeoutMs: number): Promise<HostEvent> {
    const startedMs = performance.now();
    for (;;) {
      const found = this.events.slice(from).find(({ event }) => event === name);
      if (found !== undefined) return found;
      if (performance.now() - startedMs > timeoutMs) {
        const said = JSON.stringify(this.events.slice(from));
        throw new Error(`no ${name} within ${timeoutMs} ms: ${said} ${this.errors.join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Ends the guest from outside, as a crash of the hypervisor would. */
  async killGuest(): Promise<void> {
    process.kill(await this.guestPid(), "SIGKILL");
  }

  /** The process of the guest that comes after `ended`, which may still be about to go. */
  async nextGuest(ended: number, timeoutMs: number): Promise<number> {
    const startedMs = performance.now();
    for (;;) {
      // Between two guests there is no such file.
      const pid = await this.guestPid().catch(() => null);
      if (pid !== null && pid > 0 && pid !== ended && isRunning(pid)) return pid;
      if (performance.now() - startedMs > timeoutMs) throw new Error(`no guest in ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** The process of the guest that was started last. */
  async guestPid(): Promise<number> {
    return Number(await readFile(pidPath(this.#folder), "utf8"));
  }

  /** Ends the host as nobody can prepare for. */
  killHost(): void {
    const pid = this.events.find(({ event }) => event === "listening")?.["pid"];
    if (typeof pid !== "number") throw new TypeError("the node does not run");
    process.kill(pid, "SIGKILL");
  }

  async stop(): Promise<void> {
    await this.#node?.stop();
    this.#node = null;
  }
}

/** Names the folder of a machine's sockets to its runner, which has its environment from the host's. */
export function tellRunner(folder: string): void {
  process.env["COUNTERSIGN_EMULATION_RUN"] = folder;
}

export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The host's flags, as an operator writes them; the addresses alone are the emulation's. */
export function nodeWords({
  folder,
  image,
  models,
  memoryMib,
  cacheMib,
  listen,
}: NodeSetting): readonly string[] {
  const words = {
    tee: "nitro",
    image,
    runner: RUNNER,
    memory: `${memoryMib}`,
    enclave: `vsock-uds:${vsockPath(folder)}:${ENCLAVE_PORT}`,
    services: `unix:${servicePath(folder, SERVICES_PORT)}`,
    "cache-mib": `${cacheMib}`,
    models,
    state: join(folder, "state"),
    listen,
  };
  return Object.entries(words).flatMap(([name, value]) => [`--${name}`, value]);
}
