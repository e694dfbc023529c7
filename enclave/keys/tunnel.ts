/**
 * The enclave's one way to a key service: a connection to the host, which relays what goes through it.
 *
 * The host reads and writes these bytes as it likes. So TLS ends in this enclave, at a pinned root;
 * where a service is reached without, what it answers is encrypted to the attested key (broker.ts).
 */
import type { KeyService } from "@countersign/protocol";
import { request } from "node:http";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect } from "node:tls";
import { EnclaveError } from "../errors.ts";
import { httpFault } from "../http-fault.ts";
import type { Transport } from "../transport.ts";

const OK = 200;

/**
 * A byte stream to `service`, through the host (CONNECT, RFC 9110 §9.3.6).
 *
 * @param signal - gives up while it is being opened. An open one is its user's to destroy.
 * @throws EnclaveError `key/unreachable`, `key/…` where that is what `signal` was aborted with.
 */
export function openTunnel(
  transport: Transport,
  service: Pick<KeyService, "host" | "port">,
  signal: AbortSignal,
): Promise<Duplex> {
  const authority = `${service.host}:${service.port}`;
  return new Promise((resolve, reject) => {
    const fail = (what: string, cause?: unknown): void => {
      signal.removeEventListener("abort", giveUp);
      reject(unreachable(`${authority}: ${what}`, cause));
    };
    const giveUp = (): void => {
      fail("given up", signal.reason);
      outgoing.destroy();
    };
    // Without an agent: a connection of its own, made by the transport.
    const outgoing = request({
      createConnection: () => transport.dial(),
      method: "CONNECT",
      path: authority,
      headers: { host: authority },
    });
    outgoing.once("connect", (response, socket, head) => {
      // Whoever uses it hears of its end, too; until then it must not end the process.
      socket.on("error", () => undefined);
      if (response.statusCode !== OK || signal.aborted) {
        socket.destroy();
        fail(`the host answers ${response.statusCode ?? 0}`);
        return;
      }
      signal.removeEventListener("abort", giveUp);
      // A service that speaks before it is spoken to: what it said is not lost.
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    outgoing.on("error", (cause) => {
      fail("no answer of the host", httpFault(cause));
    });
    // Without an error too: an answer that goes over to another protocol (RFC 9110 §15.2.2).
    outgoing.once("close", () => {
      fail("no answer of the host");
    });
    if (signal.aborted) giveUp();
    else signal.addEventListener("abort", giveUp, { once: true });
    outgoing.end();
  });
}

/**
 * TLS through `tunnel` to `service`: its host name, under one of the pinned roots and no other.
 *
 * @param roots - PEM. @param signal - as for {@link openTunnel}.
 * @throws EnclaveError `key/unreachable`, `key/…` where that is what `signal` was aborted with. The
 * tunnel is destroyed then.
 */
export function secured(
  tunnel: Duplex,
  { host, url }: Pick<KeyService, "host" | "url">,
  roots: readonly string[],
  signal: AbortSignal,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      socket: tunnel,
      // The name that the certificate must have. RFC 6066 §3: an address is no server name.
      host,
      servername: isIP(host) === 0 ? host : "",
      // In place of all that Node would trust. An empty list trusts nobody.
      ca: [...roots],
      // Spelt, so that no variable of the environment can say otherwise.
      rejectUnauthorized: true,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["http/1.1"],
    });
    const fail = (what: string, cause?: unknown): void => {
      signal.removeEventListener("abort", giveUp);
      socket.destroy();
      tunnel.destroy();
      reject(unreachable(`${url}: ${what}`, cause));
    };
    const giveUp = (): void => {
      fail("given up", signal.reason);
    };
    // Stays: whoever uses it hears of its end, too; until then it must not end the process.
    socket.on("error", (cause) => {
      fail("no TLS", cause);
    });
    socket.once("close", () => {
      fail("closed before TLS was there");
    });
    socket.once("secureConnect", () => {
      signal.removeEventListener("abort", giveUp);
      resolve(socket);
    });
    if (signal.aborted) giveUp();
    else signal.addEventListener("abort", giveUp, { once: true });
  });
}

/** What `cause` is, where it has a code of ours already; else that nobody was reached. */
function unreachable(message: string, cause?: unknown): EnclaveError {
  if (cause instanceof EnclaveError) return cause;
  return new EnclaveError("key/unreachable", message, { cause });
}
