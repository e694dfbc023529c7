/** The receipts of one epoch together: an operator's record from which nothing was left out. */
import { standingOf, type VerifiedEpoch } from "./appraisal.ts";
import { encodeHex } from "./bytes.ts";
import { madeWithin, ofEpoch } from "./exchange-checks.ts";
import type { Policy } from "./policy.ts";
import { parseReceipt, type ReceiptClaims, type ReceiptKey, verifyReceipt } from "./receipt.ts";
import { Refusal } from "./verdict.ts";

/**
 * Requires that `receipts` account for every exchange of an epoch from the index `first` on: one
 * final or aborted receipt for each, in order, none missing and none twice.
 *
 * What comes after the last one is not known: an enclave does not say how many there are.
 *
 * @param first - the index of the first receipt; 0 for an epoch from its beginning. @param nowMs - Unix
 * milliseconds: no receipt is from later.
 * @returns the claims of each, in order.
 * @throws {@link AttestationError} `cbor/…`, `cose/…`, `receipt/structure`, `receipt/signature`;
 * `receipt/epoch` for a receipt of another epoch, `receipt/phase` for a checkpoint, `receipt/index`
 * for a gap, a repetition or another order, `receipt/exchange` for one exchange at two indexes,
 * `receipt/time` for one made outside the epoch. TypeError for an epoch that no appraisal made.
 */
export async function verifyReceiptSequence(
  epoch: VerifiedEpoch,
  receipts: readonly Uint8Array[],
  first: number,
  nowMs: number,
): Promise<readonly ReceiptClaims[]> {
  const { policy, receiptKey } = standingOf(epoch);
  const sequence: ReceiptClaims[] = [];
  const exchanges = new Set<string>();
  for (const bytes of receipts.map((receipt) => new Uint8Array(receipt))) {
    const claims = await verifiedClaims(epoch, policy, receiptKey, bytes, nowMs);
    const wanted = first + sequence.length;
    if (claims.index !== wanted) {
      throw new Refusal("receipt/index", `index ${claims.index}`, `index ${wanted}`);
    }
    const exchange = encodeHex(claims.exchange);
    if (exchanges.has(exchange)) {
      throw new Refusal("receipt/exchange", `exchange ${exchange} twice`, "one index an exchange");
    }
    exchanges.add(exchange);
    sequence.push(claims);
  }
  return sequence;
}

async function verifiedClaims(
  epoch: VerifiedEpoch,
  policy: Policy,
  key: ReceiptKey,
  bytes: Uint8Array,
  nowMs: number,
): Promise<ReceiptClaims> {
  const receipt = parseReceipt(bytes);
  await verifyReceipt(receipt, key);
  const { claims } = receipt;
  ofEpoch(claims, epoch);
  madeWithin(claims, epoch, policy, nowMs);
  if (claims.phase === "checkpoint") {
    throw new Refusal("receipt/phase", "phase checkpoint", "phase final or aborted");
  }
  return claims;
}
