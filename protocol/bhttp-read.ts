/**
 * Reads Binary HTTP (RFC 9292) as it arrives, in either form.
 *
 * Content comes chunk by chunk as it was sent, because each chunk is a leaf of the transcript; the
 * content of a known-length message is one chunk. Nothing is complete before `content` has ended
 * without an error: only then have trailers, padding and the end of the stream been seen.
 */
import { concatBytes } from "@countersign/attestation/attester";
import {
  FRAMING,
  MAX_CONTENT_CHUNK_BYTES,
  MAX_SECTION_BYTES,
  type RequestPreamble,
} from "./bhttp.ts";
import { ProtocolError } from "./errors.ts";
import {
  decodeLatin1,
  type Fields,
  MAX_FIELDS,
  requireFieldName,
  requireFieldValue,
  requireRequestTarget,
} from "./message.ts";
import { ByteReader } from "./reader.ts";

/** Informational responses before the final one (RFC 9292 §3.5.1). */
export const MAX_INFORMATIONAL = 16;
/** Zero bytes after a message (RFC 9292 §3.8). */
export const MAX_PADDING_BYTES: number = 1024 * 1024;
/** A length of up to eight bytes. */
const MAX_VARINT_BYTES = 8;

/** What both kinds of message have after their preamble. */
export interface DecodedMessage {
  /** Leaf 0 of the transcript, as received. */
  readonly leaf: Uint8Array;
  /** To be read once, to its end. */
  readonly content: AsyncIterable<Uint8Array>;
  /** @throws TypeError before `content` has ended. */
  trailers(): Fields;
}

export interface DecodedRequest extends DecodedMessage {
  readonly preamble: RequestPreamble;
}

export interface DecodedResponse extends DecodedMessage {
  readonly status: number;
  readonly headers: Fields;
}

/**
 * Reads a request up to its content.
 *
 * @throws {@link ProtocolError} `bhttp/malformed`, `bhttp/field`, `bhttp/truncated`,
 * `bhttp/too-large`, and what the source throws.
 */
export async function decodeRequest(plaintext: AsyncIterable<Uint8Array>): Promise<DecodedRequest> {
  const reader = new ByteReader(plaintext, "bhttp");
  reader.limit(MAX_SECTION_BYTES);
  reader.keep();
  const known = await readFraming(reader, FRAMING.knownRequest, FRAMING.indeterminateRequest);
  const method = decodeLatin1(reader.prefixed() ?? (await reader.waitPrefixed()));
  const scheme = decodeLatin1(reader.prefixed() ?? (await reader.waitPrefixed()));
  const authority = decodeLatin1(reader.prefixed() ?? (await reader.waitPrefixed()));
  const path = decodeLatin1(reader.prefixed() ?? (await reader.waitPrefixed()));
  requireRequestTarget({ method, scheme, authority, path });
  const headers = (await reader.ended()) ? [] : await readFields(reader, known);
  const preamble = { method, scheme, authority, path, headers };
  return { preamble, ...messageBody(reader, known, reader.kept()) };
}

/**
 * Reads a response up to its content; informational responses are read and left out.
 *
 * @throws {@link ProtocolError} `bhttp/malformed`, `bhttp/field`, `bhttp/truncated`,
 * `bhttp/too-large`, and what the source throws.
 */
export async function decodeResponse(
  plaintext: AsyncIterable<Uint8Array>,
): Promise<DecodedResponse> {
  const reader = new ByteReader(plaintext, "bhttp");
  reader.limit(MAX_SECTION_BYTES);
  const known = await readFraming(reader, FRAMING.knownResponse, FRAMING.indeterminateResponse);
  const framing = known ? FRAMING.knownResponse : FRAMING.indeterminateResponse;
  for (let informational = 0; informational <= MAX_INFORMATIONAL; informational++) {
    reader.limit(MAX_SECTION_BYTES - 1);
    reader.keep();
    const status = reader.varint() ?? (await reader.waitVarint());
    if (status < 100 || status > 599) {
      throw new ProtocolError("bhttp/malformed", `status ${status}`);
    }
    if (status < 200) {
      await readFields(reader, known);
      continue;
    }
    const headers = (await reader.ended()) ? [] : await readFields(reader, known);
    const leaf = concatBytes(Uint8Array.of(framing), reader.kept());
    return { status, headers, ...messageBody(reader, known, leaf) };
  }
  throw new ProtocolError("bhttp/too-large", "too many informational responses");
}

/** Whether the message is of known length. */
async function readFraming(
  reader: ByteReader,
  known: number,
  indeterminate: number,
): Promise<boolean> {
  const [framing] = reader.take(1) ?? (await reader.waitTake(1));
  if (framing !== known && framing !== indeterminate) {
    throw new ProtocolError("bhttp/malformed", `framing indicator ${framing ?? "missing"}`);
  }
  return framing === known;
}

/** A field section (RFC 9292 §3.6), within the limit that the caller has set. */
async function readFields(reader: ByteReader, known: boolean): Promise<Fields> {
  const fields: (readonly [string, string])[] = [];
  const length = known ? (reader.varint() ?? (await reader.waitVarint())) : null;
  if (length !== null) reader.limitWithin(length);
  const end = length === null ? null : reader.position + length;
  while (reader.position !== end) {
    const line = readFieldLine(reader);
    if (line === null) {
      await reader.more();
    } else if (line === "end") {
      if (end !== null) throw new ProtocolError("bhttp/malformed", "field without a name");
      return fields;
    } else {
      if (fields.length === MAX_FIELDS) {
        throw new ProtocolError("bhttp/too-large", `more than ${MAX_FIELDS} fields`);
      }
      fields.push(line);
    }
  }
  return fields;
}

/** One field line, the end of the section, or null, with nothing consumed. */
function readFieldLine(reader: ByteReader): readonly [string, string] | "end" | null {
  const start = reader.position;
  const name = reader.prefixed();
  if (name === null) return null;
  if (name.length === 0) return "end";
  const value = reader.prefixed();
  if (value === null) {
    reader.rewind(start);
    return null;
  }
  const line = [decodeLatin1(name), decodeLatin1(value)] as const;
  requireFieldName(line[0]);
  requireFieldValue(line[1]);
  return line;
}

function messageBody(reader: ByteReader, known: boolean, leaf: Uint8Array): DecodedMessage {
  let trailers: Fields | null = null;
  async function* readContent(): AsyncGenerator<Uint8Array, void, void> {
    try {
      // RFC 9292 §3.8: content that is empty may be left out when trailers are empty too.
      if (!(await reader.ended())) {
        let chunk = await contentChunk(reader);
        while (chunk !== null) {
          yield chunk;
          chunk = known ? null : await contentChunk(reader);
        }
      }
      const fields = await readTrailers(reader, known);
      await readPadding(reader);
      trailers = fields;
    } finally {
      await reader.cancel();
    }
  }
  return {
    leaf,
    content: readContent(),
    trailers() {
      if (trailers === null) throw new TypeError("the content has not been read to its end");
      return trailers;
    },
  };
}

/** The next content chunk, or null at a length of 0: the end of the content, or empty content. */
async function contentChunk(reader: ByteReader): Promise<Uint8Array | null> {
  reader.limit(MAX_VARINT_BYTES);
  const length = reader.varint() ?? (await reader.waitVarint());
  if (length === 0) return null;
  reader.limit(MAX_CONTENT_CHUNK_BYTES);
  return reader.take(length) ?? (await reader.waitTake(length));
}

async function readTrailers(reader: ByteReader, known: boolean): Promise<Fields> {
  if (await reader.ended()) return [];
  reader.limit(MAX_SECTION_BYTES);
  return readFields(reader, known);
}

/** RFC 9292 §3.8: zero bytes, to the end of the stream. */
async function readPadding(reader: ByteReader): Promise<void> {
  reader.limit(MAX_PADDING_BYTES);
  while (!(await reader.ended())) {
    const padding = reader.take(reader.available);
    if (padding?.some((byte) => byte !== 0) === true) {
      throw new ProtocolError("bhttp/malformed", "padding that is not zero");
    }
  }
}
