/**
 * Writes Binary HTTP (RFC 9292), in indeterminate-length form both ways.
 *
 * What one call returns is one leaf of the transcript: the preamble, or one content chunk (without
 * its length).
 */
import { concatBytes } from "@countersign/attestation/attester";
import { ProtocolError } from "./errors.ts";
import {
  encodeLatin1,
  type Fields,
  MAX_FIELDS,
  requireFieldName,
  requireFieldValue,
  requireRequestTarget,
  type RequestTarget,
} from "./message.ts";
import { varintBytes, writeVarint } from "./varint.ts";

/** Control data and header section of a message, or a trailer section. */
export const MAX_SECTION_BYTES: number = 64 * 1024;
/** Content in one chunk that a reader takes; writers of ours cut at {@link CONTENT_CHUNK_BYTES}. */
export const MAX_CONTENT_CHUNK_BYTES: number = 4 * 1024 * 1024;
/** What our writers put in one content chunk at most. */
export const CONTENT_CHUNK_BYTES: number = 1024 * 1024;

/** Framing indicators (RFC 9292 §3.3). */
export const FRAMING = {
  knownRequest: 0,
  knownResponse: 1,
  indeterminateRequest: 2,
  indeterminateResponse: 3,
} as const;

const TERMINATOR = Uint8Array.of(0);

/** A request up to its content. */
export interface RequestPreamble extends RequestTarget {
  readonly headers: Fields;
}

/**
 * Framing indicator, control data and header section of a request: leaf 0.
 *
 * @throws {@link ProtocolError} `bhttp/malformed`, `bhttp/field`, `bhttp/too-large`.
 */
export function encodeRequestPreamble(request: RequestPreamble): Uint8Array {
  requireRequestTarget(request);
  const { method, scheme, authority, path } = request;
  const parts: Uint8Array[] = [Uint8Array.of(FRAMING.indeterminateRequest)];
  for (const text of [method, scheme, authority, path]) parts.push(prefixed(encodeLatin1(text)));
  return section(parts, request.headers);
}

/**
 * Framing indicator, final status and header section of a response: leaf 0.
 *
 * @throws {@link ProtocolError} `bhttp/malformed`, `bhttp/field`, `bhttp/too-large`.
 */
export function encodeResponsePreamble(status: number, headers: Fields): Uint8Array {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new ProtocolError("bhttp/malformed", `final status ${status}`);
  }
  const control = new Uint8Array(3);
  control[0] = FRAMING.indeterminateResponse;
  writeVarint(control, 1, status);
  return section([control], headers);
}

/** One content chunk behind its length. @throws TypeError on empty content, which would end it. */
export function encodeContentChunk(content: Uint8Array): Uint8Array {
  if (content.length === 0) throw new TypeError("an empty content chunk ends the content");
  return prefixed(content);
}

/** The end of the content, and the trailer section. Not part of the transcript. */
export function encodeTrailers(trailers: Fields): Uint8Array {
  return section([TERMINATOR], trailers);
}

function section(before: readonly Uint8Array[], fields: Fields): Uint8Array {
  if (fields.length > MAX_FIELDS) {
    throw new ProtocolError("bhttp/too-large", `${fields.length} fields, want ≤ ${MAX_FIELDS}`);
  }
  const parts = [...before];
  for (const [name, value] of fields) {
    requireFieldName(name);
    requireFieldValue(value);
    parts.push(prefixed(encodeLatin1(name)), prefixed(encodeLatin1(value)));
  }
  const bytes = concatBytes(...parts, TERMINATOR);
  if (bytes.length > MAX_SECTION_BYTES) {
    throw new ProtocolError("bhttp/too-large", `${bytes.length} bytes of fields`);
  }
  return bytes;
}

function prefixed(bytes: Uint8Array): Uint8Array {
  const framed = new Uint8Array(varintBytes(bytes.length) + bytes.length);
  framed.set(bytes, writeVarint(framed, 0, bytes.length));
  return framed;
}
