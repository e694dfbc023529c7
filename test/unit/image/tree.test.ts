import { execFileSync } from "node:child_process";
import { lstatSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  ENCLAVE_ENTRIES,
  enclaveTree,
  type Entry,
  KEY_SERVICES,
  moduleGraph,
  type Tree,
  writeDirectory,
} from "@countersign/image";
import { beforeAll, describe, expect, it } from "vitest";
import { CODE_ROOT } from "../../../enclave/simulation/measure.ts";
import { simulationIn, tcbText } from "../../tcb.ts";
import { newFolder, smallCheckout } from "./checkouts.ts";

const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "x86_64";
const OPTIONS = {
  root: CODE_ROOT,
  architecture: ARCHITECTURE,
  modules: [],
  libraries: ["/"],
  entries: ENCLAVE_ENTRIES,
  arguments: [],
  keyServices: null,
} as const;

let tree: Tree;
let paths: readonly string[];
beforeAll(async () => {
  tree = await enclaveTree(OPTIONS);
  paths = [...tree.platform, ...tree.application].map(({ path }) => path);
});

/** Files of the application, at their paths in the repository. */
function files(): readonly string[] {
  return tree.application
    .filter(({ kind }) => kind === "file")
    .map(({ path }) => path.replace(/^app\//u, ""));
}

describe("the enclave's tree", () => {
  it("holds of our code what the entries load, the key services, and nothing else", () => {
    const own = files().filter((path) => !path.startsWith("node_modules/"));
    const { modules } = moduleGraph(CODE_ROOT, ENCLAVE_ENTRIES);
    const folders = new Set(own.map((path) => path.split("/", 1)[0]));
    const loaded = own.filter((path) => basename(path) !== "package.json");
    expect(loaded).toEqual([...modules, KEY_SERVICES].toSorted());
    expect(loaded).toContain("enclave/key-services.json");
    expect(folders).toEqual(new Set(["attestation", "enclave", "protocol", "vsock"]));
    expect(modules).toContain("enclave/engine/worker.ts");
  });

  it("holds nothing of the simulation, nor anything that only development needs", () => {
    const graph = moduleGraph(CODE_ROOT, ENCLAVE_ENTRIES);
    expect(simulationIn(graph)).toEqual([]);
    const strange = paths.filter((path) =>
      /simulat|\.test\.|\.d\.ts$|tsconfig|\.map$|README|LICENSE|\.md$/u.test(path),
    );
    expect(strange).toEqual([]);
  });

  it("holds one program, and neither a shell nor a package manager", () => {
    const programs = [...tree.platform, ...tree.application].filter(
      (entry) => entry.kind === "file" && entry.executable,
    );
    expect(programs.map(({ path }) => path.replace(/ld-[\w.-]+$/u, "ld"))).toEqual([
      "bin/node",
      "init",
      "lib/ld",
    ]);
    const names = new Set(paths.map((path) => basename(path)));
    for (const name of ["sh", "bash", "busybox", "npm", "apt", "dpkg", "env"]) {
      expect(names).not.toContain(name);
    }
  });

  it("holds of packages what TCB.txt names, and addons of one architecture", async () => {
    const own = files().filter((path) => path.startsWith("node_modules/"));
    const listed = await tcbText();
    const packages = new Set(
      own.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/u.exec(path)?.[1]),
    );
    const addon = `@koromix/koffi-linux-${process.arch}`;
    expect(packages).toContain(addon);
    for (const name of packages) {
      // koffi's addon is a package of its own.
      expect(listed, name).toContain(`  ${name === addon ? "koffi" : name} `);
    }
    const native = own.filter((path) => /\.(?:node|so[.\d]*)$/u.test(path));
    expect(native.map((path) => basename(path)).toSorted()).toEqual([
      "koffi.node",
      "libonnxruntime.so.1",
      "onnxruntime_binding.node",
    ]);
  });
});

describe("as a folder", () => {
  it("runs: every library, addon and package is there", async () => {
    const folder = join(newFolder(), "tree");
    await writeDirectory(folder, [...tree.platform, ...tree.application]);
    const model = join(CODE_ROOT, "models/digits/1/model.onnx");
    const program = join(newFolder(), "program.mjs");
    writeFileSync(
      program,
      `import { createRequire } from "node:module";
const app = ${JSON.stringify(`${folder}/app/`)};
const { boot } = await import(app + "enclave/boot.ts");
const require = createRequire(app + "enclave/main.ts");
const koffi = (await import(app + "node_modules/koffi/index.js")).default;
const getpid = koffi.load(null).func("int getpid()");
const { InferenceSession, Tensor } = require("onnxruntime-node");
const session = await InferenceSession.create(${JSON.stringify(model)});
const [name] = session.inputNames;
const [metadata] = session.inputMetadata;
const shape = metadata.shape.map((size) => (typeof size === "number" ? size : 1));
const bytes = shape.reduce((product, size) => product * size, 1);
const outputs = await session.run({ [name]: new Tensor("float32", new Float32Array(bytes), shape) });
const open = Object.values(process.report.getReport().sharedObjects);
console.log(JSON.stringify({
  boot: typeof boot,
  pid: getpid() === process.pid,
  outputs: Object.keys(outputs).length,
  foreign: open.filter((path) => path.startsWith("/") && !path.startsWith(${JSON.stringify(folder)})),
}));
`,
    );
    const loader = readdirSync(join(folder, "lib")).find((name) => name.startsWith("ld-"));
    const out = execFileSync(
      join(folder, "lib", loader ?? "none"),
      ["--library-path", join(folder, "lib"), join(folder, "bin/node"), program],
      { env: { ORT_DISABLE_TELEMETRY: "1" }, encoding: "utf8" },
    );
    expect(JSON.parse(out)).toEqual({ boot: "function", pid: true, outputs: 2, foreign: [] });
  });

  it("has fixed modes and times, and no devices", async () => {
    const small = await enclaveTree({
      ...smallCheckout(),
      architecture: "x86_64",
      entries: ENCLAVE_ENTRIES,
      arguments: [],
      keyServices: null,
    });
    const entries: readonly Entry[] = [...small.platform, ...small.application];
    const folder = join(newFolder(), "a/b");
    const before = process.umask(0o077);
    await writeDirectory(folder, entries).finally(() => process.umask(before));
    expect(lstatSync(folder).mode & 0o777).toBe(0o755);
    // Node's own recursive listing follows links.
    const listing = execFileSync("find", [folder, "-mindepth", "1", "-printf", "%P\\0"]);
    const found = listing.toString().split("\0").slice(0, -1).toSorted();
    const wanted = entries.filter(({ kind }) => kind !== "device").map(({ path }) => path);
    expect(found).toEqual(wanted.toSorted());
    for (const entry of entries.filter(({ kind }) => kind !== "device")) {
      const path = join(folder, entry.path);
      const { mode, mtimeMs } = lstatSync(path);
      const runs = entry.kind === "directory" || (entry.kind === "file" && entry.executable);
      const wantedMode = entry.kind === "link" ? 0o777 : runs ? 0o755 : 0o644;
      expect([mode & 0o777, mtimeMs], entry.path).toEqual([wantedMode, 0]);
      const target = entry.kind === "link" ? readlinkSync(path) : null;
      expect(target).toBe(entry.kind === "link" ? entry.target : null);
    }
  });

  it("is not written over another one", async () => {
    const folder = newFolder();
    writeFileSync(join(folder, "there"), "");
    const refusal: unknown = expect.objectContaining({ code: "image/input" });
    await expect(writeDirectory(folder, tree.platform)).rejects.toEqual(refusal);
    await expect(writeDirectory(join(folder, "there"), [])).rejects.toEqual(refusal);
  });
});
