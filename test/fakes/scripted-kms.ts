/** A KMS that answers as a test says, behind a host that relays to it and gives out credentials. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { KeyService } from "@countersign/protocol";
import type { Clock } from "../../enclave/clock.ts";
import type { LogFields } from "../../enclave/log.ts";
import type { KeyReleaseContext } from "../../enclave/keys/release.ts";
import type { AttestationRequest } from "../../enclave/nsm/nsm.ts";
import {
  type Authority,
  createAuthority,
  issueServerCertificate,
  type ServerCertificate,
} from "../../sealing/dev-kms/certificates.ts";

/** One request, as it came through TLS. */
export interface AskedKms {
  readonly headers: IncomingMessage["headers"];
  /** The JSON. */
  readonly input: Readonly<Record<string, unknown>>;
  /** The document it carries, of {@link documentOf}: the public key itself. */
  readonly publicKey: Uint8Array;
}

export type KmsAnswer =
  | {
      readonly status: number;
      /** Bytes as they are; anything else as JSON. */
      readonly body: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Bytes in place of all that HTTP would have; then the connection ends. */
  | { readonly raw: string }
  /** The connection ends, before the answer or in its middle; or nothing comes at all. */
  | "cut"
  | "cut-answer"
  | "silence";

/** What the host says at /credentials; null: 404. */
export type HostCredentials = Readonly<Record<string, string>> | null;

export const CREDENTIALS: Readonly<Record<string, string>> = {
  accessKeyId: "ASIAQQQQQQQQQQQQQQQQ",
  secretAccessKey: "secret-of-the-node",
  sessionToken: "token-of-the-node",
};

/** A refusal as AWS words it. */
export function refusal(status: number, type: string): KmsAnswer {
  return { status, body: { __type: type, message: `${type}: of the test` } };
}

const authority: Authority = await createAuthority(Date.now());
const certificate: ServerCertificate = await issueServerCertificate(
  authority,
  ["localhost"],
  Date.now(),
);
/** Vouches for nobody here. */
export const STRANGER: Authority = await createAuthority(Date.now());

/** Pauses pass at once; time-outs when a test says so. */
export class StagedClock implements Clock {
  readonly pauses: number[] = [];
  #nowMs = 0;
  readonly #held = new Set<{ readonly atMs: number; readonly run: () => void }>();
  readonly nowMs = (): number => Date.now();
  readonly monotonicMs = (): number => this.#nowMs;
  readonly after = (delayMs: number, run: () => void): (() => void) => {
    // The longest pause between attempts is 8 s, and the shortest time-out 10 s.
    if (delayMs <= 8000) {
      this.pauses.push(delayMs);
      this.#nowMs += delayMs;
      const immediate = setImmediate(run);
      return () => {
        clearImmediate(immediate);
      };
    }
    const held = { atMs: this.#nowMs + delayMs, run };
    this.#held.add(held);
    return () => this.#held.delete(held);
  };

  /** Lets time pass, and what is due happen. */
  pass(ms: number): void {
    this.#nowMs += ms;
    for (const held of this.#held) {
      if (held.atMs > this.#nowMs) continue;
      this.#held.delete(held);
      held.run();
    }
  }
}

export class ScriptedKms {
  readonly asked: AskedKms[] = [];
  readonly attested: AttestationRequest[] = [];
  readonly lines: { readonly event: string; readonly fields: LogFields }[] = [];
  readonly clock = new StagedClock();
  /** Of the tunnel. */
  connects = 0;
  /** Instead of relaying. */
  tunnelStatus: number | null = null;
  credentials: HostCredentials = CREDENTIALS;
  credentialsAsked = 0;
  readonly #sockets = new Set<Duplex>();
  readonly #kms: Server;
  readonly #host: Server;
  #port = 0;
  #hostPort = 0;

  static async start(
    answer: (asked: AskedKms, number: number) => KmsAnswer | Promise<KmsAnswer>,
  ): Promise<ScriptedKms> {
    const kms = new ScriptedKms(answer);
    kms.#port = await kms.#listen(kms.#kms);
    kms.#hostPort = await kms.#listen(kms.#host);
    return kms;
  }

  private constructor(answer: (asked: AskedKms, number: number) => KmsAnswer | Promise<KmsAnswer>) {
    const { key, chain } = certificate;
    this.#kms = createTlsServer({ key, cert: chain }, (request, response) => {
      void bodyOf(request).then(async (body) => {
        const asked = { headers: request.headers, ...read(body) };
        this.asked.push(asked);
        give(response, await answer(asked, this.asked.length));
      });
    });
    this.#host = createServer((request, response) => {
      this.credentialsAsked++;
      const found = request.url === "/credentials" ? this.credentials : null;
      response.statusCode = found === null ? 404 : 200;
      response.end(found === null ? "" : JSON.stringify(found));
    });
    this.#host.on("connect", (request: IncomingMessage, socket: Socket) => {
      this.connects++;
      if (this.tunnelStatus !== null) {
        socket.end(`HTTP/1.1 ${this.tunnelStatus} Refused\r\n\r\n`);
        return;
      }
      const onward = connect({ port: Number(request.url?.split(":")[1]), host: "127.0.0.1" });
      for (const end of [socket, onward]) end.on("error", () => undefined);
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(onward).pipe(socket);
      socket.on("close", () => onward.destroy());
      onward.on("close", () => socket.destroy());
    });
  }

  get service(): KeyService {
    return {
      kind: "aws-kms",
      url: `https://localhost:${this.#port}`,
      host: "localhost",
      port: this.#port,
      tls: true,
      region: "eu-central-1",
      roots: [],
    };
  }

  context(changes: Partial<KeyReleaseContext> = {}): KeyReleaseContext {
    return {
      nsm: {
        describePcr: () => ({ locked: false, value: new Uint8Array(48) }),
        extendPcr: () => new Uint8Array(48),
        lockPcr: () => undefined,
        random: () => new Uint8Array(256),
        attest: (request) => {
          this.attested.push(request);
          return request.publicKey ?? new Uint8Array();
        },
      },
      platform: "aws-nitro",
      transport: {
        listen: () => Promise.reject(new TypeError("nobody is to listen")),
        dial: () => connect({ port: this.#hostPort, host: "127.0.0.1" }),
      },
      clock: this.clock,
      log: (event, fields = {}) => this.lines.push({ event, fields }),
      service: this.service,
      roots: [authority.certificate],
      ...changes,
    };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#kms.close();
    this.#host.close();
    await Promise.resolve();
  }

  async #listen(server: Server): Promise<number> {
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new TypeError("no port");
    return address.port;
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of request) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

function read(body: Buffer): Pick<AskedKms, "input" | "publicKey"> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by the SDK under test
  const input = JSON.parse(body.toString("utf8")) as {
    readonly Recipient?: { readonly AttestationDocument?: string };
  };
  const document = input.Recipient?.AttestationDocument ?? "";
  return { input: { ...input }, publicKey: Buffer.from(document, "base64") };
}

function give(response: ServerResponse, answer: KmsAnswer): void {
  if (answer === "silence") return;
  if (answer === "cut") {
    response.destroy();
    return;
  }
  if (answer === "cut-answer") {
    response.writeHead(200, { "content-length": 1000 });
    response.write('{"KeyId":', () => response.destroy());
    return;
  }
  if ("raw" in answer) {
    response.socket?.end(answer.raw);
    return;
  }
  const { status, body, headers } = answer;
  const bytes = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "content-type": "application/x-amz-json-1.1", ...headers });
  response.end(bytes);
}
