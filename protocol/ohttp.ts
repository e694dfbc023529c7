/**
 * Chunked Oblivious HTTP (RFC 9458 §4, draft-ietf-ohai-chunked-ohttp-08): requests both ways.
 *
 * A message is complete only when a chunk opened with the associated data "final"; a stream that
 * stops earlier throws `ohttp/truncated` at whoever reads it.
 */
import { type Awaitable, concatBytes, encodeUtf8 } from "@countersign/attestation/attester";
import { type Chunk, cutChunks, MAX_CHUNK_PLAINTEXT, openChunk, sealChunk } from "./chunks.ts";
import type { ChunkSealer } from "./cipher.ts";
import { ProtocolError } from "./errors.ts";
import {
  AEAD_AES_256_GCM,
  type AeadId,
  type Exporter,
  KDF_HKDF_SHA256,
  type RecipientContext,
  setupRecipient,
  setupSender,
} from "./hpke.ts";
import { KEM_BYTES, type KemId, type RecipientKey } from "./kem.ts";
import type { KeyConfig } from "./keyconfig.ts";
import type { Primitives } from "./primitives.ts";
import { ByteReader } from "./reader.ts";
import { openResponseBody, type ResponseSealer, sealResponseBody } from "./response.ts";

/** Key ID, KEM ID, KDF ID, AEAD ID (RFC 9458 §4.1). */
export const REQUEST_HEADER_BYTES = 7;
/** §6.1 of the draft. The non-chunked form of RFC 9458 §4.3 says "message/bhttp request". */
const REQUEST_LABEL = "message/bhttp chunked request";

/** Ciphertext on its way out, and what opens the answer. */
export interface SealedRequest {
  readonly enc: Uint8Array;
  /** The whole encapsulated request. To be read once. */
  readonly body: AsyncIterable<Uint8Array>;
  export(label: string, length: number): Awaitable<Uint8Array>;
  /**
   * The plaintext of the response, chunk by chunk.
   *
   * It throws `ohttp/truncated` where the final chunk is missing and `hpke/open` where a chunk does
   * not open: what was read until then is authentic, but not complete.
   */
  openResponse(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
}

/** A request whose first chunk has been opened, so that it is known to be meant for us. */
export interface OpenedRequest {
  readonly keyId: number;
  /** 7 bytes. */
  readonly header: Uint8Array;
  readonly enc: Uint8Array;
  /** Chunk by chunk. To be read once; throws like {@link SealedRequest.openResponse}. */
  readonly plaintext: AsyncIterable<Uint8Array>;
  export(label: string, length: number): Awaitable<Uint8Array>;
  /** To be called once. */
  sealResponse(): Promise<ResponseSealer>;
}

/**
 * Encrypts a request to the holder of `config`'s key.
 *
 * Of an iterable all at hand, as few chunks are made as it fits; of an asynchronous one, each piece
 * is sealed as it comes, and an empty final chunk ends it.
 *
 * @throws {@link ProtocolError} `hpke/key` where the configuration holds no good key.
 */
export async function sealRequest(
  p: Primitives,
  config: KeyConfig,
  plaintext: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<SealedRequest> {
  const header = requestHeader(config.keyId, config.kem, config.aead);
  const info = requestInfo(REQUEST_LABEL, header);
  const context = await setupSender(p, config.kem, config.aead, config.publicKey, info);
  const { enc, sealer } = context;
  return {
    enc,
    body:
      Symbol.asyncIterator in plaintext
        ? sealStream(concatBytes(header, enc), sealer, plaintext)
        : sealWhole(concatBytes(header, enc), sealer, plaintext),
    export: (label, length) => context.export(encodeUtf8(label), length),
    openResponse: (body) => openResponseBody(p, config.aead, enc, context.export, body),
  };
}

/**
 * Decrypts a request. Resolves when its first chunk has opened; the rest may still be on its way.
 *
 * Whoever stops reading `plaintext`, or has an error from it, also ends the iteration of `body`: a
 * server that still wants to answer passes one that does not close its connection then.
 *
 * @param keyOf - the key of that id, or null where there is none any more.
 * @throws {@link ProtocolError} `ohttp/unknown-key`, `ohttp/suite`, `ohttp/truncated`,
 * `ohttp/too-large`, `hpke/open`, `hpke/destroyed`.
 */
export async function openRequest(
  p: Primitives,
  keyOf: (keyId: number) => RecipientKey | null,
  body: AsyncIterable<Uint8Array>,
): Promise<OpenedRequest> {
  return openRequestAs(p, AEAD_AES_256_GCM, keyOf, body);
}

/** {@link openRequest} for another AEAD: the examples of the draft are in AES-128-GCM. */
export async function openRequestAs(
  p: Primitives,
  aead: AeadId,
  keyOf: (keyId: number) => RecipientKey | null,
  body: AsyncIterable<Uint8Array>,
): Promise<OpenedRequest> {
  // 1. RFC 9458 §4.3: the header names a key we have and the one suite it is for.
  const reader = new ByteReader(body, "ohttp");
  reader.limit(REQUEST_HEADER_BYTES);
  const head = reader.take(REQUEST_HEADER_BYTES) ?? (await reader.waitTake(REQUEST_HEADER_BYTES));
  const header = new Uint8Array(head);
  const keyId = header[0] ?? 0;
  const key = keyOf(keyId);
  if (key === null) throw new ProtocolError("ohttp/unknown-key", `key id ${keyId}`);
  requireSuite(header, key.kem, aead);
  // 2. RFC 9180 §5.1.1: the context that this encapsulation stands for.
  const encBytes = KEM_BYTES[key.kem].enc;
  reader.limit(encBytes);
  const enc = new Uint8Array(reader.take(encBytes) ?? (await reader.waitTake(encBytes)));
  const context = await setupRecipient(p, key, aead, enc, requestInfo(REQUEST_LABEL, header));
  // 3. The first chunk proves that sender and we hold the same context.
  const first = await openChunk(reader, context.opener);
  return openedRequest(p, aead, header, enc, context, openRest(reader, context, first));
}

/** The header of RFC 9458 §4.1. */
export function requestHeader(keyId: number, kem: KemId, aead: AeadId): Uint8Array {
  return Uint8Array.of(keyId, kem >> 8, kem & 0xff, 0, KDF_HKDF_SHA256, 0, aead);
}

/** RFC 9458 §4.3: label ‖ 0x00 ‖ header. */
export function requestInfo(label: string, header: Uint8Array): Uint8Array {
  return concatBytes(encodeUtf8(label), Uint8Array.of(0), header);
}

function requireSuite(header: Uint8Array, kem: KemId, aead: AeadId): void {
  const wanted = requestHeader(0, kem, aead);
  for (let i = 1; i < REQUEST_HEADER_BYTES; i++) {
    if (header[i] !== wanted[i]) throw new ProtocolError("ohttp/suite", "not this key's suite");
  }
}

function openedRequest(
  p: Primitives,
  aead: AeadId,
  header: Uint8Array,
  enc: Uint8Array,
  context: RecipientContext,
  plaintext: AsyncIterable<Uint8Array>,
): OpenedRequest {
  const exporter: Exporter = context.export;
  let answered = false;
  return {
    keyId: header[0] ?? 0,
    header,
    enc,
    plaintext,
    export: (label, length) => exporter(encodeUtf8(label), length),
    async sealResponse() {
      if (answered) throw new TypeError("a request has one response");
      answered = true;
      return sealResponseBody(p, aead, enc, exporter);
    },
  };
}

async function* openRest(
  reader: ByteReader,
  context: RecipientContext,
  first: Chunk,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    let chunk = first;
    for (;;) {
      if (chunk.plaintext.length > 0) yield chunk.plaintext;
      if (chunk.final) return;
      chunk = await openChunk(reader, context.opener);
    }
  } finally {
    await reader.cancel();
  }
}

async function* sealWhole(
  head: Uint8Array,
  sealer: ChunkSealer,
  plaintext: Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let before: Uint8Array | null = head;
  for (const chunk of cutChunks(plaintext)) {
    const sealed = await sealChunk(sealer, chunk);
    yield before === null ? sealed : concatBytes(before, sealed);
    before = null;
  }
}

async function* sealStream(
  head: Uint8Array,
  sealer: ChunkSealer,
  plaintext: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  yield head;
  for await (const piece of plaintext) {
    for (let offset = 0; offset < piece.length; offset += MAX_CHUNK_PLAINTEXT) {
      const part = piece.subarray(offset, offset + MAX_CHUNK_PLAINTEXT);
      yield await sealChunk(sealer, { plaintext: part, final: false });
    }
  }
  yield await sealChunk(sealer, { plaintext: new Uint8Array(0), final: true });
}
