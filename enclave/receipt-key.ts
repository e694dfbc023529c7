import { concatBytes } from "@countersign/attestation/attester";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** Bytes in r and in s on P-256. */
const SCALAR_BYTES = 32;
const SEQUENCE = 0x30;
const INTEGER = 0x02;

/** The key of one epoch's receipts: P-256, in this process's memory only. */
export class ReceiptKey {
  /** SEC 1 §2.3.3: 0x04 ‖ x ‖ y. */
  readonly publicPoint: Uint8Array;
  readonly #key: KeyObject;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { x = "", y = "" } = publicKey.export({ format: "jwk" });
    const [left, right] = [Buffer.from(x, "base64url"), Buffer.from(y, "base64url")];
    this.publicPoint = concatBytes(Uint8Array.of(4), left, right);
    this.#key = privateKey;
  }

  /**
   * r ‖ s of ES256 (RFC 9053 §2.1).
   *
   * Node writes that form itself, given options; looking at the options takes it as long as signing.
   */
  sign(toBeSigned: Uint8Array): Uint8Array {
    return rawSignature(sign("sha256", toBeSigned, this.#key));
  }
}

/** RFC 3279 §2.2.3: `SEQUENCE { r INTEGER, s INTEGER }` to fixed width. */
function rawSignature(der: Uint8Array): Uint8Array {
  const raw = new Uint8Array(2 * SCALAR_BYTES);
  if (der[0] !== SEQUENCE || der[1] !== der.length - 2) throw new TypeError("not a signature");
  const next = copyInteger(der, 2, raw.subarray(0, SCALAR_BYTES));
  if (copyInteger(der, next, raw.subarray(SCALAR_BYTES)) !== der.length) {
    throw new TypeError("not a signature");
  }
  return raw;
}

/** Writes the INTEGER at `offset` right-aligned into `scalar`; returns where it ends. */
function copyInteger(der: Uint8Array, offset: number, scalar: Uint8Array): number {
  const length = der[offset + 1] ?? 0;
  const start = offset + 2;
  // One zero byte more where the top bit is set.
  const first = length === SCALAR_BYTES + 1 && der[start] === 0 ? start + 1 : start;
  const digits = der.subarray(first, start + length);
  if (der[offset] !== INTEGER || digits.length === 0 || digits.length > SCALAR_BYTES) {
    throw new TypeError("not a signature");
  }
  scalar.set(digits, SCALAR_BYTES - digits.length);
  return start + length;
}
