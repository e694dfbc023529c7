/** One request each way, from the same process, with the same `fetch` below. */
import type { Connection } from "@countersign/client";
import { GATEWAY_PATH, MEDIA_REQUEST } from "@countersign/protocol";
import { type BenchNode, connectTo, type SecureNode } from "./nodes.ts";
import type { Workload } from "./workloads.ts";

/** Sends one request and reads its answer to the end. Rejects unless the answer is a result. */
export type Send = () => Promise<Uint8Array>;

/** The client library: encrypts, verifies the answer and its receipt. */
export function secureSend(connection: Connection, { path, body }: Workload): Send {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body };
  return async () => contentOf(await connection.fetch(path, init));
}

/** `fetch` with what the client library gives it, but in the clear. */
export function plainSend(node: BenchNode, { body }: Workload): Send {
  const url = new URL(GATEWAY_PATH, node.url);
  return async () =>
    contentOf(
      await fetch(url, {
        method: "POST",
        // The host relays nothing else; what is inside is for the enclave to know.
        headers: { "content-type": MEDIA_REQUEST },
        body,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        referrerPolicy: "no-referrer",
      }),
    );
}

/** Where the time of one secure request went, µs. */
export interface Parts {
  /** From the call until the encrypted request is handed to `fetch`. */
  readonly sealUs: number;
  /** From there until the whole encrypted answer is here: network, host and enclave. */
  readonly outerUs: number;
  /** From there until the answer is decrypted and verified. */
  readonly openUs: number;
}

/** {@link secureSend} with a `fetch` that looks at the clock; one request at a time. */
export async function timedSecureSend(
  node: SecureNode,
  workload: Workload,
  parts: Parts[],
): Promise<Send> {
  let sealedMs = 0;
  let answeredMs = 0;
  let givenMs = 0;
  const connection = await connectTo(node, async (input, init) => {
    sealedMs = performance.now();
    const answer = await fetch(input, init);
    const bytes = await answer.arrayBuffer();
    answeredMs = performance.now();
    // The whole answer in one piece, as it mostly arrives anyway. Making it is not the client's work.
    const { status, headers } = answer;
    const given = new Response(bytes, { status, headers });
    givenMs = performance.now();
    return given;
  });
  const send = secureSend(connection, workload);
  return async () => {
    const startMs = performance.now();
    const content = await send();
    const endMs = performance.now();
    parts.push({
      sealUs: (sealedMs - startMs) * 1000,
      outerUs: (answeredMs - sealedMs) * 1000,
      openUs: (endMs - givenMs) * 1000,
    });
    return content;
  };
}

async function contentOf(response: Response): Promise<Uint8Array> {
  const content = new Uint8Array(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`answered ${response.status}`);
  return content;
}
