/**
 * The enclave's way to its key services: `CONNECT host:port` (RFC 9110 §9.3.6), and then bytes.
 *
 * What goes through is encrypted from the enclave to the service; the host sees when, how much and with
 * whom. It opens connections to the services of its own list and to no others: an enclave is somebody
 * else's code to it, and must not reach the rest of the host's network.
 */
import type { IncomingMessage } from "node:http";
import { BlockList, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { TokenBucket } from "./bucket.ts";
import { systemCode } from "./errors.ts";
import {
  DIAL_TIMEOUT_MS,
  LOG_NOTICES_PER_SECOND,
  MAX_TUNNELS,
  TUNNEL_BURST_LINES,
  TUNNEL_IDLE_MS,
  TUNNEL_LIFETIME_MS,
} from "./limits.ts";
import type { Log } from "./log.ts";

/** Where a tunnel may lead. */
export interface Destination {
  readonly host: string;
  readonly port: number;
}

/** How long each part of a tunnel may take, in milliseconds. */
export interface TunnelTiming {
  readonly dialMs: number;
  readonly idleMs: number;
  readonly lifetimeMs: number;
}

export const TUNNEL_TIMING: TunnelTiming = {
  dialMs: DIAL_TIMEOUT_MS,
  idleMs: TUNNEL_IDLE_MS,
  lifetimeMs: TUNNEL_LIFETIME_MS,
};

const STATUS = {
  open: "200 Connection Established",
  forbidden: "403 Forbidden",
  unreachable: "502 Bad Gateway",
  busy: "503 Service Unavailable",
} as const satisfies Record<string, string>;

/**
 * Never a key service: link-local addresses (RFC 3927 §2.1, RFC 4291 §2.5.6), and the one of EC2's metadata
 * service that is none. There the machine's credentials are for the asking, and the file that
 * lists the services comes from whoever made the image.
 */
const FORBIDDEN = new BlockList();
FORBIDDEN.addSubnet("169.254.0.0", 16, "ipv4");
FORBIDDEN.addSubnet("fe80::", 10, "ipv6");
FORBIDDEN.addAddress("fd00:ec2::254", "ipv6");

/** The tunnels of one services server. */
export class Tunnels {
  /** By what the enclave asks for, `host:port`. */
  readonly #allowed: ReadonlyMap<string, Destination>;
  readonly #log: Log;
  readonly #timing: TunnelTiming;
  /** The host's own lines about an enclave that asks without end. */
  readonly #notices: TokenBucket;
  /** Ends of tunnels that are open or being opened. */
  readonly #open = new Set<() => void>();

  constructor(destinations: readonly Destination[], log: Log, timing: TunnelTiming) {
    this.#allowed = new Map(
      destinations.map((destination) => [`${destination.host}:${destination.port}`, destination]),
    );
    this.#log = log;
    this.#timing = timing;
    this.#notices = new TokenBucket(LOG_NOTICES_PER_SECOND, TUNNEL_BURST_LINES, performance.now());
  }

  /** Takes over the connection of a `CONNECT`; `head` is what came behind it. */
  take(incoming: IncomingMessage, enclave: Duplex, head: Uint8Array): void {
    // An enclave that goes away is no fault of ours; its end is seen in "close".
    enclave.on("error", () => undefined);
    const destination = this.#allowed.get(incoming.url ?? "");
    if (destination === undefined) {
      // What it asked for is its own word, and stays out of our log.
      this.#notice("key-tunnel-refused", {});
      refuse(enclave, STATUS.forbidden);
      return;
    }
    if (this.#open.size >= MAX_TUNNELS) {
      this.#notice("key-tunnel-refused", { open: this.#open.size });
      refuse(enclave, STATUS.busy);
      return;
    }
    if (head.length > 0) enclave.unshift(head);
    void this.#tunnel(destination, enclave);
  }

  /** Ends all of them. */
  close(): void {
    for (const end of this.#open) end();
  }

  async #tunnel(destination: Destination, enclave: Duplex): Promise<void> {
    const startMs = performance.now();
    const { host, port } = destination;
    const blockList = FORBIDDEN;
    const service = connect({ host, port, allowHalfOpen: true, noDelay: true, blockList });
    service.on("error", () => undefined);
    const end = (): void => {
      service.destroy();
      enclave.destroy();
    };
    this.#open.add(end);
    const late = setTimeout(end, this.#timing.lifetimeMs);
    try {
      const failure = await this.#connected(service, enclave);
      if (failure !== null) {
        this.#notice("key-tunnel-failed", { host, port, code: failure });
        refuse(enclave, STATUS.unreachable);
        return;
      }
      enclave.write(`HTTP/1.1 ${STATUS.open}\r\n\r\n`);
      // Every byte passes here, whichever way it goes.
      service.setTimeout(this.#timing.idleMs, end);
      await relayed(enclave, service);
      const ms = Math.round(performance.now() - startMs);
      const { bytesWritten: sent, bytesRead: received } = service;
      this.#notice("key-tunnel", { host, port, ms, sent, received });
    } finally {
      clearTimeout(late);
      this.#open.delete(end);
      service.destroy();
    }
  }

  /** Null once `service` is connected, else why it is not. */
  async #connected(service: Socket, enclave: Duplex): Promise<string | null> {
    const settled = Promise.withResolvers<string | null>();
    const timer = setTimeout(() => {
      settled.resolve("timeout");
    }, this.#timing.dialMs);
    const gone = (): void => {
      settled.resolve("closed");
    };
    service.once("connect", () => {
      settled.resolve(null);
    });
    service.once("error", (error) => {
      settled.resolve(systemCode(error) ?? "error");
    });
    service.once("close", gone);
    enclave.once("close", gone);
    const failure = await settled.promise;
    clearTimeout(timer);
    enclave.off("close", gone);
    service.off("close", gone);
    return failure;
  }

  #notice(event: string, fields: Parameters<Log>[1]): void {
    if (this.#notices.take(performance.now()) === 0) this.#log(event, fields);
  }
}

/**
 * Both ways until both have ended: the end of one way goes on as such, and the other stays open.
 * Where either breaks off, so does the whole.
 */
async function relayed(enclave: Duplex, service: Duplex): Promise<void> {
  await Promise.allSettled([pipeline(enclave, service), pipeline(service, enclave)]);
  enclave.destroy();
}

function refuse(enclave: Duplex, status: string): void {
  enclave.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`, () => {
    enclave.destroy();
  });
}
