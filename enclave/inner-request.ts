/** From the plaintext of a request to a web-standard `Request`, leaf by leaf. */
import { joinBytes } from "@countersign/attestation/attester";
import {
  decodeRequest,
  type DecodedRequest,
  KEYSET_FIELD,
  type OpenedRequest,
  type RequestPreamble,
} from "@countersign/protocol";
import { EnclaveError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";

/** Content up to this length is read before the handler starts, and given to it in one piece. */
const SMALL_BODY_BYTES = 65_536;
/**
 * Content chunks of one request. Each is a leaf, which costs three hashes and a place in the tree however
 * short it is: a request of single bytes would hold up everybody else. PROTOCOL.md, "Limits".
 */
const MAX_CONTENT_CHUNKS = 4096;
/** The inner `Date` may differ from our clock by this. PROTOCOL.md, "Inside". */
const MAX_DATE_SKEW_MS = 300_000;
/** RFC 9110 §5.6.7, the one form that a sender may generate. */
const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/u;
/** For a request that names no authority: handlers see an absolute URL all the same. */
const NO_AUTHORITY = "countersign";
/** The methods whose requests have no content here. */
const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD"]);
/** A field of the ring's own; handlers do not see it. */
const RING_FIELDS: ReadonlySet<string> = new Set([KEYSET_FIELD]);

/** A request inside the encryption, ready for a handler. */
export interface InnerRequest {
  readonly request: Request;
  readonly method: string;
  readonly content: Content;
}

/**
 * Reads a request up to its content, and small content to its end.
 *
 * Every leaf that is read is in the exchange's transcript, also where this throws.
 *
 * @throws ProtocolError `bhttp/…`, `ohttp/…`, `hpke/open`; EnclaveError `exchange/…`.
 */
export async function readInnerRequest(
  opened: OpenedRequest,
  exchange: Exchange,
  nowMs: number,
  maxContentBytes: number,
): Promise<InnerRequest> {
  // 1. The preamble is leaf 0.
  const decoded = await decodeRequest(opened.plaintext);
  await exchange.appendRequest(decoded.leaf);
  const { preamble } = decoded;
  // 2. It was encrypted to this epoch by someone who knew it, and lately.
  requireKeyset(preamble, exchange.epoch.keysetHex);
  requireDate(preamble, nowMs);
  const url = requireTarget(preamble);
  // 3. Small content is read here; the rest streams into the handler.
  const content = new Content(decoded, exchange, maxContentBytes);
  const body = await readBody(content);
  const request = newRequest(url, preamble, body, exchange);
  return { request, method: preamble.method, content };
}

/** Content chunk by chunk, each into the transcript, all within the limit. */
export class Content {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #exchange: Exchange;
  readonly #maxBytes: number;
  #bytes = 0;
  #count = 0;
  #failure: Error | null = null;
  #reading: Promise<Uint8Array | null> | null = null;
  #drained = false;

  constructor(decoded: DecodedRequest, exchange: Exchange, maxBytes: number) {
    this.#chunks = decoded.content[Symbol.asyncIterator]();
    this.#exchange = exchange;
    this.#maxBytes = maxBytes;
  }

  /** Why it cannot be read to its end, once that is known. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** The next chunk, or null after the last, when the message is known to be complete. */
  next(): Promise<Uint8Array | null> {
    this.#reading = this.#read();
    return this.#reading;
  }

  /** {@link next} for the handler, until the ring drains. */
  nextForHandler(): Promise<Uint8Array | null> {
    if (this.#drained) throw new EnclaveError("exchange/aborted", "the exchange has ended");
    return this.next();
  }

  /**
   * Reads what the handler left, so that the request's head covers all leaves.
   *
   * @throws what reading threw, now or when the handler read.
   */
  async drain(): Promise<void> {
    this.#drained = true;
    await this.#reading?.catch(() => null);
    while ((await this.next()) !== null);
  }

  async #read(): Promise<Uint8Array | null> {
    if (this.#failure !== null) throw this.#failure;
    try {
      const next = await this.#chunks.next();
      if (next.done === true) return null;
      if (++this.#count > MAX_CONTENT_CHUNKS) {
        throw new EnclaveError("exchange/too-large", `more than ${MAX_CONTENT_CHUNKS} chunks`);
      }
      this.#bytes += next.value.length;
      if (this.#bytes > this.#maxBytes) {
        throw new EnclaveError("exchange/too-large", `more than ${this.#maxBytes} bytes`);
      }
      await this.#exchange.appendRequest(next.value);
      return next.value;
    } catch (error) {
      this.#failure = error instanceof Error ? error : new TypeError("no error was thrown");
      throw this.#failure;
    }
  }
}

async function readBody(
  content: Content,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const chunk = await content.next();
    if (chunk === null) return new Uint8Array(joinBytes(chunks));
    chunks.push(chunk);
    length += chunk.length;
    if (length > SMALL_BODY_BYTES) return streamBody(chunks, content);
  }
}

function streamBody(first: readonly Uint8Array[], content: Content): ReadableStream<Uint8Array> {
  const held = [...first];
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = held.shift() ?? (await content.nextForHandler());
      if (chunk === null) controller.close();
      // A copy: the handler may write to what it gets.
      else controller.enqueue(chunk.slice());
    },
  });
}

function requireKeyset(preamble: RequestPreamble, keysetHex: string): void {
  const named = onlyValue(preamble, KEYSET_FIELD);
  if (named !== keysetHex) {
    throw new EnclaveError("exchange/keyset", "want this epoch's keyset digest, once");
  }
}

function requireDate(preamble: RequestPreamble, nowMs: number): void {
  const text = onlyValue(preamble, "date");
  const dateMs = text !== null && IMF_FIXDATE.test(text) ? Date.parse(text) : Number.NaN;
  // Written so that a date that is no number fails.
  if (!(Math.abs(dateMs - nowMs) <= MAX_DATE_SKEW_MS)) {
    throw new EnclaveError("exchange/date", "want one date within five minutes of our clock");
  }
}

/** The value of a field that is there exactly once, else null. */
function onlyValue(preamble: RequestPreamble, name: string): string | null {
  let value: string | null = null;
  for (const [field, text] of preamble.headers) {
    if (field !== name) continue;
    if (value !== null) return null;
    value = text;
  }
  return value;
}

function requireTarget(preamble: RequestPreamble): string {
  const { scheme, authority, path } = preamble;
  if ((scheme !== "https" && scheme !== "http") || !path.startsWith("/")) {
    throw new EnclaveError("exchange/target", "want an http or https URL with a path");
  }
  return `https://${authority === "" ? NO_AUTHORITY : authority}${path}`;
}

function newRequest(
  url: string,
  preamble: RequestPreamble,
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  exchange: Exchange,
): Request {
  const empty = body instanceof Uint8Array && body.length === 0;
  if (!empty && BODILESS.has(preamble.method)) {
    throw new EnclaveError("exchange/target", `${preamble.method} with content`);
  }
  const headers: [string, string][] = [];
  for (const [name, value] of preamble.headers) {
    if (!RING_FIELDS.has(name)) headers.push([name, value]);
  }
  try {
    const content = empty ? null : body;
    const { method } = preamble;
    const request = new Request(url, { method, headers, body: content, duplex: "half" });
    // The exchange's own signal: having the constructor follow it costs as much again as the rest.
    return Object.defineProperty(request, "signal", { value: exchange.abort.signal });
  } catch (cause) {
    // A method or a URL that fetch does not know (CONNECT, userinfo in the authority, a bad port).
    throw new EnclaveError("exchange/target", "method or target that has no request", { cause });
  }
}
