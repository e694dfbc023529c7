/** Chunked Oblivious HTTP: responses both ways (draft-ietf-ohai-chunked-ohttp-08 §6.2). */
import { type Awaitable, concatBytes, encodeUtf8 } from "@countersign/attestation/attester";
import { MAX_CHUNK_PLAINTEXT, openChunk, sealChunk } from "./chunks.ts";
import { ChunkOpener, ChunkSealer } from "./cipher.ts";
import { expand, extract } from "./hkdf.ts";
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, type AeadId, type Exporter } from "./hpke.ts";
import type { Aead, Primitives } from "./primitives.ts";
import { ByteReader } from "./reader.ts";

const RESPONSE_LABEL = encodeUtf8("message/bhttp chunked response");
const KEY = encodeUtf8("key");
const NONCE = encodeUtf8("nonce");
const NO_BYTES = new Uint8Array(0);

/** Encrypts one response. Calls may overlap; what they return goes out in the order of the calls. */
export interface ResponseSealer {
  /** The response nonce, which goes first. */
  readonly head: Uint8Array;
  /** Framed chunks, one for each 16 KiB; nothing for nothing. */
  seal(plaintext: Uint8Array): Awaitable<Uint8Array>;
  /** The same with the final chunk last, which may be empty. Nothing can be sealed after it. */
  finish(last: Uint8Array): Awaitable<Uint8Array>;
}

/** Starts the response to the request that came with `enc`. */
export async function sealResponseBody(
  p: Primitives,
  aead: AeadId,
  enc: Uint8Array,
  exporter: Exporter,
): Promise<ResponseSealer> {
  const head = p.random(entropyBytes(aead));
  const { cipher, nonce } = await responseKey(p, aead, enc, head, exporter);
  const sealer = new ChunkSealer(cipher, nonce);
  let finished = false;
  return {
    head,
    async seal(plaintext) {
      if (finished) throw new TypeError("the response has ended");
      return sealPieces(sealer, plaintext, false);
    },
    async finish(last) {
      if (finished) throw new TypeError("the response has ended");
      finished = true;
      return sealPieces(sealer, last, true);
    },
  };
}

/** The plaintext chunks of a response, to the final one. */
export async function* openResponseBody(
  p: Primitives,
  aead: AeadId,
  enc: Uint8Array,
  exporter: Exporter,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const reader = new ByteReader(body, "ohttp");
  try {
    reader.limit(entropyBytes(aead));
    const head = await reader.waitTake(entropyBytes(aead));
    const { cipher, nonce } = await responseKey(p, aead, enc, head, exporter);
    const opener = new ChunkOpener(cipher, nonce);
    for (;;) {
      const chunk = await openChunk(reader, opener);
      if (chunk.plaintext.length > 0) yield chunk.plaintext;
      if (chunk.final) return;
    }
  } finally {
    await reader.cancel();
  }
}

/** max(Nn, Nk). */
function entropyBytes(aead: AeadId): number {
  return Math.max(AEAD_NONCE_BYTES, AEAD_KEY_BYTES[aead]);
}

async function responseKey(
  p: Primitives,
  aead: AeadId,
  enc: Uint8Array,
  responseNonce: Uint8Array,
  exporter: Exporter,
): Promise<{ readonly cipher: Aead; readonly nonce: Uint8Array }> {
  const secret = await exporter(RESPONSE_LABEL, entropyBytes(aead));
  const prk = await extract(p, concatBytes(enc, responseNonce), secret);
  const key = await expand(p, prk, KEY, AEAD_KEY_BYTES[aead]);
  const nonce = await expand(p, prk, NONCE, AEAD_NONCE_BYTES);
  const cipher = await p.aesGcm(key);
  secret.fill(0);
  prk.fill(0);
  key.fill(0);
  return { cipher, nonce };
}

/** Reserves the counters of all pieces before it waits for the first. */
async function sealPieces(
  sealer: ChunkSealer,
  plaintext: Uint8Array,
  final: boolean,
): Promise<Uint8Array> {
  if (plaintext.length <= MAX_CHUNK_PLAINTEXT) {
    if (plaintext.length === 0 && !final) return NO_BYTES;
    return sealChunk(sealer, { plaintext, final });
  }
  const sealed: Promise<Uint8Array>[] = [];
  for (let offset = 0; offset < plaintext.length; offset += MAX_CHUNK_PLAINTEXT) {
    const end = offset + MAX_CHUNK_PLAINTEXT;
    const last = final && end >= plaintext.length;
    sealed.push(sealChunk(sealer, { plaintext: plaintext.subarray(offset, end), final: last }));
  }
  return concatBytes(...(await Promise.all(sealed)));
}
