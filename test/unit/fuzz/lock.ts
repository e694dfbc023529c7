/** Opens for three bytes, one decision each: a guess of all at once succeeds once in 2^24. */
export function opens(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0x6b) return false;
  if (bytes[1] !== 0x65) return false;
  if (bytes[2] !== 0x79) return false;
  return true;
}
