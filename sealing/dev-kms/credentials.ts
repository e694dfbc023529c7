/**
 * Access keys of the principals, in files as `AWS_SHARED_CREDENTIALS_FILE` names them.
 *
 * AWS SDKs and Tools Reference Guide, "Shared config and credentials files".
 */
import { randomBytes } from "node:crypto";

import type { AccessKey } from "./signature.ts";

const SECRET_BYTES = 30;
const TOKEN_BYTES = 48;
/** IAM User Guide, "Unique identifiers": AKIA is a long-term key, ASIA one that came with a token. */
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const ID_CHARACTERS = 16;

const FILE =
  /^(?:#[^\n]*\n)*\[default\]\naws_access_key_id = ([A-Z0-9]{16,128})\naws_secret_access_key = ([A-Za-z0-9+/=]{40})\n(?:aws_session_token = ([A-Za-z0-9+/=]{16,2048})\n)?$/u;

export function createAccessKey(temporary: boolean): AccessKey {
  const id = Array.from(randomBytes(ID_CHARACTERS), (byte) => ALPHABET[byte & 31]).join("");
  return {
    accessKeyId: `${temporary ? "ASIA" : "AKIA"}${id}`,
    secretAccessKey: randomBytes(SECRET_BYTES).toString("base64"),
    sessionToken: temporary ? randomBytes(TOKEN_BYTES).toString("base64") : null,
  };
}

export function encodeCredentials(key: AccessKey, whose: string): string {
  const lines = [
    `# ${whose} of a countersign dev-kms. For development only: they are worth nothing at AWS.`,
    "[default]",
    `aws_access_key_id = ${key.accessKeyId}`,
    `aws_secret_access_key = ${key.secretAccessKey}`,
    ...(key.sessionToken === null ? [] : [`aws_session_token = ${key.sessionToken}`]),
  ];
  return `${lines.join("\n")}\n`;
}

/** Null for anything that {@link encodeCredentials} does not write. */
export function parseCredentials(text: string): AccessKey | null {
  const [, accessKeyId, secretAccessKey, sessionToken = null] = FILE.exec(text) ?? [];
  if (accessKeyId === undefined || secretAccessKey === undefined) return null;
  return { accessKeyId, secretAccessKey, sessionToken };
}
