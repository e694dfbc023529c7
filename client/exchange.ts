import {
  appraiseExchange,
  type AskedModel,
  concatBytes,
  encodeHex,
  encodeProof,
  askedModel,
  exchangeId,
  MAX_PROOF_LEAVES,
  type Opening,
  parseReceipt,
  type ReceiptClaims,
  Transcript,
  type Verdict,
  type VerifiedEpoch,
} from "@countersign/attestation";
import {
  CONTENT_CHUNK_BYTES,
  encodeContentChunk,
  encodeRequestPreamble,
  encodeTrailers,
  KEYSET_FIELD,
  parseByteSequence,
  parseKeyConfig,
  type Primitives,
  ProtocolError,
  RECEIPT_FIELD,
  sealRequest,
  type SealedRequest,
  TRANSCRIPT_KEY_BYTES,
  TRANSCRIPT_LABEL,
  zeroPadding,
} from "@countersign/protocol";

import { type Checkpoint, ClientError } from "./errors.ts";
import type { InnerRequest } from "./message.ts";

/** What every exchange of a connection shares. */
export interface ExchangeSettings {
  readonly primitives: Primitives;
  readonly now: () => number;
  /** Bytes of request and response to keep for the opening of a proof; 0 keeps none. */
  readonly maxOpeningBytes: number;
}

/** A verified exchange: what it proves and the file that proves it. */
export interface Result {
  readonly verdict: Verdict;
  /** Encoded when asked for: most exchanges are believed on the spot and shown to nobody. */
  readonly proof: () => Uint8Array;
}

/**
 * One exchange: what was sent and received, and what follows from it.
 *
 * Made by {@link sealExchange}; belongs to one request. `received` is called in order.
 */
export class Exchange {
  /** The receipt's cti in hexadecimal: also the name of the proof. */
  readonly id: string;
  readonly sealed: SealedRequest;
  readonly #settings: ExchangeSettings;
  readonly #epoch: VerifiedEpoch<"live">;
  readonly #asked: AskedModel | null;
  readonly #cti: Uint8Array;
  readonly #kc: Uint8Array;
  readonly #request: Transcript;
  readonly #response: Transcript;
  readonly #requestLeaves: readonly Uint8Array[];
  readonly #responseLeaves: Uint8Array[] = [];
  #heldBytes: number;
  #checkpoint: Checkpoint | null = null;
  /** SHA-256 of its receipt. */
  #previous: Uint8Array | null = null;

  constructor(
    settings: ExchangeSettings,
    epoch: VerifiedEpoch<"live">,
    asked: AskedModel | null,
    keys: { readonly sealed: SealedRequest; readonly cti: Uint8Array; readonly kc: Uint8Array },
    requestLeaves: readonly Uint8Array[],
  ) {
    this.id = encodeHex(keys.cti);
    this.sealed = keys.sealed;
    this.#settings = settings;
    this.#epoch = epoch;
    this.#asked = asked;
    this.#cti = keys.cti;
    this.#kc = keys.kc;
    this.#request = new Transcript(settings.primitives, keys.kc, "request");
    this.#response = new Transcript(settings.primitives, keys.kc, "response");
    this.#requestLeaves = requestLeaves;
    this.#heldBytes = requestLeaves.reduce((sum, leaf) => sum + leaf.length, 0);
  }

  get epoch(): VerifiedEpoch<"live"> {
    return this.#epoch;
  }

  /** Commits to the request as it was sent. To be called once, before anything is received. */
  async commitRequest(): Promise<void> {
    for (const leaf of this.#requestLeaves) await this.#request.append(leaf);
  }

  /** Commits to one leaf of the response: its header section, or one content chunk. */
  async received(leaf: Uint8Array): Promise<void> {
    // A proof with more leaves could not be read again.
    const fits = this.#responseLeaves.length < MAX_PROOF_LEAVES;
    this.#heldBytes = fits ? this.#heldBytes + leaf.length : Infinity;
    if (this.#heldBytes <= this.#settings.maxOpeningBytes)
      this.#responseLeaves.push(new Uint8Array(leaf));
    else this.#responseLeaves.length = 0;
    await this.#response.append(leaf);
  }

  /** The last checkpoint that was verified; null where none has come. */
  get checkpoint(): Checkpoint | null {
    return this.#checkpoint;
  }

  /**
   * Judges a receipt on the way, over what was received until now. Null where it holds.
   *
   * @param receipt - of a comment that is not counted as received yet.
   */
  async judgeCheckpoint(receipt: Uint8Array, status: number): Promise<Verdict | null> {
    const verdict = await this.#appraise(receipt, status, "checkpoint");
    // Nothing failed, and all that is missing is the end.
    if (verdict.result !== "incomplete" || verdict.failure !== null) return verdict;
    const { claims } = parseReceipt(receipt);
    const { leaves, bytes } = claims.response;
    this.#previous = await this.#settings.primitives.sha256(receipt);
    this.#checkpoint = {
      leaves,
      bytes,
      issuedAtMs: claims.issuedAt * 1000,
      proof: () => this.#proof(receipt),
    };
    return null;
  }

  /** Judges the exchange by the receipt that ended it. */
  async conclude(
    status: number,
    trailers: readonly (readonly [string, string])[],
  ): Promise<Result | Verdict> {
    const receipt = receiptOf(trailers);
    const verdict = await this.#appraise(receipt, status, "final", true);
    if (verdict.result !== "verified" || receipt === null) return verdict;
    return { verdict, proof: () => this.#proof(receipt) };
  }

  /** The verdict on an exchange that ended before its end. */
  async concludeTruncated(status: number | null): Promise<Verdict> {
    return await this.#appraise(null, status, "final");
  }

  #proof(receipt: Uint8Array): Uint8Array {
    const opening = this.#opening(parseReceipt(receipt).claims);
    return encodeProof({ receipt, bundle: this.#epoch.bundle, opening });
  }

  /** A proof shows what its receipt commits to: of a refusal, or on the way, that is not all. */
  #opening({ request, response }: ReceiptClaims): Opening | null {
    if (this.#heldBytes > this.#settings.maxOpeningBytes) return null;
    return {
      kc: this.#kc,
      request: this.#requestLeaves.slice(0, request.leaves),
      response: this.#responseLeaves.slice(0, response.leaves),
    };
  }

  async #appraise(
    receipt: Uint8Array | null,
    status: number | null,
    phase: "checkpoint" | "final",
    complete = false,
  ): Promise<Verdict> {
    return await appraiseExchange(this.#epoch, {
      receipt,
      phase,
      previous: this.#previous,
      exchange: this.#cti,
      requestHead: (leaves) => this.#request.head(leaves),
      requestLeaves: this.#request.leaves,
      responseHead: () => this.#response.head(),
      responseLeaves: this.#response.leaves,
      status,
      complete,
      asked: this.#asked,
      nowMs: this.#settings.now(),
    });
  }
}

/**
 * Encrypts `request` to the key of a verified epoch, with a fresh encapsulation.
 *
 * @throws ClientError `client/request` where Binary HTTP cannot carry it.
 */
export async function sealExchange(
  settings: ExchangeSettings,
  epoch: VerifiedEpoch<"live">,
  request: InnerRequest,
): Promise<Exchange> {
  const { primitives } = settings;
  const preamble = encodePreamble(request, encodeHex(epoch.keysetDigest), settings.now());
  const contents = cutContent(request.body);
  const message = [preamble, ...contents.map(encodeContentChunk), encodeTrailers([])];
  // RFC 9292 §3.8: the length of a prompt is nobody's business on the way.
  const length = message.reduce((sum, part) => sum + part.length, 0);
  const plaintext = [...message, zeroPadding(length)];
  const sealed = await sealRequest(primitives, parseKeyConfig(epoch.keyConfig), plaintext);
  const kc = await sealed.export(TRANSCRIPT_LABEL, TRANSCRIPT_KEY_BYTES);
  const cti = await exchangeId(primitives, sealed.enc);
  const asked = askedModel(request.path, contents);
  return new Exchange(settings, epoch, asked, { sealed, cti, kc }, [preamble, ...contents]);
}

/** The encapsulated request in one array. */
export async function sealedBody(sealed: SealedRequest): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of sealed.body) parts.push(part);
  return concatBytes(...parts);
}

function encodePreamble(
  { method, path, headers }: InnerRequest,
  keyset: string,
  nowMs: number,
): Uint8Array {
  // RFC 9110 §6.6.1: the enclave refuses a Date that is far from its own clock.
  const date = new Date(nowMs).toUTCString();
  const fields = [...headers, ["date", date] as const, [KEYSET_FIELD, keyset] as const];
  try {
    return encodeRequestPreamble({ method, scheme: "https", authority: "", path, headers: fields });
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    throw new ClientError("client/request", cause.message, { cause });
  }
}

function cutContent(body: Uint8Array): readonly Uint8Array[] {
  const contents: Uint8Array[] = [];
  for (let offset = 0; offset < body.length; offset += CONTENT_CHUNK_BYTES) {
    contents.push(body.subarray(offset, offset + CONTENT_CHUNK_BYTES));
  }
  return contents;
}

/** The receipt among the trailers, or null where there is none, or more than one. */
function receiptOf(trailers: readonly (readonly [string, string])[]): Uint8Array | null {
  const values = trailers.filter(([name]) => name === RECEIPT_FIELD);
  const [first, second] = values;
  if (first === undefined || second !== undefined) return null;
  return parseByteSequence(first[1]);
}
