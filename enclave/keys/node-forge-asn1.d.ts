// What we use of node-forge 1.4.3: its reader of BER, and no more of it. Its published types describe
// the package as a whole, which this module is not; enclave/tsconfig.json points here.

/** One element: an identifier octet in parts, and its contents. */
export interface Asn1 {
  /** Bits 8 and 7 of the identifier octet, in their places. */
  readonly tagClass: number;
  /** Bits 5 to 1. */
  readonly type: number;
  readonly constructed: boolean;
  /** Elements where it is constructed; else a character a byte. */
  readonly value: string | readonly Asn1[];
}

export interface FromDerOptions {
  readonly strict: boolean;
  /** Throws where something is left after the element. */
  readonly parseAllBytes: boolean;
  readonly decodeBitStrings: boolean;
  readonly maxDepth: number;
}

declare const asn1: {
  /** Reads DER, and BER with indefinite lengths. `bytes` has a character a byte. Throws. */
  fromDer(bytes: string, options: FromDerOptions): Asn1;
};
// oxlint-disable-next-line import/no-default-export -- what an import of a CommonJS module is
export default asn1;
