import { concatBytes, type Opening } from "@countersign/attestation";
import {
  decodeRequest,
  decodeResponse,
  encodeContentChunk,
  encodeTrailers,
  ProtocolError,
} from "@countersign/protocol";

import { CommandError, EXIT } from "./exit.ts";

export interface OpenedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly content: Uint8Array;
}

/** What the leaves of a proof say in words. */
export interface OpenedExchange {
  /** Of a refused request, as much as the enclave had read; null where that was nothing. */
  readonly request: OpenedRequest | null;
  readonly response: {
    readonly status: number;
    readonly headers: readonly (readonly [string, string])[];
    readonly content: Uint8Array;
  };
}

/** Reads the leaves of a verified proof as Binary HTTP. @throws CommandError where they are none. */
export async function decodeOpening(opening: Opening): Promise<OpenedExchange> {
  try {
    const response = await decodeResponse(messageOf(opening.response));
    return {
      request: opening.request.length === 0 ? null : await openedRequest(opening.request),
      response: {
        status: response.status,
        headers: response.headers,
        content: await contentOf(response.content),
      },
    };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const reason = `the proof is verified, but its leaves are no HTTP messages: ${error.message}`;
    throw new CommandError(reason, null, EXIT.rejected);
  }
}

async function openedRequest(leaves: readonly Uint8Array[]): Promise<OpenedRequest> {
  const request = await decodeRequest(messageOf(leaves));
  const { method, path, headers } = request.preamble;
  return { method, path, headers, content: await contentOf(request.content) };
}

/** Leaf 0 is the preamble as it was sent; the others are content, whose lengths were left out. */
// oxlint-disable-next-line typescript/require-await -- the decoder takes messages as they arrive
async function* messageOf(leaves: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
  const [preamble, ...contents] = leaves;
  if (preamble !== undefined) yield preamble;
  for (const content of contents) yield encodeContentChunk(content);
  yield encodeTrailers([]);
}

async function contentOf(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  return concatBytes(...parts);
}
