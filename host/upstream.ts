import { Agent, request } from "node:http";
import type { Readable } from "node:stream";
import { HostError, systemCode } from "./errors.ts";

/** The way to the enclave: HTTP/1.1 keep-alive over its Unix socket. */
export interface Upstream {
  readonly socketPath: string;
  /** Connections of the relay. The host's own questions use others, so that it cannot be starved. */
  readonly agent: Agent;
}

/** @param maxSockets - connections at once; the relay opens no more exchanges than that. */
export function openUpstream(socketPath: string, maxSockets: number): Upstream {
  const agent = new Agent({ keepAlive: true, maxSockets, maxFreeSockets: 64, scheduling: "lifo" });
  return { socketPath, agent };
}

/** A question of the host's own. */
export interface Question {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: Uint8Array | null;
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

export interface Answer {
  readonly status: number;
  readonly bytes: Uint8Array;
}

/**
 * Asks the enclave at `socketPath` and collects its whole answer.
 *
 * @throws {@link HostError} `enclave/unreachable`, `enclave/timeout`, `enclave/answer` beyond `maxBytes`.
 */
export function ask(socketPath: string, question: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const body = question.body ?? new Uint8Array(0);
    const headers = question.body === null ? {} : { "content-length": body.length };
    const { method, path } = question;
    const outgoing = request({ socketPath, method, path, headers, agent: false });
    const fail = (error: HostError): void => {
      clearTimeout(timer);
      outgoing.destroy();
      reject(error);
    };
    const timer = setTimeout(() => {
      const found = `no answer to ${method} ${path} in ${question.timeoutMs} ms`;
      fail(new HostError("enclave/timeout", found));
    }, question.timeoutMs);
    const unreachable = (error: unknown): void => {
      const found = `${method} ${path}: ${systemCode(error) ?? "connection lost"}`;
      fail(new HostError("enclave/unreachable", found, { cause: error }));
    };
    outgoing.on("error", unreachable);
    outgoing.on("response", (incoming) => {
      collectBody(incoming, question.maxBytes).then((bytes) => {
        if (bytes === null) {
          const found = `${method} ${path} answered more than ${question.maxBytes} bytes`;
          fail(new HostError("enclave/answer", found));
          return;
        }
        clearTimeout(timer);
        resolve({ status: incoming.statusCode ?? 0, bytes });
      }, unreachable);
    });
    outgoing.end(body);
  });
}

/** All bytes of `stream`, or null when there are more than `maxBytes`. Rejects when it breaks off. */
export function collectBody(stream: Readable, maxBytes: number): Promise<Uint8Array | null> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    let ended = false;
    stream.on("data", (chunk: Uint8Array) => {
      length += chunk.length;
      if (length > maxBytes) {
        stream.pause();
        resolve(null);
        return;
      }
      chunks.push(chunk);
    });
    stream.on("end", () => {
      ended = true;
      resolve(Buffer.concat(chunks));
    });
    stream.on("error", reject);
    stream.on("close", () => {
      if (!ended) reject(new Error("the body broke off"));
    });
  });
}
