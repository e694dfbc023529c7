/**
 * A server that behaves like the Hugging Face hub: listing by revision, files by commit, large ones
 * redirected to another origin with ranges and ETags; and everything that can go wrong on the way.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** What a request gets in place of the plain answer. */
export type Fault =
  /** So many bytes of the answer, then the connection breaks. */
  | { readonly kind: "cut"; readonly after: number }
  /** So many bytes, then an end as if that were all. */
  | { readonly kind: "short"; readonly after: number }
  /** So many bytes, then silence. */
  | { readonly kind: "stall"; readonly after: number }
  | { readonly kind: "status"; readonly status: number; readonly headers?: Record<string, string> }
  /** Other bytes of the same length. */
  | { readonly kind: "flip" }
  /** More bytes than there are. */
  | { readonly kind: "long" }
  /** The whole file, whatever part was asked for. */
  | { readonly kind: "no-range" }
  /** The same bytes, said to be of another commit. */
  | { readonly kind: "other-commit" }
  | { readonly kind: "redirect"; readonly to: string };

/** One request, as it came. */
export interface Seen {
  /** `hub` or `cdn`. */
  readonly at: string;
  readonly method: string;
  readonly path: string;
  readonly authorization: string | null;
  readonly range: string | null;
}

export interface FakeHub {
  readonly url: string;
  readonly cdn: string;
  readonly commit: string;
  readonly seen: Seen[];
  /** By the end of a file's path, or "listing": each request takes one; `null` is no fault. */
  readonly faults: Map<string, readonly (Fault | null)[]>;
  /** What the branch points at, and what is at each commit. */
  readonly commits: Map<string, ReadonlyMap<string, Uint8Array>>;
  branch: string;
  /** Changes the listing before it is sent. */
  mangle: ((listing: Record<string, unknown>) => unknown) | null;
  /** Who may see it; null is everybody. */
  token: string | null;
  /** What a refusal is called. */
  refusal: "GatedRepo" | "RepoNotFound";
  /** Whether files have ETags. */
  etags: boolean;
  close(): Promise<void>;
}

/** The same fault so many times. */
export function repeated(count: number, fault: Fault): readonly Fault[] {
  return Array.from({ length: count }, () => fault);
}

export const REPOSITORY = "acme/tiny-model";
const LARGE_BYTES = 1000;

/** Starts both servers with one commit of these files. */
export async function startHub(files: ReadonlyMap<string, Uint8Array>): Promise<FakeHub> {
  const commit = "a".repeat(40);
  const servers: Server[] = [];
  const listen = async (at: string): Promise<string> => {
    const server = createServer((request, response) => {
      void serve(hub, at, request, response);
    });
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  };
  const hub: FakeHub = {
    url: await listen("hub"),
    cdn: await listen("cdn"),
    commit,
    seen: [],
    faults: new Map(),
    commits: new Map([[commit, files]]),
    branch: commit,
    mangle: null,
    token: null,
    refusal: "GatedRepo",
    etags: true,
    async close() {
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  return hub;
}

async function serve(
  hub: FakeHub,
  at: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? "/", hub.url);
  const { authorization = null, range = null } = request.headers;
  hub.seen.push({ at, method: request.method ?? "", path: pathname, authorization, range });
  // The hub compresses what it may; then bytes can be neither counted nor resumed.
  if (/gzip|deflate|br/u.test(String(request.headers["accept-encoding"]))) {
    return end(response, 200, { "content-encoding": "gzip" });
  }
  const listing = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/u.exec(pathname);
  const file = /^\/([^/]+\/[^/]+)\/resolve\/([0-9a-f]{40})\/(.+)$/u.exec(pathname);
  const repository = listing?.[1] ?? file?.[1];
  const fault = takeFault(hub, at, listing === null ? pathname : "listing");
  if (fault?.kind === "status") return end(response, fault.status, fault.headers ?? {});
  if (fault?.kind === "redirect") return end(response, 302, { location: fault.to });
  if (at === "hub") {
    if (hub.token !== null && authorization !== `Bearer ${hub.token}`) {
      return end(response, authorization === null ? 401 : 403, { "x-error-code": hub.refusal });
    }
    if (repository !== REPOSITORY) return end(response, 404, { "x-error-code": "RepoNotFound" });
  }
  if (listing !== null) {
    const blobs = searchParams.get("blobs") === "true";
    return sendListing(hub, decodeURIComponent(listing[2] ?? ""), blobs, response);
  }
  const commit = file?.[2] ?? "";
  const bytes = hub.commits.get(commit)?.get(decodeURIComponent(file?.[3] ?? ""));
  if (bytes === undefined) return end(response, 404, { "x-error-code": "EntryNotFound" });
  if (at === "hub" && bytes.length >= LARGE_BYTES) {
    const location = `${hub.cdn}${pathname}?signature=secret`;
    return end(response, 302, { location, "x-repo-commit": commit });
  }
  const served = fault?.kind === "other-commit" ? "f".repeat(40) : commit;
  const headers: Record<string, string> = at === "hub" ? { "x-repo-commit": served } : {};
  if (hub.etags) headers["etag"] = `"${sha256(bytes)}"`;
  return await sendBytes(request, response, bytes, headers, fault);
}

function takeFault(hub: FakeHub, at: string, path: string): Fault | null {
  for (const [suffix, queue] of hub.faults) {
    // What goes wrong with a large file goes wrong where its bytes are.
    const elsewhere = at === "hub" && suffix.endsWith("@cdn");
    if (!path.endsWith(suffix.replace(/@cdn$/u, "")) || elsewhere) continue;
    hub.faults.set(suffix, queue.slice(1));
    return queue[0] ?? null;
  }
  return null;
}

/** @param blobs - whether the request asked for sizes and hashes: the hub gives none by itself. */
function sendListing(
  hub: FakeHub,
  revision: string,
  blobs: boolean,
  response: ServerResponse,
): void {
  const commit = revision === "main" ? hub.branch : revision;
  const files = hub.commits.get(commit);
  if (files === undefined) return end(response, 404, { "x-error-code": "RevisionNotFound" });
  const siblings = [...files].map(([rfilename, bytes]) => {
    if (!blobs) return { rfilename };
    const size = bytes.length;
    const blobId = sha1(Buffer.concat([Buffer.from(`blob ${size}\0`), bytes]));
    const lfs =
      size < LARGE_BYTES ? {} : { lfs: { sha256: sha256(bytes), size, pointerSize: 134 } };
    return { rfilename, size, blobId, ...lfs };
  });
  const listing = {
    id: REPOSITORY,
    sha: commit,
    tags: ["onnx", "license:apache-2.0"],
    cardData: { license: "apache-2.0" },
    siblings,
  };
  const body = JSON.stringify(hub.mangle?.(listing) ?? listing);
  response.writeHead(200, { "content-type": "application/json" });
  response.end(body);
}

async function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  headers: Record<string, string>,
  fault: Fault | null,
): Promise<void> {
  if (request.headers["if-none-match"] === headers["etag"] && headers["etag"] !== undefined) {
    return end(response, 304, headers);
  }
  const start = fault?.kind === "no-range" ? 0 : rangeStart(request, headers["etag"]);
  if (start > 0 && start >= bytes.length) return end(response, 416, {});
  let body = Buffer.from(bytes.subarray(start));
  if (fault?.kind === "flip") body[0] = (body[0] ?? 0) ^ 1;
  if (fault?.kind === "long") body = Buffer.concat([body, Buffer.alloc(9)]);
  if (fault?.kind === "short") body = body.subarray(0, fault.after);
  const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
  response.writeHead(start > 0 ? 206 : 200, {
    ...headers,
    "content-length": String(body.length),
    ...(start > 0 ? { "content-range": range } : {}),
  });
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  if (fault?.kind !== "cut" && fault?.kind !== "stall") {
    response.end(body);
    return;
  }
  await new Promise((resolve) => {
    response.write(body.subarray(0, fault.after), resolve);
  });
  if (fault.kind === "cut") setTimeout(() => response.destroy(), 20);
}

function rangeStart(request: IncomingMessage, etag: string | undefined): number {
  const start = /^bytes=(\d+)-$/u.exec(request.headers.range ?? "")?.[1];
  const condition = request.headers["if-range"];
  if (start === undefined || (condition !== undefined && condition !== etag)) return 0;
  return Number(start);
}

function end(response: ServerResponse, status: number, headers: Record<string, string>): void {
  response.writeHead(status, headers);
  response.end();
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function sha1(bytes: Uint8Array): string {
  return createHash("sha1").update(bytes).digest("hex");
}
