/**
 * A node in this process, reached through a `fetch` of its own: real evidence from the fake
 * Attester, real encryption, real receipts; and hooks for everything a host or enclave can do wrong.
 */
import {
  type Bundle,
  encodeBundle,
  encodeEpochBinding,
  encodeKeyset,
  encodeModelSet,
  encodeRuntimeConfig,
  exchangeId,
  type ModelRef,
  modelsRegister,
  parsePolicy,
  type Policy,
  type ReceiptClaims,
  Transcript,
} from "@countersign/attestation";
import {
  BUNDLE_PATH,
  CHALLENGE_PATH,
  decodeRequest,
  encodeByteSequence,
  encodeCheckpoint,
  encodeContentChunk,
  encodeKeyConfig,
  encodeResponsePreamble,
  encodeTrailers,
  GATEWAY_PATH,
  generateRecipientKey,
  KDF_HKDF_SHA256,
  AEAD_AES_256_GCM,
  KEM_MLKEM768_X25519,
  MEDIA_BUNDLE,
  MEDIA_PROBLEM,
  MEDIA_RESPONSE,
  openRequest,
  problemDocument,
  type ProblemCode,
  ProtocolError,
  RECEIPT_FIELD,
  type RecipientKey,
  type RequestPreamble,
  TRANSCRIPT_LABEL,
} from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import type { Fetch } from "@countersign/client";

import {
  type Attester,
  createAttester,
  documentDigest,
  NOW_MS,
  policyFor,
  seededRandom,
  sha256,
  signReceipt,
} from "../../fakes/attester.ts";
import { type SigningKey, signingKey } from "../../fakes/x509.ts";

const MODEL: ModelRef = { id: "digits", version: "1", digest: sha256("digits") };

/** What the inside sees, and what it answers. */
export interface InnerCall extends RequestPreamble {
  readonly content: Uint8Array;
}
/** In place of a chunk: a checkpoint receipt over what came before it. */
export const CHECKPOINT: unique symbol = Symbol("checkpoint");

export interface InnerAnswer {
  readonly status?: number;
  readonly headers?: readonly (readonly [string, string])[];
  readonly content?: readonly (Uint8Array | string | typeof CHECKPOINT)[];
  /** Waited for before the content after the first chunk. */
  readonly gate?: Promise<void>;
  readonly model?: ModelRef | null;
}

/** What this node does besides. Each may be set at any time. */
export interface Misdeeds {
  /** Answers in place of the enclave. */
  outer: ((path: string, body: Uint8Array) => Response | null) | null;
  /** Changes the encrypted answer. */
  mangle: ((answer: Uint8Array) => Uint8Array) | null;
  /** Breaks the connection after so many bytes. */
  breakAfter: number | null;
  claims: ((claims: ReceiptClaims) => Partial<ReceiptClaims>) | null;
  receipt: "sent" | "missing" | "twice";
  /** The bundle to serve. */
  bundle: Uint8Array | null;
}

interface Epoch {
  readonly keyId: number;
  readonly key: RecipientKey;
  readonly receiptKey: SigningKey;
  readonly parts: Bundle;
  readonly bundle: Uint8Array;
  readonly keysetDigest: Uint8Array;
  readonly document: Uint8Array;
}

export interface FakeNode {
  readonly fetch: Fetch;
  readonly policy: Policy;
  readonly policyText: string;
  readonly misdeeds: Misdeeds;
  readonly calls: { path: string; enc: string }[];
  handler: (call: InnerCall) => InnerAnswer | Promise<InnerAnswer>;
  epoch: Epoch;
  nowMs: number;
  /** New keys; the old ones are forgotten. */
  rotate(): Promise<void>;
}

/** A node with digits in it, whose handler says hello. */
export async function createFakeNode(seed: string, leafEndMs?: number): Promise<FakeNode> {
  const random = seededRandom(seed);
  const ends = leafEndMs === undefined ? {} : { leafEndMs };
  const attester = createAttester({ random, nowMs: NOW_MS, ...ends });
  const registers = new Map<number, Uint8Array>();
  for (let i = 0; i < 3; i++) registers.set(i, random(48));
  const policyText = JSON.stringify(policyFor(attester, "simulated", registers, [MODEL]));
  let keyId = 0;
  const node: FakeNode = {
    fetch: async (input, init) => await route(node, attester, registers, input, init),
    policy: parsePolicy(policyText),
    policyText,
    misdeeds: {
      outer: null,
      mangle: null,
      breakAfter: null,
      claims: null,
      receipt: "sent",
      bundle: null,
    },
    calls: [],
    handler: () => ({ content: [JSON.stringify({ hello: "world" })] }),
    epoch: await openEpoch(attester, registers, keyId, NOW_MS),
    nowMs: NOW_MS,
    async rotate() {
      keyId += 1;
      node.epoch = await openEpoch(attester, registers, keyId, node.nowMs);
    },
  };
  return node;
}

async function openEpoch(
  attester: Attester,
  registers: ReadonlyMap<number, Uint8Array>,
  keyId: number,
  nowMs: number,
): Promise<Epoch> {
  const key = await generateRecipientKey(nativePrimitives, KEM_MLKEM768_X25519);
  const receiptKey = signingKey("P-256", Uint8Array.of(1, ...attester.random(31)));
  const keyConfig = encodeKeyConfig({
    keyId,
    kem: KEM_MLKEM768_X25519,
    publicKey: key.publicKey,
    kdf: KDF_HKDF_SHA256,
    aead: AEAD_AES_256_GCM,
  });
  const keyset = encodeKeyset({ keyConfig, receiptKey: receiptKey.point });
  const models = encodeModelSet([MODEL]);
  const config = encodeRuntimeConfig({
    engine: "none",
    engineVersion: "0",
    limits: new Map(),
    features: new Map(),
  });
  const binding = encodeEpochBinding({
    keysetDigest: sha256(keyset),
    modelsDigest: sha256(models),
    configDigest: sha256(config),
    sequence: keyId,
    notBefore: Math.floor(nowMs / 1000) - 1,
    notAfter: Math.floor(nowMs / 1000) + 7200,
    previous: null,
  });
  const evidence = await document(attester, registers, binding, models, null, nowMs);
  const parts = {
    platform: "simulated",
    evidence,
    binding,
    keyset,
    models,
    config,
    endorsements: new Map<string, Uint8Array>(),
  };
  return {
    keyId,
    key,
    receiptKey,
    parts,
    bundle: encodeBundle(parts),
    keysetDigest: sha256(keyset),
    document: documentDigest(evidence),
  };
}

async function document(
  attester: Attester,
  registers: ReadonlyMap<number, Uint8Array>,
  userData: Uint8Array,
  models: Uint8Array,
  nonce: Uint8Array | null,
  timestampMs: number,
): Promise<Uint8Array> {
  const pcrs = new Map(registers);
  for (let i = 3; i < 16; i++) pcrs.set(i, new Uint8Array(48));
  pcrs.set(16, await modelsRegister(sha256(models)));
  return attester.document({ timestampMs, pcrs, userData, nonce });
}

async function route(
  node: FakeNode,
  attester: Attester,
  registers: ReadonlyMap<number, Uint8Array>,
  input: string | URL | Request,
  init: RequestInit | undefined,
): Promise<Response> {
  const request = new Request(input, init);
  request.signal.throwIfAborted();
  const { pathname } = new URL(request.url);
  const body = new Uint8Array(await request.arrayBuffer());
  node.calls.push({ path: pathname, enc: Buffer.from(body.subarray(7, 39)).toString("hex") });
  const outer = node.misdeeds.outer?.(pathname, body);
  if (outer !== undefined && outer !== null) return outer;
  const headers = { "content-type": MEDIA_BUNDLE };
  if (pathname.endsWith(BUNDLE_PATH)) {
    return new Response((node.misdeeds.bundle ?? node.epoch.bundle).slice(), { headers });
  }
  if (pathname.endsWith(CHALLENGE_PATH)) {
    const nonce = /"nonce":"([0-9a-f]*)"/u.exec(Buffer.from(body).toString())?.[1] ?? "";
    const { parts } = node.epoch;
    const answered = Buffer.from(nonce, "hex");
    const { binding, models } = parts;
    const bytes = new Uint8Array(answered);
    const evidence = await document(attester, registers, binding, models, bytes, node.nowMs);
    return new Response(encodeBundle({ ...parts, evidence }).slice(), { headers });
  }
  if (pathname.endsWith(GATEWAY_PATH)) return await gateway(node, body);
  return problem("notFound");
}

/** The host's answer to `code`. */
export function problem(code: ProblemCode, headers: Record<string, string> = {}): Response {
  const { status, body } = problemDocument(code, "said by the fake");
  return new Response(body, { status, headers: { "content-type": MEDIA_PROBLEM, ...headers } });
}

async function gateway(node: FakeNode, body: Uint8Array): Promise<Response> {
  const { epoch } = node;
  try {
    const keyOf = (id: number): RecipientKey | null => (id === epoch.keyId ? epoch.key : null);
    const opened = await openRequest(nativePrimitives, keyOf, stream(body));
    const request = await decodeRequest(opened.plaintext);
    const kc = await opened.export(TRANSCRIPT_LABEL, 32);
    const sent = new Transcript(nativePrimitives, kc, "request");
    await sent.append(request.leaf);
    const contents: Uint8Array[] = [];
    for await (const chunk of request.content) {
      await sent.append(chunk);
      contents.push(chunk);
    }
    const content = new Uint8Array(Buffer.concat(contents));
    const answer = await node.handler({ ...request.preamble, content });
    const sealer = await opened.sealResponse();
    const received = new Transcript(nativePrimitives, kc, "response");
    const status = answer.status ?? 200;
    const preamble = encodeResponsePreamble(status, answer.headers ?? []);
    async function* plaintext(): AsyncGenerator<Uint8Array> {
      let previous: Uint8Array | null = null;
      const sign = async (phase: ReceiptClaims["phase"]): Promise<Uint8Array> => {
        const claims: ReceiptClaims = {
          issuedAt: Math.floor(node.nowMs / 1000),
          exchange: await exchangeId(nativePrimitives, opened.enc),
          keysetDigest: epoch.keysetDigest,
          documentDigest: epoch.document,
          index: 0,
          phase,
          model: answer.model === undefined ? MODEL : answer.model,
          request: await sent.head(),
          response: await received.head(),
          outcome: { status },
          previous,
        };
        const changed = { ...claims, ...node.misdeeds.claims?.(claims) };
        const receipt = signReceipt(epoch.receiptKey, changed);
        previous = sha256(receipt);
        return receipt;
      };
      yield sealer.head;
      await received.append(preamble);
      yield await sealer.seal(preamble);
      for (const [i, item] of (answer.content ?? []).entries()) {
        if (i > 0) await answer.gate;
        const chunk = item === CHECKPOINT ? encodeCheckpoint(await sign("checkpoint")) : item;
        const leaf = typeof chunk === "string" ? new Uint8Array(Buffer.from(chunk)) : chunk;
        await received.append(leaf);
        yield await sealer.seal(encodeContentChunk(leaf));
      }
      const field = encodeByteSequence(await sign("final"));
      const count = { sent: 1, missing: 0, twice: 2 }[node.misdeeds.receipt];
      const trailers = Array.from({ length: count }, () => [RECEIPT_FIELD, field] as const);
      yield await sealer.finish(encodeTrailers(trailers));
    }
    return await sealed(node, plaintext());
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return problem(error.code === "ohttp/unknown-key" ? "unknownKey" : "malformed");
  }
}

async function sealed(node: FakeNode, chunks: AsyncGenerator<Uint8Array>): Promise<Response> {
  const headers = { "content-type": MEDIA_RESPONSE };
  const { mangle, breakAfter } = node.misdeeds;
  if (mangle === null && breakAfter === null) {
    return new Response(streamOf(chunks), { headers });
  }
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  const whole = new Uint8Array(Buffer.concat(parts));
  const bytes = mangle?.(whole) ?? whole;
  if (breakAfter === null) return new Response(bytes.slice(), { headers });
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes.slice(0, breakAfter ?? 0);
    await Promise.resolve();
    throw new TypeError("terminated");
  }
  return new Response(streamOf(broken()), { headers });
}

/** Not every library of types knows `ReadableStream.from`. */
function streamOf(chunks: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await chunks.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await chunks.return(undefined);
    },
  });
}

async function* stream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
