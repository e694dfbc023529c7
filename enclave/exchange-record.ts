import type { ModelRef, Outcome } from "@countersign/attestation/attester";

/**
 * What the API's handlers tell the ring about one exchange, for its receipt.
 *
 * One is made for each exchange; the handler writes it before its response body ends, and the ring
 * reads it when it signs. `outcome.status` is the ring's own: what a handler writes there is ignored.
 */
export interface ExchangeRecord {
  /** The model that ran, or null where none did. */
  model: ModelRef | null;
  outcome: Partial<Outcome>;
}

/** The bindings of `app.fetch(request, bindings)`. */
export interface AppBindings {
  readonly exchange: ExchangeRecord;
}
