/**
 * Sealed models in memory. The sealing is written from PROTOCOL.md and shares no line with the code that
 * opens it, nor with the owner's tools.
 */
import { encodeEnvelope, type Envelope, type Provisioning } from "@countersign/protocol";
import { createCipheriv } from "node:crypto";
import type { FetchModelFile } from "../../enclave/models/load.ts";
import { provisioningOf, type TestModel } from "./served.ts";

/** 4 MiB. */
export const SEGMENT = 4 * 1024 * 1024;
export const TAG = 16;
export const ENVELOPE: Envelope = {
  kind: "file",
  key: "00112233445566778899aabbccddeeff",
  wrapped: new Uint8Array(60).fill(7),
};

/** How one file was sealed; each member may be a lie. */
export interface Sealing {
  readonly key: Uint8Array;
  readonly modelDigest: Uint8Array;
  readonly index: number;
}

/** One segment: ciphertext and tag. */
export function sealedSegment(
  { key, modelDigest, index }: Sealing,
  plaintext: Uint8Array,
  segment: number,
  final: boolean,
): Uint8Array {
  const place = Buffer.alloc(12);
  place.writeUInt32BE(index, 0);
  place.writeBigUInt64BE(BigInt(segment), 4);
  const last = Buffer.from([final ? 1 : 0]);
  const cipher = createCipheriv("aes-256-gcm", key, place);
  cipher.setAAD(Buffer.concat([Buffer.from("countersign/segment/v1"), modelDigest, place, last]));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return new Uint8Array(Buffer.concat([ciphertext, cipher.getAuthTag()]));
}

/** The segments of a file, an empty one's too. */
export function sealedSegments(sealing: Sealing, plaintext: Uint8Array): readonly Uint8Array[] {
  const count = Math.max(1, Math.ceil(plaintext.length / SEGMENT));
  return Array.from({ length: count }, (_, at) => {
    const part = plaintext.subarray(at * SEGMENT, (at + 1) * SEGMENT);
    return sealedSegment(sealing, part, at, at === count - 1);
  });
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** What a host has of sealed models: rows, and files in the place of those in the clear. */
export interface SealedModels {
  readonly provisioning: Provisioning;
  /** The same ids and paths, with what lies on disk; for `fetchFrom`. */
  readonly stored: readonly TestModel[];
}

/** Seals every model under `key`. */
export function sealModels(models: readonly TestModel[], key: Uint8Array): SealedModels {
  const plain = provisioningOf(models);
  const rows = plain.models.map((row) => ({ ...row, envelope: encodeEnvelope(ENVELOPE) }));
  const stored = models.map((model, at) => {
    const modelDigest = plain.models[at]?.digest ?? new Uint8Array(32);
    const paths = Object.keys(model.files).toSorted((a, b) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    const files = paths.map((path, index) => {
      const bytes = model.files[path] ?? new Uint8Array(0);
      return [path, joined(sealedSegments({ key, modelDigest, index }, bytes))] as const;
    });
    return { ...model, files: Object.fromEntries(files) };
  });
  return { provisioning: { ...plain, models: rows }, stored };
}

/** Notes what was asked for, with the size it was expected to have. */
export function notedFetch(
  fetch: FetchModelFile,
  asked: (readonly [string, number])[],
): FetchModelFile {
  return (id, version, path, size) => {
    asked.push([`${id}/${version}/${path}`, size]);
    return fetch(id, version, path, size);
  };
}
