/** What a way to the data key of a sealed model is, and what each has to go by. */
import type { Envelope, KeyService } from "@countersign/protocol";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Nsm } from "../nsm/nsm.ts";
import type { Transport } from "../transport.ts";

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
