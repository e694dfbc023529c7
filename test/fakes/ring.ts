/**
 * The enclave's ring in this process: simulated module, a handler of the test's own, a Unix socket;
 * and a client that speaks to it with protocol/ and attestation/ alone, verifying nothing it need not.
 */
import {
  encodeHex,
  encodeModelSet,
  encodeRuntimeConfig,
  encodeUtf8,
  exchangeId,
  type Head,
  importReceiptKey,
  joinBytes,
  MAX_EVIDENCE_BYTES,
  MODELS_REGISTER,
  parseBundle,
  parseCoseSign1,
  parseKeyset,
  parseReceipt,
  type ReceiptClaims,
  Transcript,
  verifyReceipt,
} from "@countersign/attestation";
import {
  decodeResponse,
  encodeContentChunk,
  encodeRequestPreamble,
  encodeTrailers,
  type Fields,
  KEYSET_FIELD,
  parseByteSequence,
  parseKeyConfig,
  RECEIPT_FIELD,
  type SealedRequest,
  sealRequest,
  TRANSCRIPT_KEY_BYTES,
  TRANSCRIPT_LABEL,
} from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, type IncomingMessage, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Clock, systemClock } from "../../enclave/clock.ts";
import { type Epoch, type EpochTerms, sha256 } from "../../enclave/epoch.ts";
import { Epochs } from "../../enclave/epochs.ts";
import { type App, Gateway } from "../../enclave/gateway.ts";
import type { LogFields } from "../../enclave/log.ts";
import type { Padding } from "../../enclave/sealed-response.ts";
import { createEnclaveServer } from "../../enclave/server.ts";
import { SimulatedNsm } from "../../enclave/simulation/nsm.ts";
import { createVendor, type Vendor } from "../../enclave/simulation/vendor.ts";
import { unixTransport } from "../../enclave/transport.ts";

export const IMAGE = {
  pcr0: new Uint8Array(48).fill(1),
  pcr1: new Uint8Array(48).fill(2),
  pcr2: new Uint8Array(48).fill(3),
};

export const MODEL = { id: "digits", version: "1", digest: new Uint8Array(32).fill(7) };

/** One vendor for all tests of a file: its key costs time. */
export function newVendor(): Vendor {
  return createVendor(Date.now());
}

export function testTerms(changes: Partial<EpochTerms> = {}): EpochTerms {
  return {
    platform: "simulated",
    models: encodeModelSet([MODEL]),
    config: encodeRuntimeConfig({
      engine: "none",
      engineVersion: "0",
      limits: new Map(),
      features: new Map(),
    }),
    epochSeconds: 3600,
    overlapSeconds: 3600,
    replaySlots: 65_536,
    firstKeyId: 0,
    ...changes,
  };
}

/** A clock that stands still until it is told to go. */
export class TestClock implements Clock {
  #now: number;
  #jumped = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>();

  constructor(startMs: number) {
    this.#now = startMs;
  }

  readonly nowMs = (): number => this.#now;

  readonly monotonicMs = (): number => this.#now - this.#jumped;

  readonly after = (delayMs: number, run: () => void): (() => void) => {
    const timer = { atMs: this.#now + delayMs, run };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  };

  /** Moves on without running anything, as a machine does that slept. */
  jump(ms: number): void {
    this.#now += ms;
    this.#jumped += ms;
  }

  /** Runs what falls due, in its order, and lets what it began settle. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers]
        .filter(({ atMs }) => atMs <= end)
        .toSorted((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.atMs);
      due.run();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.#now = end;
  }
}

export interface LogLine {
  readonly event: string;
  readonly fields: LogFields;
}

export interface Ring {
  readonly epochs: Epochs;
  readonly gateway: Gateway;
  readonly nsm: SimulatedNsm;
  readonly socketPath: string;
  readonly logs: readonly LogLine[];
  /** A keep-alive connection, as the host's. */
  readonly agent: Agent;
  close(): Promise<void>;
}

export interface RingOptions {
  readonly app: App;
  readonly vendor: Vendor;
  readonly clock?: Clock;
  readonly terms?: Partial<EpochTerms>;
  readonly maxRequestBytes?: number;
  readonly handlerTimeoutMs?: number;
  /** By default as an enclave does it: to buckets. */
  readonly padding?: Padding;
}

export async function startRing(options: RingOptions): Promise<Ring> {
  const clock = options.clock ?? systemClock;
  const nsm = new SimulatedNsm(options.vendor, IMAGE, clock.nowMs);
  const logs: LogLine[] = [];
  const log = (event: string, fields: LogFields = {}): void => {
    logs.push({ event, fields });
  };
  const terms = testTerms(options.terms);
  nsm.extendPcr(MODELS_REGISTER, sha256(terms.models));
  nsm.lockPcr(MODELS_REGISTER);
  const epochs = await Epochs.open({ nsm, terms, clock, log });
  const gateway = new Gateway({
    epochs,
    app: options.app,
    maxRequestBytes: options.maxRequestBytes ?? 1_048_576,
    handlerTimeoutMs: options.handlerTimeoutMs ?? 10_000,
    padding: options.padding ?? "buckets",
    clock,
    log,
  });
  const queue = () => ({ depth: 0, limit: 1 });
  const server = createEnclaveServer({ gateway, epochs, phase: () => "serving", queue, log });
  const folder = await mkdtemp(join(tmpdir(), "ring-"));
  const socketPath = join(folder, "s");
  const listener = await unixTransport(socketPath, "").listen((connection) => {
    server.emit("connection", connection);
  });
  const agent = new Agent({ keepAlive: true });
  return {
    epochs,
    gateway,
    nsm,
    socketPath,
    logs,
    agent,
    async close() {
      agent.destroy();
      server.closeAllConnections();
      await listener.close();
      epochs.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** One HTTP answer of the enclave, whole. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** Sends one HTTP request to the enclave's socket. */
export function send(
  ring: Pick<Ring, "socketPath" | "agent">,
  method: string,
  path: string,
  body: Uint8Array | AsyncIterable<Uint8Array> | null = null,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { socketPath, agent } = ring;
    const outgoing = httpRequest({ socketPath, agent, method, path }, (response) => {
      collect(response).then(resolve, reject);
    });
    outgoing.on("error", reject);
    if (body === null || body instanceof Uint8Array) {
      outgoing.end(body ?? undefined);
      return;
    }
    (async () => {
      for await (const piece of body) outgoing.write(piece);
      outgoing.end();
    })().catch(reject);
  });
}

async function collect(response: IncomingMessage): Promise<Answer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of response as AsyncIterable<Uint8Array>) pieces.push(piece);
  return {
    status: response.statusCode ?? 0,
    contentType: response.headers["content-type"] ?? "",
    body: joinBytes(pieces),
  };
}

export interface ClientRequest {
  readonly method?: string;
  readonly path?: string;
  readonly authority?: string;
  /** In place of date and keyset. */
  readonly ringHeaders?: Fields;
  readonly headers?: Fields;
  /** One content chunk each. */
  readonly chunks?: readonly Uint8Array[];
}

/** What a client knows of an epoch. */
export type EpochView = Pick<
  Epoch,
  "bundleBytes" | "keysetHex" | "keysetDigest" | "documentDigest"
>;

export interface SealedExchange {
  readonly sealed: SealedRequest;
  readonly epoch: EpochView;
  /** The encapsulated request. */
  readonly body: Uint8Array;
  readonly request: Transcript;
  readonly kc: Uint8Array;
}

/** The epoch of a bundle, not appraised. */
export function epochOf(bundleBytes: Uint8Array): EpochView {
  const { keyset, evidence } = parseBundle(bundleBytes);
  const profile = { algorithm: "ES384", tag: "optional", maxBytes: MAX_EVIDENCE_BYTES } as const;
  return {
    bundleBytes,
    keysetDigest: sha256(keyset),
    keysetHex: encodeHex(sha256(keyset)),
    documentDigest: sha256(parseCoseSign1(evidence, profile).payload),
  };
}

/** Encrypts a request to `epoch` as a client does. */
export async function seal(
  epoch: EpochView,
  wanted: ClientRequest,
  nowMs = Date.now(),
): Promise<SealedExchange> {
  const ringHeaders = wanted.ringHeaders ?? [
    [KEYSET_FIELD, epoch.keysetHex],
    ["date", new Date(nowMs).toUTCString()],
  ];
  const leaf = encodeRequestPreamble({
    method: wanted.method ?? "GET",
    scheme: "https",
    authority: wanted.authority ?? "countersign",
    path: wanted.path ?? "/",
    headers: [...ringHeaders, ...(wanted.headers ?? [])],
  });
  const chunks = wanted.chunks ?? [];
  const plaintext = [leaf, ...chunks.map(encodeContentChunk), encodeTrailers([])];
  return sealPlaintext(epoch, plaintext, [leaf, ...chunks]);
}

/** Encrypts any plaintext to `epoch`. */
export async function sealPlaintext(
  epoch: EpochView,
  plaintext: readonly Uint8Array[],
  leaves: readonly Uint8Array[],
): Promise<SealedExchange> {
  const config = parseKeyConfig(keysetOf(epoch).keyConfig);
  const sealed = await sealRequest(nativePrimitives, config, plaintext);
  const pieces: Uint8Array[] = [];
  for await (const piece of sealed.body) pieces.push(piece);
  const kc = await sealed.export(TRANSCRIPT_LABEL, TRANSCRIPT_KEY_BYTES);
  const request = new Transcript(nativePrimitives, kc, "request");
  for (const piece of leaves) await request.append(piece);
  return { sealed, epoch, body: joinBytes(pieces), request, kc };
}

/** The keys that a client takes from the bundle. */
export function keysetOf(epoch: EpochView): ReturnType<typeof parseKeyset> {
  return parseKeyset(parseBundle(epoch.bundleBytes).keyset);
}

export interface Opened {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  readonly chunks: readonly Uint8Array[];
  readonly receipt: Uint8Array;
  readonly claims: ReceiptClaims;
  readonly responseHead: Head;
}

/** Opens an answer and checks its receipt's signature, epoch, exchange and both heads. */
export async function open(exchange: SealedExchange, body: Uint8Array): Promise<Opened> {
  const { sealed, epoch, kc } = exchange;
  const decoded = await decodeResponse(sealed.openResponse(once(body)));
  const response = new Transcript(nativePrimitives, kc, "response");
  await response.append(decoded.leaf);
  const chunks: Uint8Array[] = [];
  for await (const chunk of decoded.content) {
    chunks.push(chunk);
    await response.append(chunk);
  }
  const field = decoded.trailers().find(([name]) => name === RECEIPT_FIELD);
  if (field === undefined) throw new Error("an answer without receipt");
  const receipt = parseByteSequence(field[1]);
  const parsed = parseReceipt(receipt);
  await verifyReceipt(parsed, await importReceiptKey(keysetOf(epoch).receiptKey));
  const { claims } = parsed;
  const responseHead = await response.head();
  const requestHead = await exchange.request.head(claims.request.leaves);
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ["exchange", claims.exchange, await exchangeId(nativePrimitives, sealed.enc)],
    ["keyset", claims.keysetDigest, epoch.keysetDigest],
    ["document", claims.documentDigest, epoch.documentDigest],
    ["request", claims.request, requestHead],
    ["response", claims.response, responseHead],
    ["status", claims.outcome.status, decoded.status],
  ];
  for (const [name, found, wanted] of pairs) {
    if (!isDeepStrictEqual(found, wanted)) throw new Error(`receipt: other ${name}`);
  }
  return {
    status: decoded.status,
    headers: new Map(decoded.headers),
    text: new TextDecoder().decode(joinBytes(chunks)),
    chunks,
    receipt,
    claims,
    responseHead,
  };
}

/** Seals, sends, opens. @throws where the enclave answered outside the encryption. */
export async function exchange(ring: Ring, wanted: ClientRequest): Promise<Opened> {
  const sealed = await seal(ring.epochs.current, wanted);
  const answer = await send(ring, "POST", "/gateway", sealed.body);
  if (answer.status !== 200) {
    throw new Error(`outer ${answer.status}: ${new TextDecoder().decode(answer.body)}`);
  }
  return open(sealed, answer.body);
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}

export function utf8(text: string): Uint8Array {
  return encodeUtf8(text);
}
