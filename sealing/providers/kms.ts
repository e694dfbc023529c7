/**
 * Data keys made and wrapped by AWS KMS.
 *
 * The model digest is the encryption context of every call: KMS authenticates it with the wrapped key,
 * shows it in its log, and a key policy can demand it.
 */
import type { KMS } from "@aws-sdk/client-kms";
import { encodeHex } from "@countersign/attestation";
import {
  DATA_KEY_BYTES,
  type Envelope,
  KMS_CONTEXT_NAME,
  MAX_WRAPPED_BYTES,
  parseKmsKeyArn,
  ProtocolError,
} from "@countersign/protocol";
import { SealingError } from "../errors.ts";
import { kmsFailure } from "./kms-client.ts";
import type { KeyProvider } from "./provider.ts";

/** A provider that can also move a wrapped key between two KMS keys of its region, unseen by us. */
export interface KmsProvider extends KeyProvider {
  reencrypt(envelope: Envelope, modelDigest: Uint8Array): Promise<Envelope>;
}

/**
 * @param key - the ARN of a key or of an alias, or `alias/NAME`. An alias is looked up by KMS on each
 * call; an envelope names the key that it meant then.
 * @param signal - ends a call that somebody no longer waits for: one may take minutes.
 * @throws {@link SealingError} `sealing/kms-…`, `sealing/key`.
 */
export function kmsProvider(kms: KMS, key: string, signal: AbortSignal | null = null): KmsProvider {
  const call: Call = { kms, options: signal === null ? {} : { abortSignal: signal } };
  return {
    generate: async (modelDigest) => await generateKey(call, key, contextOf(modelDigest)),
    unwrap: async (envelope, modelDigest) => await decrypt(call, envelope, contextOf(modelDigest)),
    async wrap(dataKey, modelDigest) {
      const context = contextOf(modelDigest);
      const input = { KeyId: key, Plaintext: dataKey, EncryptionContext: context };
      const output = await kms.encrypt(input, call.options).catch(failed("Encrypt", key));
      return envelopeOf(output, key);
    },
    reencrypt: async (envelope, modelDigest) =>
      await reencrypt(call, key, envelope, contextOf(modelDigest)),
  };
}

/** Whom a call goes to, and what ends it. */
interface Call {
  readonly kms: KMS;
  readonly options: { readonly abortSignal?: AbortSignal };
}

async function generateKey(
  { kms, options }: Call,
  key: string,
  context: Record<string, string>,
): ReturnType<KeyProvider["generate"]> {
  const output = await kms
    .generateDataKey({ KeyId: key, KeySpec: "AES_256", EncryptionContext: context }, options)
    .catch(failed("GenerateDataKey", key));
  const dataKey = takeKey(output.Plaintext);
  try {
    return { key: dataKey, envelope: envelopeOf(output, key) };
  } catch (error) {
    dataKey.fill(0);
    throw error;
  }
}

async function decrypt(
  { kms, options }: Call,
  envelope: Envelope,
  context: Record<string, string>,
): Promise<Uint8Array> {
  requireKms(envelope);
  const { key, wrapped } = envelope;
  const output = await kms
    .decrypt({ KeyId: key, CiphertextBlob: wrapped, EncryptionContext: context }, options)
    .catch(failed("Decrypt", key));
  const dataKey = takeKey(output.Plaintext);
  if (output.KeyId === key) return dataKey;
  dataKey.fill(0);
  throw answer("of another key than the envelope's");
}

async function reencrypt(
  { kms, options }: Call,
  key: string,
  envelope: Envelope,
  context: Record<string, string>,
): Promise<Envelope> {
  requireKms(envelope);
  const input = {
    CiphertextBlob: envelope.wrapped,
    SourceKeyId: envelope.key,
    SourceEncryptionContext: context,
    DestinationKeyId: key,
    DestinationEncryptionContext: context,
  };
  const output = await kms
    .reEncrypt(input, options)
    .catch(failed("ReEncrypt", `${envelope.key} or ${key}`));
  if (output.SourceKeyId !== envelope.key) throw answer("of another key than the envelope's");
  return envelopeOf(output, key);
}

/** @param asked - what the call named. @throws {@link SealingError} `sealing/kms-answer`. */
function envelopeOf(
  output: { readonly KeyId?: string | undefined; readonly CiphertextBlob?: Uint8Array | undefined },
  asked: string,
): Envelope {
  const key = requireArn(output.KeyId);
  if (!ALIAS.test(asked) && key !== asked) throw answer(`of key ${key}, asked for ${asked}`);
  return { kind: "aws-kms", key, wrapped: requireWrapped(output.CiphertextBlob) };
}

/**
 * The region in the name that an owner gave, or null where it has none.
 *
 * @throws {@link SealingError} `sealing/kms-options` unless it names a key or an alias.
 */
export function kmsKeyRegion(key: string): string | null {
  const alias = ALIAS.exec(key)?.groups;
  if (alias !== undefined) return alias["region"] ?? null;
  try {
    return parseKmsKeyArn(key).region;
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    const want = "arn:aws:kms:REGION:ACCOUNT:key/ID, or alias/NAME";
    throw new SealingError("sealing/kms-options", `"${key}" is no key of KMS: want ${want}`);
  }
}

/** What KMS authenticates besides the key. It is no secret: it stands in CloudTrail. */
function contextOf(modelDigest: Uint8Array): Record<string, string> {
  return { [KMS_CONTEXT_NAME]: encodeHex(modelDigest) };
}

/** `alias/NAME`, or the ARN of one. */
const ALIAS =
  /^(?:arn:aws(?:-cn|-us-gov)?:kms:(?<region>[a-z0-9-]{1,64}):\d{12}:)?alias\/[A-Za-z0-9/_-]{1,250}$/u;

function failed(action: string, key: string): (error: unknown) => never {
  return (error) => {
    throw kmsFailure(error, action, key);
  };
}

function requireKms(envelope: Envelope): void {
  if (envelope.kind === "aws-kms") return;
  throw new SealingError("sealing/key", "the model is sealed under a key file, not by AWS KMS");
}

/** Takes the key out of the SDK's buffer. @throws {@link SealingError} `sealing/kms-answer`. */
function takeKey(plaintext: Uint8Array | undefined): Uint8Array {
  if (plaintext?.length !== DATA_KEY_BYTES) {
    plaintext?.fill(0);
    throw answer(`with a data key of ${plaintext?.length ?? 0} bytes`);
  }
  const key = Uint8Array.from(plaintext);
  plaintext.fill(0);
  return key;
}

function requireWrapped(blob: Uint8Array | undefined): Uint8Array {
  if (blob === undefined || blob.length === 0 || blob.length > MAX_WRAPPED_BYTES) {
    throw answer(`with a wrapped key of ${blob?.length ?? 0} bytes`);
  }
  return Uint8Array.from(blob);
}

function requireArn(found: string | undefined): string {
  try {
    parseKmsKeyArn(found ?? "");
    return found ?? "";
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    throw answer("without the ARN of a key");
  }
}

function answer(found: string): SealingError {
  return new SealingError("sealing/kms-answer", `an answer of KMS ${found}`);
}
