/**
 * What the node serves in the clear, DESIGN §6.
 *
 * Small answers come from a plain Hono app; the gateway never enters it, because its bodies go from
 * socket to socket (relay.ts).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Context, Hono } from "hono";
import { BUNDLE_PATH, CHALLENGE_PATH, GATEWAY_PATH, MEDIA_BUNDLE } from "@countersign/protocol";
import {
  answerOf,
  CORS,
  type HeaderRecord,
  type Refusal,
  refuse,
  refuseForNow,
  REQUEST_ID_FIELD,
  sendEarly,
} from "./answers.ts";
import type { BundleCache } from "./bundle.ts";
import type { Challenger } from "./challenge.ts";
import { HostError } from "./errors.ts";
import { BUNDLE_MAX_AGE_SECONDS } from "./limits.ts";
import { METRICS_MEDIA } from "./metrics.ts";
import { outcomeOf, type Route } from "./observe.ts";
import { relay, type RelayOptions } from "./relay.ts";

type Env = { Bindings: { readonly incoming: IncomingMessage } };
type Host = Hono<Env>;
type HostContext = Context<Env>;

export interface AppOptions extends RelayOptions {
  readonly bundles: BundleCache;
  readonly challenger: Challenger;
  /** Whether the node is on its way out: it is then not ready, though it still answers. */
  readonly stopping: () => boolean;
}

const ABOUT = {
  name: "countersign node",
  what: "AI inference inside an enclave. This host relays bytes that it cannot read.",
  bundle: BUNDLE_PATH,
  challenge: CHALLENGE_PATH,
  gateway: GATEWAY_PATH,
  health: ["/livez", "/readyz", "/metrics"],
  next: "countersign attest <this URL> --policy <file>",
};

/** Answers one request. */
export type Listener = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

/** The host's routes, for `node:http`. */
export function createHostListener(options: AppOptions): Listener {
  const app = createHostApp(options);
  return (incoming, outgoing) => {
    if (incoming.method === "POST" && pathOf(incoming) === GATEWAY_PATH) {
      relay(incoming, outgoing, options);
      return;
    }
    serveSmall(app, options, incoming, outgoing).catch(() => {
      // A bug of ours: the client learns no more than that.
      outgoing.destroy();
    });
  };
}

function createHostApp(options: AppOptions): Host {
  const app: Host = new Hono<Env>();
  refuseOthers(app, options, GATEWAY_PATH, "POST");
  app.get(BUNDLE_PATH, (c) => recorded(c, options, "bundle", bundleAnswer));
  refuseOthers(app, options, BUNDLE_PATH, "GET, HEAD");
  app.post(CHALLENGE_PATH, (c) => recorded(c, options, "challenge", challengeAnswer));
  refuseOthers(app, options, CHALLENGE_PATH, "POST");
  addHealth(app, options);
  app.notFound((c) =>
    recorded(c, options, "other", () => refuse("notFound", "See / for what this node serves")),
  );
  return app;
}

/** One request through the app. It sees method and path; what else it needs it takes from Node. */
async function serveSmall(
  app: Host,
  options: AppOptions,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const method = incoming.method ?? "";
  const path = pathOf(incoming);
  // Methods that the Fetch standard has no request for (§2.2.1), and targets that are no path.
  if (!path.startsWith("/") || !METHODS.includes(method)) {
    sendEarly(incoming, outgoing, answerOf(refuse("method", "Not here"), options.nextRequestId()));
    return;
  }
  const request = new Request(new URL(`http://node${path}`), { method });
  const response = await app.fetch(request, { incoming });
  const body = Buffer.from(await response.arrayBuffer());
  const length = method === "HEAD" || response.status === 304 ? {} : lengthOf(response, body);
  const headers = { ...Object.fromEntries(response.headers), ...length };
  sendEarly(incoming, outgoing, { status: response.status, headers, body });
}

const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

function pathOf(incoming: IncomingMessage): string {
  const target = incoming.url ?? "";
  const query = target.indexOf("?");
  return query === -1 ? target : target.slice(0, query);
}

function lengthOf(response: Response, body: Uint8Array): HeaderRecord {
  return response.status === 204 ? {} : { "content-length": `${body.length}` };
}

function addHealth(app: Host, options: AppOptions): void {
  const text = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  const pages: readonly (readonly [string, () => PlainAnswer | Refusal])[] = [
    ["/livez", () => ({ status: 200, headers: text, body: "alive\n" })],
    [
      "/readyz",
      () => {
        if (options.stopping()) return refuseForNow("unavailable", "The node is stopping");
        if (!options.enclave.serving) return refuseForNow("unavailable", "The enclave is starting");
        return { status: 200, headers: text, body: "ready\n" };
      },
    ],
    [
      "/metrics",
      () => ({
        status: 200,
        headers: { ...text, "content-type": METRICS_MEDIA },
        body: options.observer.render(),
      }),
    ],
    [
      "/",
      () => ({
        status: 200,
        headers: { ...CORS, "content-type": "application/json" },
        body: `${JSON.stringify(ABOUT, null, 2)}\n`,
      }),
    ],
  ];
  for (const [path, page] of pages) {
    app.get(path, (c) => recorded(c, options, "other", page));
    refuseOthers(app, options, path, "GET, HEAD");
  }
}

/** Preflights are answered, other methods refused (RFC 9110 §15.5.6). */
function refuseOthers(app: Host, options: AppOptions, path: string, allow: string): void {
  app.options(path, () => {
    const headers = {
      ...CORS,
      allow: `${allow}, OPTIONS`,
      "access-control-allow-methods": allow,
      "access-control-allow-headers": "content-type",
      "access-control-max-age": "86400",
    };
    return new Response(null, { status: 204, headers });
  });
  app.all(path, (c) =>
    recorded(c, options, routeOf(path), () => refuse("method", `Allowed here: ${allow}`), {
      allow: `${allow}, OPTIONS`,
    }),
  );
}

function routeOf(path: string): Route {
  switch (path) {
    case GATEWAY_PATH:
      return "gateway";
    case BUNDLE_PATH:
      return "bundle";
    case CHALLENGE_PATH:
      return "challenge";
    default:
      return "other";
  }
}

interface PlainAnswer {
  readonly status: number;
  readonly headers: HeaderRecord;
  readonly body: Uint8Array | string | null;
}

type Page = (
  c: HostContext,
  options: AppOptions,
) => PlainAnswer | Refusal | Promise<PlainAnswer | Refusal>;

async function bundleAnswer(c: HostContext, options: AppOptions): Promise<PlainAnswer | Refusal> {
  const bundle = await options.bundles.read();
  const headers = {
    ...CORS,
    etag: bundle.etag,
    "cache-control": `public, max-age=${BUNDLE_MAX_AGE_SECONDS}`,
  };
  // RFC 9110 §13.1.2.
  const known = (c.env.incoming.headers["if-none-match"] ?? "").split(",").map((tag) => tag.trim());
  if (known.includes(bundle.etag) || known.includes(`W/${bundle.etag}`) || known[0] === "*") {
    return { status: 304, headers, body: null };
  }
  return { status: 200, headers: { ...headers, "content-type": MEDIA_BUNDLE }, body: bundle.bytes };
}

async function challengeAnswer(
  c: HostContext,
  options: AppOptions,
): Promise<PlainAnswer | Refusal> {
  const answer = await options.challenger.answer(c.env.incoming);
  if ("problem" in answer) return answer;
  return {
    status: 200,
    headers: { ...CORS, "content-type": MEDIA_BUNDLE, "cache-control": "no-store" },
    body: answer.bundle,
  };
}

/** Makes the answer, counts it, and turns an enclave that cannot be reached into a 503. */
async function recorded(
  c: HostContext,
  options: AppOptions,
  route: Route,
  page: Page,
  extra: HeaderRecord = {},
): Promise<Response> {
  const startedAtMs = performance.now();
  const requestId = options.nextRequestId();
  const made = await madeBy(page, c, options);
  const answer: PlainAnswer = "problem" in made ? answerOf(made, requestId) : made;
  options.observer.record({
    route,
    outcome: outcomeOf(answer.status),
    status: answer.status,
    bytesIn: 0,
    bytesOut: answer.body === null ? 0 : Buffer.byteLength(answer.body),
    durationMs: performance.now() - startedAtMs,
    requestId,
  });
  const headers = { ...answer.headers, ...extra, [REQUEST_ID_FIELD]: requestId };
  const body = typeof answer.body === "string" ? answer.body : copyOf(answer.body);
  return new Response(body, { status: answer.status, headers });
}

async function madeBy(
  page: Page,
  c: HostContext,
  options: AppOptions,
): Promise<PlainAnswer | Refusal> {
  try {
    return await page(c, options);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return refuseForNow("unavailable", "The enclave did not answer");
  }
}

/** A body of `Response` is backed by an ArrayBuffer that is its own. */
function copyOf(bytes: Uint8Array | null): Uint8Array<ArrayBuffer> | null {
  return bytes === null ? null : new Uint8Array(bytes);
}
