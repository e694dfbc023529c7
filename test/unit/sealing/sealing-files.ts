/** Models on a disk, for the tests of sealing: folders of their own, and providers that are watched. */
import { createHash, hash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  fileProvider,
  type KeyProvider,
  SealingError,
  type Surroundings,
} from "@countersign/sealing";
import { afterAll, expect } from "vitest";

/** Files by path. */
export type Files = ReadonlyMap<string, Uint8Array>;

const made: string[] = [];
afterAll(async () => {
  for (const folder of made) await rm(folder, { recursive: true, force: true });
});

/** A folder that goes away with the file's tests. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-sealing-"));
  made.push(folder);
  return folder;
}

/** Bytes that differ everywhere, and in every file. */
export function bytesOf(path: string, size: number): Uint8Array {
  const shake = createHash("shake256", { outputLength: size === 0 ? 1 : size });
  return new Uint8Array(shake.update(path).digest()).subarray(0, size);
}

export function filesOf(sizes: Readonly<Record<string, number>>): Files {
  return new Map(Object.entries(sizes).map(([path, size]) => [path, bytesOf(path, size)]));
}

export async function writeFiles(directory: string, files: Files): Promise<string> {
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), bytes);
  }
  return directory;
}

/** Every file below `directory`. */
export async function readFiles(directory: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(directory.length + 1), new Uint8Array(await readFile(path)));
  }
  return new Map([...files].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** {@link readFiles}, each as its length and hash: a difference that a person can read. */
export async function readHashes(directory: string): Promise<ReadonlyMap<string, string>> {
  const files = await readFiles(directory);
  return hashesOf(files);
}

export function hashesOf(files: Files): ReadonlyMap<string, string> {
  const sorted = [...files].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Map(sorted.map(([path, bytes]) => [path, `${bytes.length} ${hash("sha256", bytes)}`]));
}

/** A provider over a key file's key, and every data key that went through its hands. */
export function watchedProvider(
  seed = 1,
  dataKey?: Uint8Array,
): { readonly provider: KeyProvider; readonly keys: Uint8Array[] } {
  const inner = fileProvider(new Uint8Array(32).fill(seed));
  const keys: Uint8Array[] = [];
  const provider: KeyProvider = {
    async generate(modelDigest) {
      const made = await inner.generate(modelDigest);
      if (dataKey === undefined) {
        keys.push(made.key);
        return made;
      }
      const key = Uint8Array.from(dataKey);
      keys.push(key);
      return { key, envelope: await inner.wrap(key, modelDigest) };
    },
    async unwrap(envelope, modelDigest) {
      const key = await inner.unwrap(envelope, modelDigest);
      keys.push(key);
      return key;
    },
    wrap: inner.wrap.bind(inner),
  };
  return { provider, keys };
}

/** Whether each of `keys` was overwritten, and there was one. */
export function expectOverwritten(keys: readonly Uint8Array[]): void {
  expect(keys.length).toBeGreaterThan(0);
  for (const key of keys) expect(key).toEqual(new Uint8Array(32));
}

/** Nobody watches, nobody interrupts. */
export function around(onProgress: (part: string, bytes: number) => void = () => {}): Surroundings {
  return {
    progress: { begin: () => undefined, at: onProgress },
    signal: new AbortController().signal,
  };
}

/** The code of the SealingError that `run` ends with; another error, or none, fails the test. */
export async function codeOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (error instanceof SealingError) return error.code;
    throw error;
  }
  return "no error";
}
