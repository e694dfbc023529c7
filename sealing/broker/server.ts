/**
 * The key broker as an HTTP/1.1 server: `POST /challenge` and `POST /release`, and nothing else.
 *
 * It needs no TLS to keep the keys secret, since every answer is encrypted to an attested enclave; who
 * asks, and for which model, is in clear. PROTOCOL.md, "Key broker".
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { AttestationError, type Policy } from "@countersign/attestation";
import {
  encodeKeyChallenge,
  KEY_CHALLENGE_PATH,
  KEY_RELEASE_PATH,
  MAX_KEY_REQUEST_BYTES,
  MEDIA_KEY_RELEASE,
} from "@countersign/protocol";
import { SealingError } from "../errors.ts";
import { systemCode } from "../files.ts";
import { keyFileId } from "../key-file.ts";
import { fileProvider } from "../providers/file.ts";
import { type Refusal, refusalOf, sendBytes, sendRefusal } from "./answers.ts";
import { type BrokerClock, Challenges } from "./challenges.ts";
import { Noise } from "./noise.ts";
import { type AskedFor, type BrokerParts, releaseKey } from "./release.ts";

/** A request has this long to arrive, and is then answered at once. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Node's own is 30 s, by which every timeout may be late. */
const TIMEOUT_CHECK_MS = 1000;
const MAX_HEADER_BYTES = 8192;
const MAX_CONNECTIONS = 256;
/** Requests that are judged at a time: each takes milliseconds of this thread. */
const MAX_IN_FLIGHT = 16;

/** What became of one request for a key. Nothing of it is secret. */
export interface BrokerEntry extends Readonly<Omit<AskedFor, "attested">> {
  readonly event: "key-released" | "key-refused";
  /** Unix milliseconds. */
  readonly at: number;
  /** Address that it came from. */
  readonly peer: string;
  /** Of a refusal, what refused it; null of a release. */
  readonly code: string | null;
  /** What the owner can act on, where the fault is on this side. */
  readonly detail: string | null;
  /** Lines about requests without a genuine document that were left out before this one. */
  readonly dropped: number;
}

export interface KeyBrokerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** 32 bytes each, which the broker overwrites when it is closed. */
  readonly keys: readonly Uint8Array[];
  /** The owner's policy, asked for anew for each request; where it throws, nothing is released. */
  readonly policy: () => Promise<Policy>;
  readonly log: (entry: BrokerEntry) => void;
  readonly clock?: BrokerClock;
}

/** A broker that answers. */
export interface KeyBroker {
  readonly url: string;
  /** Ids of the keys it has. */
  readonly keys: readonly string[];
  close(): Promise<void>;
}

const SYSTEM_CLOCK: BrokerClock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** @throws {@link SealingError} `broker/listen`. */
export async function startKeyBroker(options: KeyBrokerOptions): Promise<KeyBroker> {
  const clock = options.clock ?? SYSTEM_CLOCK;
  const keys = new Map(options.keys.map((key) => [keyFileId(key), fileProvider(key)]));
  const parts = { challenges: new Challenges(clock), keys, policy: options.policy, clock };
  const handler = new Handler(parts, options.log);
  const server = createServer(
    {
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    },
    (incoming, outgoing) => {
      void handler.handle(incoming, outgoing);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  const url = await listening(server, options);
  return {
    url,
    keys: [...keys.keys()],
    close: async () => {
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      server.closeAllConnections();
      await closed;
      for (const key of options.keys) key.fill(0);
    },
  };
}

class Handler {
  readonly #parts: BrokerParts;
  readonly #log: (entry: BrokerEntry) => void;
  readonly #noise = new Noise();
  #inFlight = 0;

  constructor(parts: BrokerParts, log: (entry: BrokerEntry) => void) {
    this.#parts = parts;
    this.#log = log;
  }

  /** Answers, whatever happens; never rejects. */
  async handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    // A connection that breaks is its peer's loss: there is nobody left to tell.
    outgoing.on("error", () => undefined);
    const peer = incoming.socket.remoteAddress ?? "unknown";
    try {
      if (incoming.url !== KEY_CHALLENGE_PATH && incoming.url !== KEY_RELEASE_PATH) {
        sendRefusal(outgoing, NOT_FOUND);
      } else if (incoming.method !== "POST") {
        outgoing.setHeader("allow", "POST");
        sendRefusal(outgoing, METHOD);
      } else if (incoming.url === KEY_CHALLENGE_PATH) {
        requireNoBody(incoming);
        sendBytes(outgoing, this.#challenge(peer));
      } else {
        await this.#release(incoming, outgoing, peer);
      }
    } catch (error) {
      sendRefusal(outgoing, refusalOf(error));
    }
  }

  /** @throws {@link SealingError} `broker/busy`. */
  #challenge(peer: string): Uint8Array {
    const challenge = this.#parts.challenges.give(peer);
    if (challenge === null) throw new SealingError("broker/busy", "too many challenges");
    return encodeKeyChallenge(challenge);
  }

  async #release(incoming: IncomingMessage, outgoing: ServerResponse, peer: string): Promise<void> {
    const asked: AskedFor = { attested: false, model: null, measurement: null, key: null };
    try {
      const response = await this.#judged(await bodyOf(incoming), asked);
      this.#note(asked, { event: "key-released", peer, code: null, detail: null });
      sendBytes(outgoing, response);
    } catch (error) {
      const refusal = refusalOf(error);
      const detail = detailOf(error);
      this.#note(asked, { event: "key-refused", peer, code: refusal.code, detail });
      sendRefusal(outgoing, refusal);
    }
  }

  #note(
    { attested, ...asked }: AskedFor,
    what: Pick<BrokerEntry, "event" | "peer" | "code" | "detail">,
  ): void {
    const { clock } = this.#parts;
    const dropped = attested ? 0 : this.#noise.admit(clock.monotonicMs());
    if (dropped !== null) this.#log({ ...what, at: clock.nowMs(), ...asked, dropped });
  }

  /** Counted from when it is whole: one that arrives slowly keeps nobody out. */
  async #judged(body: Uint8Array, asked: AskedFor): Promise<Uint8Array> {
    if (this.#inFlight >= MAX_IN_FLIGHT) throw new SealingError("broker/busy", "too many requests");
    this.#inFlight++;
    try {
      return await releaseKey(this.#parts, body, asked);
    } finally {
      this.#inFlight--;
    }
  }
}

const NOT_FOUND: Refusal = { status: 404, title: "There is nothing here", code: "broker/path" };
const METHOD: Refusal = { status: 405, title: "Want POST", code: "broker/method" };

/** @throws {@link SealingError} `broker/request`. */
function requireNoBody({ headers }: IncomingMessage): void {
  const framed = headers["transfer-encoding"] !== undefined;
  if (framed || (headers["content-length"] ?? "0") !== "0") {
    throw new SealingError("broker/request", "a challenge is asked for with an empty body");
  }
}

/** @throws {@link SealingError} `broker/request` where it is too long, of another type, or cut short. */
async function bodyOf(incoming: IncomingMessage): Promise<Uint8Array> {
  if (incoming.headers["content-type"] !== MEDIA_KEY_RELEASE) {
    throw new SealingError("broker/request", `want ${MEDIA_KEY_RELEASE}`);
  }
  requireLength(Number(incoming.headers["content-length"] ?? 0));
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const piece of bytesOf(incoming)) {
      length += piece.length;
      requireLength(length);
      pieces.push(piece);
    }
  } catch (cause) {
    if (cause instanceof SealingError) throw cause;
    throw new SealingError("broker/request", "cut short", { cause });
  }
  return new Uint8Array(Buffer.concat(pieces));
}

function requireLength(bytes: number): void {
  if (bytes <= MAX_KEY_REQUEST_BYTES) return;
  throw new SealingError("broker/request", `more than ${MAX_KEY_REQUEST_BYTES} bytes`);
}

/** `IncomingMessage` yields buffers, as no encoding is set; its type says `any`. */
function bytesOf(incoming: IncomingMessage): AsyncIterable<Uint8Array> {
  return incoming;
}

/** What only the owner can mend, in the words of whoever found it. They quote digests that a peer sent. */
function detailOf(error: unknown): string | null {
  if (error instanceof AttestationError) return error.message;
  if (!(error instanceof SealingError)) return error instanceof Error ? error.name : null;
  const { cause } = error;
  return error.code === "broker/policy" && cause instanceof Error ? cause.message : null;
}

/** The server's own address, once it listens. @throws {@link SealingError} `broker/listen`. */
async function listening(
  server: Server,
  { host, port }: Pick<KeyBrokerOptions, "host" | "port">,
): Promise<string> {
  const shown = host.includes(":") ? `[${host}]` : host;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Stays: a connection that cannot be accepted is no reason to end.
  server.on("error", (cause) => {
    const found = `cannot listen at ${shown}:${port}: ${systemCode(cause) ?? cause.message}`;
    reject(new SealingError("broker/listen", found, { cause }));
  });
  server.listen(port, host, resolve);
  await promise;
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new TypeError("a TCP server has a port");
  return `http://${shown}:${bound.port}`;
}
