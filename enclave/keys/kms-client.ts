/**
 * AWS's own client, told everything that it would look for elsewhere: no variable of the environment, no
 * file and no metadata service has a say in where it goes, what it signs with and how often it asks.
 */
import {
  DecryptCommand,
  type DecryptCommandInput,
  type DecryptCommandOutput,
  KMSClient,
} from "@aws-sdk/client-kms";
import { EnclaveError } from "../errors.ts";
import { hostCredentials } from "./credentials.ts";
import { askService, type ServiceRequest } from "./http.ts";
import { faultOf, type Heard } from "./kms-faults.ts";
import type { KeyReleaseContext } from "./release.ts";

/** Asks once. @throws EnclaveError `key/…`, PassingError where it may be asked again. */
export type KmsDecrypt = (
  input: DecryptCommandInput,
  signal: AbortSignal,
) => Promise<DecryptCommandOutput>;

/** `Decrypt` of the KMS that `context` names, in the node's name. */
export function kmsDecrypt(context: KeyReleaseContext): KmsDecrypt {
  const { service, transport, clock } = context;
  if (service.region === null) throw new EnclaveError("key/services", "a KMS without a region");
  const credentials = hostCredentials(transport, clock);
  const { requestHandler, heard } = tunnelled(context);
  const client = new KMSClient({
    region: service.region,
    endpoint: service.url,
    credentials,
    requestHandler,
    // Attempts are ours to count, since all of them together have a bound in time: attempts.ts.
    maxAttempts: 1,
    retryMode: "standard",
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    authSchemePreference: ["sigv4"],
    // KMS's refusals tell its time; only signatures are dated by it.
    disableClockSkewCorrection: false,
    defaultUserAgentProvider: () => Promise.resolve([["countersign"]]),
    userAgentAppId: () => Promise.resolve(undefined),
  });
  // It would pass on what variables of AWS Lambda say of whoever called.
  client.middlewareStack.remove("recursionDetectionMiddleware");
  return async (input, abortSignal) => {
    // Held then: what is wrong with them is heard from here, and not from the SDK.
    await credentials();
    try {
      return await client.send(new DecryptCommand(input), { abortSignal });
    } catch (error) {
      throw faultOf(error, heard.get(abortSignal) ?? null);
    }
  };
}

interface Tunnelled {
  readonly requestHandler: object;
  /** By signal, what came of a request: the SDK looks into errors of others, and stumbles. */
  readonly heard: WeakMap<AbortSignal, Heard>;
}

/** In place of the SDK's own HTTP, which would look up a name and trust whom Node trusts. */
function tunnelled(context: KeyReleaseContext): Tunnelled {
  const heard = new WeakMap<AbortSignal, Heard>();
  const handle = async (
    asked: ServiceRequest,
    { abortSignal: signal }: { readonly abortSignal?: unknown } = {},
  ): Promise<object> => {
    if (!(signal instanceof AbortSignal)) throw new TypeError("a request that nothing ends");
    try {
      const { status, headers, body } = await askService(context, asked, signal);
      heard.set(signal, { status });
      return { response: { statusCode: status, headers, body } };
    } catch (error) {
      if (error instanceof EnclaveError) heard.set(signal, error);
      throw error;
    }
  };
  const updateHttpClientConfig = (): void => undefined;
  return {
    requestHandler: { handle, updateHttpClientConfig, httpHandlerConfigs: () => ({}) },
    heard,
  };
}
