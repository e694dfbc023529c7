/** The actions of AWS KMS that sealed models need. AWS KMS API Reference, each under its own name. */
import { randomBytes } from "node:crypto";

import type { JsonObject } from "@countersign/attestation/attester";

import type { KmsAction } from "./actions.ts";
import { encodeRecipientEnvelope } from "./cms.ts";
import { KmsFailure } from "./failure.ts";
import {
  decrypt,
  encrypt,
  type EncryptionContext,
  findKey,
  keyArn,
  type KmsKey,
  keyOfCiphertext,
  MAX_CIPHERTEXT_BYTES,
  MAX_PLAINTEXT_BYTES,
} from "./keyring.ts";
import { ACCOUNT } from "./names.ts";
import {
  blob,
  encryptionContext,
  keyBytes,
  keyReference,
  parameters,
  parseRequest,
  recipientDocument,
  requireSymmetric,
} from "./parameters.ts";
import type { Recipient } from "./recipient.ts";

/** AWS KMS API Reference, `GenerateDataKey`: `NumberOfBytes`. */
const MAX_DATA_KEY_BYTES = 1024;
const ALGORITHM = "SYMMETRIC_DEFAULT";

/** What an answer says, before it is JSON. */
export type Answer = Readonly<Record<string, unknown>>;

/** What is asked of the key's policy. */
export interface Access {
  readonly action: KmsAction;
  readonly key: KmsKey;
  /** As the request named the key; null where the ciphertext did. */
  readonly reference: string | null;
  readonly context: EncryptionContext;
  readonly recipient: Recipient | null;
}

/** What the actions stand on. */
export interface Custody {
  readonly keys: readonly KmsKey[];
  /** @throws KmsFailure `ValidationException` */
  recipient(document: Uint8Array): Promise<Recipient>;
  /** @throws KmsFailure `AccessDeniedException` */
  requireAccess(access: Access): Promise<void>;
}

interface Operation {
  readonly parameters: readonly string[];
  perform(request: JsonObject, custody: Custody): Promise<Answer>;
}

const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  [
    "GenerateDataKey",
    {
      parameters: ["KeyId", "KeySpec", "NumberOfBytes", "EncryptionContext", "Recipient"],
      perform: generateDataKey,
    },
  ],
  [
    "Encrypt",
    {
      parameters: ["KeyId", "Plaintext", "EncryptionContext", "EncryptionAlgorithm"],
      perform: encryptPlaintext,
    },
  ],
  [
    "Decrypt",
    {
      parameters: [
        "CiphertextBlob",
        "KeyId",
        "EncryptionContext",
        "EncryptionAlgorithm",
        "Recipient",
      ],
      perform: decryptCiphertext,
    },
  ],
  [
    "ReEncrypt",
    {
      parameters: [
        "CiphertextBlob",
        "SourceKeyId",
        "SourceEncryptionContext",
        "SourceEncryptionAlgorithm",
        "DestinationKeyId",
        "DestinationEncryptionContext",
        "DestinationEncryptionAlgorithm",
      ],
      perform: reEncrypt,
    },
  ],
  ["DescribeKey", { parameters: ["KeyId"], perform: describeKey }],
]);

/** @param name - after the dot of `X-Amz-Target`. @throws KmsFailure */
export async function performOperation(
  name: string,
  body: string,
  custody: Custody,
): Promise<Answer> {
  const operation = OPERATIONS.get(name);
  if (operation === undefined) {
    throw new KmsFailure("UnknownOperationException", "This KMS has no such action");
  }
  return operation.perform(parseRequest(body, operation.parameters), custody);
}

async function generateDataKey(request: JsonObject, custody: Custody): Promise<Answer> {
  const asked = parameters(() => ({
    reference: keyReference(request.get("KeyId")),
    context: encryptionContext(request.find("EncryptionContext")),
    document: recipientDocument(request.find("Recipient")),
    length: keyBytes(request, MAX_DATA_KEY_BYTES),
  }));
  const { context, reference } = asked;
  const key = findKey(custody.keys, reference);
  const recipient = await recipientOf(asked.document, custody);
  await custody.requireAccess({ action: "GenerateDataKey", key, reference, context, recipient });
  const dataKey = randomBytes(asked.length);
  try {
    const ciphertext = encrypt(key, dataKey, context);
    return {
      CiphertextBlob: base64(ciphertext),
      KeyId: keyArn(key),
      ...plaintextFor(dataKey, recipient),
    };
  } finally {
    dataKey.fill(0);
  }
}

async function encryptPlaintext(request: JsonObject, custody: Custody): Promise<Answer> {
  const asked = parameters(() => {
    requireSymmetric(request.find("EncryptionAlgorithm"));
    return {
      reference: keyReference(request.get("KeyId")),
      context: encryptionContext(request.find("EncryptionContext")),
      plaintext: blob(request.get("Plaintext"), MAX_PLAINTEXT_BYTES),
    };
  });
  const { context, plaintext, reference } = asked;
  try {
    const key = findKey(custody.keys, reference);
    await custody.requireAccess({ action: "Encrypt", key, reference, context, recipient: null });
    return {
      CiphertextBlob: base64(encrypt(key, plaintext, context)),
      EncryptionAlgorithm: ALGORITHM,
      KeyId: keyArn(key),
    };
  } finally {
    plaintext.fill(0);
  }
}

async function decryptCiphertext(request: JsonObject, custody: Custody): Promise<Answer> {
  const asked = parameters(() => {
    requireSymmetric(request.find("EncryptionAlgorithm"));
    const keyId = request.find("KeyId");
    return {
      reference: keyId === null ? null : keyReference(keyId),
      context: encryptionContext(request.find("EncryptionContext")),
      document: recipientDocument(request.find("Recipient")),
      ciphertext: blob(request.get("CiphertextBlob"), MAX_CIPHERTEXT_BYTES),
    };
  });
  const { ciphertext, context, reference } = asked;
  const key = sourceKey(custody, ciphertext, reference);
  const recipient = await recipientOf(asked.document, custody);
  await custody.requireAccess({ action: "Decrypt", key, reference, context, recipient });
  const plaintext = decrypt(key, ciphertext, context);
  try {
    return {
      EncryptionAlgorithm: ALGORITHM,
      KeyId: keyArn(key),
      ...plaintextFor(plaintext, recipient),
    };
  } finally {
    plaintext.fill(0);
  }
}

async function reEncrypt(request: JsonObject, custody: Custody): Promise<Answer> {
  const asked = parameters(() => {
    requireSymmetric(request.find("SourceEncryptionAlgorithm"));
    requireSymmetric(request.find("DestinationEncryptionAlgorithm"));
    const keyId = request.find("SourceKeyId");
    return {
      from: keyId === null ? null : keyReference(keyId),
      to: keyReference(request.get("DestinationKeyId")),
      fromContext: encryptionContext(request.find("SourceEncryptionContext")),
      toContext: encryptionContext(request.find("DestinationEncryptionContext")),
      ciphertext: blob(request.get("CiphertextBlob"), MAX_CIPHERTEXT_BYTES),
    };
  });
  const { from, to, fromContext, toContext } = asked;
  const source = sourceKey(custody, asked.ciphertext, from);
  const destination = findKey(custody.keys, to);
  await custody.requireAccess({
    action: "ReEncryptFrom",
    key: source,
    reference: from,
    context: fromContext,
    recipient: null,
  });
  await custody.requireAccess({
    action: "ReEncryptTo",
    key: destination,
    reference: to,
    context: toContext,
    recipient: null,
  });
  const plaintext = decrypt(source, asked.ciphertext, fromContext);
  try {
    return {
      CiphertextBlob: base64(encrypt(destination, plaintext, toContext)),
      DestinationEncryptionAlgorithm: ALGORITHM,
      KeyId: keyArn(destination),
      SourceEncryptionAlgorithm: ALGORITHM,
      SourceKeyId: keyArn(source),
    };
  } finally {
    plaintext.fill(0);
  }
}

async function describeKey(request: JsonObject, custody: Custody): Promise<Answer> {
  const reference = parameters(() => keyReference(request.get("KeyId")));
  const key = findKey(custody.keys, reference);
  const context: EncryptionContext = new Map();
  await custody.requireAccess({ action: "DescribeKey", key, reference, context, recipient: null });
  return {
    KeyMetadata: {
      AWSAccountId: ACCOUNT,
      Arn: keyArn(key),
      CreationDate: key.createdMs / 1000,
      CustomerMasterKeySpec: ALGORITHM,
      Description: `${key.alias}, of a development tool`,
      Enabled: true,
      EncryptionAlgorithms: [ALGORITHM],
      KeyId: key.id,
      KeyManager: "CUSTOMER",
      KeySpec: ALGORITHM,
      KeyState: "Enabled",
      KeyUsage: "ENCRYPT_DECRYPT",
      MultiRegion: false,
      Origin: "AWS_KMS",
    },
  };
}

/** The key that made `ciphertext`, which must be the one that the request names, if it names one. */
function sourceKey({ keys }: Custody, ciphertext: Uint8Array, reference: string | null): KmsKey {
  const named = reference === null ? null : findKey(keys, reference);
  const key = keyOfCiphertext(keys, ciphertext);
  if (named === null || named === key) return key;
  throw new KmsFailure(
    "IncorrectKeyException",
    "The key ID in the request does not identify a CMK that can perform this operation.",
  );
}

async function recipientOf(
  document: Uint8Array | null,
  custody: Custody,
): Promise<Recipient | null> {
  return document === null ? null : custody.recipient(document);
}

/** In the clear for the caller, or for an enclave and nobody else. */
export function plaintextFor(plaintext: Uint8Array, recipient: Recipient | null): Answer {
  if (recipient === null) return { Plaintext: base64(plaintext) };
  const envelope = encodeRecipientEnvelope(plaintext, recipient.publicKey);
  return { CiphertextForRecipient: base64(envelope), Plaintext: null };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}
