/**
 * A data key from a key broker: challenge, attestation document, and an answer that is encrypted to a
 * key which only this document names. PROTOCOL.md, "Key broker".
 *
 * The way there need not be trusted, and nobody vouches for the answer: a key that somebody else chose
 * opens no segment of the model, whose digest is known.
 */
import { AttestationError, encodeReleaseBinding } from "@countersign/attestation/attester";
import {
  encodeKeyRequest,
  generateRecipientKey,
  KEM_MLKEM768_X25519,
  KEY_CHALLENGE_PATH,
  KEY_RELEASE_PATH,
  MEDIA_KEY_RELEASE,
  openDataKey,
  parseKeyChallenge,
  ProtocolError,
  type RecipientKey,
} from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { EnclaveError } from "../errors.ts";
import { PassingError, persistently } from "./attempts.ts";
import { askService } from "./http.ts";
import type { KeyRelease, KeyReleaseContext } from "./release.ts";

/** What one key is asked for with. */
interface Wish {
  readonly recipient: RecipientKey;
  readonly envelope: Uint8Array;
  readonly modelDigest: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/** @throws EnclaveError from its `release`: `key/…`, `nsm/…`. */
export function brokerRelease(context: KeyReleaseContext): KeyRelease {
  return {
    async release(_, envelope, modelDigest) {
      // A key for this one answer, whose private half is gone with it.
      const recipient = await generateRecipientKey(nativePrimitives, KEM_MLKEM768_X25519);
      try {
        const wish = { recipient, envelope, modelDigest };
        return await persistently(context, (signal) => releaseOnce(context, wish, signal));
      } finally {
        recipient.destroy();
      }
    },
  };
}

async function releaseOnce(
  context: KeyReleaseContext,
  { recipient, envelope, modelDigest }: Wish,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { nsm, platform } = context;
  const { publicKey } = recipient;
  // 1. A challenge, so that the broker knows the document to be made now.
  const challenge = await askBroker(context, KEY_CHALLENGE_PATH, NO_BYTES, signal);
  const { nonce } = understood(() => parseKeyChallenge(challenge));
  // 2. The document that answers it, for this public key, model and envelope.
  const binding = encodeReleaseBinding({
    publicKeyDigest: await nativePrimitives.sha256(publicKey),
    modelDigest,
    envelopeDigest: await nativePrimitives.sha256(envelope),
  });
  const document = await nsm.attest({ userData: binding, nonce, publicKey: null });
  // 3. The key, for the holder of the private key alone.
  const request = encodeKeyRequest({ platform, document, publicKey, modelDigest, envelope });
  const answer = await askBroker(context, KEY_RELEASE_PATH, request, signal);
  const key = await openDataKey(nativePrimitives, recipient, document, answer).catch(refuseAnswer);
  // Too late: nobody waits for it any more, who would overwrite it.
  if (signal.aborted) key.fill(0);
  signal.throwIfAborted();
  return key;
}

/**
 * The body of a 200 answer to `POST path`.
 *
 * @throws {@link PassingError} `key/throttled`, `key/unreachable`, `key/refused` where the broker may
 * answer another time; EnclaveError `key/unreachable`, `key/denied`, `key/refused`, `key/answer`.
 */
async function askBroker(
  context: KeyReleaseContext,
  path: string,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const headers = {
    host: new URL(context.service.url).host,
    "content-type": MEDIA_KEY_RELEASE,
    "content-length": String(body.length),
  };
  const answer = await askService(context, { method: "POST", path, headers, body }, signal);
  requireSuccess(answer.status);
  return answer.body;
}

/** By status alone: what else a refusal says, anybody on the way may have written. */
function requireSuccess(status: number): void {
  if (status === 200) return;
  const found = `the key broker answers ${status}`;
  // Its challenge was used, or is over.
  if (status === 409) throw new PassingError("key/refused", found);
  if (status === 429) throw new PassingError("key/throttled", found);
  if (status >= 500) throw new PassingError("key/unreachable", found);
  if (status === 401 || status === 403) throw new EnclaveError("key/denied", found);
  if (status >= 400) throw new EnclaveError("key/refused", found);
  throw new EnclaveError("key/answer", found);
}

function understood<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    return refuseAnswer(error);
  }
}

/** @throws EnclaveError `key/answer` for bytes that are not what was asked for. */
function refuseAnswer(cause: unknown): never {
  if (!(cause instanceof ProtocolError) && !(cause instanceof AttestationError)) throw cause;
  throw new EnclaveError("key/answer", `of the key broker: ${cause.code}`, { cause });
}
