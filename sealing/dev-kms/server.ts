/**
 * The HTTPS listener: JSON 1.1 of AWS, `POST /` with the action in `X-Amz-Target`.
 *
 * Every answer to a request says that it comes from a development tool.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";

import { decodeUtf8, encodeUtf8 } from "@countersign/attestation";

import type { ServerCertificate } from "./certificates.ts";
import { createCustody, type CustodyOptions } from "./custody.ts";
import { KmsFailure } from "./failure.ts";
import { deliveryOf, distort, type DevKmsFault, strike } from "./fault.ts";
import { keyArn } from "./keyring.ts";
import { type Access, type Answer, performOperation } from "./operations.ts";
import { type Principal, verifySignature } from "./signature.ts";

const MAX_BODY_BYTES = 65_536;
const MAX_HEADER_BYTES = 16_384;
const MAX_CONNECTIONS = 256;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 20_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5_000;

const CONTENT_TYPE = "application/x-amz-json-1.1";
const TARGET = /^TrentService\.([A-Za-z]{1,64})$/u;
export const BANNER = "countersign dev-kms: a development tool, not a key management service";

/** One request, for a log: no key, no credential, no plaintext. */
export interface DevKmsEntry {
  /** The caller's ARN; null where the signature was not good. */
  readonly principal: string | null;
  readonly action: string | null;
  /** ARN of the key. */
  readonly key: string | null;
  /** PCR0 of the enclave for which the answer was to be; null where it was for the caller. */
  readonly pcr0: string | null;
  /** "ok", the name of the error, or "TLS" where no request came through. */
  readonly outcome: string;
  /** Why, in more words than the caller gets. */
  readonly reason: string | null;
}

export interface ServerOptions extends CustodyOptions {
  readonly certificate: ServerCertificate;
  readonly principals: readonly Principal[];
  readonly clock: () => number;
  readonly nextFault: () => DevKmsFault | null;
  readonly log: (entry: DevKmsEntry) => void;
}

interface Outgoing {
  readonly status: number;
  readonly answer: Answer;
  readonly fault: DevKmsFault | null;
}

/** What became known of a request on its way; it is written as the request goes on. */
interface Trace {
  principal: string | null;
  action: string | null;
  access: Access | null;
}

export function createKmsServer(options: ServerOptions): Server {
  const { key, chain } = options.certificate;
  const server = createServer(
    {
      key,
      cert: chain,
      minVersion: "TLSv1.2",
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    (request, response) => void handle(request, response, options),
  );
  server.maxConnections = MAX_CONNECTIONS;
  // The usual cause is a client that was not told of our authority.
  server.on("tlsClientError", (error) => {
    const reason = "code" in error && typeof error.code === "string" ? error.code : error.message;
    log(options, { principal: null, action: null, access: null }, "TLS", reason);
  });
  return server;
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: ServerOptions,
): Promise<void> {
  const trace: Trace = { principal: null, action: null, access: null };
  const fault = options.nextFault();
  const gone = new AbortController();
  response.once("close", () => {
    gone.abort();
  });
  try {
    const body = await readBody(request);
    await strike(fault, gone.signal);
    const answer = await answerTo(request, body, options, trace);
    const sent = distort(fault, answer, trace.access?.recipient ?? null);
    log(options, trace, "ok", null);
    deliver(response, { status: 200, answer: sent, fault }, options.clock);
  } catch (error) {
    // The client has gone, or half of an answer has.
    if (gone.signal.aborted || response.headersSent) {
      response.destroy();
      return;
    }
    const failure = failureOf(error);
    log(options, trace, failure.code, failure.reason ?? failure.message);
    if (!request.complete) response.setHeader("connection", "close");
    const said = { __type: failure.code, message: failure.message };
    deliver(response, { status: failure.status, answer: said, fault: null }, options.clock);
  }
}

/** 1. Who asks. 2. What. 3. Whether they may, and the answer. */
async function answerTo(
  request: IncomingMessage,
  body: Uint8Array,
  options: ServerOptions,
  trace: Trace,
): Promise<Answer> {
  if (request.method !== "POST" || request.url !== "/") {
    throw new KmsFailure("UnknownOperationException", "KMS is served at POST / and nowhere else");
  }
  const nowMs = options.clock();
  const headers = headersOf(request);
  const principal = verifySignature({ headers, body }, options.principals, nowMs);
  trace.principal = principal.arn;
  const target = TARGET.exec(headers.get("x-amz-target")?.join() ?? "")?.[1];
  if (target === undefined || headers.get("content-type")?.join() !== CONTENT_TYPE) {
    throw new KmsFailure(
      "UnknownOperationException",
      "no X-Amz-Target of TrentService in JSON 1.1",
    );
  }
  trace.action = target;
  const custody = createCustody(options, principal.arn, nowMs, (access) => {
    trace.access = access;
  });
  return performOperation(target, textOf(body), custody);
}

function headersOf(request: IncomingMessage): ReadonlyMap<string, readonly string[]> {
  const headers = new Map<string, readonly string[]>();
  for (const [name, values] of Object.entries(request.headersDistinct)) {
    if (values !== undefined) headers.set(name, values);
  }
  return headers;
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Uint8Array>) {
    size += part.length;
    if (size > MAX_BODY_BYTES) {
      const message = `The request has more than ${MAX_BODY_BYTES} bytes`;
      throw new KmsFailure("RequestEntityTooLargeException", message);
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function textOf(body: Uint8Array): string {
  try {
    return decodeUtf8(body);
  } catch {
    throw new KmsFailure("SerializationException", "The request is not UTF-8");
  }
}

/** What is no failure of ours to name is one of this program: its message stays here. */
function failureOf(error: unknown): KmsFailure {
  if (error instanceof KmsFailure) return error;
  const reason = error instanceof Error ? error.message : "not an error";
  return new KmsFailure("KMSInternalException", "An internal error of this KMS", reason);
}

function deliver(
  response: ServerResponse,
  { status, answer, fault }: Outgoing,
  clock: () => number,
): void {
  const whole = encodeUtf8(JSON.stringify(answer));
  const delivery = deliveryOf(fault);
  if (delivery === "none") {
    response.destroy();
    return;
  }
  const body = delivery === "garbage" ? encodeUtf8("<html>this is no JSON") : whole;
  response.writeHead(status, {
    "content-type": CONTENT_TYPE,
    "content-length": body.length,
    "cache-control": "no-store",
    server: BANNER,
    // A client whose clock is off corrects it by this.
    date: new Date(clock()).toUTCString(),
    "x-amzn-requestid": randomUUID(),
  });
  if (delivery !== "half") {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, body.length >> 1), () => {
    response.destroy();
  });
}

function log(options: ServerOptions, trace: Trace, outcome: string, reason: string | null): void {
  const { principal, action, access } = trace;
  options.log({
    principal,
    action,
    key: access === null ? null : keyArn(access.key),
    pcr0: access?.recipient?.pcrs.get(0) ?? null,
    outcome,
    reason,
  });
}
