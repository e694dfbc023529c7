import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Vectors that lie beside a checkout, too many or too large to be part of it. */
const VECTORS = new URL("../../shared/vectors/", import.meta.url).pathname;

/** For `it.skipIf`: whether a group of vectors is absent; says so when it is. */
export function missing(group: string): boolean {
  const absent = !existsSync(VECTORS + group);
  if (absent) console.warn(`skipped: no vectors at ${VECTORS}${group}`);
  return absent;
}

export function listVectors(group: string): readonly string[] {
  return existsSync(VECTORS + group) ? readdirSync(VECTORS + group).toSorted() : [];
}

/** A copy, not a view of a pool. */
export function readVector(path: string): Uint8Array {
  return new Uint8Array(readFileSync(VECTORS + path));
}

/** Each caller names the shape it reads. */
export function readVectorJson<T>(path: string): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the vectors are ours, and fixed
  return JSON.parse(readFileSync(VECTORS + path, "utf8")) as T;
}
