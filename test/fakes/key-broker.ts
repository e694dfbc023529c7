/** A key broker, the enclaves that ask it, and the host between them, which may meddle. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { encodeHex, parsePolicy, type Policy } from "@countersign/attestation";
import { encodeEnvelope, type Envelope, type KeyService } from "@countersign/protocol";
import {
  type BrokerEntry,
  fileProvider,
  type KeyBroker,
  startKeyBroker,
} from "@countersign/sealing";
import { type Clock, systemClock } from "../../enclave/clock.ts";
import type { KeyReleaseContext } from "../../enclave/keys/release.ts";
import { type ImageMeasurement, SimulatedNsm } from "../../enclave/simulation/nsm.ts";
import { certificatePem, rootDigest, type Vendor } from "../../enclave/simulation/vendor.ts";
import type { PolicyFile } from "./attester.ts";
import { IMAGE, type LogLine, newVendor } from "./ring.ts";

export const MODEL_DIGEST = new Uint8Array(createHash("sha256").update("a model").digest());

/** Pauses between attempts pass at once; everything else takes its time. */
export const IMPATIENT: Clock = {
  ...systemClock,
  after: (delayMs, run) => systemClock.after(delayMs < 10_000 ? 0 : delayMs, run),
};

export const VENDOR: Vendor = newVendor();

/** What the owner's policy says: this image, under this vendor's root, for this model. */
export function ownersPolicy(change: (file: PolicyFile) => void = () => undefined): Policy {
  return parsePolicy(ownersPolicyText(change));
}

export function ownersPolicyText(change: (file: PolicyFile) => void = () => undefined): string {
  const file: PolicyFile = {
    version: 1,
    expires: "2049-01-01T00:00:00Z",
    platforms: {
      simulated: {
        roots: [rootDigest(VENDOR)],
        rootCertificates: [certificatePem(VENDOR.certificate)],
        measurements: [
          {
            name: "release-7",
            pcr0: encodeHex(IMAGE.pcr0),
            pcr1: encodeHex(IMAGE.pcr1),
            pcr2: encodeHex(IMAGE.pcr2),
          },
        ],
        debug: false,
      },
    },
    models: [{ id: "digits", digest: encodeHex(MODEL_DIGEST) }],
    freshness: { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "optional" },
    suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
    revoked: { measurements: [], models: [], keysets: [] },
  };
  change(file);
  return JSON.stringify(file);
}

/** A data key, and the envelope that it lies in. */
export interface Wrapped {
  readonly dataKey: Uint8Array;
  readonly envelope: Envelope;
  readonly envelopeBytes: Uint8Array;
}

export async function wrappedUnder(
  key: Uint8Array,
  modelDigest: Uint8Array = MODEL_DIGEST,
): Promise<Wrapped> {
  const made = await fileProvider(key).generate(modelDigest);
  const envelopeBytes = encodeEnvelope(made.envelope);
  return { dataKey: made.key, envelope: made.envelope, envelopeBytes };
}

/** A broker with one key, its log, and a policy that a test may change while it runs. */
export class BrokerWorld {
  readonly key: Uint8Array = new Uint8Array(randomBytes(32));
  readonly entries: BrokerEntry[] = [];
  policy: () => Promise<Policy> = () => Promise.resolve(ownersPolicy());
  #broker: KeyBroker | null = null;
  #relay: Relay | null = null;

  async start(): Promise<void> {
    this.#broker = await startKeyBroker({
      host: "127.0.0.1",
      port: 0,
      keys: [this.key],
      policy: () => this.policy(),
      log: (entry) => this.entries.push(entry),
    });
    this.#relay = await startRelay();
  }

  get url(): string {
    return this.#broker?.url ?? "";
  }

  /** All that went through the host. */
  get traffic(): Buffer {
    return Buffer.concat(this.#relay?.seen ?? []);
  }

  enclave(options: Partial<EnclaveOptions> = {}): Asker {
    return askerAt(this.#relay, this.url, options);
  }

  async close(): Promise<void> {
    await this.#broker?.close();
    await this.#relay?.close();
  }
}

export interface EnclaveOptions {
  readonly vendor: Vendor;
  readonly image: ImageMeasurement;
  readonly platform: string;
  readonly clock: Clock;
}

/** What an enclave asks with, and the lines that it logs. */
export interface Asker {
  readonly context: KeyReleaseContext;
  readonly lines: readonly LogLine[];
}

/** An enclave that asks the broker at `url`, through `relay`. */
export function askerAt(relay: Relay | null, url: string, options: Partial<EnclaveOptions>): Asker {
  const { vendor = VENDOR, image = IMAGE, platform = "simulated", clock = IMPATIENT } = options;
  const lines: LogLine[] = [];
  const context: KeyReleaseContext = {
    nsm: new SimulatedNsm(vendor, image, systemClock.nowMs),
    platform,
    transport: {
      listen: () => Promise.reject(new Error("nobody asks this enclave")),
      dial: () => connect(relay?.port ?? 0, "127.0.0.1"),
    },
    clock,
    log: (event, fields = {}) => lines.push({ event, fields }),
    service: serviceAt(url),
    roots: [],
  };
  return { context, lines };
}

function serviceAt(url: string): KeyService {
  const { hostname, port } = new URL(url);
  const where = { url, host: hostname, port: Number(port), tls: false };
  return { kind: "broker", ...where, region: null, roots: [] };
}

/** Answers one request of an enclave's, of which `number` were made before to the same path. */
export type Script = (
  asked: { readonly path: string; readonly body: Uint8Array; readonly number: number },
  response: ServerResponse,
  connection: Socket,
) => void;

/** In place of a broker, a server that answers as a test says. */
export class ScriptedBroker {
  readonly paths: string[] = [];
  readonly #script: Script;
  #server: Served | null = null;
  #relay: Relay | null = null;

  constructor(script: Script) {
    this.#script = script;
  }

  async start(): Promise<void> {
    this.#server = await served((incoming, response) => {
      void this.#answer(incoming, response);
    });
    this.#relay = await startRelay();
  }

  enclave(options: Partial<EnclaveOptions> = {}): Asker {
    return askerAt(this.#relay, `http://127.0.0.1:${this.#server?.port ?? 0}`, options);
  }

  async close(): Promise<void> {
    await this.#relay?.close();
    await this.#server?.close();
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = incoming.url ?? "";
    const number = this.paths.filter((other) => other === path).length;
    this.paths.push(path);
    const pieces: Buffer[] = [];
    for await (const piece of incoming as AsyncIterable<Buffer>) pieces.push(piece);
    this.#script({ path, body: Buffer.concat(pieces), number }, response, incoming.socket);
  }
}

export interface Served {
  readonly port: number;
  close(): Promise<void>;
}

export interface Relay extends Served {
  readonly seen: readonly Buffer[];
}

async function served(
  answer: (incoming: IncomingMessage, response: ServerResponse) => void,
  onConnect: ((incoming: IncomingMessage, socket: Socket) => void) | null = null,
): Promise<Served> {
  const server = createServer(answer);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  if (onConnect !== null) server.on("connect", onConnect);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has such an address
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** The host: `CONNECT`, then bytes both ways, which it keeps. */
export async function startRelay(): Promise<Relay> {
  const seen: Buffer[] = [];
  const relay = await served(
    (_, response) => response.writeHead(404).end(),
    (incoming, enclave) => {
      const [host = "", port = ""] = (incoming.url ?? "").split(":");
      const service = connect(Number(port), host);
      service.once("connect", () => enclave.write("HTTP/1.1 200 OK\r\n\r\n"));
      for (const [from, to] of [
        [enclave, service],
        [service, enclave],
      ] as const) {
        from.on("data", (piece: Buffer) => {
          seen.push(piece);
          to.write(piece);
        });
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
        from.on("end", () => to.end());
      }
    },
  );
  return { ...relay, seen };
}
