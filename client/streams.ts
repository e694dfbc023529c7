import { concatBytes } from "@countersign/attestation";

/** The chunks of a stream; ending the loop early cancels it. Not every browser iterates streams. */
export async function* chunksOf(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield value;
    }
    ended = true;
  } catch (error) {
    ended = true;
    throw error;
  } finally {
    if (!ended) await reader.cancel();
    reader.releaseLock();
  }
}

/** All of `chunks` in one array, or null where they are more than `limit` bytes. */
export async function collect(
  chunks: AsyncIterable<Uint8Array>,
  limit: number = Infinity,
): Promise<Uint8Array | null> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > limit) return null;
    parts.push(chunk);
  }
  return concatBytes(...parts);
}
