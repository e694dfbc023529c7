/**
 * One epoch: fresh keys in this process's memory, and the document that names them.
 *
 * Nothing of it is stored or leaves the enclave but public keys and signatures.
 */
import {
  assembleReceipt,
  type Bundle,
  encodeBundle,
  encodeEpochBinding,
  encodeHex,
  encodeKeyset,
  encodeReceiptClaims,
  type ReceiptClaims,
  receiptToBeSigned,
} from "@countersign/attestation/attester";
import {
  AEAD_AES_256_GCM,
  encodeKeyConfig,
  generateRecipientKey,
  KDF_HKDF_SHA256,
  KEM_MLKEM768_X25519,
  type RecipientKey,
} from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { hash } from "node:crypto";
import { requireSameTime } from "./clock-watch.ts";
import { type OwnDocument, parseOwnDocument } from "./nsm/document.ts";
import type { Nsm } from "./nsm/nsm.ts";
import { ReceiptKey } from "./receipt-key.ts";
import { ReplaySet } from "./replay.ts";

/** What every epoch of one boot has in common. */
export interface EpochTerms {
  readonly platform: string;
  /** ModelSet and RuntimeConfig: the exact bytes that clients get. */
  readonly models: Uint8Array;
  readonly config: Uint8Array;
  readonly epochSeconds: number;
  /** How much longer an epoch is accepted than it is the newest. */
  readonly overlapSeconds: number;
  readonly replaySlots: number;
  /** Key id of the epoch with sequence 0. */
  readonly firstKeyId: number;
}

/** What sets one epoch apart from the others. */
export interface EpochPosition {
  /** From 1. */
  readonly sequence: number;
  /** Document digest of the epoch before, or null for the first. */
  readonly previous: Uint8Array | null;
  readonly nowMs: number;
}

export class Epoch {
  readonly sequence: number;
  /** (firstKeyId + sequence) mod 256. */
  readonly keyId: number;
  /** Unix seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly keysetDigest: Uint8Array;
  readonly keysetHex: string;
  /** SHA-256 of the document's COSE payload. */
  readonly documentDigest: Uint8Array;
  /** What a client fetches. */
  readonly bundleBytes: Uint8Array;
  readonly recipient: RecipientKey;
  readonly replay: ReplaySet;
  readonly #bundle: Bundle;
  readonly #receiptKey: ReceiptKey;
  #nextIndex = 0;

  constructor(
    position: EpochPosition,
    lifetime: Lifetime,
    keys: EpochKeys,
    bundle: Bundle,
    document: OwnDocument,
    replay: ReplaySet,
  ) {
    this.sequence = position.sequence;
    this.keyId = keys.keyId;
    this.notBefore = lifetime.notBefore;
    this.notAfter = lifetime.notAfter;
    this.keysetDigest = sha256(bundle.keyset);
    this.keysetHex = encodeHex(this.keysetDigest);
    this.documentDigest = sha256(document.payload);
    this.bundleBytes = encodeBundle(bundle);
    this.recipient = keys.recipient;
    this.replay = replay;
    this.#bundle = bundle;
    this.#receiptKey = keys.receiptKey;
  }

  /** How many exchanges began under this epoch. */
  get exchanges(): number {
    return this.#nextIndex;
  }

  /** The next exchange's index. Nothing is awaited between two calls' increments. */
  reserveIndex(): number {
    const index = this.#nextIndex;
    this.#nextIndex = index + 1;
    return index;
  }

  /** A receipt under this epoch's receipt key (RFC 9053 §2.1, ES256). */
  sign(claims: ReceiptClaims): Uint8Array {
    const payload = encodeReceiptClaims(claims);
    return assembleReceipt(payload, this.#receiptKey.sign(receiptToBeSigned(payload)));
  }

  /** A bundle whose document was made for `nonce`. @throws EnclaveError `nsm/…`. */
  async challenge(nsm: Nsm, nonce: Uint8Array): Promise<Uint8Array> {
    const request = { userData: this.#bundle.binding, nonce, publicKey: null };
    return encodeBundle({ ...this.#bundle, evidence: await nsm.attest(request) });
  }

  /**
   * Ends the epoch: nothing is decrypted under it any more, and what it had seen is overwritten.
   *
   * Exchanges under way still get their receipt; the receipt key goes with the last of them, when
   * OpenSSL clears the memory of a key that nobody holds.
   */
  retire(): void {
    this.recipient.destroy();
    this.replay.destroy();
  }
}

interface Lifetime {
  readonly notBefore: number;
  readonly notAfter: number;
}

interface EpochKeys {
  readonly keyId: number;
  readonly recipient: RecipientKey;
  readonly receiptKey: ReceiptKey;
}

/** Makes keys and has the module vouch for them. @throws EnclaveError `nsm/…`, `clock/skew`. */
export async function openEpoch(
  nsm: Nsm,
  terms: EpochTerms,
  position: EpochPosition,
): Promise<Epoch> {
  // 1. Fresh keys.
  const recipient = await generateRecipientKey(nativePrimitives, KEM_MLKEM768_X25519);
  const receiptKey = new ReceiptKey();
  const keyId = (terms.firstKeyId + position.sequence) % 256;
  const keyConfig = encodeKeyConfig({
    keyId,
    kem: recipient.kem,
    publicKey: recipient.publicKey,
    kdf: KDF_HKDF_SHA256,
    aead: AEAD_AES_256_GCM,
  });
  const keyset = encodeKeyset({ keyConfig, receiptKey: receiptKey.publicPoint });
  // 2. The binding names them, what is loaded, and for how long.
  const notBefore = Math.floor(position.nowMs / 1000);
  const lifetime = {
    notBefore,
    notAfter: notBefore + terms.epochSeconds + terms.overlapSeconds,
  };
  const binding = encodeEpochBinding({
    keysetDigest: sha256(keyset),
    modelsDigest: sha256(terms.models),
    configDigest: sha256(terms.config),
    sequence: position.sequence,
    ...lifetime,
    previous: position.previous,
  });
  // 3. The document vouches for the binding; where there is none, the keys are for nothing.
  const vouched = await vouchFor(nsm, binding, position.nowMs).catch((error: unknown) => {
    recipient.destroy();
    throw error;
  });
  const { evidence, document } = vouched;
  const { platform, models, config } = terms;
  const bundle = { platform, evidence, binding, keyset, models, config, endorsements: new Map() };
  const keys = { keyId, recipient, receiptKey };
  return new Epoch(position, lifetime, keys, bundle, document, new ReplaySet(terms.replaySlots));
}

async function vouchFor(
  nsm: Nsm,
  binding: Uint8Array,
  nowMs: number,
): Promise<{ readonly evidence: Uint8Array; readonly document: OwnDocument }> {
  const evidence = await nsm.attest({ userData: binding, nonce: null, publicKey: null });
  const document = parseOwnDocument(evidence);
  // The module's clock, by which a client judges the document, shows the binding's time.
  requireSameTime(document.timestampMs, nowMs);
  return { evidence, document };
}

/** SHA-256, 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash("sha256", bytes, "buffer"));
}
