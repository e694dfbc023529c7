import { createHash } from "node:crypto";
import type { EnclaveAddress } from "./enclave-address.ts";
import { HostError } from "./errors.ts";
import { BUNDLE_MAX_AGE_SECONDS, BUNDLE_TIMEOUT_MS, MAX_BUNDLE_BYTES } from "./limits.ts";
import type { EnclaveView } from "./supervisor.ts";
import { ask } from "./upstream.ts";

/** A bundle as it is served. */
export interface CachedBundle {
  readonly bytes: Uint8Array;
  /** Entity tag, quoted (RFC 9110 §8.8.3): SHA-256 of the bytes. */
  readonly etag: string;
}

interface Entry extends CachedBundle {
  readonly generation: number;
  readonly sequence: number | null;
  readonly freshUntilMs: number;
}

/**
 * The enclave's bundle, asked for at most every few seconds however many clients come.
 *
 * It is void at once when the enclave was restarted or opened another epoch: the keys that it names
 * are then about to go, or gone.
 */
export class BundleCache {
  readonly #address: EnclaveAddress;
  readonly #enclave: EnclaveView;
  readonly #nowMs: () => number;
  #entry: Entry | null = null;
  #pending: { readonly generation: number; readonly promise: Promise<Entry> } | null = null;

  constructor(address: EnclaveAddress, enclave: EnclaveView, nowMs: () => number) {
    this.#address = address;
    this.#enclave = enclave;
    this.#nowMs = nowMs;
  }

  /** @throws {@link HostError} `enclave/unreachable`, `enclave/timeout`, `enclave/answer`. */
  async read(): Promise<CachedBundle> {
    const { generation, serving } = this.#enclave;
    if (!serving) throw new HostError("enclave/unreachable", "the enclave does not serve");
    const entry = this.#entry;
    if (entry !== null && this.#isFresh(entry)) return entry;
    if (this.#pending === null || this.#pending.generation !== generation) {
      const promise = this.#fetch(generation);
      const pending = { generation, promise };
      this.#pending = pending;
      const settle = (): void => {
        if (this.#pending === pending) this.#pending = null;
      };
      promise.then(settle, settle);
    }
    return this.#pending.promise;
  }

  #isFresh(entry: Entry): boolean {
    const { generation, status } = this.#enclave;
    if (entry.generation !== generation || this.#nowMs() >= entry.freshUntilMs) return false;
    const sequence = status?.epoch?.sequence ?? null;
    return sequence === null || entry.sequence === null || sequence === entry.sequence;
  }

  async #fetch(generation: number): Promise<Entry> {
    // Read before asking: an epoch that opens meanwhile makes this entry stale, never fresh.
    const epoch = this.#enclave.status?.epoch ?? null;
    const answer = await ask(this.#address, {
      method: "GET",
      path: "/bundle",
      body: null,
      maxBytes: MAX_BUNDLE_BYTES,
      timeoutMs: BUNDLE_TIMEOUT_MS,
    });
    if (answer.status !== 200) {
      throw new HostError("enclave/answer", `GET /bundle answered ${answer.status}`);
    }
    const entry: Entry = {
      bytes: answer.bytes,
      etag: `"${createHash("sha256").update(answer.bytes).digest("hex")}"`,
      generation,
      sequence: epoch?.sequence ?? null,
      freshUntilMs: this.#nowMs() + BUNDLE_MAX_AGE_SECONDS * 1000,
    };
    this.#entry = entry;
    return entry;
  }
}
