/** What `npm run build:browser` ships, and what it refuses to. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  BROWSER_ENTRIES,
  type BrowserBundle,
  buildBundles,
  nodeGlobalsIn,
} from "../../client/build.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-build-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe("the bundles for browsers", () => {
  it("are small enough, and need nothing of Node", async () => {
    const bundles = await buildBundles(folder);
    expect(bundles.map(({ name }) => name)).toEqual(["client", "verifier", "proofs"]);
    expect(bundles.flatMap(({ faults }) => faults)).toEqual([]);
    const gzip = new Map(
      bundles.flatMap(({ sizes }) => sizes.map((size) => [size.name, size.gzip])),
    );
    expect(gzip.get("client")).toBeLessThan(40_000);
    expect(gzip.get("verifier")).toBeLessThan(20_000);
    // A large part of the client is there for browsers without ML-KEM, and waits until it is needed.
    expect(gzip.get("client, on demand")).toBeGreaterThan(0);
  });

  it("hold, of the verifier, its folder and nothing else", async () => {
    const verifiers = BROWSER_ENTRIES.filter(({ name }) => name !== "client");
    const inputs = (await buildBundles(folder, verifiers)).flatMap((bundle) => bundle.inputs);
    expect(inputs.length).toBeGreaterThan(20);
    expect(inputs.filter((path) => !path.startsWith("attestation/"))).toEqual([]);
  });
});

describe("a bundle is refused", () => {
  /** Of a library that is this one file. */
  async function bundleOf(
    source: string,
    maxGzipBytes: number | null = null,
  ): Promise<BrowserBundle | undefined> {
    const path = join(folder, "library.js");
    await writeFile(path, source);
    return (await buildBundles(folder, [{ name: "library", path, maxGzipBytes }]))[0];
  }

  it("at its bound, and not below", async () => {
    const source = "export const answer = 42;";
    const gzip = (await bundleOf(source))?.sizes[0]?.gzip ?? NaN;
    expect((await bundleOf(source, gzip + 1))?.faults).toEqual([]);
    const fault = `library: ${gzip} bytes gzip, want less than ${gzip}`;
    expect((await bundleOf(source, gzip))?.faults).toEqual([fault]);
  });

  it("where it uses what only Node has", async () => {
    const bundle = await bundleOf("export const home = () => process.env.HOME;");
    expect(bundle?.faults).toEqual(["library.js: uses process, which only Node has"]);
  });

  it("where it needs it later", async () => {
    await writeFile(join(folder, "later.js"), "export const first = Buffer.of(1);");
    const bundle = await bundleOf('export const load = () => import("./later.js");');
    expect(bundle?.sizes.map(({ name }) => name)).toEqual(["library", "library, on demand"]);
    expect(bundle?.faults).toEqual([
      expect.stringMatching(/^later-\w+\.js: uses Buffer, which only Node has$/u),
    ]);
  });

  it("where a part of it is elsewhere", async () => {
    const bundle = await bundleOf('export { a } from "https://cdn.example/a.js";');
    const fault = "library.js: imports https://cdn.example/a.js, which is not in the bundle";
    expect(bundle?.faults).toEqual([fault]);
  });
});

describe("a name of Node", () => {
  it.each([
    ["process.env.HOME", "process"],
    ["typeof process", "process"],
    ["f({ process })", "process"],
    ["f(`${process}`)", "process"],
    ["globalThis.process?.env", "process"],
    ['globalThis["Buffer"]', "Buffer"],
    ["self.Buffer.of(1)", "Buffer"],
    ["f(window.global)", "global"],
    ["setImmediate(f)", "setImmediate"],
    ['require("node:fs")', "require"],
    ["f(() => require)", "require"],
    ["f(__dirname)", "__dirname"],
    ["f(__filename)", "__filename"],
  ])("is found in %s", async (code, name) => {
    expect(await nodeGlobalsIn(code)).toEqual([name]);
  });

  it.each([
    "f(\"process.env\", 'Buffer', `require`)",
    "f(/process/)",
    "// process\nf()",
    "f({ process: 1 }).process",
    "class Queue { process() {} static Buffer = 1 } f(Queue)",
    "export function f(process) { return process.require; }",
    "const Buffer = f(); Buffer.of(1)",
    "f(globalThis.crypto, only_node_has_process)",
  ])("is not in %s", async (code) => {
    expect(await nodeGlobalsIn(code)).toEqual([]);
  });
});
