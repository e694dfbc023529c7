import { type Agent, request } from "node:http";
import type { Readable } from "node:stream";
import { dialEnclave, EnclaveAgent } from "./dial.ts";
import type { EnclaveAddress } from "./enclave-address.ts";
import { HostError, systemCode } from "./errors.ts";

/** The way to the enclave: HTTP/1.1 keep-alive. */
export interface Upstream {
  readonly address: EnclaveAddress;
  /** Connections of the relay. The host's own questions use others, so that it cannot be starved. */
  readonly agent: Agent;
}

/** @param maxSockets - connections at once; the relay opens no more exchanges than that. */
export function openUpstream(address: EnclaveAddress, maxSockets: number): Upstream {
  return { address, agent: new EnclaveAgent(address, maxSockets) };
}

/** For the Host field, RFC 9112 §3.2: the enclave is nobody else's. */
export const ENCLAVE_HOST = "enclave";

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
 * Asks the enclave at `address` and collects its whole answer.
 *
 * @throws {@link HostError} `enclave/unreachable`, `enclave/timeout`, `enclave/answer` beyond `maxBytes`.
 */
export function ask(address: EnclaveAddress, question: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const body = question.body ?? new Uint8Array(0);
    const length = question.body === null ? {} : { "content-length": body.length };
    const { method, path } = question;
    const outgoing = request({
      // Without an agent: one connection a question.
      createConnection: (_options, dialled) => dialEnclave(address, dialled),
      method,
      path,
      headers: { host: ENCLAVE_HOST, ...length },
    });
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
      if (error instanceof HostError) {
        fail(error);
        return;
      }
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
