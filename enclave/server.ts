/** What the enclave answers on its one socket: HTTP/1.1, to the host only. */
import { MEDIA_BUNDLE } from "@countersign/protocol";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { errorCode } from "./answers.ts";
import type { Epochs } from "./epochs.ts";
import type { Gateway } from "./gateway.ts";
import type { Log } from "./log.ts";
import type { Phase } from "./phase.ts";
import { sendProblem } from "./problem.ts";
import { RequestBody } from "./request-body.ts";
import { RequestMemory } from "./request-memory.ts";

/** A challenge: bytes of the nonce. PROTOCOL.md §4. */
const MIN_NONCE_BYTES = 16;
const MAX_NONCE_BYTES = 64;
/** The module signs one document at a time; what waits behind these is refused. */
const MAX_CHALLENGES = 8;
/** Outer header section. */
const MAX_HEADER_BYTES = 16_384;
const KEEP_ALIVE_MS = 60_000;

export interface ServerOptions {
  readonly gateway: Gateway;
  readonly epochs: Epochs;
  readonly phase: () => Phase;
  readonly queue: () => { readonly depth: number; readonly limit: number };
  readonly log: Log;
}

/** An HTTP server that listens nowhere: it is given connections by a transport. */
export function createEnclaveServer(options: ServerOptions): Server {
  const challenges = { active: 0 };
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_MS, noDelay: true },
    (request, response) => {
      route(options, challenges, request, response).catch((error: unknown) => {
        options.log("request-failed", { code: errorCode(error) });
        response.destroy();
      });
    },
  );
  // Each request has deadlines of its own; an inference may take longer than any of the socket's.
  server.timeout = 0;
  server.requestTimeout = 0;
  return server;
}

async function route(
  options: ServerOptions,
  challenges: { active: number },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  switch (`${request.method ?? ""} ${request.url ?? ""}`) {
    case "POST /gateway":
      return options.gateway.handle(request, response);
    case "GET /bundle":
      return sendBundle(response, options.epochs.current.bundleBytes);
    case "POST /challenge":
      return challenge(options, challenges, request, response);
    case "GET /status":
      return sendStatus(options, response);
    default:
      return sendProblem(response, "notFound", "server/path");
  }
}

async function challenge(
  options: ServerOptions,
  challenges: { active: number },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (challenges.active >= MAX_CHALLENGES) {
    return sendProblem(response, "tooMany", "challenge/too-many");
  }
  challenges.active++;
  try {
    const nonce = await readNonce(request);
    if (nonce === null) return sendProblem(response, "malformed", "challenge/nonce");
    sendBundle(response, await options.epochs.challenge(nonce));
  } catch (error) {
    options.log("challenge-failed", { code: errorCode(error) });
    sendProblem(response, "unavailable", "challenge/failed");
  } finally {
    challenges.active--;
  }
}

/** Null unless the body is 16 to 64 bytes. */
async function readNonce(request: IncomingMessage): Promise<Uint8Array | null> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const body = new RequestBody(request, MAX_HEADER_BYTES, new RequestMemory(MAX_HEADER_BYTES));
  for await (const piece of body) {
    pieces.push(piece);
    length += piece.length;
    if (length > MAX_NONCE_BYTES) return null;
  }
  return length < MIN_NONCE_BYTES ? null : new Uint8Array(Buffer.concat(pieces));
}

function sendBundle(response: ServerResponse, bundle: Uint8Array): void {
  response.writeHead(200, {
    "content-type": MEDIA_BUNDLE,
    "content-length": bundle.length,
    "cache-control": "no-store",
  });
  response.end(bundle);
}

function sendStatus(options: ServerOptions, response: ServerResponse): void {
  const { current, live } = options.epochs;
  const { sequence, notBefore, notAfter, exchanges } = current;
  const body = JSON.stringify({
    phase: options.phase(),
    epoch: { sequence, notBefore, notAfter, exchanges, live, replaySlotsUsed: current.replay.size },
    queue: options.queue(),
    exchanges: { active: options.gateway.active, ...options.gateway.counters },
  });
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
  });
  response.end(body);
}
