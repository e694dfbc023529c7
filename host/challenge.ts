import type { IncomingMessage } from "node:http";
import { type Refusal, refuse, refuseForNow } from "./answers.ts";
import type { TokenBucket } from "./bucket.ts";
import type { EnclaveAddress } from "./enclave-address.ts";
import { HostError } from "./errors.ts";
import { CHALLENGE_TIMEOUT_MS, MAX_BUNDLE_BYTES, MAX_CHALLENGE_BODY_BYTES } from "./limits.ts";
import type { EnclaveView } from "./supervisor.ts";
import { ask, collectBody } from "./upstream.ts";

/**
 * The whole body of a challenge: one member, 16 to 64 bytes of hexadecimal. A pattern rather than
 * JSON.parse, which would take the last of two nonces and drop what it does not know.
 */
const CHALLENGE =
  /^[ \t\r\n]*\{[ \t\r\n]*"nonce"[ \t\r\n]*:[ \t\r\n]*"((?:[0-9A-Fa-f]{2}){16,64})"[ \t\r\n]*\}[ \t\r\n]*$/u;
const MEDIA_JSON = /^application\/json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?$/iu;

/** Answers challenges: a fresh document over the client's own nonce. */
export class Challenger {
  readonly #address: EnclaveAddress;
  readonly #enclave: EnclaveView;
  readonly #bucket: TokenBucket;
  readonly #nowMs: () => number;

  constructor(
    address: EnclaveAddress,
    enclave: EnclaveView,
    bucket: TokenBucket,
    nowMs: () => number,
  ) {
    this.#address = address;
    this.#enclave = enclave;
    this.#bucket = bucket;
    this.#nowMs = nowMs;
  }

  /** @throws {@link HostError} `enclave/unreachable`, `enclave/timeout`, `enclave/answer`. */
  async answer(incoming: IncomingMessage): Promise<Refusal | { readonly bundle: Uint8Array }> {
    if (!MEDIA_JSON.test(incoming.headers["content-type"] ?? "")) {
      return refuse("mediaType", "A challenge is application/json");
    }
    const body = await collectBody(incoming, MAX_CHALLENGE_BODY_BYTES).catch(() => null);
    if (body === null) {
      return refuse("tooLarge", `A challenge has ${MAX_CHALLENGE_BODY_BYTES} bytes at most`);
    }
    const nonce = CHALLENGE.exec(Buffer.from(body).toString("latin1"))?.[1];
    if (nonce === undefined) {
      return refuse("malformed", 'Want {"nonce": "…"}: 16 to 64 bytes in hexadecimal');
    }
    if (!this.#enclave.serving) return refuseForNow("unavailable", "The enclave is starting");
    // Last, so that only a challenge that costs something counts.
    const waitSeconds = this.#bucket.take(this.#nowMs());
    if (waitSeconds > 0) {
      return refuseForNow("tooMany", "Too many challenges: fetch the bundle instead", waitSeconds);
    }
    return this.#ask(Buffer.from(nonce, "hex"));
  }

  async #ask(nonce: Uint8Array): Promise<Refusal | { readonly bundle: Uint8Array }> {
    const answer = await ask(this.#address, {
      method: "POST",
      path: "/challenge",
      body: nonce,
      maxBytes: MAX_BUNDLE_BYTES,
      timeoutMs: CHALLENGE_TIMEOUT_MS,
    });
    if (answer.status === 200) return { bundle: answer.bytes };
    // The module signs one document at a time, and the enclave lets only a few wait for it.
    if (answer.status === 429) return refuseForNow("tooMany", "Too many challenges at once");
    throw new HostError("enclave/answer", `POST /challenge answered ${answer.status}`);
  }
}
