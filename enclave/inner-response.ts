/** From the API's `Response`, or a refusal of the ring's own, to plaintext with a receipt. */
import { encodeUtf8 } from "@countersign/attestation/attester";
import {
  CONTENT_CHUNK_BYTES,
  encodeByteSequence,
  encodeContentChunk,
  encodeResponsePreamble,
  encodeTrailers,
  type Fields,
  isEventStream,
  ProtocolError,
  RECEIPT_FIELD,
  reckonedBytes,
} from "@countersign/protocol";
import type { Refusal } from "./answers.ts";
import type { Clock } from "./clock.ts";
import { EnclaveError } from "./errors.ts";
import { EventSender, type ReadChunk } from "./event-stream.ts";
import type { Exchange } from "./exchange.ts";
import type { InnerRequest } from "./inner-request.ts";
import type { SealedResponse } from "./sealed-response.ts";

/** RFC 9110 §7.6.1, RFC 9292 §3.6: fields about a connection, which there is none of here. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Sends the API's answer, chunk by chunk as it comes, then the final receipt.
 *
 * @throws EnclaveError `exchange/handler` where the handler failed, `exchange/aborted` where the
 * client is gone, `exchange/timeout`; and what reading the request threw.
 */
export async function sendAnswer(
  answer: Response,
  inner: InnerRequest,
  exchange: Exchange,
  out: SealedResponse,
  clock: Clock,
): Promise<void> {
  const { status } = answer;
  const headers = headersOf(answer);
  const preamble = preambleOf(status, headers);
  await exchange.appendResponse(preamble);
  const body = inner.method === "HEAD" ? null : answer.body;
  if (body !== null && isEventStream(headers)) {
    out.gather(preamble, reckonedBytes(preamble.length));
    const events = new EventSender(exchange, out, clock, status);
    await readBody(body, inner, exchange, (read) => events.run(read));
  } else {
    await out.push(preamble);
    if (body !== null) {
      await readBody(body, inner, exchange, (read) => sendBody(read, exchange, out));
    }
  }
  // Below 400 the receipt must cover the whole request; it is read to its end in any case.
  if (status < 400) await inner.content.drain();
  await sendReceipt(status, exchange, out, clock);
}

/** Sends a refusal in the API's form, with its receipt. */
export async function sendRefusal(
  refusal: Refusal,
  exchange: Exchange,
  out: SealedResponse,
  clock: Clock,
): Promise<void> {
  out.discard();
  exchange.restartResponse();
  const { status, code, message } = refusal;
  const headers: Fields = [["content-type", "application/json"]];
  const preamble = encodeResponsePreamble(status, headers);
  await exchange.appendResponse(preamble);
  await out.push(preamble);
  const content = encodeUtf8(JSON.stringify({ error: `${code}: ${message}`, code }));
  await sendContent(exchange, out, content);
  await sendReceipt(status, exchange, out, clock);
}

async function sendReceipt(
  status: number,
  exchange: Exchange,
  out: SealedResponse,
  clock: Clock,
): Promise<void> {
  const issuedAt = Math.floor(clock.nowMs() / 1000);
  const receipt = await exchange.receipt("final", status, issuedAt);
  await out.finish(encodeTrailers([[RECEIPT_FIELD, encodeByteSequence(receipt)]]));
}

async function sendContent(
  exchange: Exchange,
  out: SealedResponse,
  content: Uint8Array,
): Promise<void> {
  // Copied before anything is awaited: the handler may write to it again.
  const framed = encodeContentChunk(content);
  await exchange.appendResponse(content);
  await out.push(framed);
}

/** Has `send` read the body to its end; whoever leaves early, the handler is told to stop. */
async function readBody(
  body: ReadableStream<Uint8Array>,
  inner: InnerRequest,
  exchange: Exchange,
  send: (read: ReadChunk) => Promise<void>,
): Promise<void> {
  const reader = body.getReader();
  const cancel = (): void => {
    // Of a handler that fails while it is told to stop, there is nobody to tell.
    reader.cancel().catch(() => undefined);
  };
  exchange.onCancel = cancel;
  try {
    await send(() => readChunk(reader, inner));
  } catch (error) {
    cancel();
    throw error;
  }
  if (exchange.abort.signal.aborted) {
    throw new EnclaveError("exchange/aborted", "the client is gone");
  }
}

async function sendBody(read: ReadChunk, exchange: Exchange, out: SealedResponse): Promise<void> {
  for (;;) {
    const { done, value } = await out.flushUnless(read());
    if (done) return;
    for (let offset = 0; offset < value.length; offset += CONTENT_CHUNK_BYTES) {
      await sendContent(exchange, out, value.subarray(offset, offset + CONTENT_CHUNK_BYTES));
    }
  }
}

async function readChunk(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  inner: InnerRequest,
): ReturnType<ReadableStreamDefaultReader<Uint8Array>["read"]> {
  try {
    return await reader.read();
  } catch (cause) {
    throw inner.content.failure ?? handlerFailed(cause);
  }
}

function headersOf(answer: Response): Fields {
  const headers: [string, string][] = [];
  for (const [name, value] of answer.headers) {
    if (!CONNECTION_FIELDS.has(name)) headers.push([name, value]);
  }
  return headers;
}

function preambleOf(status: number, headers: Fields): Uint8Array {
  try {
    return encodeResponsePreamble(status, headers);
  } catch (cause) {
    if (cause instanceof ProtocolError) throw handlerFailed(cause);
    throw cause;
  }
}

/** Whatever the handler threw, the client learns only that. */
export function handlerFailed(cause: unknown): EnclaveError {
  return new EnclaveError("exchange/handler", "the handler failed", { cause });
}
