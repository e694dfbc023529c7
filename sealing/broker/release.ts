/**
 * The broker's decision: one request in, the data key for the enclave that asked out, or a refusal.
 *
 * It knows nothing of HTTP. The policy is asked for anew each time, so that a revocation counts at once,
 * and a policy that cannot be read grants nothing.
 */
import { AttestationError, encodeHex, parseEvidence, type Policy } from "@countersign/attestation";
import { appraiseKeyRequest, type GrantedKeyRequest } from "@countersign/attestation/key-request";
import {
  type Envelope,
  parseEnvelope,
  parseKeyRequest,
  ProtocolError,
  sealDataKey,
} from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { SealingError } from "../errors.ts";
import type { KeyProvider } from "../providers/provider.ts";
import type { BrokerClock, Challenges } from "./challenges.ts";

export interface BrokerParts {
  readonly challenges: Challenges;
  /** By key id. */
  readonly keys: ReadonlyMap<string, KeyProvider>;
  /** The owner's policy, as it is now. */
  readonly policy: () => Promise<Policy>;
  readonly clock: BrokerClock;
}

/** Of the checks of a request, those that only a document gets to which the hardware signed. */
const AFTER_SIGNATURE =
  /^(?:binding\/.+|freshness\/.+|policy\/(?:debug|measurement|model|revoked))$/u;

/** Who asked and for what, as far as it was read: for the log. Digests and names, no secrets. */
export interface AskedFor {
  /** It had a genuine document that answers a challenge of ours, whatever the policy says to it. */
  attested: boolean;
  /** The model digest that was asked for; believed only where the key was released. */
  model: string | null;
  /** The policy's name for the code; null until the request is granted. */
  measurement: string | null;
  /** Id of the key that its data key is wrapped under. */
  key: string | null;
}

/**
 * Answers one request.
 *
 * @param asked - filled in on the way, also where the request is refused.
 * @returns the response's bytes.
 * @throws {@link SealingError} `broker/…`; AttestationError where the evidence or the policy says no.
 */
export async function releaseKey(
  { challenges, keys, policy, clock }: BrokerParts,
  body: Uint8Array,
  asked: AskedFor,
): Promise<Uint8Array> {
  // 1. Parse strictly. Nothing is believed yet.
  const request = parsed(() => parseKeyRequest(body));
  asked.model = encodeHex(request.modelDigest);
  const { nonce } = parseEvidence(request.document);
  // 2. It answers a challenge, which nothing can answer again: used up before anything is awaited.
  if (nonce === null || !challenges.use(nonce)) {
    throw new SealingError("broker/challenge", "its challenge is unknown, used, or over");
  }
  // 3. The owner's policy, as it is now, grants it.
  const now = { nonce, nowMs: clock.nowMs() };
  const granted = await appraiseKeyRequest(request, await inForce(policy), now).catch(
    (error: unknown) => {
      asked.attested = error instanceof AttestationError && AFTER_SIGNATURE.test(error.code);
      throw error;
    },
  );
  asked.attested = true;
  asked.measurement = granted.measurement;
  // 4. The key is ours, and was wrapped for this very model.
  const envelope = parsed(() => parseEnvelope(granted.envelope));
  asked.key = envelope.key;
  return await sealed(granted, envelope, keys);
}

async function sealed(
  granted: GrantedKeyRequest,
  envelope: Envelope,
  keys: ReadonlyMap<string, KeyProvider>,
): Promise<Uint8Array> {
  const provider = envelope.kind === "file" ? keys.get(envelope.key) : undefined;
  if (provider === undefined) {
    throw new SealingError("broker/key", "the model is sealed under a key that is not here");
  }
  const dataKey = await provider.unwrap(envelope, granted.modelDigest).catch(refuseEnvelope);
  try {
    return await sealDataKey(nativePrimitives, granted.publicKey, granted.document, dataKey);
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    throw new SealingError("broker/request", cause.code, { cause });
  } finally {
    dataKey.fill(0);
  }
}

function refuseEnvelope(cause: unknown): never {
  if (!(cause instanceof SealingError)) throw cause;
  const message = "the wrapped key does not open: it was changed, or is of another model";
  throw new SealingError("broker/envelope", message, { cause });
}

/** @throws {@link SealingError} `broker/policy`, whatever it is that hinders. */
async function inForce(policy: () => Promise<Policy>): Promise<Policy> {
  try {
    return await policy();
  } catch (cause) {
    throw new SealingError("broker/policy", "the policy cannot be read", { cause });
  }
}

/** @throws {@link SealingError} `broker/request`. */
function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof ProtocolError) && !(cause instanceof AttestationError)) throw cause;
    throw new SealingError("broker/request", cause.code, { cause });
  }
}
