import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { encodeHex } from "@countersign/attestation";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { isFetchable, modelName, parseSource } from "../../../client/cli/add/source.ts";
import { modelAddCommand } from "../../../client/cli/commands/model-add.ts";
import { CommandError, UsageError } from "../../../client/cli/exit.ts";
import { hashModel } from "../../../client/cli/models.ts";
import { decoderExport } from "../../fakes/decoder/index.ts";
import { type FakeHub, REPOSITORY, repeated, startHub } from "../../fakes/hub.ts";
import { runCommand } from "./command-line.ts";
import { exportFiles, FULL, graphNaming, weights } from "./model-add-files.ts";
import { createWorld, type World } from "./model-add-world.ts";
import { rejection } from "./rejection.ts";

let hub: FakeHub;
let world: World;
let source: string;
let base: string;

beforeEach(async () => {
  hub = await startHub(exportFiles());
  world = await createWorld(hub.url);
  // Files by commit are a directory of a web server like any other.
  base = `${hub.cdn}/${REPOSITORY}/resolve/${hub.commit}/`;
  source = await mkdtemp(join(tmpdir(), "countersign-export-"));
  for (const [path, bytes] of exportFiles()) await put(path, bytes);
});

afterEach(async () => {
  await hub.close();
  await rm(world.repository, { recursive: true, force: true });
  await rm(source, { recursive: true });
});

async function put(path: string, bytes: Uint8Array | string): Promise<void> {
  await mkdir(dirname(join(source, path)), { recursive: true });
  await writeFile(join(source, path), bytes);
}

function paths({ model }: Awaited<ReturnType<World["add"]>>): readonly string[] {
  return model.files.map(({ path }) => path).toSorted();
}

describe("model add https:", () => {
  it("finds an export's files by asking for each, and says that nobody vouches for them", async () => {
    const added = await world.add(base, { as: "web" });
    expect(paths(added)).toEqual(FULL);
    expect(added).toMatchObject({ vouched: false, origin: { revision: null, licence: null } });
    const made = await hashModel(join(world.repository, "web", "1"), "web", "1");
    expect(encodeHex(made.digest)).toBe(encodeHex(added.model.digest));
  });

  it("lists the variants that it finds where the one asked for is missing", async () => {
    const error = await rejection(world.add(base, { as: "web", variant: "fp16" }), CommandError);
    expect(error.fix).toContain("--variant q4 (3.0 kB)");
  });

  it("takes one graph with the files that it names", async () => {
    const files = new Map([
      ["net.onnx", graphNaming("net.weights")],
      ["net.weights", weights(5)],
    ]);
    hub.commits.set(hub.commit, files);
    const added = await world.add(`${base}net.onnx`);
    expect(added).toMatchObject({ kind: "graph", model: { id: "net" } });
    expect(paths(added)).toEqual(["model.onnx", "net.weights"]);
    files.delete("net.weights");
    const error = await rejection(world.add(`${base}net.onnx`), CommandError);
    expect(error.message).toContain("lacks net.weights, which the graph names");
  });

  it("resumes by the ETag alone, and fetches anew what has changed since", async () => {
    const data = "onnx/model.onnx_data";
    const gone = { kind: "status", status: 503 } as const;
    // The first request of each file asks whether it is there.
    hub.faults.set(data, [null, { kind: "short", after: 100_000 }, ...repeated(5, gone)]);
    await rejection(world.add(base, { as: "web" }), CommandError);
    hub.faults.clear();
    const changed = exportFiles();
    changed.set("config.json", Buffer.from('{"model_type":"qwen2"}'));
    changed.set(data, weights(77));
    hub.commits.set(hub.commit, changed);
    await world.add(base, { as: "web" });
    for (const path of ["config.json", data]) {
      const found = new Uint8Array(await readFile(join(world.repository, "web/1", path)));
      expect(Buffer.compare(found, changed.get(path) ?? Buffer.of()), path).toBe(0);
    }
  });

  it("does not fetch again what has not changed", async () => {
    const gone = { kind: "status", status: 503 } as const;
    hub.faults.set("onnx/model.onnx_data_1", [null, ...repeated(6, gone)]);
    await rejection(world.add(base, { as: "web" }), CommandError);
    hub.seen.length = 0;
    await world.add(base, { as: "web" });
    const fetched = hub.seen.filter(({ method }) => method === "GET").map(({ path }) => path);
    expect(fetched).toEqual([expect.stringContaining("onnx/model.onnx_data_1")]);
  });

  it("starts anew where there is no ETag to resume by", async () => {
    hub.etags = false;
    const data = "onnx/model.onnx_data";
    hub.faults.set(data, [null, { kind: "short", after: 100_000 }]);
    await world.add(base, { as: "web" });
    const ranges = hub.seen.filter(({ path }) => path.endsWith(data)).map(({ range }) => range);
    expect(ranges).toEqual([null, null, null]);
  });

  it("is not taken in by a page that says 200 for everything", async () => {
    const files = exportFiles();
    files.set("config.json", Buffer.from("<html>not found</html>"));
    hub.commits.set(hub.commit, files);
    const error = await rejection(world.add(base, { as: "web" }), CommandError);
    expect(error.message).toContain("config.json is not JSON");
    expect((await readdir(world.repository)).filter((name) => !name.startsWith("."))).toEqual([]);
  });
});

describe("model add file:", () => {
  it("copies an export, and the same digest comes out as of the hub", async () => {
    const copied = await world.add(`file:${source}`, { as: "local" });
    const fetched = await world.add(`hf:${REPOSITORY}`);
    expect(encodeHex(copied.model.digest)).toBe(encodeHex(fetched.model.digest));
    expect(paths(copied)).toEqual(FULL);
  });

  it("puts the graph of a flat export where exports have it", async () => {
    const flat = await mkdtemp(join(tmpdir(), "countersign-flat-"));
    for (const [path, bytes] of exportFiles()) {
      if (!path.startsWith("README"))
        await writeFile(join(flat, path.split("/").at(-1) ?? ""), bytes);
    }
    const added = await world.add(`file://${flat}`, { as: "flat" });
    expect(paths(added)).toEqual(FULL);
    await rm(flat, { recursive: true });
  });

  it("copies one graph, and a directory with a graph and our metadata", async () => {
    await put("lone/net.onnx", graphNaming());
    expect(paths(await world.add(`file:${source}/lone/net.onnx`))).toEqual(["model.onnx"]);
    await put("plain/model.onnx", graphNaming());
    await put("plain/metadata.json", "{}");
    const plain = await world.add(`file:${source}/plain`);
    expect(paths(plain)).toEqual(["metadata.json", "model.onnx"]);
  });

  it("refuses links, and what is no model", async () => {
    const elsewhere = join(source, "elsewhere");
    await writeFile(elsewhere, "{}");
    await rm(join(source, "config.json"));
    await symlink(elsewhere, join(source, "config.json"));
    const linked = await rejection(world.add(`file:${source}`, { as: "x" }), CommandError);
    expect(linked.message).toContain("config.json is no plain file");
    const cases = [
      [`file:${source}/none`, "there is no such file or directory"],
      [`file:${source}/README.md`, "is neither a directory nor a graph"],
      [`file:${dirname(join(source, "onnx/model.onnx"))}/model_q4.onnx_data`, "no such file"],
    ] as const;
    for (const [text, said] of cases) {
      const error = await rejection(world.add(text, { as: "x" }), CommandError);
      expect(error.message).toContain(said);
    }
    await mkdir(join(source, "empty"));
    const empty = await rejection(world.add(`file:${source}/empty`), CommandError);
    expect(empty.message).toContain("has no ONNX graph");
  });

  it("refuses a graph that names files elsewhere, or those of the model", async () => {
    for (const name of ["../../etc/passwd", "/etc/passwd", "a\\b", "..", "model.onnx"]) {
      await put("bad/model.onnx", graphNaming(name));
      const error = await rejection(world.add(`file:${source}/bad`), CommandError);
      expect(error.message, name).toMatch(/outside its directory|as a file of its weights/u);
    }
    const many = Array.from({ length: 257 }, (_, i) => `w${i}`);
    await put("bad/model.onnx", graphNaming(...many));
    const error = await rejection(world.add(`file:${source}/bad`), CommandError);
    expect(error.message).toContain("over 256 files");
  });

  it("refuses what is no graph, and the pointers of a clone without Git LFS", async () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    const refused = async (): Promise<string> =>
      (await rejection(world.add(`file:${source}`, { as: "x" }), CommandError)).message;
    await put("onnx/model.onnx_data", pointer);
    expect(await refused()).toBe("onnx/model.onnx_data is a pointer of Git LFS, not the file");
    await put("onnx/model.onnx", pointer);
    expect(await refused()).toBe("onnx/model.onnx is a pointer of Git LFS, not the file");
    for (const text of ["<html>", ""]) {
      await put("onnx/model.onnx", text);
      expect(await refused()).toContain("onnx/model.onnx is no ONNX graph");
    }
    await put("tokenizer.json", pointer);
    expect(await refused()).toBe("tokenizer.json is a pointer of Git LFS, not the file");
  });

  it("finds a name wherever the reads of the graph happen to part it", async () => {
    await put("big/weights.bin", "w");
    const entry = graphNaming("weights.bin").subarray(1500, -1500);
    const window = 4 * 1024 * 1024;
    for (const shift of [1, 5, entry.length - 1]) {
      const graph = Buffer.alloc(window + 4096, 3);
      graph[0] = 8;
      graph.set(entry, window - shift);
      await put("big/model.onnx", graph);
      const added = await world.add(`file:${source}/big`, { as: `big${shift}` });
      expect(paths(added)).toEqual(["model.onnx", "weights.bin"]);
    }
  });

  it("finds what the graph of a real export names", async () => {
    const made = decoderExport({ external: true, layers: 1 });
    for (const [path, bytes] of made) await put(`real/${path}`, bytes);
    const added = await world.add(`file:${source}/real`);
    expect(paths(added)).toEqual([...made.keys()].toSorted());
    expect(paths(added)).toContain("onnx/model.onnx_data");
  });

  it("is no place for two at once, and takes over from one that is gone", async () => {
    await world.add(`file:${source}`, { as: "x" });
    const name = (await readdir(world.repository)).find((entry) => entry.startsWith("."));
    expect(name).toBeUndefined();
    const elsewhere = join(source, "config.json");
    await rm(elsewhere);
    await symlink("/dev/null", elsewhere);
    await rejection(world.add(`file:${source}`, { as: "x" }), CommandError);
    const [staging = ""] = (await readdir(world.repository)).filter((e) => e.startsWith("."));
    const lock = join(world.repository, staging, "lock");
    await writeFile(lock, String(process.pid));
    const error = await rejection(world.add(`file:${source}`, { as: "x" }), CommandError);
    expect(error.message).toContain(`process ${process.pid} is adding this model`);
    await writeFile(lock, "999999999");
    await rm(elsewhere);
    await writeFile(elsewhere, "{}");
    expect((await world.add(`file:${source}`, { as: "x" })).model.version).toBe("2");
  });
});

describe("the sources that can be named", () => {
  it("are hf:, https: and file:, each strictly", () => {
    expect(parseSource("hf:a/b")).toMatchObject({ repository: "a/b", revision: "main" });
    expect(parseSource("hf:a/b@refs/pr/1")).toMatchObject({ revision: "refs/pr/1" });
    const bad = ["a/b", "hf:b", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/b@../x", "hf:a/b@-x"];
    const unsafe = ["http://host.example/m/", "https://u:p@h.example/", "https://h.example/?k=1"];
    for (const text of [...bad, ...unsafe, "file:", "ftp://h/m"]) {
      expect(() => parseSource(text), text).toThrow(UsageError);
    }
    expect(() => parseSource("https://u:hunter2@h.example/")).not.toThrow("hunter2");
  });

  it("give a model its name, unless that is none", () => {
    expect(modelName(parseSource("hf:a/b.c-1"), null)).toBe("b.c-1");
    expect(modelName(parseSource("https://h.example/x/net.onnx"), null)).toBe("net");
    expect(modelName(parseSource("https://h.example/x/y"), null)).toBe("y");
    expect(() => modelName(parseSource("https://h.example/"), null)).toThrow(UsageError);
    expect(() => modelName(parseSource("hf:a/b"), "../b")).toThrow(UsageError);
  });

  it("are encrypted, or on this machine", () => {
    const fetchable = (text: string): boolean => isFetchable(new URL(text));
    expect(["https://h.example", "http://127.0.0.1:1", "http://[::1]/"].every(fetchable)).toBe(
      true,
    );
    const open = ["http://h.example", "http://127.0.0.1.h.example", "http://localhost.example"];
    expect(open.some(fetchable)).toBe(false);
  });
});

describe("model add, the command", () => {
  it("prints the digest and the line for a policy", async () => {
    const words = [`file:${source}`, "--as", "mine", "--models", world.repository];
    const { exit, lines } = await runCommand(modelAddCommand, words);
    const digest = encodeHex(
      (await hashModel(join(world.repository, "mine/1"), "mine", "1")).digest,
    );
    expect(exit).toBe(0);
    expect(lines[0]).toBe("added mine version 1");
    expect(lines[1]).toBe(`digest ${digest}`);
    expect(lines.join("\n")).toContain(`  { "id": "mine", "digest": "${digest}" }`);
    expect(lines.join("\n")).toContain("compare the digest");
    const quiet = await runCommand(modelAddCommand, [...words, "--quiet"]);
    expect(quiet.lines).toEqual([digest]);
    const json = await runCommand(modelAddCommand, [...words, "--json"]);
    const line: unknown = JSON.parse(json.lines[0] ?? "");
    expect(line).toMatchObject({ id: "mine", version: "1", digest, present: true });
  });

  it("says what the hub says: commit, size, licence", async () => {
    vi.stubEnv("HF_ENDPOINT", hub.url);
    vi.stubEnv("HF_TOKEN", "");
    const words = [`hf:${REPOSITORY}`, "--variant", "q4", "--models", world.repository];
    const { exit, lines, notes } = await runCommand(modelAddCommand, words);
    vi.unstubAllEnvs();
    expect(exit).toBe(0);
    expect(notes).toEqual([`hf:${REPOSITORY}, commit ${hub.commit}, licence apache-2.0, 5.1 kB`]);
    expect(lines).toContain("licence apache-2.0");
    expect(lines.join("\n")).not.toContain("compare the digest");
    const where = ` --models ${world.repository}`;
    // A node of one's own trusts what lies here: the shortest way to an answer.
    expect(lines).toContain(`  npx countersign chat tiny-model${where}`);
    expect(lines.at(-1)).toBe(`  npx countersign policy init${where}`);
  });
});
