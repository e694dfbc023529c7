/** Opening a sealed model beside reading the same one in the clear, and the envelope of its key. */
import { randomFillSync } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { scanModels } from "../host/store.ts";
import { fileProvider } from "../sealing/providers/file.ts";
import { sealModels } from "../sealing/seal.ts";
import { startChild } from "./child.ts";
import { measureEnvelopes } from "./envelope.ts";
import type { MemoryAnswer, MemoryRequest } from "./sealed-memory.ts";
import { PLAIN_ID, reader, SEALED_ID, type SealedModel } from "./sealed-opening.ts";
import type { Settings } from "./settings.ts";
import { median } from "./statistics.ts";
import { asMB, asMs, asRatio, bounded, type Findings, reported, type Row } from "./table.ts";
import { ratioOf, takeTurns } from "./turns.ts";

const HOST_PROGRAM = fileURLToPath(new URL("sealed-host.ts", import.meta.url));
const MEMORY_PROGRAM = fileURLToPath(new URL("sealed-memory.ts", import.meta.url));
const MODEL_BYTES = 200e6;
const MIN_SPEED = 0.6;
const MAX_SURPLUS_BYTES = 32 * 2 ** 20;
const GRAPH = "model.onnx";

export async function measureSealed(settings: Settings): Promise<Findings> {
  const directory = await mkdtemp(join(tmpdir(), "cs-bench-"));
  try {
    const socket = join(directory, "host.sock");
    const repository = join(directory, "models");
    const model = { socket, ...(await makeModels(repository)) };
    const host = await startChild(HOST_PROGRAM, [repository, socket]);
    try {
      const memory = [await memoryOf(PLAIN_ID, model), await memoryOf(SEALED_ID, model)] as const;
      const found = [await speedOf(model, settings), memoryFindings(...memory)];
      found.push(await measureEnvelopes(settings));
      return {
        rows: found.flatMap(({ rows }) => rows),
        parts: found.flatMap(({ parts }) => parts),
      };
    } finally {
      await host.stop();
    }
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** The same model twice in one repository, in the clear and sealed by the owner's own tool. */
async function makeModels(repository: string): Promise<Omit<SealedModel, "socket">> {
  const plain = join(repository, PLAIN_ID, "1");
  const sealed = join(repository, SEALED_ID, "1");
  await mkdir(plain, { recursive: true });
  await mkdir(join(repository, SEALED_ID));
  // Nobody opens it with ONNX Runtime; noise, so that nothing on its way could make less of it.
  await writeFile(join(plain, GRAPH), randomFillSync(new Uint8Array(MODEL_BYTES)));
  const provider = fileProvider(randomFillSync(new Uint8Array(32)));
  const quiet = { begin: (): void => undefined, at: (): void => undefined };
  const around = { progress: quiet, signal: new AbortController().signal };
  const [made] = await sealModels(plain, sealed, provider, around);
  const { models } = await scanModels(repository);
  const stored = models.find(({ id }) => id === SEALED_ID);
  if (made === undefined || stored === undefined) throw new TypeError("nothing was sealed");
  const { manifest, digest: modelDigest } = stored;
  return { manifest, modelDigest, dataKey: await provider.unwrap(made.envelope, modelDigest) };
}

/** Both as the enclave reads them, from the host's own server in another process. */
async function speedOf(model: SealedModel, { rounds }: Settings): Promise<Findings> {
  const read = reader(model);
  const timesOf = await takeTurns(
    { sealed: () => read(SEALED_ID), plain: () => read(PLAIN_ID) },
    { rounds, calls: 1 },
  );
  const [sealed, plain] = [timesOf("sealed"), timesOf("plain")];
  const speed = ratioOf(plain.wallUs, sealed.wallUs);
  const describe = (wallUs: readonly number[]): string => {
    const ms = median(wallUs) / 1000;
    return `${asMs(ms)} (${asMB(MODEL_BYTES / (ms / 1000))}/s)`;
  };
  return {
    rows: [
      bounded(
        "sealed model, speed of opening ÷ of one in the clear",
        speed,
        "≥",
        MIN_SPEED,
        asRatio,
      ),
    ],
    parts: [
      `Sealed model of ${asMB(MODEL_BYTES)}, read from the host and hashed: ${describe(sealed.wallUs)}; ` +
        `the same in the clear ${describe(plain.wallUs)}. ` +
        `Opening takes ${asRatio(ratioOf(sealed.cpuUs, plain.cpuUs))} times the CPU time.`,
    ],
  };
}

function memoryFindings(plain: MemoryAnswer, sealed: MemoryAnswer): Findings {
  const surplus = ({ peakBytes, beforeBytes, modelBytes }: MemoryAnswer): number =>
    peakBytes - beforeBytes - modelBytes;
  const what = "peak memory beyond the model's size";
  const rows: Row[] = [
    bounded(`${what}, opening a sealed one`, surplus(sealed), "≤", MAX_SURPLUS_BYTES, asMB),
    reported(`${what}, reading one in the clear`, asMB(surplus(plain))),
  ];
  const { peakBytes, beforeBytes } = sealed;
  const parts = [`Sealed model, memory: ${asMB(beforeBytes)} before, ${asMB(peakBytes)} at most.`];
  return { rows, parts };
}

/** In a process of its own, which has read nothing before. */
async function memoryOf(id: string, model: SealedModel): Promise<MemoryAnswer> {
  const child = await startChild<MemoryRequest, MemoryAnswer>(MEMORY_PROGRAM, []);
  try {
    const { socket, manifest, modelDigest, dataKey } = model;
    return await child.ask({
      id,
      socket,
      manifest: asHex(manifest),
      modelDigest: asHex(modelDigest),
      dataKey: asHex(dataKey),
    });
  } finally {
    await child.stop();
  }
}

function asHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
