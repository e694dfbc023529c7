import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeManifest, encodeSeal, parseManifest, parseSeal } from "@countersign/protocol";
import { readSealed, sealedFaults, sealModels, unsealModels } from "@countersign/sealing";
import { beforeAll, describe, expect, it } from "vitest";
import {
  around,
  codeOf,
  expectOverwritten,
  type Files,
  filesOf,
  hashesOf,
  newFolder,
  readFiles,
  readHashes,
  watchedProvider,
  writeFiles,
} from "./sealing-files.ts";
import { lying } from "./lying-sealer.ts";

const SEGMENT = 4_194_304;
const SEALED_SEGMENT = SEGMENT + 16;
const PLAIN = filesOf({
  "model.onnx": 2 * SEGMENT + 9,
  "a.bin": 100,
  "b.bin": 100,
  empty: 0,
});
const DATA_KEY = new Uint8Array(32).fill(9);

let sealed: Files;
/** The same files but one, under the same data key: another version of the model. */
let other: Files;
beforeAll(async () => {
  const folder = await newFolder();
  const { provider } = watchedProvider(1, DATA_KEY);
  const first = await writeFiles(join(folder, "1"), PLAIN);
  await sealModels(first, join(folder, "1.sealed"), provider, around());
  sealed = await readFiles(join(folder, "1.sealed"));
  const second = await writeFiles(join(folder, "2"), new Map([...PLAIN, ["c", new Uint8Array()]]));
  await rm(join(second, "empty"));
  await sealModels(second, join(folder, "2.sealed"), provider, around());
  other = await readFiles(join(folder, "2.sealed"));
});

function fileOf(files: Files, path: string): Uint8Array {
  const bytes = files.get(path);
  if (bytes === undefined) throw new TypeError(`no ${path}`);
  return Uint8Array.from(bytes);
}

/** The version with some files replaced, on a disk. */
async function sealedWith(changes: Readonly<Record<string, Uint8Array>>): Promise<string> {
  const folder = await newFolder();
  return await writeFiles(join(folder, "v"), new Map([...sealed, ...Object.entries(changes)]));
}

function segment(at: number): Uint8Array {
  const start = at * SEALED_SEGMENT;
  return fileOf(sealed, "model.onnx.sealed").subarray(start, start + SEALED_SEGMENT);
}

/** Opens `directory` and expects a refusal, nothing written, and no key left. */
async function expectRefusal(directory: string, code: string): Promise<void> {
  const { provider, keys } = watchedProvider();
  const out = join(directory, "..", "out");
  const run = async (): Promise<unknown> =>
    await unsealModels(directory, out, async () => provider, around());
  expect(await codeOf(run)).toBe(code);
  expect(await readdir(join(directory, ".."))).toEqual(["v"]);
  // A key is asked for where the version is whole, and overwritten whatever comes of it.
  expect(keys).toEqual(code === "sealing/segment" ? [new Uint8Array(32)] : []);
}

describe("a sealed version that somebody changed", () => {
  it("opens where nobody did", async () => {
    const directory = await sealedWith({});
    const { provider, keys } = watchedProvider();
    await unsealModels(directory, `${directory}.out`, async () => provider, around());
    expect(await readHashes(`${directory}.out`)).toEqual(hashesOf(PLAIN));
    expectOverwritten(keys);
  });

  it.each([
    ["first", 0],
    ["last of a segment's text", SEGMENT - 1],
    ["first of a tag", SEGMENT],
    ["last of a tag", SEALED_SEGMENT - 1],
    ["last", 2 * SEALED_SEGMENT + 9 + 15],
  ])("does not open with its %s byte changed", async (_, at) => {
    const model = fileOf(sealed, "model.onnx.sealed");
    model[at] = (model[at] ?? 0) ^ 1;
    await expectRefusal(await sealedWith({ "model.onnx.sealed": model }), "sealing/segment");
  });

  it.each<[string, () => Readonly<Record<string, Uint8Array>>]>([
    [
      "two segments swapped",
      () => ({ "model.onnx.sealed": Buffer.concat([segment(1), segment(0), segment(2)]) }),
    ],
    [
      "a segment doubled",
      () => ({ "model.onnx.sealed": Buffer.concat([segment(0), segment(0), segment(2)]) }),
    ],
    [
      "two files swapped",
      () => ({
        "a.bin.sealed": fileOf(sealed, "b.bin.sealed"),
        "b.bin.sealed": fileOf(sealed, "a.bin.sealed"),
      }),
    ],
    [
      "a file of another version under the same data key",
      () => ({ "a.bin.sealed": fileOf(other, "a.bin.sealed") }),
    ],
    ["an empty file made of nothing", () => ({ "empty.sealed": new Uint8Array(16) })],
  ])("does not open with %s", async (_, changes) => {
    await expectRefusal(await sealedWith(changes()), "sealing/segment");
  });

  it.each<[string, () => Readonly<Record<string, Uint8Array>>]>([
    [
      "its last segment dropped",
      () => ({ "model.onnx.sealed": Buffer.concat([segment(0), segment(1)]) }),
    ],
    ["a byte cut", () => ({ "a.bin.sealed": fileOf(sealed, "a.bin.sealed").subarray(1) })],
    [
      "a byte more",
      () => ({ "a.bin.sealed": Buffer.concat([fileOf(sealed, "a.bin.sealed"), Buffer.of(0)]) }),
    ],
    ["an empty file without its segment", () => ({ "empty.sealed": new Uint8Array() })],
    ["a file that does not belong there", () => ({ "c.sealed": new Uint8Array(16) })],
    ["a file in clear beside it", () => ({ "a.bin": new Uint8Array(100) })],
    ["no seal that can be read", () => ({ "seal.cbor": new Uint8Array(4) })],
    [
      "a seal that goes on",
      () => ({ "seal.cbor": Buffer.concat([fileOf(sealed, "seal.cbor"), Buffer.of(0)]) }),
    ],
  ])("is not even tried with %s", async (_, changes) => {
    await expectRefusal(await sealedWith(changes()), "sealing/sealed");
  });

  it("is not even tried with a file missing, or one that is a link", async () => {
    const directory = await sealedWith({});
    await rm(join(directory, "a.bin.sealed"));
    await expectRefusal(directory, "sealing/sealed");
    await symlink("b.bin.sealed", join(directory, "a.bin.sealed"));
    await expectRefusal(directory, "sealing/sealed");
  });

  it("does not open under a manifest that says otherwise", async () => {
    const { manifest, envelope } = parseSeal(fileOf(sealed, "seal.cbor"));
    const entries = parseManifest(manifest).map((entry) =>
      entry.path === "a.bin" ? { ...entry, sha256: new Uint8Array(32) } : entry,
    );
    const seal = encodeSeal({ manifest: encodeManifest(entries), envelope });
    const directory = await sealedWith({ "seal.cbor": seal });
    const { provider } = watchedProvider();
    const run = async (): Promise<unknown> =>
      await unsealModels(directory, `${directory}.out`, async () => provider, around());
    // The wrapped key is bound to the digest, so the lie shows before a segment is read.
    expect(await codeOf(run)).toBe("sealing/key");
  });

  it("does not open to another file than the manifest names, even for its sealer", async () => {
    // Sealed by somebody who has the key and lies: every tag is right, for the digest of the lie.
    const folder = await newFolder();
    const honest = await writeFiles(join(folder, "plain"), filesOf({ "model.onnx": 50 }));
    const { provider } = watchedProvider();
    await sealModels(honest, join(folder, "v"), provider, around());
    const { manifest } = await readSealed(join(folder, "v"));
    const lie = encodeManifest(
      parseManifest(manifest).map((entry) => ({ ...entry, sha256: new Uint8Array(32) })),
    );
    await lying(join(folder, "v"), lie, filesOf({ "model.onnx": 50 }), provider);
    await rm(honest, { recursive: true });
    await expectRefusal(join(folder, "v"), "sealing/segment");
  });
});

describe("inspecting a sealed version", () => {
  it("finds nothing wrong with a whole one", async () => {
    const version = await readSealed(await sealedWith({}));
    expect(await sealedFaults(version)).toEqual([]);
    expect(version.entries.map(({ path }) => path)).toEqual([...PLAIN.keys()].toSorted());
    expect(version.envelope.kind).toBe("file");
  });

  it("names everything that is wrong", async () => {
    const directory = await sealedWith({ "b.bin.sealed": new Uint8Array(3) });
    await rename(join(directory, "a.bin.sealed"), join(directory, "x.sealed"));
    const version = await readSealed(directory);
    expect(await sealedFaults(version)).toEqual([
      "b.bin.sealed has 3 bytes, want 116",
      "x.sealed does not belong here",
      "a.bin.sealed is missing",
    ]);
  });

  it("names what a file manager left there, and what is no file", async () => {
    const directory = await sealedWith({ ".DS_Store": new Uint8Array(1) });
    await symlink("seal.cbor", join(directory, "x"));
    await mkdir(join(directory, ".git"));
    expect(await sealedFaults(await readSealed(directory))).toEqual([
      ".DS_Store is hidden: remove it or rename it",
      ".git is hidden: remove it or rename it",
      "x is no plain file: put the file itself there",
    ]);
  });

  it("does not read a seal without end", async () => {
    const directory = await sealedWith({});
    const seal = await readFile(join(directory, "seal.cbor"));
    await writeFile(join(directory, "seal.cbor"), Buffer.concat([seal, Buffer.alloc(2 << 20)]));
    expect(await codeOf(async () => await readSealed(directory))).toBe("sealing/sealed");
  });
});
