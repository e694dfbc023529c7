/** A host that an enclave boots from, over a real Unix socket, as honest as a test wants it. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createRawServer, type Server as RawServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeProvisioning } from "@countersign/protocol";
import { boot, type BootOptions, type RunningEnclave } from "../../enclave/boot.ts";
import { systemClock } from "../../enclave/clock.ts";
import type { LogFields } from "../../enclave/log.ts";
import { SimulatedNsm } from "../../enclave/simulation/nsm.ts";
import type { Vendor } from "../../enclave/simulation/vendor.ts";
import { unixTransport } from "../../enclave/transport.ts";
import type { Relay } from "./connect-host.ts";
import { NO_KEY_SERVICES } from "./key-services.ts";
import { identityModel } from "./onnx-proto.ts";
import { IMAGE } from "./ring.ts";
import { provisioningOf, type TestModel } from "./served.ts";

export const BOOT_MODEL: TestModel = {
  id: "echo",
  files: { "model.onnx": identityModel("FP32", [1, 2]) },
};

/** Answers one request; false leaves it to the honest host. */
export type Answerer = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface BootLine {
  readonly event: string;
  readonly fields: LogFields;
}

/** A folder with the two sockets, what asked at one of them, and the enclaves that were booted there. */
export class BootHost {
  readonly asked: string[] = [];
  readonly lines: BootLine[] = [];
  readonly #folder: string;
  readonly #vendor: Vendor;
  #server: Server | RawServer | null = null;
  readonly #sockets = new Set<Socket>();
  #running: RunningEnclave | null = null;

  static async make(vendor: Vendor): Promise<BootHost> {
    return new BootHost(await mkdtemp(join(tmpdir(), "boot-")), vendor);
  }

  private constructor(folder: string, vendor: Vendor) {
    this.#folder = folder;
    this.#vendor = vendor;
  }

  get path(): string {
    return join(this.#folder, "host");
  }

  /** Phases as they were logged. */
  get phases(): readonly unknown[] {
    return this.lines.filter(({ event }) => event === "phase").map(({ fields }) => fields["phase"]);
  }

  /** HTTP, with `answer` in front of the honest host, which relays as `relay` does. */
  async listen(
    answer: Answerer = () => false,
    provisioning: Uint8Array = encodeProvisioning(provisioningOf([BOOT_MODEL])),
    relay: Relay = (_, client) => client.end("HTTP/1.1 403 Forbidden\r\n\r\n"),
  ): Promise<void> {
    const server = createServer((request, response) => {
      const path = request.url ?? "";
      this.asked.push(path);
      if (answer(request, response)) return;
      response.end(path === "/provisioning" ? provisioning : BOOT_MODEL.files["model.onnx"]);
    });
    server.on("connect", (request, client) => {
      this.asked.push(`CONNECT ${request.url ?? ""}`);
      relay(request.url ?? "", client);
    });
    await this.#listen(server);
  }

  /** Bytes that need not be HTTP. */
  async listenRaw(accept: (socket: Socket) => void): Promise<void> {
    await this.#listen(createRawServer(accept));
  }

  async boot(options: Partial<BootOptions> = {}): Promise<RunningEnclave> {
    this.#running = await boot({
      platform: "simulated",
      nsm: new SimulatedNsm(this.#vendor, IMAGE, options.clock?.nowMs ?? systemClock.nowMs),
      transport: unixTransport(join(this.#folder, "enclave"), this.path),
      clock: systemClock,
      log: (event, fields = {}) => this.lines.push({ event, fields }),
      keyServices: NO_KEY_SERVICES,
      hostPatienceMs: 0,
      mixRandomness: () => undefined,
      availableBytes: () => process.availableMemory(),
      ...options,
    });
    return this.#running;
  }

  /** The enclave that was booted last is not closed with this host. */
  forget(): void {
    this.#running = null;
  }

  async close(): Promise<void> {
    await this.#running?.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#server?.close();
    await rm(this.#folder, { recursive: true });
  }

  #listen(server: Server | RawServer): Promise<void> {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    return new Promise((resolve) => server.listen(this.path, resolve));
  }
}
