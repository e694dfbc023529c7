import { AttestationError } from "./errors.ts";
import { readDer, TAG } from "./der.ts";

/** RFC 7468 §3: one block, lines of 64 characters, nothing around it but a last line end. */
const CERTIFICATE_PEM =
  /^-----BEGIN CERTIFICATE-----\r?\n((?:[A-Za-z0-9+/]{64}\r?\n)*[A-Za-z0-9+/]{1,64}={0,2})\r?\n-----END CERTIFICATE-----(?:\r?\n)?$/u;
/** Room for a certificate of 6 KiB, more than any attestation root has. */
const MAX_PEM_CHARACTERS = 8192;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/**
 * The DER of the one certificate in `pem`.
 *
 * @throws {@link AttestationError} `certificate/der` for any other text, or content that is not
 * one DER sequence. The certificate itself is parsed with the chain that uses it.
 */
export function certificateFromPem(pem: string): Uint8Array {
  const match = pem.length > MAX_PEM_CHARACTERS ? null : CERTIFICATE_PEM.exec(pem);
  const der = match === null ? null : decodeBase64((match[1] ?? "").replaceAll(/\r?\n/gu, ""));
  if (der === null) {
    throw new AttestationError("certificate/der", "want one PEM block of type CERTIFICATE");
  }
  readDer(der, TAG.sequence);
  return der;
}

/** RFC 4648 §4, canonical: padded, unused bits zero. Null for anything else. */
function decodeBase64(text: string): Uint8Array | null {
  const digits = text.replace(/=+$/u, "");
  if (text.length % 4 !== 0 || text.length - digits.length > 2) return null;
  const bytes = new Uint8Array(Math.floor((digits.length * 3) / 4));
  let buffer = 0;
  let bits = 0;
  let length = 0;
  for (const digit of digits) {
    buffer = ((buffer << 6) | ALPHABET.indexOf(digit)) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[length++] = (buffer >> bits) & 0xff;
    }
  }
  return (buffer & ((1 << bits) - 1)) === 0 ? bytes : null;
}
