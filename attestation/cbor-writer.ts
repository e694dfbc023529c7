const TWO_32 = 0x1_0000_0000;
const MAX_ARGUMENT = 0xffff_ffff_ffff_ffffn;

/**
 * Writes CBOR piece by piece, for the encoder and for structures that have one form only.
 *
 * One growing array: a small one for every head would cost more than what it holds.
 */
export class CborWriter {
  #buffer: Uint8Array;
  #length = 0;

  constructor(bytes: number) {
    this.#buffer = new Uint8Array(bytes);
  }

  written(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  byte(byte: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = byte;
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** RFC 8949 §3: major type and argument, in the shortest form. */
  head(major: number, argument: number | bigint): void {
    if (argument > MAX_ARGUMENT) throw new TypeError("integer of more than 64 bits");
    const type = major << 5;
    if (argument < 24) {
      this.byte(type | Number(argument));
    } else if (argument < 0x100) {
      this.byte(type | 24);
      this.byte(Number(argument));
    } else if (argument < 0x1_0000) {
      this.byte(type | 25);
      this.byte(Number(argument) >> 8);
      this.byte(Number(argument) & 0xff);
    } else if (argument < TWO_32) {
      this.byte(type | 26);
      this.#word(Number(argument));
    } else {
      const wide = BigInt(argument);
      this.byte(type | 27);
      this.#word(Number(wide >> 32n));
      this.#word(Number(wide & 0xffff_ffffn));
    }
  }

  /** Four bytes, the most significant first. */
  #word(word: number): void {
    for (let shift = 24; shift >= 0; shift -= 8) this.byte((word >>> shift) & 0xff);
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = new Uint8Array(2 * needed);
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
