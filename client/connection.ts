import {
  appraiseBundle,
  equalBytes,
  EvidenceCache,
  incompleteVerdict,
  type Policy,
  type Verdict,
  type VerifiedEpoch,
} from "@countersign/attestation";
import type { Primitives } from "@countersign/protocol";

import { unlessAborted } from "./deadline.ts";
import { VerdictError } from "./errors.ts";
import { type ExchangeSettings, sealedBody, sealExchange } from "./exchange.ts";
import { type FetchInput, type InnerRequest, readRequest } from "./message.ts";
import { defaultPrimitives } from "./primitives.ts";
import { openResponse, type VerifiedResponse } from "./response.ts";
import { chunksOf } from "./streams.ts";
import { type Fetch, fetchBundle, postGateway, requireNodeUrl } from "./transport.ts";

/** `fetch`, over a verified node. */
export type VerifiedFetch = (input: FetchInput, init?: RequestInit) => Promise<VerifiedResponse>;

export interface ConnectOptions {
  /** Whom you trust. It never comes from the node. */
  readonly policy: Policy;
  /** Cryptography; by default WebCrypto, with ML-KEM in JavaScript where WebCrypto has none. */
  readonly primitives?: Primitives;
  /** How to reach the node; by default the platform's `fetch`. */
  readonly fetch?: Fetch;
  /** Unix time, milliseconds; by default `Date.now`. */
  readonly now?: () => number;
  /** Asks for a document made for a nonce of ours, even where the policy leaves that open. */
  readonly challenge?: boolean;
  /** Whether proofs hold the opening, so that they show request and response; by default they do. */
  readonly opening?: boolean;
  /** Exchanges of more bytes give proofs without an opening; by default 64 MiB. */
  readonly maxOpeningBytes?: number;
  /** What was verified before; to share it, give several connections the same one. */
  readonly cache?: EvidenceCache;
  /** Ends the attempt to connect; each request takes its own. */
  readonly signal?: AbortSignal;
}

/** A node whose evidence is verified. It may be used by many callers at once. */
export interface Connection {
  readonly url: string;
  /** The epoch in use: it changes when the node rotates its keys. */
  readonly epoch: VerifiedEpoch<"live">;
  /** The verdict on that epoch's evidence. */
  readonly verdict: Verdict;
  /**
   * Sends a request inside the encryption. Needs no `this`.
   *
   * Relative URLs are fine; of an absolute one only path and query are used. Rejects with a
   * {@link VerdictError} or a `ClientError`; a status of 400 and more from inside is a response.
   */
  readonly fetch: VerifiedFetch;
}

const NONCE_BYTES = 32;
/** An epoch may begin between the answer to a challenge and the bundle; two in a row do not. */
const CHALLENGE_ATTEMPTS = 2;
const DEFAULT_OPENING_BYTES = 64 * 1024 * 1024;

/**
 * Fetches the node's evidence and judges it by the policy.
 *
 * @throws VerdictError with the verdict, unless it is `verified`; ClientError where the node cannot
 * be asked.
 */
export async function connect(url: string | URL, options: ConnectOptions): Promise<Connection> {
  const node = requireNodeUrl(url);
  const settings: NodeSettings = {
    policy: options.policy,
    primitives: options.primitives ?? defaultPrimitives(),
    now: options.now ?? Date.now,
    maxOpeningBytes:
      options.opening === false ? 0 : (options.maxOpeningBytes ?? DEFAULT_OPENING_BYTES),
    node,
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    challenge: options.challenge === true || requiresChallenge(options.policy),
    cache: options.cache ?? new EvidenceCache(),
  };
  const verified = await verifyNode(settings, options.signal ?? null);
  return new NodeConnection(settings, verified);
}

interface NodeSettings extends ExchangeSettings {
  readonly policy: Policy;
  readonly node: URL;
  readonly fetch: Fetch;
  readonly challenge: boolean;
  readonly cache: EvidenceCache;
}

/** The current epoch, shared by all requests; renewed by one of them for all. */
class NodeConnection implements Connection {
  readonly fetch: VerifiedFetch;
  readonly #settings: NodeSettings;
  #verified: Verified;
  #renewal: Promise<Verified> | null = null;

  constructor(settings: NodeSettings, verified: Verified) {
    this.#settings = settings;
    this.#verified = verified;
    this.fetch = async (input, init) => this.#exchange(await readRequest(input, init));
  }

  get url(): string {
    return this.#settings.node.href;
  }

  get epoch(): VerifiedEpoch<"live"> {
    return this.#verified.epoch;
  }

  get verdict(): Verdict {
    return this.#verified.verdict;
  }

  async #exchange(request: InnerRequest): Promise<VerifiedResponse> {
    const { now } = this.#settings;
    request.signal.throwIfAborted();
    // 1. An epoch that has run out is not asked.
    const current = this.#verified.epoch;
    const over = isOver(current, this.#settings.policy, now());
    const epoch = over ? await this.#renew(current, request.signal) : current;
    const first = await this.#attempt(epoch, request);
    if (first !== "unknown-key") return first;
    // 2. The host says that this key is gone: verify anew, and try once more with a new encapsulation.
    const second = await this.#attempt(await this.#renew(epoch, request.signal), request);
    if (second !== "unknown-key") return second;
    throw new VerdictError(incompleteVerdict("rotated", "live", now()));
  }

  async #attempt(
    epoch: VerifiedEpoch<"live">,
    request: InnerRequest,
  ): Promise<VerifiedResponse | "unknown-key"> {
    const { fetch, node, now } = this.#settings;
    const exchange = await sealExchange(this.#settings, epoch, request);
    await exchange.commitRequest();
    const body = await sealedBody(exchange.sealed);
    const leaving = new AbortController();
    const signal = AbortSignal.any([request.signal, leaving.signal]);
    const answer = await postGateway(fetch, node, body, signal);
    if (answer.kind === "unknown-key") return "unknown-key";
    const leave = (): void => {
      leaving.abort();
    };
    return await openResponse(exchange, chunksOf(answer.body), { ...request, leave }, now);
  }

  /** The epoch that other callers have verified since `stale`, or a new one; one fetch at a time. */
  async #renew(stale: VerifiedEpoch<"live">, signal: AbortSignal): Promise<VerifiedEpoch<"live">> {
    if (this.#verified.epoch !== stale) return this.#verified.epoch;
    this.#renewal ??= this.#renewNow();
    return (await unlessAborted(this.#renewal, signal)).epoch;
  }

  async #renewNow(): Promise<Verified> {
    try {
      this.#verified = await verifyNode(this.#settings, null);
      return this.#verified;
    } finally {
      this.#renewal = null;
    }
  }
}

/** What is in use: an epoch, and the verdict that let it be. */
interface Verified {
  readonly epoch: VerifiedEpoch<"live">;
  /** On the answer to our challenge, where we sent one; else on the epoch's own bundle. */
  readonly verdict: Verdict;
}

async function verifyNode(settings: NodeSettings, signal: AbortSignal | null): Promise<Verified> {
  const { policy, primitives, challenge } = settings;
  if (!challenge) {
    const epoch = await verifyBundle(settings, policy, null, signal);
    return { epoch, verdict: epoch.verdict };
  }
  // A document made for our nonce says that the enclave and its keys are there now. Receipts name the
  // document that the epoch was opened with, so that one is verified too, and must be of these keys.
  for (let attempt = 0; attempt < CHALLENGE_ATTEMPTS; attempt++) {
    const nonce = primitives.random(NONCE_BYTES);
    const challenged = await verifyBundle(settings, policy, nonce, signal);
    const published = await verifyBundle(settings, withoutChallenge(policy), null, signal);
    if (equalBytes(challenged.keysetDigest, published.keysetDigest)) {
      return { epoch: published, verdict: challenged.verdict };
    }
  }
  throw new VerdictError(incompleteVerdict("rotated", "live", settings.now()));
}

async function verifyBundle(
  settings: NodeSettings,
  policy: Policy,
  nonce: Uint8Array | null,
  signal: AbortSignal | null,
): Promise<VerifiedEpoch<"live">> {
  const { now, node, fetch, cache } = settings;
  const bytes = await fetchBundle(fetch, node, nonce, signal);
  const context = { mode: "live", nowMs: now(), nonce, cache } as const;
  const { verdict, epoch } = await appraiseBundle(bytes, policy, context);
  if (epoch === null || verdict.result !== "verified") throw new VerdictError(verdict);
  return epoch;
}

/** The policy for the published bundle of an epoch whose challenge was answered. */
function withoutChallenge(policy: Policy): Policy {
  if (policy.freshness === "unchecked") return policy;
  return { ...policy, freshness: { ...policy.freshness, challenge: "optional" } };
}

function requiresChallenge(policy: Policy): boolean {
  return policy.freshness !== "unchecked" && policy.freshness.challenge === "required";
}

/**
 * Whether the epoch's keys, the policy's patience with its document, or the policy itself have run
 * out. What was verified once may not be used for longer than it could be verified anew.
 */
function isOver(epoch: VerifiedEpoch<"live">, policy: Policy, nowMs: number): boolean {
  if (nowMs >= epoch.binding.notAfter * 1000 || nowMs >= policy.expiresMs) return true;
  if (nowMs > epoch.chainEndMs) return true;
  if (policy.freshness === "unchecked") return false;
  const { maxAgeSeconds, skewSeconds } = policy.freshness;
  return nowMs - epoch.documentTimeMs > (maxAgeSeconds + skewSeconds) * 1000;
}
