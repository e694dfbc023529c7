/** One HTTP/1.1 request to a key service, on a connection of its own, and all of its answer. */
import { type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import { EnclaveError } from "../errors.ts";
import { wholeBody } from "../host-answer.ts";
import { httpFault } from "../http-fault.ts";
import type { KeyReleaseContext } from "./release.ts";
import { openTunnel, secured } from "./tunnel.ts";

/** What a key service has to say is far shorter; node:http limits heads (16 KiB). */
const MAX_ANSWER_BYTES = 65_536;

export interface ServiceRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

export interface ServiceAnswer {
  readonly status: number;
  /** Names in lower case; of those that came more than once, joined as RFC 9110 §5.3 has it. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/**
 * Sends `asked` and waits for the whole answer, whatever its status.
 *
 * @param signal - gives up; the connection is closed then, as after every answer.
 * @throws EnclaveError `key/unreachable`, `key/answer` where it is too long.
 */
export async function askService(
  context: Pick<KeyReleaseContext, "transport" | "service" | "roots">,
  asked: ServiceRequest,
  signal: AbortSignal,
): Promise<ServiceAnswer> {
  const { transport, service, roots } = context;
  const tunnel = await openTunnel(transport, service, signal);
  const giveUp = (): void => {
    tunnel.destroy();
  };
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    if (signal.aborted) giveUp();
    const connection = service.tls ? await secured(tunnel, service, roots, signal) : tunnel;
    const response = await answered(connection, asked);
    // node:http fails a body that is cut short.
    const body = await wholeBody(response, MAX_ANSWER_BYTES, "key/answer");
    return { status: response.statusCode ?? 0, headers: headersOf(response), body };
  } catch (cause) {
    // A reason of ours, and not that the connection was then closed.
    const why: unknown = signal.aborted ? signal.reason : cause;
    if (why instanceof EnclaveError) throw why;
    const found = `${service.url}: no whole answer`;
    throw new EnclaveError("key/unreachable", found, { cause: why });
  } finally {
    signal.removeEventListener("abort", giveUp);
    tunnel.destroy();
  }
}

function answered(connection: Duplex, asked: ServiceRequest): Promise<IncomingMessage> {
  const { method, path, headers, body } = asked;
  return new Promise((resolve, reject) => {
    // Without an agent: the connection that is there. It is TLS below HTTP already where it has to be.
    const outgoing = request({ createConnection: () => connection, method, path, headers });
    outgoing.once("response", resolve);
    outgoing.on("error", (cause) => {
      reject(httpFault(cause));
    });
    // Without an error too: an answer that goes over to another protocol (RFC 9110 §15.2.2).
    outgoing.once("close", () => {
      reject(new Error("closed before an answer"));
    });
    outgoing.end(body);
  });
}

function headersOf(response: IncomingMessage): Readonly<Record<string, string>> {
  const headers: [string, string][] = [];
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers.push([name, typeof value === "string" ? value : value.join()]);
  }
  return Object.fromEntries(headers);
}
