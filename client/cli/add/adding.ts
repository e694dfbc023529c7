import { open } from "node:fs/promises";
import { join } from "node:path";

import { CommandError } from "../exit.ts";
import { readUserFile } from "../files.ts";
import { externalFiles } from "./graph-data.ts";
import { openHub } from "./hub.ts";
import { openLocal } from "./local.ts";
import type { Origin, OriginFile } from "./origin.ts";
import {
  besideGraph,
  type SelectedFile,
  selectFiles,
  type Selection,
  sizeWithData,
} from "./selection.ts";
import type { ModelSource } from "./source.ts";
import {
  openStaging,
  type PlacedModel,
  placeModel,
  removeSurplus,
  requireRoom,
  type Staging,
} from "./staging.ts";
import type { Surroundings } from "./surroundings.ts";
import { openWeb } from "./web.ts";

/** What is to be added, and where. */
export interface AddRequest {
  readonly source: ModelSource;
  readonly variant: string | null;
  /** The model's name in the repository. */
  readonly id: string;
  /** The model repository. */
  readonly repository: string;
  /** Asked before anything large is fetched; false ends it. */
  readonly agree: (origin: Origin, bytes: number | null) => Promise<boolean>;
}

export interface AddedModel extends PlacedModel {
  readonly origin: Origin;
  readonly kind: Selection["kind"];
  /** Whether each file was compared with a hash that the origin gave. */
  readonly vouched: boolean;
}

/**
 * Fetches a model into a repository, verified as far as its origin vouches for it.
 *
 * Nothing is seen of it there before it is whole. What has arrived stays for the next run where it
 * does not get so far.
 *
 * @throws CommandError
 */
export async function addModel(around: Surroundings, request: AddRequest): Promise<AddedModel> {
  const { source, variant, id, repository } = request;
  // 1. What there is, at one revision.
  const origin = await openOrigin(around, source);
  // 2. Which of it makes the model.
  const selection = selectFiles(origin.files, variant, origin.name);
  const expected = expectedBytes(origin, selection);
  if (!(await request.agree(origin, expected))) throw new CommandError("nothing was fetched");
  const identity = [origin.name, origin.revision ?? "", variant ?? ""];
  const staging = await openStaging(repository, id, identity);
  try {
    if (expected !== null) await requireRoom(staging, expected);
    around.progress.begin(expected);
    // 3. The small files and the graph, then what the graph names.
    const first = [...selection.others, selection.graph];
    for (const selected of first) await fetchSelected(around, origin, staging, selected);
    const data = await dataFiles(origin, staging, selection);
    for (const selected of data) await fetchSelected(around, origin, staging, selected);
    around.progress.clear();
    // 4. Nothing else, and nothing that the node would stumble over.
    const files = [...first, ...data];
    await removeSurplus(staging.tree, new Set(files.map(({ to }) => join(staging.tree, to))));
    await requireContents(staging, files);
    // 5. Into its place, as one step.
    const placed = await placeModel(repository, id, staging);
    const vouched = files.every(({ file }) => file.hash !== null);
    return { ...placed, origin, kind: selection.kind, vouched };
  } catch (error) {
    around.progress.clear();
    await staging.release();
    throw error;
  }
}

async function openOrigin(around: Surroundings, source: ModelSource): Promise<Origin> {
  switch (source.kind) {
    case "hub":
      return await openHub(around, source);
    case "web":
      return await openWeb(around, source);
    case "file":
      return await openLocal(around, source);
    default:
      return source satisfies never;
  }
}

/** Bytes of all of it, by the names that external data have; null where some are not known. */
function expectedBytes(origin: Origin, { graph, others }: Selection): number | null {
  let bytes = sizeWithData(graph.file, origin.files);
  for (const { file } of others) {
    bytes = bytes === null || file.size === null ? null : bytes + file.size;
  }
  return bytes;
}

async function fetchSelected(
  around: Surroundings,
  origin: Origin,
  staging: Staging,
  { file, to }: SelectedFile,
): Promise<void> {
  around.signal.throwIfAborted();
  await origin.fetch(file, await staging.place(to));
}

/** The files of weights that the graph names. @throws CommandError where the origin lacks one. */
async function dataFiles(
  origin: Origin,
  staging: Staging,
  { graph, others }: Selection,
): Promise<readonly SelectedFile[]> {
  const { whole } = await staging.place(graph.to);
  const taken = new Set([graph.to, ...others.map(({ to }) => to)]);
  const selected: SelectedFile[] = [];
  for (const name of await externalFiles(whole)) {
    const { from, to } = besideGraph(graph, name);
    if (taken.has(to)) throw new CommandError(`the graph names ${to} as a file of its weights`);
    taken.add(to);
    selected.push({ file: await required(origin, from), to });
  }
  return selected;
}

async function required(origin: Origin, path: string): Promise<OriginFile> {
  const file = await origin.find(path);
  if (file !== null) return file;
  throw new CommandError(
    `${origin.name} lacks ${path}, which the graph names as a file of its weights`,
    "the export is not complete: ask whoever made it, or try another variant",
  );
}

/**
 * A page that says "not found" with status 200 is no file of a model, and neither is what a clone without
 * Git LFS has in the place of one.
 */
async function requireContents(staging: Staging, files: readonly SelectedFile[]): Promise<void> {
  for (const { to } of files) {
    const { whole } = await staging.place(to);
    const start = await beginning(whole, POINTER.length);
    if (start.toString("latin1") === POINTER) {
      throw new CommandError(`${to} is a pointer of Git LFS, not the file`, "run: git lfs pull");
    }
    if (to.endsWith(".json")) {
      const text = new TextDecoder().decode(await readUserFile(whole, "the file"));
      requireJson(text, to);
    }
    if (to.endsWith(".onnx") && start[0] !== GRAPH_TAG) {
      throw new CommandError(`${to} is no ONNX graph: what came is something else`);
    }
  }
}

/** onnx.proto: ModelProto begins with its field 1, a varint. */
const GRAPH_TAG = 0x08;
/** The first line of a pointer, by the specification of Git LFS. */
const POINTER = "version https://git-lfs";

function requireJson(text: string, to: string): void {
  try {
    JSON.parse(text);
  } catch {
    throw new CommandError(`${to} is not JSON: what came is no file of a model`);
  }
}

async function beginning(path: string, length: number): Promise<Buffer> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
