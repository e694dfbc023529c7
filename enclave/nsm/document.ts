import { AttestationError, decodeCbor, isArray, isMap } from "@countersign/attestation/attester";
import { EnclaveError } from "../errors.ts";
import { MAX_NSM_RESPONSE_BYTES } from "./codec.ts";

/** AWS Nitro Enclaves attestation process §3.1 and §3.2: the envelope, and the payload in it. */
const PROFILE = {
  form: "vendor",
  maxBytes: MAX_NSM_RESPONSE_BYTES,
  maxDepth: 4,
  maxItems: 256,
} as const;
/** The head of tag 18 (RFC 9052 §4.2), which AWS leaves out. */
const COSE_SIGN1_HEAD = 0xd2;

/** What the enclave reads of a document that its module made. */
export interface OwnDocument {
  /** The COSE payload's bytes. */
  readonly payload: Uint8Array;
  /** When the module made it, by its own clock: Unix milliseconds. */
  readonly timestampMs: number;
}

/**
 * Reads a document of our own module. Its signature and its header are for those to judge who are to
 * believe it: a client refuses an enclave whose module signs with nothing.
 *
 * @throws EnclaveError `nsm/malformed`.
 */
export function parseOwnDocument(document: Uint8Array): OwnDocument {
  try {
    const envelope = decodeCbor(
      document[0] === COSE_SIGN1_HEAD ? document.subarray(1) : document,
      PROFILE,
    );
    const payload = isArray(envelope) && envelope.length === 4 ? envelope[2] : undefined;
    if (payload instanceof Uint8Array) {
      const fields = decodeCbor(payload, PROFILE);
      const timestampMs = isMap(fields) ? fields.get("timestamp") : undefined;
      if (typeof timestampMs === "number" && timestampMs >= 0) return { payload, timestampMs };
    }
  } catch (cause) {
    if (!(cause instanceof AttestationError)) throw cause;
    throw new EnclaveError("nsm/malformed", `document: ${cause.code}`, { cause });
  }
  throw new EnclaveError("nsm/malformed", "want a COSE_Sign1 whose payload has a timestamp");
}
