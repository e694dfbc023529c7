/** The corpus on disk: reading it, and writing it anew. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import type { Expected, Vector } from "./vector.ts";

/** Where the vectors lie. */
export const CORPUS: string = new URL("../vectors/", import.meta.url).pathname;
/** Folders beside the corpus that are made otherwise: published vectors of others, and other programs'. */
const FOREIGN: ReadonlySet<string> = new Set(["hpke", "key-release", "ohttp", "seal"]);

/** All vectors, by stage and number. */
export function readCorpus(): readonly Vector[] {
  return stages().flatMap((stage) =>
    readdirSync(join(CORPUS, stage), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .toSorted()
      .map((name) => readVector(`${stage}/${name}`)),
  );
}

function stages(): readonly string[] {
  return readdirSync(CORPUS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !FOREIGN.has(entry.name))
    .map(({ name }) => name)
    .toSorted();
}

function readVector(id: string): Vector {
  const folder = join(CORPUS, id);
  const files = new Map<string, Uint8Array>();
  for (const name of readdirSync(folder)) {
    if (name !== "expected.json") files.set(name, read(join(folder, name)));
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own vectors, of fixed shape
  const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Expected;
  const { policy } = expected;
  if (policy !== null && !files.has(policy)) files.set(policy, read(join(folder, policy)));
  return { id, expected, files };
}

/** A copy, not a view of a pool. */
function read(path: string): Uint8Array {
  return new Uint8Array(readFileSync(path));
}

/** Puts `vectors` in place of the whole corpus. A policy above a vector's folder is written once. */
export function writeCorpus(vectors: readonly Vector[]): void {
  for (const stage of stages()) rmSync(join(CORPUS, stage), { recursive: true });
  for (const { id, expected, files } of vectors) {
    const folder = join(CORPUS, id);
    mkdirSync(folder, { recursive: true });
    for (const [name, bytes] of files) {
      const path = normalize(join(folder, name));
      if (!path.startsWith(CORPUS)) throw new TypeError(`${path} is outside the corpus`);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
    writeFileSync(join(folder, "expected.json"), `${JSON.stringify(expected, null, 2)}\n`);
  }
}
