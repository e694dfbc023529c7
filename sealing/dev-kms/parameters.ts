/** Parameters of a request: the shapes that AWS KMS's JSON has, read strictly. */
import {
  AttestationError,
  JsonNode,
  type JsonObject,
  parseJson,
} from "@countersign/attestation/attester";

import { invalid, KmsFailure } from "./failure.ts";
import { lowerCase } from "./glob.ts";
import type { EncryptionContext } from "./keyring.ts";

const MAX_KEY_REFERENCE = 2048;
/** `Recipient.AttestationDocument` of our enclaves; AWS takes more. */
const MAX_DOCUMENT_BYTES = 16_384;
const MAX_CONTEXT_PAIRS = 64;
const SYMMETRIC = "SYMMETRIC_DEFAULT";
const RECIPIENT_ALGORITHM = "RSAES_OAEP_SHA_256";

/**
 * The members of a request, all of them `known`.
 *
 * A parameter that we do not serve (`DryRun`, `GrantTokens`) is refused: to leave it out would be to
 * do something else than was asked.
 */
export function parseRequest(body: string, known: readonly string[]): JsonObject {
  let node: JsonNode;
  try {
    node = new JsonNode("", parseJson(body));
    node.members();
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    throw new KmsFailure("SerializationException", "The request is no JSON object");
  }
  return parameters(() => node.object([], known));
}

/** Runs `read`, whose refusals are the caller's. */
export function parameters<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    throw invalid(error.message.replace(/^policy\/syntax: /u, ""));
  }
}

export function keyReference(node: JsonNode): string {
  const text = node.text();
  if (text.length === 0 || text.length > MAX_KEY_REFERENCE) throw node.refusal("no key identifier");
  return text;
}

export function encryptionContext(node: JsonNode | null): EncryptionContext {
  const context = new Map<string, string>();
  if (node === null) return context;
  for (const [name, value] of node.members()) {
    // Two texts that are not Unicode could have the same UTF-8, and be one context.
    if (!name.isWellFormed() || !value.text().isWellFormed()) throw value.refusal("not Unicode");
    context.set(name, value.text());
  }
  if (context.size > MAX_CONTEXT_PAIRS) throw node.refusal(`more than ${MAX_CONTEXT_PAIRS} pairs`);
  // Policies do not tell upper from lower case here, so that they could not say which one they mean.
  const names = new Set([...context.keys()].map(lowerCase));
  if (names.size < context.size) throw node.refusal("two keys that differ by case alone");
  return context;
}

/** RFC 4648 §4, padded, as the SDK writes it. */
export function blob(node: JsonNode, most: number): Uint8Array {
  const text = node.text();
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw node.refusal("want base64");
  if (bytes.length === 0 || bytes.length > most) {
    throw node.refusal(`${bytes.length} bytes, want 1 to ${most}`);
  }
  return bytes;
}

/** How many bytes of key: by `KeySpec` or by `NumberOfBytes`. */
export function keyBytes(request: JsonObject, most: number): number {
  const [spec, count] = [request.find("KeySpec"), request.find("NumberOfBytes")];
  if ((spec === null) === (count === null)) {
    throw invalid("Please specify either number of bytes or key spec.");
  }
  if (count !== null) return count.integer(1, most);
  return spec?.oneOf(["AES_128", "AES_256"]) === "AES_128" ? 16 : 32;
}

/** An algorithm where there is no choice of one. */
export function requireSymmetric(node: JsonNode | null): void {
  node?.oneOf([SYMMETRIC]);
}

/** The attestation document, or null where the answer is for the caller. */
export function recipientDocument(node: JsonNode | null): Uint8Array | null {
  if (node === null) return null;
  const recipient = node.object(["AttestationDocument", "KeyEncryptionAlgorithm"]);
  recipient.get("KeyEncryptionAlgorithm").oneOf([RECIPIENT_ALGORITHM]);
  return blob(recipient.get("AttestationDocument"), MAX_DOCUMENT_BYTES);
}
