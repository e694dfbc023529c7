import { inspect } from "node:util";

import { concatBytes, type Verdict } from "@countersign/attestation";
import { isEventStream } from "@countersign/protocol";
import { Hono } from "hono";

import { VerdictError, type VerifiedFetch, type VerifiedResponse } from "@countersign/client";
import { printable, printableLines } from "../terminal.ts";
import { isOwnHost, type ListenAddress } from "./guard.ts";
import { problem, problemOf, problemResponse } from "./problem.ts";
import type { ProofStore } from "./proofs.ts";

/** What the proxy is made of. */
export interface ProxyParts {
  readonly fetch: VerifiedFetch;
  readonly listen: () => ListenAddress;
  readonly proofs: ProofStore;
  /** The largest request, and the largest answer that is held back until it is verified. */
  readonly maxHeldBytes: number;
  /** What became of each exchange. */
  readonly log: (entry: ProxyEntry) => void;
}

/** One exchange, without anything of its content. */
export interface ProxyEntry {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly outcome: "verified" | "streaming" | "refused";
  readonly exchange: string | null;
  readonly detail: string | null;
}

const VERDICT_FIELD = "countersign-verdict";
const PROOF_FIELD = "countersign-proof";
const FORBIDDEN = 403;
/** Methods that Fetch forbids: none of them means anything to the API behind. */
const FORBIDDEN_METHODS: ReadonlySet<string> = new Set(["CONNECT", "TRACE", "TRACK"]);
/** Where the paths of requests start: only path and query go inside the encryption. */
const INNER_ORIGIN = "http://countersign";
/** RFC 9112 §6, RFC 9110 §7.6.1: how a message is framed between us and our caller is ours to say. */
const FRAMING_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * The verifying proxy as an app: plain HTTP in front, encrypted and verified behind.
 *
 * An answer is held back until its receipt is verified, but for event streams (none whose content is
 * coded: of those nobody knows which event is the last): their events are
 * authentic as they come, and the stream breaks off instead of ending where it is not complete. The
 * event that says it is done comes when it was verified.
 */
export function createProxyApp(parts: ProxyParts): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    const refusal = refuseForeign(c.req.raw.headers, parts.listen());
    if (refusal !== null) return refusal;
    await next();
    return undefined;
  });
  app.get("/proofs/:id", async (c) => {
    const proof = await parts.proofs.get(c.req.param("id"));
    if (proof === null) {
      const detail =
        "The id is in the countersign-proof header of an answer; old proofs are dropped.";
      return problemResponse(problem("no-proof", "There is no such proof here", 404, detail));
    }
    const id = c.req.param("id");
    return new Response(proof.slice(), {
      headers: {
        "content-type": "application/cbor",
        "content-disposition": `attachment; filename="${id}.proof"`,
      },
    });
  });
  app.all("*", async (c) => await forward(c.req.raw, parts));
  return app;
}

/** A request that another site's page made a browser send, or null where it is none. */
function refuseForeign(headers: Headers, listen: ListenAddress): Response | null {
  const detail = foreignness(headers, listen);
  if (detail === null) return null;
  return problemResponse(
    problem("foreign", "This request is not for this proxy", FORBIDDEN, detail),
  );
}

function foreignness(headers: Headers, listen: ListenAddress): string | null {
  const host = headers.get("host") ?? undefined;
  if (!isOwnHost(host, listen)) return "The Host header is not this proxy's: use its own address.";
  // Browsers leave Sec-Fetch-Site out where the proxy is reached by plain HTTP from another machine.
  const origin = headers.get("origin");
  const foreign = origin !== null && origin.toLowerCase() !== `http://${host?.toLowerCase() ?? ""}`;
  if (foreign || headers.get("sec-fetch-site") === "cross-site") {
    return "A page of another site may not use this proxy.";
  }
  return null;
}

async function forward(request: Request, parts: ProxyParts): Promise<Response> {
  const { method, headers, signal } = request;
  const { pathname, search } = new URL(request.url);
  const about = { method, path: pathname };
  if (FORBIDDEN_METHODS.has(method.toUpperCase())) {
    return refusedHere(
      "method",
      405,
      "This method cannot be sent inside the encryption.",
      parts,
      about,
    );
  }
  try {
    const content = await readAtMost(request.body, parts.maxHeldBytes);
    if (content === null) {
      const detail = `The request is larger than ${parts.maxHeldBytes} bytes.`;
      return refusedHere("too-large", 413, detail, parts, about);
    }
    // As a URL of its own: a path that begins with "//" names no other host.
    const target = new URL(`${INNER_ORIGIN}${pathname}${search}`);
    const body = request.body === null ? null : content.slice();
    const response = await parts.fetch(target, { method, headers, body, signal });
    if (isEventStream([...response.headers])) return streamed(response, parts, about);
    return await held(response, parts, about);
  } catch (error) {
    return refused(error, parts, about);
  }
}

type About = Pick<ProxyEntry, "method" | "path">;

/** The whole answer, once it is verified. */
async function held(
  response: VerifiedResponse,
  parts: ProxyParts,
  about: About,
): Promise<Response> {
  const { body, status, exchange } = response;
  const content = await readAtMost(body, parts.maxHeldBytes);
  if (content === null) {
    const detail = `The answer is larger than ${parts.maxHeldBytes} bytes, too large to be held until it is verified.`;
    const refusal = problem(
      "too-large-to-verify",
      "The answer is too large for this proxy",
      502,
      detail,
    );
    parts.log({ ...about, status: 502, outcome: "refused", exchange, detail });
    return problemResponse(refusal);
  }
  const verdict = await response.verdict();
  await parts.proofs.put(exchange, await response.proof());
  const headers = outerHeaders(response);
  headers.set(VERDICT_FIELD, verdictField(verdict));
  parts.log({ ...about, status, outcome: "verified", exchange, detail: null });
  return new Response(body === null ? null : content.slice(), { status, headers });
}

/** Events as they come. What is still open when the headers go out is said there. */
function streamed(response: VerifiedResponse, parts: ProxyParts, about: About): Response {
  const { status, exchange, body } = response;
  const headers = outerHeaders(response);
  headers.set(VERDICT_FIELD, "streaming; verified-at-end");
  const entry = { ...about, status, exchange };
  parts.log({ ...entry, outcome: "streaming", detail: null });
  const source = body?.getReader();
  const events = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const next = await source?.read();
        if (next?.done === false) {
          controller.enqueue(next.value);
          return;
        }
        await parts.proofs.put(exchange, await response.proof());
        parts.log({ ...entry, outcome: "verified", detail: null });
        controller.close();
      } catch (error) {
        await keepPartial(error, parts.proofs, exchange);
        parts.log({ ...entry, outcome: "refused", detail: messageOf(error) });
        controller.error(new BrokenStream(`${about.path}: stream broken off: ${messageOf(error)}`));
      }
    },
    async cancel() {
      await source?.cancel();
    },
  });
  return new Response(events, { status, headers });
}

/** Of a stream that broke off, the proof of what came until its last checkpoint, which says that it is not all. */
async function keepPartial(error: unknown, proofs: ProofStore, exchange: string): Promise<void> {
  const checkpoint = error instanceof VerdictError ? error.checkpoint : null;
  if (checkpoint !== null) await proofs.put(exchange, checkpoint.proof()).catch(() => undefined);
}

/** What the proxy does not even send. */
function refusedHere(
  type: string,
  status: number,
  detail: string,
  parts: ProxyParts,
  about: About,
): Response {
  parts.log({ ...about, status, outcome: "refused", exchange: null, detail });
  return problemResponse(problem(type, "The proxy does not send this request", status, detail));
}

function refused(error: unknown, parts: ProxyParts, about: About): Response {
  const { body, headers } = problemOf(error);
  const { status, detail } = body;
  parts.log({ ...about, status, outcome: "refused", exchange: null, detail });
  if (body.status === 500) {
    process.stderr.write(`countersign: ${printableLines(messageOf(error))}\n`);
  }
  return problemResponse(body, headers);
}

/** All of a body, or null where it is longer; the rest is then cancelled. */
async function readAtMost(
  body: ReadableStream<Uint8Array> | null,
  limit: number,
): Promise<Uint8Array | null> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body ?? []) {
    size += part.length;
    if (size > limit) return null;
    parts.push(part);
  }
  return concatBytes(...parts);
}

function outerHeaders(response: VerifiedResponse): Headers {
  const headers = new Headers();
  for (const [name, value] of response.headers) {
    if (!FRAMING_FIELDS.has(name)) headers.append(name, value);
  }
  headers.set(PROOF_FIELD, response.exchange);
  headers.set("cache-control", response.headers.get("cache-control") ?? "no-store");
  return headers;
}

/** `verified; platform="simulated"; …`: an RFC 9651 item with parameters. */
function verdictField(verdict: Verdict): string {
  const parameters = [
    ["platform", verdict.platform],
    ["measurement", verdict.measurement],
  ] as const;
  const shown = parameters.flatMap(([name, value]) =>
    value === null ? [] : [`${name}="${value.replaceAll(/[^\x20-\x7e]|["\\]/gu, "?")}"`],
  );
  return [verdict.result, ...shown].join("; ");
}

/** The server prints what ends a stream; of this it prints one line. */
class BrokenStream extends Error {
  override readonly name = "BrokenStream";

  [inspect.custom](): string {
    return `countersign: ${printable(this.message)}`;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
