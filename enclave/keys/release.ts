/**
 * How the enclave comes to the data key of a sealed model: from the key service that its own measured
 * file names for the envelope, and only while it boots.
 */
import {
  DATA_KEY_BYTES,
  type Envelope,
  type KeyService,
  type KeyServices,
  keyServiceFor,
} from "@countersign/protocol";
import type { Clock } from "../clock.ts";
import { EnclaveError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Nsm } from "../nsm/nsm.ts";
import type { Transport } from "../transport.ts";
import { pinnedRoots } from "./services.ts";

/** One way to a data key. */
export interface KeyRelease {
  /**
   * The 32 bytes of the data key; the caller overwrites them.
   *
   * @param envelopeBytes - what `envelope` was parsed from.
   * @param modelDigest - the key is asked for this model only, and the service sees it.
   * @throws EnclaveError `key/…`.
   */
  release(
    envelope: Envelope,
    envelopeBytes: Uint8Array,
    modelDigest: Uint8Array,
  ): Promise<Uint8Array>;
}

export interface KeyReleaseContext {
  readonly nsm: Nsm;
  /** As a bundle names it. */
  readonly platform: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly service: KeyService;
  /** PEM of the pinned roots; none where the service is reached without TLS. */
  readonly roots: readonly string[];
}

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
