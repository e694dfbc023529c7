/**
 * The host's own AWS credentials, for an enclave that asks KMS for a key.
 *
 * They are worth nothing without the enclave's attestation, by the key's policy; they are the
 * operator's all the same, and appear in no log and no error.
 */
import {
  CREDENTIALS_MS,
  CREDENTIALS_RENEWED_MS,
  CREDENTIALS_TIMEOUT_MS,
  MIN_CREDENTIALS_KEPT_MS,
} from "./limits.ts";
import type { Log } from "./log.ts";

/** As `GET /credentials` answers them. */
export interface HostCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** ISO 8601. */
  readonly expiration?: string;
}

/** What a provider of AWS's SDK yields. */
export interface ProvidedCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly expiration?: Date | undefined;
}

/** Asks whoever has the credentials, anew each time. */
export type CredentialChain = () => Promise<ProvidedCredentials>;

/** Why there are none. */
export interface CredentialFailure {
  readonly why: string;
}

type Found = HostCredentials | CredentialFailure;

/**
 * AWS's default chain: environment, profile files, web identity, the machine's role.
 *
 * Made anew for each question, without the SDK's memory of files: a profile that was edited counts at
 * once, and none is handed out in its last minutes because the SDK still had it.
 */
export const defaultChain: CredentialChain = async () => {
  // Slow to load, and for hosts of models that AWS KMS opens only.
  const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
  return await defaultProvider({ ignoreCache: true, logger: SILENT })();
};

const silent = (): void => undefined;
/** The SDK's own words go to the console otherwise. */
const SILENT = { trace: silent, debug: silent, info: silent, warn: silent, error: silent };

/** What was found is kept for a short while, so that not every question of an enclave's is one to AWS. */
export class CredentialSource {
  readonly #chain: CredentialChain;
  readonly #nowMs: () => number;
  readonly #log: Log;
  #kept: { readonly found: Found; readonly untilMs: number } | null = null;
  #asking: Promise<Found> | null = null;

  constructor(chain: CredentialChain, nowMs: () => number, log: Log) {
    this.#chain = chain;
    this.#nowMs = nowMs;
    this.#log = log;
  }

  /** Never rejects. One question at a time, whoever asks. */
  async take(): Promise<Found> {
    if (this.#kept !== null && this.#nowMs() < this.#kept.untilMs) return this.#kept.found;
    this.#kept = null;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    return await this.#asking;
  }

  async #ask(): Promise<Found> {
    const found = await this.#found();
    const nowMs = this.#nowMs();
    // Not at once in any case: a chain may start a program for each question.
    let untilMs = nowMs + MIN_CREDENTIALS_KEPT_MS;
    if ("why" in found) {
      this.#log("credentials-unavailable", { why: found.why });
    } else {
      const { expiration } = found;
      const lastMs = expiration === undefined ? Infinity : Date.parse(expiration);
      untilMs = Math.max(
        untilMs,
        Math.min(nowMs + CREDENTIALS_MS, lastMs - CREDENTIALS_RENEWED_MS),
      );
    }
    this.#kept = { found, untilMs };
    return found;
  }

  async #found(): Promise<Found> {
    const late = Promise.withResolvers<CredentialFailure>();
    const timer = setTimeout(() => {
      late.resolve({ why: "timeout" });
    }, CREDENTIALS_TIMEOUT_MS);
    try {
      const provided = await Promise.race([this.#chain(), late.promise]);
      return "why" in provided ? provided : copyOf(provided);
    } catch (error) {
      // Its message may quote a profile, or what a program printed; its name says enough.
      return { why: error instanceof Error ? error.name : "error" };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What is told, and no more: the SDK's own object says besides where it was found. */
function copyOf(provided: ProvidedCredentials): HostCredentials {
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = provided;
  return {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(expiration === undefined ? {} : { expiration: expiration.toISOString() }),
  };
}
