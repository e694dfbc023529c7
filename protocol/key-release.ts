/**
 * What an enclave and a key broker say to each other: challenge, request, response.
 *
 * ```cddl
 * Challenge = { 1: "countersign/key-challenge/v1", 2: nonce (32), 3: expires uint }
 * Request   = { 1: "countersign/key-request/v1", 2: platform tstr, 3: document bstr,
 *               4: HPKE public key (1216), 5: model digest (32), 6: envelope bstr }
 * Response  = { 1: "countersign/key-response/v1", 2: enc (1120), 3: ciphertext (48) }
 * ```
 * Deterministic CBOR. The data key travels under HPKE in base mode (RFC 9180 §5.1.1), in the suite of
 * requests, to the key that the document names; the associated data is the document's digest. So the
 * way between them need not be trusted, and the broker's answer is of use to this enclave only.
 */
import {
  type CborMap,
  type CborProfile,
  type CborValue,
  DETERMINISTIC,
  encodeCbor,
  encodeUtf8,
} from "@countersign/attestation/attester";
import { ProtocolError } from "./errors.ts";
import { AEAD_AES_256_GCM, AEAD_TAG_BYTES, setupRecipient, setupSender } from "./hpke.ts";
import { KEM_BYTES, KEM_MLKEM768_X25519, type RecipientKey } from "./kem.ts";
import type { Primitives } from "./primitives.ts";
import { DATA_KEY_BYTES, MAX_ENVELOPE_BYTES } from "./seal.ts";
import { decodeMap } from "./structure.ts";

/** Where a broker is asked for a challenge, and for a key. */
export const KEY_CHALLENGE_PATH = "/challenge";
export const KEY_RELEASE_PATH = "/release";
/** Challenge, request and response are all of it. */
export const MEDIA_KEY_RELEASE = "application/cbor";
/** Bytes of a broker's challenge. */
export const KEY_NONCE_BYTES = 32;
/** As a bundle's evidence, which has room for the reports of confidential machines. */
const MAX_DOCUMENT_BYTES = 65_536;
/** A document, a public key, an envelope, and their heads. */
export const MAX_KEY_REQUEST_BYTES: number = MAX_DOCUMENT_BYTES + MAX_ENVELOPE_BYTES + 2048;
/** A challenge or a response: `enc`, a data key, and their heads. */
export const MAX_KEY_ANSWER_BYTES = 2048;

const CHALLENGE_TAG = "countersign/key-challenge/v1";
const REQUEST_TAG = "countersign/key-request/v1";
const RESPONSE_TAG = "countersign/key-response/v1";
const INFO = encodeUtf8("countersign/key-release/v1");
const DIGEST_BYTES = 32;
const CIPHERTEXT_BYTES = DATA_KEY_BYTES + AEAD_TAG_BYTES;
const { publicKey: PUBLIC_KEY_BYTES, enc: ENC_BYTES } = KEM_BYTES[KEM_MLKEM768_X25519];
/** As a bundle's platform. */
const PLATFORM = /^[!-~]{1,128}$/u;

/** What a document has to answer, once, to get a key. */
export interface KeyChallenge {
  readonly nonce: Uint8Array;
  /** Unix seconds; by the broker's clock. */
  readonly expires: number;
}

/** An enclave asks for one data key. Of its parts the document vouches for the last three. */
export interface KeyRequest {
  readonly platform: string;
  /** The attestation document; its nonce is a challenge's, its user_data a ReleaseBinding. */
  readonly document: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly modelDigest: Uint8Array;
  /** The envelope's bytes, as the seal has them. */
  readonly envelope: Uint8Array;
}

/** @throws {@link ProtocolError} `key-release/structure`. */
export function encodeKeyChallenge({ nonce, expires }: KeyChallenge): Uint8Array {
  return encoded(parseKeyChallenge, [CHALLENGE_TAG, nonce, expires]);
}

/** @throws {@link ProtocolError} `key-release/structure`. */
export function parseKeyChallenge(bytes: Uint8Array): KeyChallenge {
  const fields = decodeFields(bytes, CHALLENGE_TAG, 3, MAX_KEY_ANSWER_BYTES);
  const expires = fields.get(3);
  if (typeof expires !== "number" || expires < 0) throw malformed("expires is no time");
  return { nonce: bytesOf(fields, 2, KEY_NONCE_BYTES), expires };
}

/** @throws {@link ProtocolError} `key-release/structure`. */
export function encodeKeyRequest(request: KeyRequest): Uint8Array {
  const { platform, document, publicKey, modelDigest, envelope } = request;
  return encoded(parseKeyRequest, [
    REQUEST_TAG,
    platform,
    document,
    publicKey,
    modelDigest,
    envelope,
  ]);
}

/** Reads a request; nothing in it is believed. @throws {@link ProtocolError} `key-release/structure`. */
export function parseKeyRequest(bytes: Uint8Array): KeyRequest {
  const fields = decodeFields(bytes, REQUEST_TAG, 6, MAX_KEY_REQUEST_BYTES);
  const platform = fields.get(2);
  if (typeof platform !== "string" || !PLATFORM.test(platform)) {
    throw malformed("platform is no name");
  }
  return {
    platform,
    document: bytesOf(fields, 3, 1, MAX_DOCUMENT_BYTES),
    publicKey: bytesOf(fields, 4, PUBLIC_KEY_BYTES),
    modelDigest: bytesOf(fields, 5, DIGEST_BYTES),
    envelope: bytesOf(fields, 6, 1, MAX_ENVELOPE_BYTES),
  };
}

/**
 * The response: `dataKey` for whoever holds the private key of `publicKey`, and for the answer to this
 * document alone.
 *
 * @param document - as the request had it.
 * @param dataKey - 32 bytes, which the caller overwrites.
 * @throws {@link ProtocolError} `hpke/key` where `publicKey` is none.
 */
export async function sealDataKey(
  p: Primitives,
  publicKey: Uint8Array,
  document: Uint8Array,
  dataKey: Uint8Array,
): Promise<Uint8Array> {
  if (dataKey.length !== DATA_KEY_BYTES) throw new TypeError("a data key has 32 bytes");
  const sender = await setupSender(p, KEM_MLKEM768_X25519, AEAD_AES_256_GCM, publicKey, INFO);
  const ciphertext = await sender.sealer.seal(await p.sha256(document), dataKey);
  return encoded(parseResponse, [RESPONSE_TAG, sender.enc, ciphertext]);
}

/**
 * The data key in a broker's response: 32 bytes, which the caller overwrites.
 *
 * @param document - as it was sent.
 * @throws {@link ProtocolError} `key-release/structure`; `hpke/open` where it is for another key or
 * another document, or was changed.
 */
export async function openDataKey(
  p: Primitives,
  key: RecipientKey,
  document: Uint8Array,
  response: Uint8Array,
): Promise<Uint8Array> {
  const { enc, ciphertext } = parseResponse(response);
  const { opener } = await setupRecipient(p, key, AEAD_AES_256_GCM, enc, INFO);
  return opener.open(await p.sha256(document), ciphertext);
}

function parseResponse(bytes: Uint8Array): {
  readonly enc: Uint8Array;
  readonly ciphertext: Uint8Array;
} {
  const fields = decodeFields(bytes, RESPONSE_TAG, 3, MAX_KEY_ANSWER_BYTES);
  return { enc: bytesOf(fields, 2, ENC_BYTES), ciphertext: bytesOf(fields, 3, CIPHERTEXT_BYTES) };
}

/** A map whose keys count from 1; what its parser would refuse is not made. */
function encoded(parse: (bytes: Uint8Array) => unknown, values: readonly CborValue[]): Uint8Array {
  const bytes = encodeCbor(new Map(values.map((value, index) => [index + 1, value])));
  parse(bytes);
  return bytes;
}

/** The map of `bytes`, which has the keys 1 to `size`: a parser asks for each. */
function decodeFields(bytes: Uint8Array, tag: string, size: number, maxBytes: number): CborMap {
  const profile: CborProfile = { ...DETERMINISTIC, maxBytes, maxDepth: 1, maxItems: 16 };
  const fields = decodeMap(bytes, profile, "key-release/structure");
  if (fields.get(1) !== tag) throw malformed(`not tagged ${tag}`);
  if (fields.size !== size) throw malformed(`${fields.size} fields, want ${size}`);
  return fields;
}

function bytesOf(fields: CborMap, key: number, least: number, most: number = least): Uint8Array {
  const value = fields.get(key);
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most) {
    throw malformed(`key ${key}: want ${least} to ${most} bytes`);
  }
  return value;
}

function malformed(found: string): ProtocolError {
  return new ProtocolError("key-release/structure", found);
}
