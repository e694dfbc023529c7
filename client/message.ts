/** A request as it goes inside the encryption, body and all. */
export interface InnerRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

/** What `fetch` takes for its first argument. */
export type FetchInput = string | URL | Request;

/** Where relative URLs start. Only path and query of a URL go inside, so its host means nothing. */
const BASE_URL = "http://countersign/";

/**
 * Headers that end here: RFC 9110 §7.6.1's connection fields; Host and Content-Length, which Binary
 * HTTP says in its own way; and the two that we set ourselves.
 */
const OUTER_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "countersign-keyset",
  "date",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Reads what a caller of `fetch` asks for. @throws TypeError as `fetch` does. */
export async function readRequest(input: FetchInput, init?: RequestInit): Promise<InnerRequest> {
  const target = typeof input === "string" ? new URL(input, BASE_URL) : input;
  const request = new Request(target, init);
  const url = target instanceof URL ? target : new URL(request.url);
  return {
    method: request.method,
    path: `${url.pathname}${url.search}`,
    headers: innerHeaders(request.headers),
    body: new Uint8Array(await request.arrayBuffer()),
    signal: request.signal,
  };
}

/** The headers of `headers` that are for the other end, in order. */
export function innerHeaders(headers: Headers): readonly (readonly [string, string])[] {
  const named = (headers.get("connection") ?? "").toLowerCase().split(",");
  const perConnection = new Set(named.map((name) => name.trim()));
  return [...headers].filter(([name]) => !OUTER_FIELDS.has(name) && !perConnection.has(name));
}
