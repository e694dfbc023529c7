/**
 * The JSON of a verdict: one object a subject, with the same members whatever came of it. Its form
 * is client/verdict.schema.json, and is API: members are added with a new `version`.
 */
import {
  encodeHex,
  type Outcome,
  type ReceiptClaims,
  type Verdict,
} from "@countersign/attestation";

import type { OpenedExchange } from "./opening.ts";
import { verdictObject } from "./rendering.ts";

type JsonObject = Readonly<Record<string, unknown>>;

const VERSION = 1;

/** What a line says beside the verdict; null where there is none. */
export interface LineExtras {
  /** Why nothing could be judged, or not all be shown. */
  readonly error: { readonly message: string; readonly fix: string } | null;
  /** What the receipt of a verified proof says. */
  readonly claims: ReceiptClaims | null;
  /** Request and answer of a verified proof, where they were asked for and are in it. */
  readonly opening: OpenedExchange | null;
}

export const NO_EXTRAS: LineExtras = { error: null, claims: null, opening: null };

/** The object that `--json` prints of `subject`. */
export function verdictLine(subject: string, verdict: Verdict, extras: LineExtras): JsonObject {
  const { error, claims, opening } = extras;
  return {
    version: VERSION,
    subject,
    ...verdictObject(verdict),
    error: error === null ? null : { message: error.message, fix: error.fix },
    claims: claims === null ? null : claimsObject(claims),
    opening: opening === null ? null : openingObject(opening),
  };
}

function claimsObject(claims: ReceiptClaims): JsonObject {
  const { model } = claims;
  const head = (name: "request" | "response"): JsonObject => {
    const { leaves, bytes, root } = claims[name];
    return { leaves, bytes, root: encodeHex(root) };
  };
  return {
    issuedAt: new Date(claims.issuedAt * 1000).toISOString(),
    exchange: encodeHex(claims.exchange),
    keyset: encodeHex(claims.keysetDigest),
    document: encodeHex(claims.documentDigest),
    index: claims.index,
    phase: claims.phase,
    model:
      model === null
        ? null
        : { id: model.id, version: model.version, digest: encodeHex(model.digest) },
    request: head("request"),
    response: head("response"),
    outcome: outcomeObject(claims.outcome),
    previous: claims.previous === null ? null : encodeHex(claims.previous),
  };
}

function outcomeObject(outcome: Outcome): JsonObject {
  const { status, finishReason, promptTokens, completionTokens, seed, parameters } = outcome;
  return {
    status,
    finishReason: finishReason ?? null,
    promptTokens: promptTokens ?? null,
    completionTokens: completionTokens ?? null,
    seed: seed ?? null,
    parameters: parameters === undefined ? null : encodeHex(parameters),
  };
}

function openingObject({ request, response }: OpenedExchange): JsonObject {
  return {
    request:
      request === null
        ? null
        : {
            method: request.method,
            path: request.path,
            headers: request.headers,
            ...contentObject(request.content),
          },
    response: {
      status: response.status,
      headers: response.headers,
      ...contentObject(response.content),
    },
  };
}

function contentObject(bytes: Uint8Array): JsonObject {
  const { encoding, value } = textOf(bytes);
  return { encoding, content: value };
}

/** Content as text, or in base64 where it is none. */
export function textOf(bytes: Uint8Array): {
  readonly encoding: "utf-8" | "base64";
  readonly value: string;
} {
  try {
    const value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { encoding: "utf-8", value };
  } catch {
    return { encoding: "base64", value: Buffer.from(bytes).toString("base64") };
  }
}
