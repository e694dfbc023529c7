/** DER elements with lengths that DER forbids (X.690 §10.1). */
import { concatBytes } from "@countersign/attestation";
import { hex } from "../fakes/nitro.ts";

/** A length of `width` bytes after the byte that says so, whatever it needs. */
export function longTlv(tag: number, width: number, contents: Uint8Array): Uint8Array {
  const length = new Uint8Array(width);
  let rest = contents.length;
  for (let at = width - 1; at >= 0; at--) {
    length[at] = rest & 0xff;
    rest >>= 8;
  }
  return concatBytes(Uint8Array.of(tag, 0x80 | width), length, contents);
}

export function indefiniteTlv(tag: number, contents: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(tag, 0x80), contents, hex("0000"));
}
