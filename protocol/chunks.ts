/** The chunk framing of draft-ietf-ohai-chunked-ohttp-08 §4 and §5, both directions alike. */
import { encodeUtf8, joinBytes } from "@countersign/attestation/attester";
import type { ChunkOpener, ChunkSealer } from "./cipher.ts";
import { ProtocolError } from "./errors.ts";
import { AEAD_TAG_BYTES } from "./hpke.ts";
import type { ByteReader } from "./reader.ts";
import { varintBytes, writeVarint } from "./varint.ts";

/** Plaintext of one chunk. draft-ietf-ohai-chunked-ohttp-08 §3: receivers must take this much. */
export const MAX_CHUNK_PLAINTEXT = 16_384;
const MAX_CHUNK_CIPHERTEXT = MAX_CHUNK_PLAINTEXT + AEAD_TAG_BYTES;
/** A length of up to eight bytes before it. */
const MAX_FRAMED_CHUNK = 8 + MAX_CHUNK_CIPHERTEXT;
/** §6: the associated data of the final chunk; that of all others is empty. */
const FINAL_AAD = encodeUtf8("final");
const NO_BYTES = new Uint8Array(0);

/** A chunk of plaintext and whether the message ends with it. */
export interface Chunk {
  readonly plaintext: Uint8Array;
  readonly final: boolean;
}

/** Seals a chunk behind its length, which is 0 for the final one. */
export async function sealChunk(sealer: ChunkSealer, chunk: Chunk): Promise<Uint8Array> {
  const sealed = await sealer.seal(chunk.final ? FINAL_AAD : NO_BYTES, chunk.plaintext);
  const length = chunk.final ? 0 : sealed.length;
  const framed = new Uint8Array(varintBytes(length) + sealed.length);
  framed.set(sealed, writeVarint(framed, 0, length));
  return framed;
}

/**
 * Reads and opens the next chunk. The final one takes in all that follows.
 *
 * @throws {@link ProtocolError} `ohttp/truncated` before a final chunk, `ohttp/too-large`,
 * `hpke/open`.
 */
export async function openChunk(reader: ByteReader, opener: ChunkOpener): Promise<Chunk> {
  reader.limit(MAX_FRAMED_CHUNK);
  const length = reader.varint() ?? (await reader.waitVarint());
  reader.limit(MAX_CHUNK_CIPHERTEXT);
  if (length !== 0) {
    const sealed = reader.take(length) ?? (await reader.waitTake(length));
    const plaintext = await opener.open(NO_BYTES, sealed);
    // §6: a chunk without data that is not the final one is treated as one that does not decrypt.
    if (plaintext.length === 0) throw new ProtocolError("hpke/open", "cannot decrypt");
    return { plaintext, final: false };
  }
  const sealed = await reader.rest();
  if (sealed.length < AEAD_TAG_BYTES) {
    throw new ProtocolError("ohttp/truncated", `final chunk of ${sealed.length} bytes`);
  }
  return { plaintext: await opener.open(FINAL_AAD, sealed), final: true };
}

/**
 * Cuts `pieces` into as few chunks as they fit, the last of them final. Cuts are made as pieces
 * come, so that a long message is not held in memory.
 */
export function* cutChunks(pieces: Iterable<Uint8Array>): Generator<Chunk, void, void> {
  let pending: Uint8Array[] = [];
  let held = 0;
  for (const piece of pieces) {
    let offset = 0;
    // More than a full chunk: what is sent now cannot be the last.
    while (held + piece.length - offset > MAX_CHUNK_PLAINTEXT) {
      const taken = offset + MAX_CHUNK_PLAINTEXT - held;
      pending.push(piece.subarray(offset, taken));
      yield { plaintext: joined(pending), final: false };
      pending = [];
      held = 0;
      offset = taken;
    }
    pending.push(piece.subarray(offset));
    held += piece.length - offset;
  }
  yield { plaintext: joined(pending), final: true };
}

/** Without a copy where there is one part only. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const only = parts.length === 1 ? parts[0] : undefined;
  return only ?? joinBytes(parts);
}
