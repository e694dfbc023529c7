/**
 * The owner's own way to AWS KMS: the SDK's client with the owner's credentials.
 *
 * The SDK is loaded when a client is made, and not before: it is slow to load, and most commands need none.
 */
import { X509Certificate } from "node:crypto";
import type { KMS } from "@aws-sdk/client-kms";
import { SealingError } from "../errors.ts";

export interface KmsClientOptions {
  /** Null leaves it to the SDK: AWS_REGION, or the profile's. */
  readonly region: string | null;
  /** Null is AWS's own of the region. */
  readonly endpoint: string | null;
  /** PEM of the only root that the endpoint's certificate may chain to; null trusts this machine's. */
  readonly ca: string | null;
}

const CONNECT_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const MAX_ATTEMPTS = 4;

/** @throws {@link SealingError} `sealing/kms-options`. */
export async function kmsClient(options: KmsClientOptions): Promise<KMS> {
  const { region, endpoint, ca } = options;
  if (endpoint !== null) requireEndpoint(endpoint);
  if (ca !== null) requireCertificate(ca);
  const { KMS } = await import("@aws-sdk/client-kms");
  const kms = new KMS({
    ...(region === null ? {} : { region }),
    ...(endpoint === null ? {} : { endpoint }),
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      ...(ca === null ? {} : { httpsAgent: { ca } }),
    },
  });
  // The environment and the profile can name endpoints, too: what counts is where a request goes.
  kms.middlewareStack.add(
    (next) => async (call) => {
      if (!isTls(call.request)) throw noEndpoint();
      return await next(call);
    },
    { step: "build", name: "requireTls" },
  );
  return kms;
}

/** Data keys come back in clear inside TLS, so there is no other way. */
function requireEndpoint(endpoint: string): void {
  const url = URL.parse(endpoint);
  if (url?.protocol === "https:" && url.username === "" && url.password === "") return;
  throw noEndpoint();
}

function isTls(request: unknown): boolean {
  if (typeof request !== "object" || request === null) return false;
  return "protocol" in request && request.protocol === "https:";
}

function noEndpoint(): SealingError {
  return new SealingError("sealing/kms-options", "an endpoint of KMS is https://HOST[:PORT]");
}

/** Node takes an empty text for none, and would trust every root that this machine does. */
function requireCertificate(pem: string): void {
  try {
    void new X509Certificate(pem);
  } catch {
    throw new SealingError("sealing/kms-options", "the root for KMS is no certificate in PEM");
  }
}

/** A failed call of `action`, in words. Errors that are not the SDK's come back as they are. */
export function kmsFailure(error: unknown, action: string, key: string): unknown {
  if (error instanceof SealingError || !(error instanceof Error)) return error;
  const { name } = error;
  const said = error.message.slice(0, MAX_MESSAGE).trim();
  const fail = (code: SealingError["code"], text: string): SealingError => {
    return new SealingError(code, text, { cause: error });
  };
  if (DENIED.has(name)) {
    return fail("sealing/kms-denied", `KMS denies kms:${action} on ${key} (${said})`);
  }
  // Words of the SDK's own, and no name: https://github.com/smithy-lang/smithy-typescript config-resolver.
  if (said === "Region is missing") {
    return fail("sealing/kms-options", "no region is given, and none is configured");
  }
  if (CREDENTIALS.has(name)) {
    const text = `AWS credentials are missing, expired or wrong: ${name} (${said})`;
    return fail("sealing/kms-credentials", text);
  }
  const status = "$metadata" in error ? statusOf(error.$metadata) : null;
  if (status !== null && status < 300) {
    // An answer of success that is no answer. The parser's message and its error quote it, and it may
    // hold a data key: neither is passed on.
    return new SealingError(
      "sealing/kms-answer",
      `an answer of KMS to kms:${action} is cut or no JSON`,
    );
  }
  // Node's own words for settings that fit in no request; the SDK found them in the environment.
  const reason = "code" in error ? error.code : null;
  if (reason === "ERR_INVALID_URL") return noEndpoint();
  if (reason === "ERR_INVALID_CHAR") {
    return fail("sealing/kms-credentials", "AWS credentials have a character that none has");
  }
  if (name === "TypeError" && status === null) return error;
  if (status === null || status >= 500 || THROTTLED.has(name)) {
    return fail("sealing/kms-unreachable", `KMS did not answer kms:${action}: ${name} (${said})`);
  }
  return fail("sealing/kms-refused", `KMS refuses kms:${action} on ${key}: ${name} (${said})`);
}

/** Of what a service says, so much is shown. */
const MAX_MESSAGE = 400;

const DENIED: ReadonlySet<string> = new Set(["AccessDeniedException", "AccessDenied"]);
const THROTTLED: ReadonlySet<string> = new Set([
  "ThrottlingException",
  "RequestLimitExceeded",
  "LimitExceededException",
]);
const CREDENTIALS: ReadonlySet<string> = new Set([
  "CredentialsProviderError",
  "ExpiredTokenException",
  "IncompleteSignatureException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "MissingAuthenticationTokenException",
  "UnrecognizedClientException",
]);

function statusOf(metadata: unknown): number | null {
  if (typeof metadata !== "object" || metadata === null) return null;
  if (!("httpStatusCode" in metadata)) return null;
  const { httpStatusCode } = metadata;
  return typeof httpStatusCode === "number" ? httpStatusCode : null;
}
