/**
 * Appraisal of a request for a key (RFC 9334 §8): whether an enclave that asks a key broker for the
 * data key of a sealed model may have it.
 *
 * One function owns the order of the checks, and stops at the first that fails. They are those of an
 * epoch's evidence but for what `user_data` says, and what there is to say of models. An entry point of
 * its own: what judges nodes needs nothing of it.
 */
import type { Brand } from "./brand.ts";
import { encodeHex, equalBytes, includesBytes } from "./bytes.ts";
import { AttestationError } from "./errors.ts";
import * as checks from "./evidence-checks.ts";
import { webHashes } from "./hashes.ts";
import { type Evidence, MAX_EVIDENCE_BYTES, parseEvidence } from "./nitro.ts";
import { type Platform, PLATFORMS, type PlatformPolicy, type Policy } from "./policy.ts";
import { parseReleaseBinding, type ReleaseBinding } from "./release-binding.ts";
import { DIGEST_BYTES } from "./structure.ts";
import { Refusal } from "./verdict.ts";
import { verifyDocument } from "./verification.ts";

export {
  encodeReleaseBinding,
  parseReleaseBinding,
  type ReleaseBinding,
} from "./release-binding.ts";

/** A challenge of the broker's: 32 random bytes. */
const NONCE_BYTES = 32;

/** What an enclave sends to the broker; nothing in it is believed. */
export interface KeyRequestClaims {
  /** The kind of hardware that is said to have made the document. */
  readonly platform: string;
  /** The attestation document, as the hardware emitted it. */
  readonly document: Uint8Array;
  /** HPKE public key to encrypt the answer to. */
  readonly publicKey: Uint8Array;
  /** Of the model whose key is asked for, 32 bytes. */
  readonly modelDigest: Uint8Array;
  /** The wrapped key, as its envelope's bytes. */
  readonly envelope: Uint8Array;
}

interface KeyRequestFacts {
  readonly platform: Platform;
  /** The policy's name for the code that asks. */
  readonly measurement: string;
  /** The document, key, model digest and envelope that were judged: copies of what was sent. */
  readonly document: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly modelDigest: Uint8Array;
  readonly envelope: Uint8Array;
}

/** A request that the policy grants; only {@link appraiseKeyRequest} makes one. */
export type GrantedKeyRequest = Brand<KeyRequestFacts, "GrantedKeyRequest">;

/**
 * Judges a request, live.
 *
 * @param nonce - the challenge that this request must answer, 32 bytes. That no other request
 * answered it before is the caller's to know.
 * @param nowMs - Unix milliseconds.
 * @throws {@link AttestationError} with the code of the first check that failed: `policy/…`, `cbor/…`,
 * `cose/…`, `evidence/…`, `chain/…`, `certificate/…`, `binding/…`, `freshness/…`.
 * @throws TypeError for a nonce of another length, or a time that is none.
 */
export async function appraiseKeyRequest(
  claims: KeyRequestClaims,
  policy: Policy,
  { nonce, nowMs }: { readonly nonce: Uint8Array; readonly nowMs: number },
): Promise<GrantedKeyRequest> {
  if (nonce.length !== NONCE_BYTES) throw new TypeError(`nonce of ${nonce.length} bytes, want 32`);
  if (!Number.isFinite(nowMs)) throw new TypeError(`nowMs is ${nowMs}`);
  // What is judged must not change while signatures are pending.
  const asked = copyOf(claims);
  const challenge = new Uint8Array(nonce);
  // 1. The policy, then what was received, then whether its kind of hardware is trusted at all.
  await checks.policyInForce(policy, nowMs);
  const parsed = parseEvidence(asked.document);
  const { platform, trusted } = requirePlatform(asked.platform, policy);
  // 2. RFC 9052 §4.4, RFC 5280 §6: the hardware signed it, at this time, and it is of that kind.
  const evidence = await verifyDocument(parsed, trusted, nowMs, null);
  checks.requirePlatform(evidence, platform);
  // 3. Code that the policy lists, and that its operator cannot look into.
  checks.outOfDebug(evidence, trusted);
  const measurement = requireMeasurement(evidence, trusted, policy);
  // 4. It asks for this key: for this model, out of this envelope, to be encrypted to this public key.
  await requireBinding(evidence, asked);
  requireModel(asked.modelDigest, policy);
  // 5. RFC 9334 §10: it answers our challenge. The policy's age is judged besides.
  checks.freshDocument(evidence, policy, { mode: "live", nowMs, nonce: challenge });
  const { document, publicKey, modelDigest, envelope } = asked;
  const facts = { platform, measurement, document, publicKey, modelDigest, envelope };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is the maker of GrantedKeyRequest
  return facts as GrantedKeyRequest;
}

/** Input that is too long stays so, by one byte: it is refused, and never copied whole. */
function copyOf(claims: KeyRequestClaims): KeyRequestClaims {
  return {
    platform: claims.platform,
    document: new Uint8Array(claims.document.subarray(0, MAX_EVIDENCE_BYTES + 1)),
    publicKey: new Uint8Array(claims.publicKey),
    modelDigest: new Uint8Array(claims.modelDigest),
    envelope: new Uint8Array(claims.envelope),
  };
}

function requirePlatform(
  named: string,
  policy: Policy,
): { readonly platform: Platform; readonly trusted: PlatformPolicy } {
  const platform = PLATFORMS.find((known) => known === named);
  const trusted = platform === undefined ? undefined : policy.platforms.get(platform);
  if (platform === undefined || trusted === undefined) {
    throw new Refusal(
      "policy/platform",
      "another platform",
      [...policy.platforms.keys()].join(", "),
    );
  }
  return { platform, trusted };
}

/** A key is for code that somebody listed: "unchecked", which a client may say, would be for any. */
function requireMeasurement(evidence: Evidence, trusted: PlatformPolicy, policy: Policy): string {
  const { value } = checks.allowedMeasurement(evidence, trusted, policy);
  if (value !== null) return value;
  throw new Refusal("policy/measurement", '"measurements": "unchecked"', "a list of measurements");
}

async function requireBinding(evidence: Evidence, claims: KeyRequestClaims): Promise<void> {
  const binding = releaseBinding(evidence);
  const expected: readonly (readonly [string, Uint8Array, Uint8Array])[] = [
    ["public key", binding.publicKeyDigest, await webHashes.sha256(claims.publicKey)],
    ["model", binding.modelDigest, claims.modelDigest],
    ["envelope", binding.envelopeDigest, await webHashes.sha256(claims.envelope)],
  ];
  for (const [name, bound, sent] of expected) {
    if (!equalBytes(bound, sent)) {
      throw new Refusal("binding/document", `a document for another ${name}`, `the ${name} sent`);
    }
  }
}

/** Another application's `user_data` need not be CBOR: its document is foreign, not cut short. */
function releaseBinding(evidence: Evidence): ReleaseBinding {
  const wanted = "user_data that is a ReleaseBinding";
  if (evidence.userData === null) throw new Refusal("binding/tag", "no user_data", wanted);
  try {
    return parseReleaseBinding(evidence.userData);
  } catch (cause) {
    if (!(cause instanceof AttestationError) || !cause.code.startsWith("cbor/")) throw cause;
    throw new Refusal("binding/tag", "user_data that is no CBOR of ours", wanted, { cause });
  }
}

/** By digest alone: the id that a node serves a model under is not the owner's to say. */
function requireModel(digest: Uint8Array, policy: Policy): void {
  if (digest.length !== DIGEST_BYTES) throw new TypeError("a binding's digest has 32 bytes");
  const found = `model ${encodeHex(digest)}`;
  if (includesBytes(policy.revoked.models, digest)) {
    throw new Refusal("policy/revoked", found, "no revoked model");
  }
  if (policy.models === "any") return;
  const listed = policy.models.map((model) => model.digest);
  if (!includesBytes(listed, digest))
    throw new Refusal("policy/model", found, "a model of the policy");
}
