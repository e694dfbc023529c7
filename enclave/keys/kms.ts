/**
 * A data key from AWS KMS: `Decrypt` with an attestation document, answered with a CMS envelope that only
 * the key in the document opens. KMS judges the document by the key's policy; PROTOCOL.md, "Sealed models".
 */
import type { DecryptCommandOutput } from "@aws-sdk/client-kms";
import { encodeCbor, encodeHex } from "@countersign/attestation/attester";
import { type Envelope, KMS_CONTEXT_NAME } from "@countersign/protocol";
import { EnclaveError } from "../errors.ts";
import { persistently } from "./attempts.ts";
import { openRecipientEnvelope } from "./cms.ts";
import { kmsDecrypt } from "./kms-client.ts";
import { makeRecipientKey, type RecipientKey } from "./recipient.ts";
import type { KeyRelease, KeyReleaseContext } from "./release.ts";

/** What a document for a KMS says of its purpose, so that it is never taken for an epoch's. */
const USER_DATA = encodeCbor(new Map([[1, "countersign/kms/v1"]]));

/** One RSA key for all that is released through it. `release` throws EnclaveError `key/…`, `nsm/…`. */
export function kmsRelease(context: KeyReleaseContext): KeyRelease {
  const decrypt = kmsDecrypt(context);
  let key: Promise<RecipientKey> | null = null;
  return {
    async release(envelope, _, modelDigest) {
      const recipient = await (key ??= makeRecipientKey());
      const { spki: publicKey } = recipient;
      const document = await context.nsm.attest({ userData: USER_DATA, nonce: null, publicKey });
      const input = {
        KeyId: envelope.key,
        CiphertextBlob: envelope.wrapped,
        EncryptionContext: { [KMS_CONTEXT_NAME]: encodeHex(modelDigest) },
        Recipient: {
          AttestationDocument: document,
          KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256" as const,
        },
      };
      const answer = await persistently(context, (signal) => decrypt(input, signal));
      return openRecipientEnvelope(ciphertextIn(answer, envelope), recipient);
    },
  };
}

/**
 * The envelope in an answer, whose members the SDK does not hold to their types.
 *
 * @throws EnclaveError `key/answer` unless it is the answer to what was asked.
 */
function ciphertextIn(answer: DecryptCommandOutput, envelope: Envelope): Uint8Array {
  const members: Readonly<Partial<Record<keyof DecryptCommandOutput, unknown>>> = answer;
  const { KeyId: key, Plaintext: plaintext, CiphertextForRecipient: ciphertext } = members;
  // Null or empty where KMS heeded the recipient. In clear, TLS alone would have stood before the key.
  if (!isAbsent(plaintext)) {
    if (plaintext instanceof Uint8Array) plaintext.fill(0);
    throw new EnclaveError("key/answer", "KMS answers in clear");
  }
  if (key !== envelope.key) throw new EnclaveError("key/answer", "KMS used another key");
  if (!(ciphertext instanceof Uint8Array)) {
    throw new EnclaveError("key/answer", "KMS answers without a key");
  }
  return ciphertext;
}

function isAbsent(member: unknown): boolean {
  if (member === undefined || member === null) return true;
  return member instanceof Uint8Array && member.length === 0;
}
