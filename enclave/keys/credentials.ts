/**
 * Credentials for AWS, from the host: it may call KMS as the node's role. They open nothing, since the
 * key's policy asks for this enclave's attestation besides; a wrong one gets no key.
 */
import {
  AttestationError,
  decodeUtf8,
  JsonNode,
  parseJson,
} from "@countersign/attestation/attester";
import type { Clock } from "../clock.ts";
import { EnclaveError } from "../errors.ts";
import { HostAnswer, wholeBody } from "../host-answer.ts";
import type { Transport } from "../transport.ts";

/** As the SDK takes them. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

const PATH = "/credentials";
const MAX_ANSWER_BYTES = 16_384;
/** New ones are asked for this long before the end, so that a call does not meet it on its way. */
const RENEW_BEFORE_MS = 300_000;
/** AWS STS API Reference, "Credentials". The other two have no documented grammar; they go into headers. */
const ACCESS_KEY_ID = /^\w{16,128}$/u;
const SECRET_ACCESS_KEY = /^[!-~]{1,512}$/u;
const SESSION_TOKEN = /^[!-~]{1,12288}$/u;
/** RFC 3339 §5.6, in UTC. */
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z$/u;

/**
 * Asks the host, keeps what it says until it is about to expire, and asks anew: as often as needed,
 * for as long as the enclave runs.
 *
 * @returns a function that rejects with EnclaveError `key/credentials`.
 */
export function hostCredentials(transport: Transport, clock: Clock): () => Promise<AwsCredentials> {
  let held: Promise<AwsCredentials> | null = null;
  return async () => {
    const before = held;
    const asked = (held ??= fetchCredentials(transport, clock));
    try {
      const found = await asked;
      // However soon they end: the host has no better ones.
      if (before === null) return found;
      const endMs = found.expiration?.getTime() ?? Number.POSITIVE_INFINITY;
      if (clock.nowMs() + RENEW_BEFORE_MS < endMs) return found;
      // Somebody else may have asked anew meanwhile.
      if (held === asked) held = fetchCredentials(transport, clock);
      return await held;
    } catch (error) {
      held = null;
      throw error;
    }
  };
}

async function fetchCredentials(transport: Transport, clock: Clock): Promise<AwsCredentials> {
  let bytes: Uint8Array;
  try {
    const answer = new HostAnswer(transport, clock, PATH, MAX_ANSWER_BYTES);
    bytes = await wholeBody(answer.body(), MAX_ANSWER_BYTES, "key/credentials");
  } catch (cause) {
    throw new EnclaveError("key/credentials", "the host gives none", { cause });
  }
  try {
    return parseCredentials(bytes);
  } finally {
    bytes.fill(0);
  }
}

/** Says what is wrong by the place, never by what is there. */
function parseCredentials(bytes: Uint8Array): AwsCredentials {
  let at = "/";
  try {
    const members = new JsonNode("", parseJson(decodeUtf8(bytes))).object(
      ["accessKeyId", "secretAccessKey"],
      ["sessionToken", "expiration"],
    );
    const text = (name: string, pattern: RegExp): string => {
      at = name;
      const value = members.get(name).text();
      if (!pattern.test(value)) throw new EnclaveError("key/credentials", `${name} is no ${name}`);
      return value;
    };
    const expiration = members.find("expiration") === null ? null : text("expiration", INSTANT);
    const token =
      members.find("sessionToken") === null ? null : text("sessionToken", SESSION_TOKEN);
    return {
      accessKeyId: text("accessKeyId", ACCESS_KEY_ID),
      secretAccessKey: text("secretAccessKey", SECRET_ACCESS_KEY),
      ...(token === null ? {} : { sessionToken: token }),
      ...(expiration === null ? {} : { expiration: instantOf(expiration) }),
    };
  } catch (error) {
    if (error instanceof EnclaveError) throw error;
    if (!(error instanceof AttestationError) && !(error instanceof TypeError)) throw error;
    // Without the cause: a parser's message may quote what it could not read.
    throw new EnclaveError("key/credentials", `the host's answer is none, at ${at}`);
  }
}

function instantOf(text: string): Date {
  const instant = new Date(text);
  if (Number.isNaN(instant.getTime())) {
    throw new EnclaveError("key/credentials", "expiration is no time");
  }
  return instant;
}
