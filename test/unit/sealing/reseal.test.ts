import { open, readdir, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import {
  type NewKey,
  readSealed,
  type ResealedModel,
  resealModels,
  sealModels,
  unsealModels,
} from "@countersign/sealing";
import { describe, expect, it } from "vitest";
import {
  around,
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

const PLAIN = filesOf({ "model.onnx": 5000, "a/b": 1 });
const LONG_AGO = new Date("2020-01-01T00:00:00Z");

async function sealedModel(): Promise<string> {
  const folder = await newFolder();
  const model = await writeFiles(join(folder, "plain"), PLAIN);
  await sealModels(model, join(folder, "sealed"), watchedProvider(1).provider, around());
  return join(folder, "sealed");
}

function newKey(seed: number): NewKey {
  return { provider: watchedProvider(seed).provider, reencrypt: () => null };
}

describe("a new envelope", () => {
  it("opens with the new key, not with the old, and no segment is touched", async () => {
    const sealed = await sealedModel();
    const model = join(sealed, "model.onnx.sealed");
    await utimes(model, LONG_AGO, LONG_AGO);
    const before = await readHashes(sealed);
    const { provider: old, keys } = watchedProvider(1);
    const { provider: fresh } = watchedProvider(2);
    const done: ResealedModel[] = [];
    await resealModels(
      sealed,
      async () => old,
      newKey(2),
      (one) => {
        done.push(one);
      },
    );
    expectOverwritten(keys);
    expect(done.map(({ name, moved }) => ({ name, moved }))).toEqual([{ name: "", moved: "here" }]);
    expect(done[0]?.after.key).not.toBe(done[0]?.before.key);
    expect((await readSealed(sealed)).envelope).toEqual(done[0]?.after);
    const after = await readHashes(sealed);
    expect(after.get("seal.cbor")).not.toBe(before.get("seal.cbor"));
    for (const [path, was] of before) {
      expect(path === "seal.cbor" ? was : after.get(path)).toBe(was);
    }
    expect((await stat(model)).mtime).toEqual(LONG_AGO);
    expect((await readdir(join(sealed, ".."))).toSorted()).toEqual(["plain", "sealed"]);
    const open = async (provider: typeof old, out: string): Promise<unknown> =>
      await unsealModels(sealed, join(sealed, "..", out), async () => provider, around());
    expect(await codeOf(async () => await open(old, "a"))).toBe("sealing/key");
    await open(fresh, "b");
    expect(await readHashes(join(sealed, "..", "b"))).toEqual(hashesOf(PLAIN));
  });

  it("is the key service's own where it can move the key itself", async () => {
    const sealed = await sealedModel();
    const { provider: fresh } = watchedProvider(2);
    const { provider: old, keys } = watchedProvider(1);
    const { envelope, digest } = await readSealed(sealed);
    const moved = await fresh.wrap(await old.unwrap(envelope, digest), digest);
    keys.length = 0;
    const done: ResealedModel[] = [];
    const service: NewKey = { provider: fresh, reencrypt: () => async () => moved };
    await resealModels(
      sealed,
      async () => old,
      service,
      (one) => {
        done.push(one);
      },
    );
    expect(done[0]).toMatchObject({ moved: "key-service", before: envelope, after: moved });
    expect(keys).toEqual([]);
    expect((await readSealed(sealed)).envelope).toEqual(moved);
  });

  it("is not made where the old one does not open, or the version is not whole", async () => {
    const sealed = await sealedModel();
    const before = await readFiles(sealed);
    const { provider: wrong } = watchedProvider(3);
    const reseal = async (directory: string): Promise<unknown> => {
      return await resealModels(
        directory,
        async () => wrong,
        newKey(2),
        () => undefined,
      );
    };
    expect(await codeOf(async () => await reseal(sealed))).toBe("sealing/key");
    expect(await readFiles(sealed)).toEqual(before);
    await writeFiles(sealed, filesOf({ "c.sealed": 16 }));
    expect(await codeOf(async () => await reseal(sealed))).toBe("sealing/sealed");
    expect(await codeOf(async () => await reseal(join(sealed, "..", "plain")))).toBe(
      "sealing/input",
    );
  });

  it.runIf(process.platform === "linux")(
    "is made beside the version itself, whatever link leads there",
    async () => {
      const sealed = await sealedModel();
      const { provider } = watchedProvider(1);
      const handle = await open(sealed);
      // Nothing can be made beside this one.
      const link = `/proc/self/fd/${handle.fd}`;
      const done: ResealedModel[] = [];
      await resealModels(
        link,
        async () => provider,
        newKey(2),
        (one) => {
          done.push(one);
        },
      );
      await handle.close();
      expect((await readSealed(sealed)).envelope).toEqual(done[0]?.after);
    },
  );

  it("is not put in place by halves", async () => {
    const sealed = await sealedModel();
    const before = await readFiles(sealed);
    const { provider } = watchedProvider(1);
    const failing: NewKey = {
      provider: { ...provider, wrap: async () => await Promise.reject(new Error("no")) },
      reencrypt: () => null,
    };
    const run = resealModels(
      sealed,
      async () => provider,
      failing,
      () => undefined,
    );
    await expect(run).rejects.toThrow("no");
    expect(await readFiles(sealed)).toEqual(before);
    expect((await readdir(join(sealed, ".."))).toSorted()).toEqual(["plain", "sealed"]);
  });
});
