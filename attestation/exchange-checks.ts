/** The checks of one exchange, each a function of the receipt's claims and what was seen here. */
import type { VerifiedEpoch } from "./appraisal.ts";
import { encodeHex, equalBytes } from "./bytes.ts";
import { modelStanding, type Policy } from "./policy.ts";
import type { AskedModel } from "./asked.ts";
import { type ModelRef, sameModel } from "./models.ts";
import type { Phase, ReceiptClaims } from "./receipt.ts";
import { skewSeconds } from "./evidence-checks.ts";
import { formatTime } from "./time.ts";
import type { Head } from "./transcript.ts";
import { type Finding, Refusal } from "./verdict.ts";

/** Offline nobody knows which exchange a receipt is of. */
const OF_SOME_EXCHANGE = "The receipt was made within the epoch.";

/** RFC 9110 §15.5: from here on a status says that the request was refused. */
const FIRST_REFUSAL = 400;

/** @throws {@link AttestationError} `receipt/epoch`. */
export function ofEpoch(claims: ReceiptClaims, epoch: VerifiedEpoch): Finding<null> {
  const found = epochText(claims);
  const wanted = epochText(epoch);
  if (found !== wanted) throw new Refusal("receipt/epoch", found, wanted);
  return { found, wanted, value: null };
}

function epochText(epoch: Pick<ReceiptClaims, "keysetDigest" | "documentDigest">): string {
  return `keyset ${encodeHex(epoch.keysetDigest)}, document ${encodeHex(epoch.documentDigest)}`;
}

/** What a receipt of an exchange of ours has to be. */
export interface Place {
  /** Its cti; null offline, where nobody knows `enc`, and so not which exchange a receipt is of. */
  readonly exchange: Uint8Array | null;
  readonly phase: Exclude<Phase, "aborted">;
  /** SHA-256 of the receipt before it. */
  readonly previous: Uint8Array | null;
}

/**
 * @param place - null of a proof, which may be of any receipt of its exchange.
 * @throws {@link AttestationError} `receipt/phase`, `receipt/exchange`, `receipt/previous`,
 * `receipt/time`.
 */
export function ofExchange(
  claims: ReceiptClaims,
  epoch: VerifiedEpoch,
  policy: Policy,
  at: { readonly place: Place | null; readonly nowMs: number },
): Finding<null> {
  const { phase, index } = claims;
  const { place, nowMs } = at;
  if (place !== null) requirePlace(claims, place);
  const { made, wanted } = madeWithin(claims, epoch, policy, nowMs);
  const finding = {
    found: `index ${index}, ${made}`,
    wanted: `${place?.phase ?? phase}, made ${wanted}`,
    value: null,
  };
  const known = place !== null && place.exchange !== null;
  return known ? finding : { ...finding, why: OF_SOME_EXCHANGE };
}

function requirePlace(claims: ReceiptClaims, place: Place): void {
  const { exchange, phase } = claims;
  if (phase !== place.phase) {
    throw new Refusal("receipt/phase", `phase ${phase}`, `phase ${place.phase}`);
  }
  if (place.exchange !== null && !equalBytes(exchange, place.exchange)) {
    const wanted = `exchange ${encodeHex(place.exchange)}`;
    throw new Refusal("receipt/exchange", `exchange ${encodeHex(exchange)}`, wanted);
  }
  const found = previousText(claims.previous);
  const wanted = previousText(place.previous);
  if (found !== wanted) throw new Refusal("receipt/previous", found, wanted);
}

function previousText(previous: Uint8Array | null): string {
  return previous === null ? "no receipt before it" : `receipt ${encodeHex(previous)} before it`;
}

/** A receipt is made in its epoch, and not later than now. @throws {@link AttestationError} `receipt/time`. */
export function madeWithin(
  { issuedAt }: ReceiptClaims,
  epoch: VerifiedEpoch,
  policy: Policy,
  nowMs: number,
): { readonly made: string; readonly wanted: string } {
  const skew = skewSeconds(policy);
  const { notBefore, notAfter } = epoch.binding;
  const latest = Math.min(notAfter, Math.floor(nowMs / 1000)) + skew;
  const made = `made ${formatTime(issuedAt * 1000)}`;
  const wanted = `${formatTime((notBefore - skew) * 1000)} to ${formatTime(latest * 1000)}`;
  if (!(notBefore - skew <= issuedAt && issuedAt <= latest)) {
    throw new Refusal("receipt/time", made, wanted);
  }
  return { made, wanted };
}

/**
 * The model that answered is one of the epoch, of the policy, and the one asked for.
 *
 * No model may be named only where none was asked for, or where the request was refused.
 *
 * @throws {@link AttestationError} `receipt/model`, `policy/model`, `policy/revoked`.
 */
export function rightModel(
  claims: ReceiptClaims,
  epoch: VerifiedEpoch,
  policy: Policy,
  asked: AskedModel | null,
): Finding<null> {
  const { model, outcome } = claims;
  const wanted = askedText(asked);
  if (model === null) {
    if (asked !== null && outcome.status < FIRST_REFUSAL) {
      throw new Refusal("receipt/model", "no model", wanted);
    }
    return {
      found: "no model",
      wanted: "a model only where one answered",
      why: "No model made this answer, and none had to.",
      value: null,
    };
  }
  const found = modelText(model);
  if (!epoch.models.some((served) => sameModel(served, model))) {
    throw new Refusal("receipt/model", found, "a model of the epoch");
  }
  if (asked !== null && model.id !== asked.id) {
    throw new Refusal("receipt/model", found, wanted);
  }
  if (asked !== null && asked.version !== null && model.version !== asked.version) {
    throw new Refusal("receipt/model", found, wanted);
  }
  const standing = modelStanding(policy, model);
  switch (standing) {
    case "revoked":
      throw new Refusal("policy/revoked", found, "no revoked model");
    case "unlisted":
      throw new Refusal("policy/model", found, "a model of the policy");
    case "unchecked":
      return {
        found,
        wanted: `${wanted} of the epoch; the policy allows any`,
        why: "A model of the epoch made this answer; your policy allows any.",
        value: null,
      };
    case "allowed":
      return { found, wanted: `${wanted} of the epoch and of the policy`, value: null };
    default:
      return standing satisfies never;
  }
}

function askedText(asked: AskedModel | null): string {
  if (asked === null) return "a model";
  return asked.version === null ? `model ${asked.id}` : `model ${asked.id} ${asked.version}`;
}

/**
 * How much of the request the enclave commits to.
 *
 * A refusal may come before the whole request was read, and so may a checkpoint; any other answer is
 * to all of it.
 *
 * @param sent - leaves there are here. @param exact - whether these, too, must be to all.
 * @throws {@link AttestationError} `transcript/request`.
 */
export function requireLeaves(claims: ReceiptClaims, sent: number, exact: boolean): void {
  const { leaves } = claims.request;
  const early = claims.phase !== "final" || claims.outcome.status >= FIRST_REFUSAL;
  const part = !exact && early;
  if (leaves > sent || (!part && leaves !== sent)) {
    const wanted = part ? `at most ${sent} leaves` : `${sent} leaves`;
    throw new Refusal("transcript/request", `${leaves} leaves`, wanted);
  }
}

/** @throws {@link AttestationError} `transcript/response`. */
export function requireAllLeaves(claims: ReceiptClaims, received: number): void {
  const { leaves } = claims.response;
  if (leaves === received) return;
  throw new Refusal("transcript/response", `${leaves} leaves`, `${received} leaves`);
}

/** @throws {@link AttestationError} `code`. */
export function requireBytes(
  code: "transcript/request" | "transcript/response",
  signed: Head,
  shown: number,
): void {
  if (signed.bytes !== shown) throw new Refusal(code, `${signed.bytes} bytes`, `${shown} bytes`);
}

/** @throws {@link AttestationError} `code`. */
export function sameHead(
  code: "transcript/request" | "transcript/response",
  signed: Head,
  ours: Head,
): Finding<null> {
  const found = headText(signed);
  const wanted = headText(ours);
  if (found !== wanted) throw new Refusal(code, found, wanted);
  return { found, wanted, value: null };
}

/** @throws {@link AttestationError} `receipt/status`. */
export function requireStatus(claims: ReceiptClaims, status: number | null): void {
  if (status === null || status === claims.outcome.status) return;
  throw new Refusal("receipt/status", `status ${claims.outcome.status}`, `status ${status}`);
}

/** Only a final receipt ends an exchange. @throws {@link AttestationError} `receipt/phase`. */
export function requireFinal({ phase }: ReceiptClaims): void {
  if (phase !== "final") throw new Refusal("receipt/phase", `phase ${phase}`, "phase final");
}

/** @throws {@link AttestationError} `transcript/incomplete`. */
export function whole(complete: boolean): Finding<null> {
  const wanted = "the final chunk";
  if (!complete) throw new Refusal("transcript/incomplete", "no final chunk", wanted);
  return { found: wanted, wanted, value: null };
}

/** A proof without an opening claims what the receipt claims, and shows no content. */
export function unopened(wanted: string): Finding<null> {
  return { found: "proof carries no opening", wanted, value: null, skipped: "by design" };
}

function headText(head: Head): string {
  return `${head.leaves} leaves, ${head.bytes} bytes, root ${encodeHex(head.root)}`;
}

function modelText(model: ModelRef): string {
  return `${model.id} ${model.version} ${encodeHex(model.digest)}`;
}
