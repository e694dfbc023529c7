/**
 * What a key service may do wrong, for tests of those who depend on one. There is no flag for it: only
 * a program that starts this KMS itself can ask for faults.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { KmsFailure } from "./failure.ts";
import { KEY_BYTES } from "./keyring.ts";
import { type Answer, plaintextFor } from "./operations.ts";
import type { Recipient } from "./recipient.ts";

export type DevKmsFault =
  /** Before anything is done */
  | { readonly kind: "throttle" }
  | { readonly kind: "internal" }
  | { readonly kind: "unavailable" }
  | { readonly kind: "deny" }
  | { readonly kind: "delay"; readonly ms: number }
  /** The connection ends without an answer, or in the middle of one. */
  | { readonly kind: "cut" }
  | { readonly kind: "cut-answer" }
  /** Status 200, and no JSON. */
  | { readonly kind: "garbage" }
  /** An answer in good form that is not true: of another key, or of none. */
  | { readonly kind: "other-key" }
  | { readonly kind: "bad-envelope" }
  | { readonly kind: "other-key-id"; readonly keyId: string }
  | { readonly kind: "other-answer"; readonly answer: Answer };

/** How the answer leaves. */
export type Delivery = "whole" | "none" | "half" | "garbage";

/** Faults to come: each request takes the first one. */
export class FaultQueue {
  readonly #faults: DevKmsFault[];

  constructor(faults: readonly DevKmsFault[]) {
    this.#faults = [...faults];
  }

  /** @param times - for how many requests; at most 10 000. */
  add(fault: DevKmsFault, times: number): void {
    for (let i = 0; i < Math.min(times, 10_000); i++) this.#faults.push(fault);
  }

  clear(): void {
    this.#faults.length = 0;
  }

  next(): DevKmsFault | null {
    return this.#faults.shift() ?? null;
  }
}

/** What happens before the request is judged. @throws KmsFailure */
export async function strike(fault: DevKmsFault | null, signal: AbortSignal): Promise<void> {
  switch (fault?.kind) {
    case "throttle":
      throw new KmsFailure("ThrottlingException", "Rate exceeded");
    case "internal":
      throw new KmsFailure("KMSInternalException", "An internal error, as a test asked for");
    case "unavailable":
      throw new KmsFailure("ServiceUnavailableException", "Unavailable, as a test asked for");
    case "deny":
      throw new KmsFailure("AccessDeniedException", "Denied, as a test asked for");
    case "delay":
      await sleep(fault.ms, undefined, { signal, ref: false });
      return;
    case "cut":
    case "cut-answer":
    case "garbage":
    case "other-key":
    case "bad-envelope":
    case "other-key-id":
    case "other-answer":
    case undefined:
      return;
    default:
      return fault satisfies never;
  }
}

/** The answer that leaves instead of the true one. */
export function distort(
  fault: DevKmsFault | null,
  answer: Answer,
  recipient: Recipient | null,
): Answer {
  switch (fault?.kind) {
    case "other-key":
      return { ...answer, ...plaintextFor(randomBytes(KEY_BYTES), recipient) };
    case "bad-envelope":
      return { ...answer, CiphertextForRecipient: randomBytes(512).toString("base64") };
    case "other-key-id":
      return { ...answer, KeyId: fault.keyId };
    case "other-answer":
      return { ...answer, ...fault.answer };
    default:
      return answer;
  }
}

export function deliveryOf(fault: DevKmsFault | null): Delivery {
  switch (fault?.kind) {
    case "cut":
      return "none";
    case "cut-answer":
      return "half";
    case "garbage":
      return "garbage";
    default:
      return "whole";
  }
}
