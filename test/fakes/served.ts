import { createHash } from "node:crypto";
import { encodeManifest, type Provisioning } from "@countersign/protocol";
import { type App, createApp } from "../../enclave/api/app.ts";
import { systemClock } from "../../enclave/clock.ts";
import type { AppBindings } from "../../enclave/exchange-record.ts";
import { type FetchModelFile, loadModels, type LoadOptions } from "../../enclave/models/load.ts";
import type { ServedModels } from "../../enclave/models/served.ts";
import { NO_KEYS } from "./key-services.ts";

/** A model as files in memory. */
export interface TestModel {
  readonly id: string;
  readonly version?: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
}

export interface TestLimits {
  readonly maxRequestBytes?: number;
  readonly cacheBytes?: number;
  readonly queueLength?: number;
  readonly inferenceTimeoutMs?: number;
}

export const TEST_OPTIONS: LoadOptions = {
  log: () => undefined,
  clock: systemClock,
  keys: NO_KEYS,
  intraOpThreads: 1,
  queueLength: 64,
  inferenceTimeoutMs: 30_000,
  cacheBytes: 256 * 1024 * 1024,
  maxSequences: 8,
  availableBytes: () => process.availableMemory(),
};

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

/** The manifest that the host would make of these files. */
export function manifestOf(files: TestModel["files"]): Uint8Array {
  return encodeManifest(
    Object.entries(files).map(([path, bytes]) => ({
      path,
      size: bytes.length,
      sha256: sha256(bytes),
    })),
  );
}

export function provisioningOf(
  models: readonly TestModel[],
  limits: TestLimits = {},
): Provisioning {
  return {
    models: models.map(({ id, version = "1", files }) => {
      const manifest = manifestOf(files);
      return { id, version, digest: sha256(manifest), manifest, envelope: null };
    }),
    limits: {
      maxRequestBytes: limits.maxRequestBytes ?? 16 * 1024 * 1024,
      queueLength: limits.queueLength ?? 64,
      inferenceTimeoutMs: limits.inferenceTimeoutMs ?? 30_000,
      epochSeconds: 3600,
      epochOverlapSeconds: 3600,
      replaySlots: 1024,
      intraOpThreads: 1,
      cacheBytes: limits.cacheBytes ?? TEST_OPTIONS.cacheBytes,
      maxSequences: TEST_OPTIONS.maxSequences,
    },
  };
}

/** A host that answers with these files, in chunks. */
export function fetchFrom(models: readonly TestModel[], chunkBytes = 65_536): FetchModelFile {
  return async function* (id, version, path) {
    const model = models.find((each) => each.id === id && (each.version ?? "1") === version);
    const bytes = model?.files[path];
    if (bytes === undefined) throw new Error(`the host has no ${id}/${version}/${path}`);
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      yield await Promise.resolve(bytes.subarray(at, at + chunkBytes));
    }
  };
}

export function loadTestModels(
  models: readonly TestModel[],
  limits: TestLimits = {},
): Promise<ServedModels> {
  return loadModels(provisioningOf(models, limits), fetchFrom(models), {
    ...TEST_OPTIONS,
    cacheBytes: limits.cacheBytes ?? TEST_OPTIONS.cacheBytes,
    queueLength: limits.queueLength ?? TEST_OPTIONS.queueLength,
    inferenceTimeoutMs: limits.inferenceTimeoutMs ?? TEST_OPTIONS.inferenceTimeoutMs,
  });
}

export type AppFetch = (path: string, init?: RequestInit) => Promise<Response>;

/** `app.fetch` as a client's fetch, each call with an exchange record of its own. */
export function appFetch(app: App, record?: (bindings: AppBindings) => void): AppFetch {
  return async (path, init) => {
    const bindings: AppBindings = { exchange: { model: null, outcome: {} } };
    record?.(bindings);
    return await app.fetch(new Request(`http://countersign${path}`, init), bindings);
  };
}

/** An app over models in memory, and the way to end it. */
export async function serveTestModels(
  models: readonly TestModel[],
  limits: TestLimits = {},
): Promise<{ readonly served: ServedModels; readonly fetch: AppFetch }> {
  const served = await loadTestModels(models, limits);
  return { served, fetch: appFetch(createApp(served)) };
}
