/** One HTTP request, with what a download must not leave to `fetch`: redirects, secrets, patience. */
import { CommandError } from "../exit.ts";
import { PassingError } from "./retries.ts";
import { isFetchable, isLoopback } from "./source.ts";
import type { Surroundings } from "./surroundings.ts";

/** A secret, and the only origin that may see it. */
export interface Credential {
  readonly origin: string;
  readonly token: string;
}

export interface WebRequest {
  readonly method: "GET" | "HEAD";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly credential: Credential | null;
}

/** An answer whose status is final: it would be the same again. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: number;
  /** The hub's word for it, in `X-Error-Code`. */
  readonly reason: string;

  constructor(status: number, reason: string) {
    super(`status ${status}`);
    this.status = status;
    this.reason = reason;
  }
}

/** A response, and the watch over its silence. */
export interface WebResponse {
  readonly status: number;
  readonly headers: Headers;
  /** The body; breaks off where nothing comes for too long. @throws PassingError */
  read(): AsyncGenerator<Uint8Array, void, void>;
  /** Lets go of what was not read. */
  drop(): Promise<void>;
}

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** RFC 9110: statuses that a later request may not get. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Failures of a connection that are not worth another attempt: names, certificates, addresses. */
const LASTING =
  /^(?:ENOTFOUND|CERT_|ERR_TLS|ERR_SSL|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_INVALID)/u;
const MAX_REASON_CHARACTERS = 100;

/**
 * Sends a request, and follows redirects over https alone; no secret goes to another origin.
 *
 * @throws PassingError, StatusError (of 400 and more), CommandError
 */
export async function send(around: Surroundings, request: WebRequest): Promise<WebResponse> {
  const shown = shownUrl(request.url);
  let url = request.url;
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const watch = createWatch(around);
    const response = webResponse(
      await sendOnce(around, request, url, watch, shown),
      watch,
      around,
      shown,
    );
    try {
      if (!REDIRECTS.has(response.status)) {
        requireUsable(response, shown, around.nowMs());
        return response;
      }
      url = redirectTarget(response, url, shown);
    } catch (error) {
      // Its watch and its connection would keep the process alive.
      await response.drop();
      throw error;
    }
    await response.drop();
  }
  throw new CommandError(`${shown} redirects more than ${MAX_REDIRECTS} times`);
}

/** An address without what may be a secret: signatures of storage lie in the query. */
export function shownUrl({ origin, pathname }: URL): string {
  return `${origin}${pathname}`;
}

async function sendOnce(
  around: Surroundings,
  { method, headers, credential }: WebRequest,
  url: URL,
  watch: Watch,
  shown: string,
): Promise<Response> {
  const mine = credential !== null && credential.origin === url.origin ? credential.token : null;
  const secret = mine === null ? {} : { authorization: `Bearer ${mine}` };
  try {
    return await around.fetch(url, {
      method,
      // Bytes are counted and resumed, so they must come as they are.
      headers: { ...headers, ...secret, "accept-encoding": "identity" },
      redirect: "manual",
      signal: watch.signal,
    });
  } catch (error) {
    watch.end();
    throw failure(error, around, watch, shown);
  }
}

function redirectTarget(response: WebResponse, from: URL, shown: string): URL {
  const location = response.headers.get("location");
  const target = location === null ? null : URL.parse(location, from.href);
  if (target === null) throw new CommandError(`${shown} redirects to no address`);
  const safe = isLoopback(from) ? isFetchable(target) : target.protocol === "https:";
  if (safe && target.username === "" && target.password === "") return target;
  throw new CommandError(
    `${shown} redirects to ${shownUrl(target)}, which is not encrypted`,
    "anybody on the way could change what arrives: use another source",
  );
}

/** @throws PassingError, StatusError for a refusal; CommandError for an encoding not asked for. */
function requireUsable({ status, headers }: WebResponse, shown: string, nowMs: number): void {
  if (PASSING.has(status)) {
    const waitMs = retryAfterMs(headers.get("retry-after"), nowMs);
    throw new PassingError(`${shown} answered ${status}`, { waitMs });
  }
  if (status >= 400) {
    const reason = headers.get("x-error-code") ?? "";
    throw new StatusError(status, reason.slice(0, MAX_REASON_CHARACTERS));
  }
  const encoding = headers.get("content-encoding") ?? "identity";
  if (encoding === "identity") return;
  throw new CommandError(`${shown} comes in the encoding ${encoding}, which was not asked for`);
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterMs(field: string | null, nowMs: number): number | null {
  if (field === null) return null;
  if (/^\d{1,9}$/u.test(field)) return Number(field) * 1000;
  const date = Date.parse(field);
  return Number.isNaN(date) ? null : Math.max(date - nowMs, 0);
}

function webResponse(
  response: Response,
  watch: Watch,
  around: Surroundings,
  shown: string,
): WebResponse {
  const { status, headers } = response;
  return {
    status,
    headers,
    async *read() {
      const reader = response.body?.getReader();
      try {
        for (;;) {
          const next = await reader?.read();
          if (next === undefined || next.done) return;
          watch.alive();
          yield next.value;
        }
      } catch (error) {
        throw failure(error, around, watch, shown);
      } finally {
        watch.end();
        // Nothing is left to be said by it: the reason that counts is on its way already.
        await reader?.cancel().catch(() => undefined);
      }
    },
    async drop() {
      watch.end();
      await response.body?.cancel().catch(() => undefined);
    },
  };
}

/** Ends a request in which nothing has happened for too long. */
interface Watch {
  readonly signal: AbortSignal;
  readonly stalled: boolean;
  alive(): void;
  end(): void;
}

function createWatch({ signal, stallMs }: Surroundings): Watch {
  const stall = new AbortController();
  const expire = (): void => {
    stall.abort();
  };
  let timer = setTimeout(expire, stallMs);
  return {
    signal: AbortSignal.any([signal, stall.signal]),
    get stalled() {
      return stall.signal.aborted;
    },
    alive() {
      clearTimeout(timer);
      timer = setTimeout(expire, stallMs);
    },
    end() {
      clearTimeout(timer);
    },
  };
}

/** What a failed `fetch`, or a failed read, means. */
function failure(error: unknown, around: Surroundings, watch: Watch, shown: string): unknown {
  if (around.signal.aborted) return around.signal.reason;
  if (watch.stalled) {
    return new PassingError(`nothing came from ${shown} for ${around.stallMs / 1000} s`);
  }
  if (!(error instanceof Error)) return error;
  const reason = innermost(error);
  const code = "code" in reason && typeof reason.code === "string" ? reason.code : "";
  const what = `the connection to ${shown} failed: ${code === "" ? reason.message : code}`;
  // `fetch` says of every failure of the network that it is a TypeError.
  if (!(error instanceof TypeError)) return error;
  if (LASTING.test(code)) return new CommandError(what, "look at the address and at the network");
  return new PassingError(what, { cause: error });
}

function innermost(error: Error): Error {
  let reason = error;
  while (reason.cause instanceof Error) reason = reason.cause;
  return reason;
}
