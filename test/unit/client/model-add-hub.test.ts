import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { encodeHex } from "@countersign/attestation";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { CommandError } from "../../../client/cli/exit.ts";
import { type FakeHub, REPOSITORY, repeated, startHub } from "../../fakes/hub.ts";
import { exportFiles, FULL, weights } from "./model-add-files.ts";
import { createWorld, type World } from "./model-add-world.ts";
import { rejection } from "./rejection.ts";

const SOURCE = `hf:${REPOSITORY}`;
const DATA = "onnx/model.onnx_data";

let hub: FakeHub;
let world: World;

beforeEach(async () => {
  hub = await startHub(exportFiles());
  world = await createWorld(hub.url);
});

afterEach(async () => {
  await hub.close();
  await rm(world.repository, { recursive: true });
});

async function refused(source = SOURCE, variant?: string): Promise<CommandError> {
  const options = variant === undefined ? {} : { variant };
  const error = await rejection(world.add(source, options), CommandError);
  expect(error.exitCode).toBe(2);
  return error;
}

/** Names in the repository that a node would see. */
async function visible(): Promise<readonly string[]> {
  return (await readdir(world.repository)).filter((name) => !name.startsWith("."));
}

async function staged(): Promise<string> {
  const [name = ""] = (await readdir(world.repository)).filter((entry) => entry.startsWith("."));
  return join(world.repository, name);
}

async function expectWhole(version = "1"): Promise<void> {
  const root = join(world.repository, "tiny-model", version);
  for (const path of FULL) {
    const found = new Uint8Array(await readFile(join(root, path)));
    expect(Buffer.compare(found, exportFiles().get(path) ?? Buffer.of()), path).toBe(0);
  }
  expect(await readdir(world.repository)).toEqual(["tiny-model"]);
}

/** Ranges that the other origin was asked for, of the file of weights. */
function ranges(): readonly (string | null)[] {
  return hub.seen.filter(({ at, path }) => at === "cdn" && path.endsWith(DATA)).map((s) => s.range);
}

describe("model add hf:", () => {
  it("fetches one variant by its commit, and only what belongs to it", async () => {
    const added = await world.add(SOURCE);
    expect(added.model.files.map(({ path }) => path).toSorted()).toEqual(FULL);
    expect(added).toMatchObject({
      present: false,
      vouched: true,
      kind: "export",
      model: { id: "tiny-model", version: "1" },
      origin: { revision: hub.commit, licence: "apache-2.0" },
    });
    await expectWhole();
  });

  it("takes a variant by its common name, and lists those there are", async () => {
    const { model } = await world.add(SOURCE, { variant: "q8", as: "small" });
    expect(model.files.map(({ path }) => path)).toContain("onnx/model_quantized.onnx");
    const error = await refused(SOURCE, "fp16");
    expect(error.message).toContain('no variant "fp16"');
    expect(error.fix).toBe(
      "there is full precision (603.1 kB), --variant q4 (3.0 kB), --variant q8 (3.0 kB)",
    );
    const files = exportFiles();
    files.delete("onnx/model.onnx");
    hub.commits.set(hub.commit, files);
    expect((await refused()).message).toContain("no graph of full precision");
  });

  it("is not confused by a branch that moves between listing and fetch", async () => {
    const moved = exportFiles();
    moved.set("config.json", Buffer.from('{"model_type":"other"}'));
    const next = "b".repeat(40);
    hub.commits.set(next, moved);
    hub.mangle = (listing) => {
      hub.branch = next;
      return listing;
    };
    await world.add(SOURCE);
    await expectWhole();
    expect(hub.seen.filter(({ path }) => path.includes("resolve/b"))).toEqual([]);
  });

  it("says that it is there already, and gives other files the next number", async () => {
    const first = await world.add(SOURCE);
    const again = await world.add(SOURCE);
    expect([again.present, again.model.version]).toEqual([true, "1"]);
    expect(encodeHex(again.model.digest)).toBe(encodeHex(first.model.digest));
    const other = await world.add(SOURCE, { variant: "q4" });
    expect([other.present, other.model.version]).toEqual([false, "2"]);
    expect(await readdir(world.repository)).toEqual(["tiny-model"]);
  });

  it("sends the token to the hub, and to nobody it redirects to", async () => {
    await rm(world.repository, { recursive: true });
    world = await createWorld(hub.url, { HF_TOKEN: "hf_secret" });
    hub.token = "hf_secret";
    await world.add(SOURCE);
    const sent = (at: string): readonly (string | null)[] => [
      ...new Set(hub.seen.filter((s) => s.at === at).map((s) => s.authorization)),
    ];
    expect(sent("hub")).toEqual(["Bearer hf_secret"]);
    expect(sent("cdn")).toEqual([null]);
  });

  it("says what to do about what is gated, private, or missing", async () => {
    hub.token = "hf_other";
    const gated = await refused();
    expect(gated.fix).toContain("accept its licence");
    expect(gated.fix).toContain("HF_TOKEN");
    hub.refusal = "RepoNotFound";
    expect((await refused()).fix).toContain("needs HF_TOKEN");
    hub.token = null;
    expect((await refused("hf:acme/none")).message).toContain("has no acme/none (404)");
    expect((await refused(`${SOURCE}@v9`)).message).toContain("no revision v9");
    expect(await visible()).toEqual([]);
  });
});

describe("model add hf:, with faults", () => {
  it("survives connections that break", async () => {
    const cut = { kind: "cut", after: 120_000 } as const;
    hub.faults.set(`${DATA}@cdn`, [cut, cut, cut]);
    hub.faults.set("/config.json", [{ kind: "cut", after: 3 }]);
    await world.add(SOURCE);
    await expectWhole();
    expect(world.waits.length).toBeGreaterThanOrEqual(3);
  });

  it("goes on where an answer ended, and after a server's pause", async () => {
    hub.faults.set(`${DATA}@cdn`, [
      { kind: "short", after: 100_000 },
      { kind: "status", status: 503 },
      { kind: "status", status: 429, headers: { "retry-after": "7" } },
      { kind: "short", after: 50_000 },
    ]);
    await world.add(SOURCE);
    await expectWhole();
    const tail = ["bytes=100000-", "bytes=100000-", "bytes=100000-", "bytes=150000-"];
    expect(ranges()).toEqual([null, ...tail]);
    expect(world.waits).toEqual([1000, 2000, 7000, 1000]);
    expect(world.notes.join("\n")).toContain("answered 429; again in 7 s");
  });

  it("gives up a connection on which nothing comes, and goes on", async () => {
    hub.faults.set(`${DATA}@cdn`, [{ kind: "stall", after: 1234 }]);
    await world.add(SOURCE);
    await expectWhole();
    expect(ranges()).toEqual([null, "bytes=1234-"]);
  });

  it("starts anew where the server ignores ranges, and takes no half for the whole", async () => {
    hub.faults.set(`${DATA}@cdn`, [{ kind: "short", after: 9000 }, { kind: "no-range" }]);
    await world.add(SOURCE);
    await expectWhole();
  });

  it("stops after some attempts, and goes on in the next run", async () => {
    const gone = { kind: "status", status: 503 } as const;
    hub.faults.set(`${DATA}@cdn`, [{ kind: "short", after: 200_000 }, ...repeated(5, gone)]);
    const error = await refused();
    expect(error.message).toContain("answered 503, after 6 attempts");
    expect(error.message).not.toContain("secret");
    expect(await visible()).toEqual([]);
    hub.seen.length = 0;
    await world.add(SOURCE);
    await expectWhole();
    expect(ranges()).toEqual(["bytes=200000-"]);
    // What was whole was hashed and not fetched again.
    expect(hub.seen.filter(({ path }) => path.endsWith("config.json"))).toEqual([]);
  });

  it("throws away a file with a wrong hash", async () => {
    for (const path of ["/config.json", `${DATA}@cdn`]) {
      hub.faults.set(path, [{ kind: "flip" }]);
      const error = await refused();
      expect(error.message).toContain("is not the file that it should be");
      const left = await readdir(await staged(), { recursive: true });
      expect(left.filter((name) => name.endsWith(path.slice(1)))).toEqual([]);
      expect(await visible()).toEqual([]);
    }
    await world.add(SOURCE);
    await expectWhole();
  });

  it("throws away a file that is too long, and one that stays too short", async () => {
    hub.faults.set(`${DATA}@cdn`, [{ kind: "long" }]);
    expect((await refused()).message).toContain("is longer than 300000 bytes");
    const nothing = { kind: "short", after: 0 } as const;
    hub.faults.set(`${DATA}_1@cdn`, [{ kind: "short", after: 5 }, ...repeated(5, nothing)]);
    expect((await refused()).message).toContain("ended after 5 B of");
    hub.faults.clear();
    await world.add(SOURCE);
    await expectWhole();
  });

  it("fetches the whole where what an earlier run left does not fit", async () => {
    const gone = { kind: "status", status: 503 } as const;
    hub.faults.set(`${DATA}@cdn`, [{ kind: "short", after: 70_000 }, ...repeated(5, gone)]);
    await refused();
    const part = join(await staged(), "parts", `${encodeURIComponent(DATA)}.part`);
    await writeFile(part, new Uint8Array(70_000));
    await world.add(SOURCE);
    await expectWhole();
    expect(Buffer.compare(exportFiles().get(DATA) ?? Buffer.of(), weights(1))).toBe(0);
  });

  it("refuses redirects in a circle, to plain HTTP, and to nowhere", async () => {
    const circle = `${hub.url}/${REPOSITORY}/resolve/${hub.commit}/config.json`;
    const cases = [
      [repeated(9, { kind: "redirect", to: circle }), "redirects more than 5 times"],
      [[{ kind: "redirect", to: "http://192.0.2.1/x?sig=1" }], "http://192.0.2.1/x, which is not"],
      [[{ kind: "redirect", to: "ftp://192.0.2.1/" }], "which is not encrypted"],
      [[{ kind: "redirect", to: "https://a:b@192.0.2.1/" }], "which is not encrypted"],
      [[{ kind: "redirect", to: "http://" }], "redirects to no address"],
    ] as const;
    for (const [faults, said] of cases) {
      hub.faults.set("/config.json", [...faults]);
      expect((await refused()).message).toContain(said);
    }
    expect(await visible()).toEqual([]);
  });

  it("ends when it is asked to, and keeps what has arrived", async () => {
    hub.faults.set(`${DATA}@cdn`, repeated(9, { kind: "stall", after: 5000 }));
    const failure = rejection(world.add(SOURCE), CommandError);
    const part = `parts/${encodeURIComponent(DATA)}.part`;
    const left = async (): Promise<readonly string[]> =>
      await readdir(await staged(), { recursive: true });
    await vi.waitFor(async () => {
      expect(await left()).toContain(part);
    });
    world.interrupt.abort(new CommandError("interrupted"));
    expect((await failure).message).toBe("interrupted");
    expect(await left()).toContain(part);
    expect(await left()).not.toContain("lock");
  });
});

describe("the hub's listing", () => {
  it("is refused where it is not of the hub's form", async () => {
    const siblings = [{ rfilename: "config.json", size: 3, blobId: "a".repeat(40) }];
    const cases: readonly (readonly [unknown, string])[] = [
      ["[]", "siblings"],
      [{ sha: "main", siblings }, "sha is no commit"],
      [{ siblings: "none" }, "siblings in the hub's listing: want a JSON array"],
      [{ siblings: [{ rfilename: 7 }] }, "rfilename"],
      [{ siblings: [{ ...siblings[0], size: -1 }] }, "no size for config.json"],
      [{ siblings: [{ ...siblings[0], size: 1.5 }] }, "no size for config.json"],
      [{ siblings: [{ rfilename: "config.json", size: 3 }] }, "no hash for config.json"],
      [{ siblings: [{ ...siblings[0], lfs: { size: 4, sha256: "b".repeat(64) } }] }, "two sizes"],
      [{ siblings: [{ ...siblings[0], lfs: { size: 3, sha256: "b" } }] }, "no hash"],
      [{ siblings: Array(10_001).fill(siblings[0]) }, "at most 10000"],
    ];
    for (const [changed, said] of cases) {
      hub.mangle = (listing) =>
        typeof changed === "string" ? JSON.parse(changed) : Object.assign(listing, changed);
      const { message } = await refused();
      // An array has no sha.
      expect(message).toContain(changed === "[]" ? "want a JSON object" : said);
    }
  });

  it("answers another commit than was asked for: refused", async () => {
    hub.mangle = (listing) => Object.assign(listing, { sha: "c".repeat(40) });
    const error = await refused(`${SOURCE}@${hub.commit}`);
    expect(error.message).toContain(`and not with ${hub.commit}`);
  });

  it("names no file outside the model, and the graph neither", async () => {
    const files = exportFiles();
    files.set("../../evil.json", Buffer.from("{}"));
    hub.commits.set(hub.commit, files);
    await world.add(SOURCE);
    await expectWhole();
  });
});
