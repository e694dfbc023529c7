/** Reading a model's only file as the enclave does at boot, from a host at a Unix socket. */
import { type ManifestEntry, parseManifest, sealedBytes } from "@countersign/protocol";
import { systemClock } from "../enclave/clock.ts";
import { readModelFile } from "../enclave/models/file.ts";
import { provisioner } from "../enclave/provision.ts";
import { unixTransport } from "../enclave/transport.ts";

/** Where the same model lies twice, and what it takes to open the sealed one. */
export interface SealedModel {
  readonly socket: string;
  /** Of both: the sealed one's is that of what is in it. */
  readonly manifest: Uint8Array;
  readonly modelDigest: Uint8Array;
  readonly dataKey: Uint8Array;
}

/** Ids in the repository. Both are version 1. */
export const PLAIN_ID = "plain";
export const SEALED_ID = "sealed";

/** What reads and hashes the model, with or without opening it, and answers how many bytes it has. */
export function reader(model: SealedModel): (id: string) => Promise<number> {
  const { socket, manifest, modelDigest, dataKey: key } = model;
  const entry = onlyEntry(manifest);
  const { path, size } = entry;
  const transport = unixTransport("", socket);
  const host = provisioner({ transport, clock: systemClock, patienceMs: 0 });
  return async (id) => {
    const sealed = id === SEALED_ID ? { key, modelDigest, index: 0, size, path } : null;
    const chunks = host.fetchModelFile(id, "1", path, sealed === null ? size : sealedBytes(size));
    const bytes = await readModelFile(entry, sealed, chunks);
    return bytes.length;
  };
}

function onlyEntry(manifest: Uint8Array): ManifestEntry {
  const [entry, ...more] = parseManifest(manifest);
  if (entry === undefined || more.length > 0) throw new TypeError("want a model of one file");
  return entry;
}
