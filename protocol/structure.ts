/** CBOR from outside, whose faults are told by a code of what it was to be. */
import {
  AttestationError,
  type CborMap,
  type CborProfile,
  type CborValue,
  decodeCbor,
  isMap,
} from "@countersign/attestation/attester";
import { ProtocolError, type ProtocolErrorCode } from "./errors.ts";

/** @throws {@link ProtocolError} `code`, and the reader's own as its cause. */
export function decodeStructure(
  bytes: Uint8Array,
  profile: CborProfile,
  code: ProtocolErrorCode,
): CborValue {
  try {
    return decodeCbor(bytes, profile);
  } catch (cause) {
    if (!(cause instanceof AttestationError)) throw cause;
    throw new ProtocolError(code, cause.code, { cause });
  }
}

/** @throws {@link ProtocolError} `code`. */
export function decodeMap(
  bytes: Uint8Array,
  profile: CborProfile,
  code: ProtocolErrorCode,
): CborMap {
  const value = decodeStructure(bytes, profile, code);
  if (!isMap(value)) throw new ProtocolError(code, "want a map");
  return value;
}
