/** Names on the wire: paths, media types, fields, and the answers that the host gives by itself. */

/** RFC 9540 §5. */
export const GATEWAY_PATH = "/.well-known/ohttp-gateway";
export const BUNDLE_PATH = "/.well-known/countersign/bundle";
export const CHALLENGE_PATH = "/.well-known/countersign/challenge";

/** draft-ietf-ohai-chunked-ohttp-08 §3. */
export const MEDIA_REQUEST = "message/ohttp-chunked-req";
export const MEDIA_RESPONSE = "message/ohttp-chunked-res";
export const MEDIA_BUNDLE = "application/cbor";
/** RFC 9457 §3. */
export const MEDIA_PROBLEM = "application/problem+json";

/** Trailer of the inner response: the final receipt, an RFC 9651 byte sequence. */
export const RECEIPT_FIELD = "countersign-receipt";
/** Header of the inner request: the keyset digest it was encrypted to, 64 hexadecimal digits. */
export const KEYSET_FIELD = "countersign-keyset";

/** HPKE exporter context of Kc, the 32-byte key of the transcript's commitments. */
export const TRANSCRIPT_LABEL = "countersign transcript v1";
export const TRANSCRIPT_KEY_BYTES = 32;

/** What can go wrong outside the encryption. Unauthenticated: never taken for a result. */
const PROBLEM_CODES = [
  "malformed",
  "unknownKey",
  "replay",
  "tooLarge",
  "tooMany",
  "unavailable",
  "mediaType",
  "notFound",
  "method",
] as const;
export type ProblemCode = (typeof PROBLEM_CODES)[number];

export interface Problem {
  /** The `type` of RFC 9457 §3.1.1. */
  readonly type: string;
  readonly status: number;
  readonly title: string;
}

export const PROBLEM: Readonly<Record<ProblemCode, Problem>> = {
  malformed: {
    type: "urn:countersign:problem:malformed",
    status: 400,
    title: "The request could not be read or decrypted",
  },
  unknownKey: {
    type: "urn:countersign:problem:unknown-key",
    status: 400,
    title: "The key is not known, or not any more: fetch the bundle and verify it anew",
  },
  replay: {
    type: "urn:countersign:problem:replay",
    status: 409,
    title: "This request was seen before",
  },
  tooLarge: {
    type: "urn:countersign:problem:too-large",
    status: 413,
    title: "The request is too large",
  },
  tooMany: {
    type: "urn:countersign:problem:too-many",
    status: 429,
    title: "Too many requests",
  },
  unavailable: {
    type: "urn:countersign:problem:unavailable",
    status: 503,
    title: "The enclave cannot answer now",
  },
  mediaType: {
    type: "urn:countersign:problem:media-type",
    status: 415,
    title: "The media type is not the one this resource takes",
  },
  notFound: {
    type: "urn:countersign:problem:not-found",
    status: 404,
    title: "There is nothing here",
  },
  method: {
    type: "urn:countersign:problem:method",
    status: 405,
    title: "The method is not one this resource has",
  },
};

/** RFC 9458 §5.3: what other gateways call {@link PROBLEM.unknownKey}. */
const OHTTP_KEY_PROBLEM = "https://iana.org/assignments/http-problem-types#ohttp-key";
/** Characters of a problem document that are read. */
const MAX_PROBLEM_CHARACTERS = 16 * 1024;

export interface ProblemDocument {
  readonly status: number;
  /** JSON, of media type {@link MEDIA_PROBLEM}. */
  readonly body: string;
}

/** An RFC 9457 answer. `detail` is for people and holds nothing a peer sent. */
export function problemDocument(code: ProblemCode, detail: string): ProblemDocument {
  const { type, status, title } = PROBLEM[code];
  return { status, body: JSON.stringify({ type, title, status, detail }) };
}

/** Which problem a body tells of, or null where it tells of none of ours. */
export function parseProblem(body: string): ProblemCode | null {
  if (body.length > MAX_PROBLEM_CHARACTERS) return null;
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    return null;
  }
  if (typeof document !== "object" || document === null || !("type" in document)) return null;
  if (document.type === OHTTP_KEY_PROBLEM) return "unknownKey";
  for (const code of PROBLEM_CODES) if (PROBLEM[code].type === document.type) return code;
  return null;
}
