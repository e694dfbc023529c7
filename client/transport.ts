import { encodeHex } from "@countersign/attestation";
import {
  BUNDLE_PATH,
  CHALLENGE_PATH,
  GATEWAY_PATH,
  MEDIA_PROBLEM,
  MEDIA_REQUEST,
  MEDIA_RESPONSE,
  parseProblem,
  type ProblemCode,
} from "@countersign/protocol";

import { abortedError, withTimeout } from "./deadline.ts";
import { ClientError, type ClientErrorCode } from "./errors.ts";
import { chunksOf, collect } from "./streams.ts";

/** The part of `fetch` that a connection uses; give your own to choose the way to the node. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** What the node's host answered to one encapsulated request. */
export type GatewayAnswer =
  | { readonly kind: "sealed"; readonly body: ReadableStream<Uint8Array> }
  | { readonly kind: "unknown-key"; readonly detail: string };

/** A bundle is a few kilobytes; a post-quantum key and four certificates make most of it. */
const MAX_BUNDLE_BYTES = 256 * 1024;
const MAX_PROBLEM_BYTES = 64 * 1024;
const MAX_DETAIL_CHARACTERS = 300;
const MAX_RETRY_AFTER_SECONDS = 86_400;
/** For a whole bundle: all requests of a connection wait for it when an epoch ends. */
const BUNDLE_TIMEOUT_MS = 30_000;

/** Nothing of an exchange belongs in a cache or a referrer, and a node does not send us elsewhere. */
const OUTER_INIT = {
  cache: "no-store",
  credentials: "omit",
  redirect: "error",
  referrerPolicy: "no-referrer",
} as const satisfies RequestInit;

/** The node's address without query, fragment, or trailing slash. @throws ClientError `client/url`. */
export function requireNodeUrl(url: string | URL): URL {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new ClientError("client/url", `"${String(url)}" is no URL`, { cause });
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new ClientError("client/url", `${parsed.href} is not http or https`);
  }
  if (
    parsed.username !== "" ||
    parsed.password !== "" ||
    parsed.search !== "" ||
    parsed.hash !== ""
  ) {
    // Not the whole of it: what is too much may be a password.
    const address = `${parsed.origin}${parsed.pathname}`;
    throw new ClientError("client/url", `more than an address of a node is given: want ${address}`);
  }
  parsed.pathname = parsed.pathname.replace(/\/+$/u, "");
  return parsed;
}

/**
 * The node's bundle as it hands it to anyone, or, with a nonce, one made for us. Unverified.
 *
 * @throws ClientError, `client/unreachable` too where the whole of it took more than `timeoutMs`.
 */
export async function fetchBundle(
  fetch: Fetch,
  node: URL,
  nonce: Uint8Array | null,
  signal: AbortSignal | null,
  timeoutMs: number = BUNDLE_TIMEOUT_MS,
): Promise<Uint8Array> {
  const limited = withTimeout(signal, timeoutMs);
  const init: RequestInit =
    nonce === null
      ? { ...OUTER_INIT, signal: limited }
      : {
          ...OUTER_INIT,
          signal: limited,
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ nonce: encodeHex(nonce) }),
        };
  const path = nonce === null ? BUNDLE_PATH : CHALLENGE_PATH;
  const response = await send(fetch, node, path, init, signal);
  if (!response.ok) throw await problemError(response, node);
  return await readAtMost(response, MAX_BUNDLE_BYTES, node);
}

/** Sends one encapsulated request. @throws ClientError on every answer that is not sealed. */
export async function postGateway(
  fetch: Fetch,
  node: URL,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<GatewayAnswer> {
  const init: RequestInit = {
    ...OUTER_INIT,
    method: "POST",
    headers: { "content-type": MEDIA_REQUEST, accept: `${MEDIA_RESPONSE}, ${MEDIA_PROBLEM}` },
    body: body.slice(),
    signal,
  };
  const response = await send(fetch, node, GATEWAY_PATH, init, signal);
  if (response.ok && mediaType(response) === MEDIA_RESPONSE && response.body !== null) {
    return { kind: "sealed", body: response.body };
  }
  if (response.ok) {
    await response.body?.cancel();
    throw new ClientError(
      "node/answer",
      `${node.href} answered with ${mediaType(response) || "no media type"}, want ${MEDIA_RESPONSE}`,
      { status: response.status },
    );
  }
  const problem = await readProblem(response, node);
  if (problem.code === "unknownKey") return { kind: "unknown-key", detail: problem.detail };
  throw errorOf(problem, response, node);
}

interface OuterProblem {
  readonly code: ProblemCode | null;
  readonly detail: string;
}

async function send(
  fetch: Fetch,
  node: URL,
  path: string,
  init: RequestInit,
  signal: AbortSignal | null,
): Promise<Response> {
  const url = node.href.replace(/\/$/u, "") + path;
  try {
    return await fetch(url, init);
  } catch (cause) {
    if (signal?.aborted === true) {
      throw abortedError({ cause });
    }
    const reason = `${node.href} cannot be reached: ${reasonOf(cause)}`;
    throw new ClientError("client/unreachable", reason, { cause });
  }
}

async function problemError(response: Response, node: URL): Promise<ClientError> {
  return errorOf(await readProblem(response, node), response, node);
}

function errorOf(problem: OuterProblem, response: Response, node: URL): ClientError {
  const { status } = response;
  const said = problem.detail === "" ? "" : `: ${problem.detail}`;
  const message = `${node.href} answered ${status}${said}`;
  const wait = retryAfter(response.headers);
  const options = wait === null ? { status } : { status, retryAfterSeconds: wait };
  return new ClientError(codeOf(status), message, options);
}

function codeOf(status: number): ClientErrorCode {
  if (status === 400) return "node/malformed";
  if (status === 409) return "node/replay";
  if (status === 413) return "node/too-large";
  if (status === 429) return "node/busy";
  if (status === 503) return "node/unavailable";
  return "node/answer";
}

/** RFC 9457, as far as we use it; what else the host wrote is no business of ours. */
async function readProblem(response: Response, node: URL): Promise<OuterProblem> {
  const bytes = await readAtMost(response, MAX_PROBLEM_BYTES, node);
  if (mediaType(response) !== MEDIA_PROBLEM) return { code: null, detail: "" };
  const text = new TextDecoder().decode(bytes);
  return { code: parseProblem(text), detail: detailOf(text) };
}

function detailOf(text: string): string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // An unreadable problem is a problem all the same: the status alone decides.
    return "";
  }
  if (typeof document !== "object" || document === null || !("detail" in document)) return "";
  const { detail } = document;
  return typeof detail === "string" ? detail.slice(0, MAX_DETAIL_CHARACTERS) : "";
}

async function readAtMost(response: Response, limit: number, node: URL): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array(0);
  let bytes: Uint8Array | null;
  try {
    bytes = await collect(chunksOf(response.body), limit);
  } catch (cause) {
    const reason = `${node.href} broke off its answer: ${reasonOf(cause)}`;
    throw new ClientError("client/unreachable", reason, { cause });
  }
  if (bytes !== null) return bytes;
  throw new ClientError("node/answer", `${node.href} answered with more than ${limit} bytes`);
}

function retryAfter(headers: Headers): number | null {
  const text = headers.get("retry-after") ?? "";
  return /^\d{1,9}$/u.test(text) ? Math.min(Number(text), MAX_RETRY_AFTER_SECONDS) : null;
}

function mediaType(response: Response): string {
  return (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** The innermost reason of a failed fetch: "fetch failed" alone helps nobody. */
function reasonOf(error: unknown): string {
  let reason = error;
  while (reason instanceof Error && reason.cause instanceof Error) reason = reason.cause;
  if (!(reason instanceof Error)) return String(reason);
  const code: unknown = "code" in reason ? reason.code : undefined;
  if (reason.message !== "") return reason.message;
  return typeof code === "string" ? code : reason.name;
}
