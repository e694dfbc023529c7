/** Key services for tests: none at all, or keys that are held here. */
import { type Envelope, type KeyServices } from "@countersign/protocol";
import { EnclaveError } from "../../enclave/errors.ts";
import type { KeyRelease } from "../../enclave/keys/release.ts";

/** An enclave with these opens no sealed model. */
export const NO_KEY_SERVICES: KeyServices = { services: [], rootCertificates: [] };

export const NO_KEYS: KeyRelease = {
  release: ({ kind }) => Promise.reject(new EnclaveError("key/services", `no ${kind}`)),
};

/** What was asked of {@link heldKeys}, and what it gave away: the very bytes. */
export interface HeldKeys extends KeyRelease {
  readonly asked: { readonly envelope: Envelope; readonly modelDigest: Uint8Array }[];
  readonly given: Uint8Array[];
}

/** Gives the key that `keyOf` has for an envelope, in bytes of its own. */
export function heldKeys(keyOf: (envelope: Envelope) => Uint8Array | EnclaveError): HeldKeys {
  const asked: { readonly envelope: Envelope; readonly modelDigest: Uint8Array }[] = [];
  const given: Uint8Array[] = [];
  return {
    asked,
    given,
    release(envelope, _, modelDigest) {
      asked.push({ envelope, modelDigest: modelDigest.slice() });
      const found = keyOf(envelope);
      if (found instanceof EnclaveError) return Promise.reject(found);
      const key = found.slice();
      given.push(key);
      return Promise.resolve(key);
    },
  };
}
