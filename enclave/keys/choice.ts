/**
 * How the enclave comes to the data key of a sealed model: from the key service that its own measured
 * file names for the envelope, and only while it boots.
 */
import {
  DATA_KEY_BYTES,
  type KeyService,
  type KeyServices,
  keyServiceFor,
} from "@countersign/protocol";
import { EnclaveError } from "../errors.ts";
import type { KeyRelease, KeyReleaseContext } from "./release.ts";
import { pinnedRoots } from "./services.ts";

/**
 * Asks the service that the measured file names for an envelope.
 *
 * @throws from its `release`: EnclaveError `key/…`, ProtocolError `key-services/none`.
 */
export function keyRelease(
  services: KeyServices,
  context: Omit<KeyReleaseContext, "service" | "roots">,
): KeyRelease {
  const clients = new Map<string, Promise<KeyRelease>>();
  const clientOf = (service: KeyService): Promise<KeyRelease> => {
    // All of it: two entries with one endpoint may have other roots, or be for other regions.
    const name = JSON.stringify(service);
    const found = clients.get(name);
    if (found !== undefined) return found;
    const roots = pinnedRoots(services, service);
    const client = clientFor({ ...context, service, roots });
    clients.set(name, client);
    return client;
  };
  return {
    async release(envelope, envelopeBytes, modelDigest) {
      const client = await clientOf(keyServiceFor(services, envelope));
      return requireDataKey(await client.release(envelope, envelopeBytes, modelDigest));
    },
  };
}

/** Loaded where a model needs it: an enclave that opens none runs none of this code. */
async function clientFor(context: KeyReleaseContext): Promise<KeyRelease> {
  const { kind } = context.service;
  switch (kind) {
    case "aws-kms": {
      const { kmsRelease } = await import("./kms.ts");
      return kmsRelease(context);
    }
    case "broker": {
      const { brokerRelease } = await import("./broker.ts");
      return brokerRelease(context);
    }
    default:
      return kind satisfies never;
  }
}

/** @throws EnclaveError `key/answer`. */
function requireDataKey(key: Uint8Array): Uint8Array {
  if (key.length === DATA_KEY_BYTES) return key;
  key.fill(0);
  throw new EnclaveError("key/answer", `a key of ${key.length} bytes, want ${DATA_KEY_BYTES}`);
}
