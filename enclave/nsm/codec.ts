/**
 * The Nitro Secure Module's messages, as /dev/nsm takes and gives them.
 *
 * A request is a CBOR map of one entry, its name, or the bare name where it has no arguments; an
 * answer is the same with the result, or `{"Error": code}`. AWS Nitro Enclaves NSM API 0.4,
 * `api::Request` and `api::Response`.
 */
import {
  AttestationError,
  type CborMap,
  type CborProfile,
  type CborValue,
  decodeCbor,
  encodeCbor,
  isMap,
} from "@countersign/attestation/attester";
import { EnclaveError } from "../errors.ts";
import type { AttestationRequest, Pcr } from "./nsm.ts";

/** The driver's buffers. Linux drivers/misc/nsm.c, NSM_REQUEST_MAX_SIZE and NSM_RESPONSE_MAX_SIZE. */
export const MAX_NSM_REQUEST_BYTES = 0x1000;
export const MAX_NSM_RESPONSE_BYTES = 0x3000;
/** Bytes in a PCR under digest "SHA384". AWS Nitro Enclaves attestation process §3.2. */
export const PCR_BYTES = 48;
/** Of `GetRandom`. */
const MAX_RANDOM_BYTES = 256;
/** User data and nonce; public key. AWS Nitro Enclaves attestation process §3.2. */
const MAX_USER_DATA_BYTES = 512;
const MAX_PUBLIC_KEY_BYTES = 1024;

const RESPONSE: CborProfile = {
  form: "vendor",
  maxBytes: MAX_NSM_RESPONSE_BYTES,
  maxDepth: 4,
  maxItems: 256,
};

export type NsmRequest =
  | { readonly name: "DescribeNSM" }
  | { readonly name: "DescribePCR"; readonly index: number }
  | { readonly name: "ExtendPCR"; readonly index: number; readonly data: Uint8Array }
  | { readonly name: "LockPCR"; readonly index: number }
  | { readonly name: "GetRandom" }
  | ({ readonly name: "Attestation" } & AttestationRequest);

/** What `DescribeNSM` tells. */
export interface NsmDescription {
  readonly moduleId: string;
  readonly versionMajor: number;
  readonly versionMinor: number;
  readonly versionPatch: number;
  readonly maxPcrs: number;
  readonly lockedPcrs: readonly number[];
}

export type NsmResponse =
  | { readonly name: "DescribeNSM"; readonly description: NsmDescription }
  | { readonly name: "DescribePCR"; readonly pcr: Pcr }
  | { readonly name: "ExtendPCR"; readonly value: Uint8Array }
  | { readonly name: "LockPCR" }
  | { readonly name: "GetRandom"; readonly random: Uint8Array }
  | { readonly name: "Attestation"; readonly document: Uint8Array }
  | { readonly name: "Error"; readonly error: NsmRefusal };

const REFUSALS = [
  "InvalidArgument",
  "InvalidIndex",
  "InvalidResponse",
  "ReadOnlyIndex",
  "InvalidOperation",
  "BufferTooSmall",
  "InputTooLarge",
  "InternalError",
] as const;

/** The module's own error codes, `api::ErrorCode` without `Success`. */
export type NsmRefusal = (typeof REFUSALS)[number];

/** @throws EnclaveError `nsm/refused` where a field is longer than the module's documented limit. */
export function encodeNsmRequest(request: NsmRequest): Uint8Array {
  const bytes = encodeCbor(requestItem(request));
  if (bytes.length > MAX_NSM_REQUEST_BYTES) {
    throw new EnclaveError("nsm/refused", `request of ${bytes.length} bytes, want ≤ 4096`);
  }
  return bytes;
}

function requestItem(request: NsmRequest): CborValue {
  switch (request.name) {
    case "DescribeNSM":
    case "GetRandom":
      return request.name;
    case "DescribePCR":
    case "LockPCR":
      return new Map([[request.name, new Map([["index", request.index]])]]);
    case "ExtendPCR":
      return new Map([
        [
          request.name,
          new Map<string, CborValue>([
            ["index", request.index],
            ["data", request.data],
          ]),
        ],
      ]);
    case "Attestation":
      return new Map([[request.name, attestationItem(request)]]);
    default:
      return request satisfies never;
  }
}

/** @throws EnclaveError `nsm/refused` unless every field of `request` is within its limit. */
export function requireAttestationRequest(request: AttestationRequest): void {
  const { userData, nonce, publicKey } = request;
  requireField("user_data", userData, MAX_USER_DATA_BYTES);
  requireField("nonce", nonce, MAX_USER_DATA_BYTES);
  requireField("public_key", publicKey, MAX_PUBLIC_KEY_BYTES);
}

function requireField(name: string, value: Uint8Array | null, maxBytes: number): void {
  if (value !== null && value.length > maxBytes) {
    throw new EnclaveError("nsm/refused", `${name} of ${value.length} bytes, want ≤ ${maxBytes}`);
  }
}

function attestationItem(request: AttestationRequest): CborMap {
  requireAttestationRequest(request);
  return new Map([
    ["user_data", request.userData],
    ["nonce", request.nonce],
    ["public_key", request.publicKey],
  ]);
}

/** @throws EnclaveError `nsm/malformed` on anything the module does not emit. */
export function parseNsmResponse(bytes: Uint8Array): NsmResponse {
  const item = decodeResponse(bytes);
  if (item === "LockPCR") return { name: "LockPCR" };
  if (!isMap(item) || item.size !== 1) throw malformed("answer is not a map of one");
  for (const [name, result] of item) return parseResult(name, result);
  throw malformed("answer is an empty map");
}

function decodeResponse(bytes: Uint8Array): CborValue {
  try {
    return decodeCbor(bytes, RESPONSE);
  } catch (cause) {
    if (cause instanceof AttestationError) {
      throw new EnclaveError("nsm/malformed", `answer is not CBOR: ${cause.code}`, { cause });
    }
    throw cause;
  }
}

function parseResult(name: unknown, result: CborValue): NsmResponse {
  switch (name) {
    case "DescribeNSM":
      return { name, description: parseDescription(result) };
    case "DescribePCR":
      return { name, pcr: parsePcr(result) };
    case "ExtendPCR":
      return { name, value: parsePcrValue(fields(result, ["data"])[0]) };
    case "GetRandom":
      return { name, random: parseBytes(fields(result, ["random"])[0], 1, MAX_RANDOM_BYTES) };
    case "Attestation": {
      const [document] = fields(result, ["document"]);
      return { name, document: parseBytes(document, 1, MAX_NSM_RESPONSE_BYTES) };
    }
    case "Error": {
      const error = REFUSALS.find((refusal) => refusal === result);
      if (error === undefined) throw malformed("unknown error code");
      return { name, error };
    }
    default:
      throw malformed("unknown answer");
  }
}

function parseDescription(result: CborValue): NsmDescription {
  const [major, minor, patch, moduleId, maxPcrs, locked, digest] = fields(result, [
    "version_major",
    "version_minor",
    "version_patch",
    "module_id",
    "max_pcrs",
    "locked_pcrs",
    "digest",
  ]);
  if (typeof moduleId !== "string" || digest !== "SHA384" || !Array.isArray(locked)) {
    throw malformed("description of another form");
  }
  const lockedPcrs: number[] = [];
  for (const index of locked) lockedPcrs.push(parseUint(index));
  return {
    moduleId,
    versionMajor: parseUint(major),
    versionMinor: parseUint(minor),
    versionPatch: parseUint(patch),
    maxPcrs: parseUint(maxPcrs),
    lockedPcrs,
  };
}

function parsePcr(result: CborValue): Pcr {
  const [lock, data] = fields(result, ["lock", "data"]);
  if (typeof lock !== "boolean") throw malformed("lock is not a boolean");
  return { locked: lock, value: parsePcrValue(data) };
}

function parsePcrValue(value: CborValue | undefined): Uint8Array {
  return parseBytes(value, PCR_BYTES, PCR_BYTES);
}

/** The values of exactly `names`, in that order. */
function fields(result: CborValue, names: readonly string[]): readonly (CborValue | undefined)[] {
  if (!isMap(result) || result.size !== names.length) {
    throw malformed(`result is not a map of ${names.length}`);
  }
  return names.map((name) => result.get(name));
}

function parseBytes(value: CborValue | undefined, min: number, max: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
    throw malformed(`want a byte string of ${min} to ${max} bytes`);
  }
  return value;
}

function parseUint(value: unknown): number {
  if (typeof value !== "number" || value < 0) throw malformed("want an unsigned integer");
  return value;
}

function malformed(message: string): EnclaveError {
  return new EnclaveError("nsm/malformed", message);
}
