import { mkdir, readdir, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeHex } from "@countersign/attestation";
import { fileProvider, type KeyProvider, sealModels, unsealModels } from "@countersign/sealing";
import { describe, expect, it } from "vitest";
import { hex, vectors } from "../protocol/support.ts";
import {
  around,
  bytesOf,
  codeOf,
  expectOverwritten,
  filesOf,
  hashesOf,
  newFolder,
  readFiles,
  readHashes,
  watchedProvider,
  writeFiles,
} from "./sealing-files.ts";

interface KnownAnswer {
  readonly dataKey: string;
  readonly modelDigest: string;
  readonly manifest: string;
  readonly files: readonly {
    readonly path: string;
    readonly size: number;
    readonly sealedSha256: string;
    readonly sealedBytes: number;
    readonly sealedEnd: string;
  }[];
}

const known = vectors<KnownAnswer>("seal/known-answer.json");
const SMALL = filesOf({ "model.onnx": 3000, "metadata.json": 10, "data/empty": 0 });
const SEGMENT = 4_194_304;

async function smallModel(): Promise<{ readonly model: string; readonly out: string }> {
  const folder = await newFolder();
  const model = await writeFiles(join(folder, "models", "m", "1"), SMALL);
  return { model, out: join(folder, "out") };
}

/** What lies beside `out`: nothing hidden may be left there. */
async function besides(out: string): Promise<readonly string[]> {
  return (await readdir(join(out, ".."))).filter((name) => name !== "models");
}

describe("sealing a version", () => {
  it("writes the bytes that another program wrote", async () => {
    const folder = await newFolder();
    const sizes = Object.fromEntries(known.files.map(({ path, size }) => [path, size]));
    const model = await writeFiles(join(folder, "model"), filesOf(sizes));
    const { provider, keys } = watchedProvider(1, hex(known.dataKey));
    const [sealed] = await sealModels(model, join(folder, "out"), provider, around());
    expect(encodeHex(sealed?.digest ?? new Uint8Array())).toBe(known.modelDigest);
    const files = await readFiles(join(folder, "out"));
    const seal = files.get("seal.cbor") ?? new Uint8Array();
    files.delete("seal.cbor");
    expect(Buffer.from(seal).includes(Buffer.from(hex(known.manifest)))).toBe(true);
    expect(hashesOf(files)).toEqual(
      new Map(known.files.map((f) => [`${f.path}.sealed`, `${f.sealedBytes} ${f.sealedSha256}`])),
    );
    for (const { path, sealedEnd } of known.files) {
      const end = files.get(`${path}.sealed`)?.subarray(-sealedEnd.length / 2);
      expect(encodeHex(end ?? new Uint8Array())).toBe(sealedEnd);
    }
    expectOverwritten(keys);
  });

  it("can be undone by whoever has the key", async () => {
    const { model, out } = await smallModel();
    const { provider, keys } = watchedProvider();
    const [sealed] = await sealModels(model, out, provider, around());
    const [opened] = await unsealModels(out, `${out}2`, async () => provider, around());
    expect(await readHashes(`${out}2`)).toEqual(hashesOf(SMALL));
    expect(opened).toEqual({ name: "", digest: sealed?.digest, files: 3, bytes: 3010 });
    expect((await stat(`${out}2`)).mode & 0o777).toBe(0o700);
    expect((await stat(join(`${out}2`, "data", "empty"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(`${out}2`, "data"))).mode & 0o777).toBe(0o700);
    expectOverwritten(keys);
  });

  it("leaves nothing of the plaintext in what it writes", async () => {
    const { model, out } = await smallModel();
    await sealModels(model, out, fileProvider(new Uint8Array(32)), around());
    const all = Buffer.concat([...(await readFiles(out)).values()]);
    const plain = Buffer.from(bytesOf("model.onnx", 3000));
    for (let at = 0; at + 8 <= plain.length; at += 8) {
      expect(all.includes(plain.subarray(at, at + 8))).toBe(false);
    }
  });

  it("takes another data key for each version of a repository", async () => {
    const folder = await newFolder();
    const names = ["a/1", "a/10", "b/2"];
    for (const name of names) await writeFiles(join(folder, "models", name), SMALL);
    await writeFile(join(folder, "models", "README.md"), "no model");
    await mkdir(join(folder, "models", ".hidden", "1"), { recursive: true });
    await mkdir(join(folder, "models", "a", "notes"));
    const { provider, keys } = watchedProvider();
    const seen: Uint8Array[] = [];
    const copying: KeyProvider = {
      ...provider,
      async generate(digest) {
        const made = await provider.generate(digest);
        seen.push(Uint8Array.from(made.key));
        return made;
      },
    };
    const out = join(folder, "out");
    const sealed = await sealModels(join(folder, "models"), out, copying, around());
    expect(sealed.map(({ name }) => name)).toEqual(names);
    expect(new Set(seen.map(encodeHex)).size).toBe(3);
    expectOverwritten(keys);
    expect((await readdir(out)).toSorted()).toEqual(["a", "b"]);
    await unsealModels(out, join(folder, "again"), async () => provider, around());
    for (const name of names) {
      expect(await readHashes(join(folder, "again", name))).toEqual(hashesOf(SMALL));
    }
  });

  it("reads every byte twice and says so as it goes", async () => {
    const folder = await newFolder();
    const model = await writeFiles(join(folder, "m"), filesOf({ "model.onnx": SEGMENT + 1 }));
    const calls: (readonly [string, number])[] = [];
    let total = 0;
    await sealModels(model, join(folder, "out"), fileProvider(new Uint8Array(32)), {
      progress: {
        begin: (bytes) => (total = bytes),
        at: (part, bytes) => calls.push([part, bytes]),
      },
      signal: new AbortController().signal,
    });
    expect(total).toBe(2 * (SEGMENT + 1));
    expect(calls).toEqual([
      ["hashing model.onnx", SEGMENT],
      ["hashing model.onnx", SEGMENT + 1],
      ["sealing model.onnx", SEGMENT],
      ["sealing model.onnx", SEGMENT + 1],
    ]);
  });
});

describe("sealing is refused", () => {
  it("where there is something already, or where it would become part of the model", async () => {
    const { model, out } = await smallModel();
    const provider = fileProvider(new Uint8Array(32));
    const seal = async (to: string): Promise<string> =>
      await codeOf(async () => await sealModels(model, to, provider, around()));
    await mkdir(out);
    expect(await seal(out)).toBe("sealing/output");
    await writeFile(`${out}2`, "a file");
    expect(await seal(`${out}2`)).toBe("sealing/output");
    expect(await seal(join(`${out}2`, "below"))).toBe("sealing/output");
    await symlink(model, `${out}3`);
    expect(await seal(`${out}3`)).toBe("sealing/output");
    expect(await seal(join(model, "sealed"))).toBe("sealing/output");
    expect(await seal(join(`${out}3`, "sealed"))).toBe("sealing/output");
    expect(await seal(join(model, "new", "folder", "sealed"))).toBe("sealing/output");
    expect(await readHashes(model)).toEqual(hashesOf(SMALL));
    expect(await readdir(out)).toEqual([]);
  });

  it.each<[string, (model: string) => Promise<unknown>]>([
    ["a hidden file", async (m) => await writeFile(join(m, ".x"), "")],
    ["a link", async (m) => await symlink("model.onnx", join(m, "link"))],
    ["a link to a folder", async (m) => await symlink("data", join(m, "link"))],
    ["a seal", async (m) => await writeFile(join(m, "seal.cbor"), "")],
    ["a path that is no manifest's", async (m) => await writeFile(join(m, "a\\b"), "")],
    ["a name too long with its suffix", async (m) => await writeFile(join(m, "a".repeat(249)), "")],
    [
      "a name that becomes a folder's",
      async (m) => await writeFiles(m, filesOf({ a: 1, "a.sealed/b": 1 })),
    ],
    ["too deep a folder", async (m) => await writeFiles(m, filesOf({ "1/2/3/4/5/6/7/8/9": 1 }))],
  ])("for a version with %s", async (_, spoil) => {
    const { model, out } = await smallModel();
    await spoil(model);
    const { provider, keys } = watchedProvider();
    expect(await codeOf(async () => await sealModels(model, out, provider, around()))).toBe(
      "sealing/input",
    );
    expect(await besides(out)).toEqual([]);
    expect(keys).toEqual([]);
  });

  it("for what is no version and holds none", async () => {
    const folder = await newFolder();
    const provider = fileProvider(new Uint8Array(32));
    await writeFiles(join(folder, "none"), filesOf({ "weights.bin": 1, "onnx/readme": 1 }));
    await writeFiles(join(folder, "bare", "m", "1"), filesOf({ "weights.bin": 1 }));
    for (const name of ["none", "bare", "missing"]) {
      const out = join(folder, "out");
      const run = async (): Promise<unknown> =>
        await sealModels(join(folder, name), out, provider, around());
      expect(await codeOf(run)).toBe("sealing/input");
    }
  });
});

describe("sealing that fails leaves nothing behind", () => {
  it.each<[string, (file: string) => Promise<unknown>]>([
    ["changes", async (file) => await writeFile(file, bytesOf("other", 3000))],
    ["grows", async (file) => await writeFile(file, bytesOf("model.onnx", 3001))],
    ["shrinks", async (file) => await truncate(file, 2999)],
  ])("where a file %s after it was hashed", async (_, change) => {
    const { model, out } = await smallModel();
    const { provider, keys } = watchedProvider();
    const changing: KeyProvider = {
      ...provider,
      // The manifest is made by now.
      async generate(digest) {
        await change(join(model, "model.onnx"));
        return await provider.generate(digest);
      },
    };
    expect(await codeOf(async () => await sealModels(model, out, changing, around()))).toBe(
      "sealing/changed",
    );
    expect(await besides(out)).toEqual([]);
    expectOverwritten(keys);
  });

  it.each(["hashing", "sealing"])("where it is interrupted while %s", async (when) => {
    const { model, out } = await smallModel();
    const { provider, keys } = watchedProvider();
    const interrupt = new AbortController();
    const progress = {
      begin: (): void => undefined,
      at: (part: string): void => {
        if (part.startsWith(when)) interrupt.abort(new Error("enough"));
      },
    };
    const { signal } = interrupt;
    await expect(sealModels(model, out, provider, { progress, signal })).rejects.toThrow("enough");
    expect(await besides(out)).toEqual([]);
    if (when === "sealing") expectOverwritten(keys);
  });

  it("where the provider has no key", async () => {
    const { model, out } = await smallModel();
    const { provider } = watchedProvider();
    const refusing: KeyProvider = {
      ...provider,
      generate: async () => await Promise.reject(new Error("no key")),
    };
    await expect(sealModels(model, out, refusing, around())).rejects.toThrow("no key");
    expect(await besides(out)).toEqual([]);
  });

  it("not even the folders above that it made, and no others", async () => {
    const { model, out } = await smallModel();
    const { provider } = watchedProvider();
    const refusing: KeyProvider = {
      ...provider,
      generate: async () => await Promise.reject(new Error("no key")),
    };
    const deep = join(out, "new", "folder", "sealed");
    await mkdir(out);
    await expect(sealModels(model, deep, refusing, around())).rejects.toThrow("no key");
    expect(await readdir(out)).toEqual([]);
    await sealModels(model, deep, provider, around());
    expect(await readdir(join(out, "new", "folder"))).toEqual(["sealed"]);
  });

  it("where somebody takes the place meanwhile", async () => {
    const { model, out } = await smallModel();
    const { provider } = watchedProvider();
    const late = async (): Promise<unknown> =>
      await sealModels(
        model,
        out,
        {
          ...provider,
          async generate(digest) {
            await writeFiles(out, filesOf({ theirs: 1 }));
            return await provider.generate(digest);
          },
        },
        around(),
      );
    expect(await codeOf(late)).toBe("sealing/output");
    expect(await besides(out)).toEqual(["out"]);
    expect([...(await readFiles(out)).keys()]).toEqual(["theirs"]);
  });
});
