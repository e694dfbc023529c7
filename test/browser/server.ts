/** A web server on this machine for one test file: folders, and answers made on demand. */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { extname, join } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
};

export interface Site {
  /** Files, by the start of their path, which ends in "/"; the first that fits counts. */
  readonly folders: readonly (readonly [string, string])[];
  /** Asked first; null for what it has no answer to. */
  readonly answer: (request: Request) => Promise<Response | null>;
}

export interface Server {
  /** `http://127.0.0.1:<port>`: a secure context, though not https. */
  readonly origin: string;
  close(): Promise<void>;
}

export async function startServer(site: Site): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    respond(site, incoming)
      .then((response) => send(response, outgoing))
      // The page sees a request that failed, and the test with it.
      .catch((error: unknown) => outgoing.destroy(new Error("no answer", { cause: error })));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  return {
    origin: `http://127.0.0.1:${address.port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function respond(site: Site, incoming: IncomingMessage): Promise<Response> {
  const request = await requestOf(incoming);
  const answer = await site.answer(request);
  if (answer !== null) return answer;
  // URL has already taken the dots out of it.
  const { pathname } = new URL(request.url);
  const folder = site.folders.find(([start]) => pathname.startsWith(start));
  if (folder === undefined) return new Response("not found", { status: 404 });
  const [start, place] = folder;
  try {
    const content = await readFile(join(place, pathname.slice(start.length)));
    const type = TYPES[extname(pathname)] ?? "application/octet-stream";
    return new Response(new Uint8Array(content), { headers: { "content-type": type } });
  } catch (error) {
    return new Response(String(error), { status: 404 });
  }
}

async function send(response: Response, outgoing: ServerResponse): Promise<void> {
  const content = new Uint8Array(await response.arrayBuffer());
  outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(content);
}

async function requestOf(incoming: IncomingMessage): Promise<Request> {
  const url = new URL(incoming.url ?? "/", "http://127.0.0.1");
  const method = incoming.method ?? "GET";
  if (method !== "POST") return new Request(url, { method });
  const pieces: Uint8Array[] = [];
  for await (const piece of incoming as AsyncIterable<Uint8Array>) pieces.push(piece);
  return new Request(url, { method, body: new Uint8Array(Buffer.concat(pieces)) });
}
