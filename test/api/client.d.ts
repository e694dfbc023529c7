/** The public types of @countersign/client. Written by test/api/generate.ts. */
/* oxlint-disable no-unused-private-class-members -- a declaration has no bodies */
import type {
  AskedModel,
  EvidenceCache,
  Policy,
  Verdict,
  VerifiedEpoch,
} from "@countersign/attestation";
import type { DecodedResponse, Primitives, SealedRequest } from "@countersign/protocol";

export interface Checkpoint {
  readonly leaves: number;
  readonly bytes: number;
  readonly issuedAtMs: number;
  readonly proof: () => Uint8Array;
}

export declare class ClientError extends Error {
  readonly name = "ClientError";
  readonly code: ClientErrorCode;
  readonly status: number | null;
  readonly retryAfterSeconds: number | null;
  constructor(
    code: ClientErrorCode,
    message: string,
    options?: ErrorOptions & {
      readonly status?: number;
      readonly retryAfterSeconds?: number;
    },
  );
}

export type ClientErrorCode =
  | "client/url"
  | "client/request"
  | "client/unreachable"
  | "client/aborted"
  | "node/malformed"
  | "node/replay"
  | "node/too-large"
  | "node/busy"
  | "node/unavailable"
  | "node/answer";

export interface ConnectOptions {
  readonly policy: Policy;
  readonly primitives?: Primitives;
  readonly fetch?: Fetch;
  readonly now?: () => number;
  readonly challenge?: boolean;
  readonly opening?: boolean;
  readonly maxOpeningBytes?: number;
  readonly cache?: EvidenceCache;
  readonly signal?: AbortSignal;
}

export interface Connection {
  readonly url: string;
  readonly epoch: VerifiedEpoch<"live">;
  readonly verdict: Verdict;
  readonly fetch: VerifiedFetch;
}

export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

export type FetchInput = string | URL | Request;

export declare class VerdictError extends Error {
  readonly name = "VerdictError";
  readonly verdict: Verdict;
  readonly checkpoint: Checkpoint | null;
  constructor(
    verdict: Verdict,
    options?: ErrorOptions & {
      readonly checkpoint?: Checkpoint | null;
    },
  );
}

export type VerifiedFetch = (input: FetchInput, init?: RequestInit) => Promise<VerifiedResponse>;

export declare class VerifiedResponse extends Response {
  #private;
  readonly exchange: string;
  constructor(reading: Reading, hasBody: boolean);
  verdict(): Promise<Verdict>;
  proof(): Promise<Uint8Array>;
}

export declare function connect(url: string | URL, options: ConnectOptions): Promise<Connection>;

export declare function defaultPrimitives(): Primitives;

export declare function fetchBundle(
  fetch: Fetch,
  node: URL,
  nonce: Uint8Array | null,
  signal: AbortSignal | null,
  timeoutMs?: number,
): Promise<Uint8Array>;

export declare function requireNodeUrl(url: string | URL): URL;

interface Asked {
  readonly method: string;
  readonly signal: AbortSignal;
  readonly leave: () => void;
}

declare class Exchange {
  #private;
  readonly id: string;
  readonly sealed: SealedRequest;
  constructor(
    settings: ExchangeSettings,
    epoch: VerifiedEpoch<"live">,
    asked: AskedModel | null,
    keys: {
      readonly sealed: SealedRequest;
      readonly cti: Uint8Array;
      readonly kc: Uint8Array;
    },
    requestLeaves: readonly Uint8Array[],
  );
  get epoch(): VerifiedEpoch<"live">;
  commitRequest(): Promise<void>;
  received(leaf: Uint8Array): Promise<void>;
  get checkpoint(): Checkpoint | null;
  judgeCheckpoint(receipt: Uint8Array, status: number): Promise<Verdict | null>;
  conclude(
    status: number,
    trailers: readonly (readonly [string, string])[],
  ): Promise<Result | Verdict>;
  concludeTruncated(status: number | null): Promise<Verdict>;
}

interface ExchangeSettings {
  readonly primitives: Primitives;
  readonly now: () => number;
  readonly maxOpeningBytes: number;
}

declare class Reading {
  #private;
  readonly exchange: Exchange;
  readonly message: DecodedResponse;
  readonly body: ReadableStream<Uint8Array>;
  constructor(exchange: Exchange, message: DecodedResponse, request: Asked, now: () => number);
  finish(): Promise<Result>;
}

interface Result {
  readonly verdict: Verdict;
  readonly proof: () => Uint8Array;
}

export {};
