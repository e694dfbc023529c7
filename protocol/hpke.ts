/**
 * HPKE in base mode (RFC 9180 §5.1.1) with HKDF-SHA256 and AES-GCM.
 *
 * Countersign sends with AES-256-GCM only; AES-128-GCM is here because the examples of RFC 9458 and
 * of draft-ietf-ohai-chunked-ohttp-08 use it, and a suite is compared before any of this runs.
 */
import {
  type Awaitable,
  concatBytes,
  encodeUtf8,
  equalBytes,
} from "@countersign/attestation/attester";
import { ChunkOpener, ChunkSealer } from "./cipher.ts";
import { expandLabelled, extractLabelled, HASH_BYTES } from "./hkdf.ts";
import { encapsulate, type KemId, type RecipientKey } from "./kem.ts";
import type { Primitives } from "./primitives.ts";

/** IANA "HPKE KDF Identifiers": HKDF-SHA256. */
export type KdfId = 0x0001;
export const KDF_HKDF_SHA256 = 0x0001;

/** IANA "HPKE AEAD Identifiers": AES-128-GCM, AES-256-GCM. */
export type AeadId = 0x0001 | 0x0002;
export const AEAD_AES_128_GCM = 0x0001;
export const AEAD_AES_256_GCM = 0x0002;

/** Key bytes, Nk. */
export const AEAD_KEY_BYTES: Readonly<Record<AeadId, number>> = { 0x0001: 16, 0x0002: 32 };
/** Nonce bytes, Nn, and tag bytes, Nt, of both. */
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

const BASE_MODE = Uint8Array.of(0x00);
const NO_BYTES = new Uint8Array(0);
const PSK_ID_HASH = encodeUtf8("psk_id_hash");
const INFO_HASH = encodeUtf8("info_hash");
const SECRET = encodeUtf8("secret");
const KEY = encodeUtf8("key");
const BASE_NONCE = encodeUtf8("base_nonce");
const EXPORTER = encodeUtf8("exp");
const EXPORT = encodeUtf8("sec");

/** Derives further secrets from a context (RFC 9180 §5.3). */
export type Exporter = (context: Uint8Array, length: number) => Awaitable<Uint8Array>;

export interface SenderContext {
  readonly enc: Uint8Array;
  readonly sealer: ChunkSealer;
  readonly export: Exporter;
}

export interface RecipientContext {
  readonly opener: ChunkOpener;
  readonly export: Exporter;
}

/**
 * SetupBaseS.
 *
 * @throws {@link ProtocolError} `hpke/key` where `publicKey` is no key of `kem`.
 */
export async function setupSender(
  p: Primitives,
  kem: KemId,
  aead: AeadId,
  publicKey: Uint8Array,
  info: Uint8Array,
): Promise<SenderContext> {
  const { sharedSecret, enc } = await encapsulate(p, kem, publicKey);
  const schedule = await keySchedule(p, kem, aead, sharedSecret, info);
  const sealer = new ChunkSealer(await p.aesGcm(schedule.key), schedule.baseNonce);
  schedule.key.fill(0);
  return { enc, sealer, export: schedule.export };
}

/**
 * SetupBaseR.
 *
 * @throws {@link ProtocolError} `hpke/open` on a bad `enc`, `hpke/destroyed`.
 */
export async function setupRecipient(
  p: Primitives,
  key: RecipientKey,
  aead: AeadId,
  enc: Uint8Array,
  info: Uint8Array,
): Promise<RecipientContext> {
  const sharedSecret = await key.decapsulate(enc);
  const schedule = await keySchedule(p, key.kem, aead, sharedSecret, info);
  const opener = new ChunkOpener(await p.aesGcm(schedule.key), schedule.baseNonce);
  schedule.key.fill(0);
  return { opener, export: schedule.export };
}

interface Schedule {
  readonly key: Uint8Array;
  readonly baseNonce: Uint8Array;
  readonly export: Exporter;
}

/** RFC 9180 §5.1 KeySchedule with an empty PSK. Overwrites `sharedSecret`. */
async function keySchedule(
  p: Primitives,
  kem: KemId,
  aead: AeadId,
  sharedSecret: Uint8Array,
  info: Uint8Array,
): Promise<Schedule> {
  const suiteId = hpkeSuiteId(kem, aead);
  const context = await scheduleContext(p, suiteId, info);
  const secret = await extractLabelled(p, suiteId, sharedSecret, SECRET, NO_BYTES);
  sharedSecret.fill(0);
  const key = await expandLabelled(p, suiteId, secret, KEY, context, AEAD_KEY_BYTES[aead]);
  const nonce = await expandLabelled(p, suiteId, secret, BASE_NONCE, context, AEAD_NONCE_BYTES);
  const exporter = await expandLabelled(p, suiteId, secret, EXPORTER, context, HASH_BYTES);
  secret.fill(0);
  return {
    key,
    baseNonce: nonce,
    export: (label, length) => expandLabelled(p, suiteId, exporter, EXPORT, label, length),
  };
}

/** The context last made: suite and info are the same for all messages to one key, and public. */
let lastContext: {
  readonly p: Primitives;
  readonly named: Uint8Array;
  readonly context: Uint8Array;
} | null = null;

/** RFC 9180 §5.1: mode ‖ psk_id_hash ‖ info_hash. To be read only. */
async function scheduleContext(
  p: Primitives,
  suiteId: Uint8Array,
  info: Uint8Array,
): Promise<Uint8Array> {
  // Both together name it: a suite id has one length.
  const named = concatBytes(suiteId, info);
  if (lastContext?.p === p && equalBytes(lastContext.named, named)) return lastContext.context;
  const pskIdHash = await extractLabelled(p, suiteId, NO_BYTES, PSK_ID_HASH, NO_BYTES);
  const infoHash = await extractLabelled(p, suiteId, NO_BYTES, INFO_HASH, info);
  const context = concatBytes(BASE_MODE, pskIdHash, infoHash);
  lastContext = { p, named, context };
  return context;
}

/** RFC 9180 §5.1: "HPKE" ‖ kem_id ‖ kdf_id ‖ aead_id. */
function hpkeSuiteId(kem: KemId, aead: AeadId): Uint8Array {
  return Uint8Array.of(0x48, 0x50, 0x4b, 0x45, kem >> 8, kem & 0xff, 0, KDF_HKDF_SHA256, 0, aead);
}
