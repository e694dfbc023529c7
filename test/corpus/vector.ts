/**
 * The form of our own vectors: `test/vectors/<stage>/<nnn>-<what>/`, where the stage is that of the
 * code it is refused with, and `accepted` where it is not.
 *
 * Everything here and in judge.ts is free of Node, so that a page judges the same vectors.
 */

/** What a vector is, and thereby which function judges it and which files it has. */
export type Subject =
  /** `document.cbor`: a bare attestation document. */
  | "document"
  /** `bundle.cbor`. */
  | "bundle"
  /** `bundle.cbor` and `exchange.json`: an {@link ExchangeFile}, judged after its bundle. */
  | "exchange"
  /** `proof.cbor`. */
  | "proof"
  /** `policy.json` alone: a file that is or is not a policy. */
  | "policy"
  /** `inclusion.json`: an {@link InclusionFile}. */
  | "inclusion"
  /** `consistency.json`: a {@link ConsistencyFile}. */
  | "consistency";

/** `expected.json`. */
export interface Expected {
  /** The one thing that is wrong, in a few words; of an accepted vector, what is unusual. */
  readonly what: string;
  /** The clause that it breaks or uses: "RFC 5280 §4.2.1.9", "Nitro §3.2", "PROTOCOL 4". */
  readonly clause: string;
  readonly subject: Subject;
  /** The policy's file, relative to the vector's folder; null where the subject needs none. */
  readonly policy: string | null;
  readonly mode: "live" | "archive";
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** The challenge that was sent, hexadecimal; null where none was. */
  readonly nonce: string | null;
  readonly outcome: Outcome;
}

/** What judging must yield. */
export interface Outcome {
  readonly result: "verified" | "rejected";
  /** The code of the check that failed; null where none did. */
  readonly code: string | null;
  /** The check that failed; null of an accepted vector, and where no verdict is made. */
  readonly check: string | null;
  readonly failure: string | null;
  /** Checks that were skipped although they were reached, in order. */
  readonly skipped: readonly string[];
  /** The JSON pointer to the mistake, of a policy that is refused as one; else null. */
  readonly pointer: string | null;
}

/** One vector with its files, `expected.json` apart. */
export interface Vector {
  /** `<stage>/<nnn>-<what>`. */
  readonly id: string;
  readonly expected: Expected;
  /** By name; the policy's file under the name that `expected.policy` gives it. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What a Relying Party holds of an exchange; byte strings in hexadecimal. */
export interface ExchangeFile {
  readonly receipt: string | null;
  /** SHA-256 of the checkpoint receipt that was seen last; left out where there was none. */
  readonly previous?: string;
  readonly exchange: string | null;
  /** The transcript key, 32 bytes. */
  readonly kc: string;
  readonly request: readonly string[];
  readonly response: readonly string[];
  readonly status: number | null;
  readonly complete: boolean;
  readonly asked: { readonly id: string; readonly version: string | null } | null;
}

/** RFC 9162 §2.1.3; byte strings in hexadecimal. */
export interface InclusionFile {
  readonly index: number;
  readonly size: number;
  readonly leafHash: string;
  readonly path: readonly string[];
  readonly root: string;
}

/** RFC 9162 §2.1.4; byte strings in hexadecimal. */
export interface ConsistencyFile {
  readonly firstSize: number;
  readonly secondSize: number;
  readonly firstRoot: string;
  readonly secondRoot: string;
  readonly path: readonly string[];
}
