/** A COSE_Sign1 under ES256 in any form, signed as it says: receipts that break one rule only. */
import { encodeHex, lowS } from "@countersign/attestation";
import { ecdsa, type SigningKey } from "../fakes/x509.ts";
import { array, bstr, map, tag, tstr } from "./cbor.ts";

/** The order of P-256 (NIST SP 800-186 §3.2.1.3). */
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const HALF_BYTES = 32;

/** RFC 9053 §2.1: `{1: -7}` and `{1: -35}`. */
export const PROTECTED = {
  ES256: Uint8Array.of(0xa1, 0x01, 0x26),
  ES384: Uint8Array.of(0xa1, 0x01, 0x38, 0x22),
} as const;

/** Encoded parts of the envelope, each in place of what it should be. */
export interface Sign1Form {
  /** Content of the protected header; it is signed. */
  readonly header?: Uint8Array;
  /** The header's item; the signature covers the content of `header`. */
  readonly headerItem?: Uint8Array;
  readonly unprotected?: Uint8Array;
  /** The payload's item; the signature covers the payload. */
  readonly payloadItem?: Uint8Array;
  /** External data that only the signer knew of (RFC 9052 §4.3). */
  readonly external?: Uint8Array;
  /** RFC 9052 §4.4, "Signature1". */
  readonly context?: string;
  /** From `r ‖ s`, with s in the lower half, to the bytes that the envelope carries. */
  readonly signature?: (signature: Uint8Array) => Uint8Array;
  /** From the array to the whole; adds tag 18 unless said otherwise. */
  readonly whole?: (items: Uint8Array) => Uint8Array;
}

/** Signs `payload` with a P-256 key. */
export function signSign1(key: SigningKey, payload: Uint8Array, form: Sign1Form = {}): Uint8Array {
  const header = form.header ?? PROTECTED.ES256;
  const context = tstr(form.context ?? "Signature1");
  const external = form.external ?? new Uint8Array();
  const toBeSigned = array([context, bstr(header), bstr(external), bstr(payload)]);
  const signature = lowS("P-256", ecdsa("sha256", key.privateKey, toBeSigned));
  const items = array([
    form.headerItem ?? bstr(header),
    form.unprotected ?? map([]),
    form.payloadItem ?? bstr(payload),
    bstr(form.signature?.(signature) ?? signature),
  ]);
  return form.whole === undefined ? tag(18, items) : form.whole(items);
}

/** The same signature with n − s: ECDSA itself accepts both. */
export function highS(signature: Uint8Array): Uint8Array {
  const s = P256_ORDER - BigInt(`0x${encodeHex(signature.subarray(HALF_BYTES))}`);
  return new Uint8Array([...signature.subarray(0, HALF_BYTES), ...scalar(s)]);
}

/** The order itself: the least value that neither half of a signature may have. */
export function order(): Uint8Array {
  return scalar(P256_ORDER);
}

function scalar(value: bigint): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(2 * HALF_BYTES, "0"), "hex"));
}
