import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { moduleGraph } from "@countersign/image";
import { describe, expect, it } from "vitest";
import { manifestsOf } from "../../../image/graph.ts";
import { folderOf, manifest, newFolder, smallCheckout } from "./checkouts.ts";

const ESM = manifest({ type: "module" });

/** The files that `main.ts`, of this text, loads of these packages. */
function packageFiles(text: string, files: Readonly<Record<string, string>>): readonly string[] {
  const root = folderOf({ "a/package.json": ESM, "a/main.ts": text });
  folderOf(files, join(root, "node_modules"));
  return moduleGraph(root, ["a/main.ts"]).packageFiles;
}

describe("moduleGraph", () => {
  it("holds what entries load, and nothing beside it", () => {
    const { root } = smallCheckout();
    expect(moduleGraph(root, ["enclave/init.ts"])).toEqual({
      modules: ["enclave/init.ts", "enclave/main.ts", "words/index.ts"],
      packages: ["left"],
      packageFiles: ["node_modules/left/lib/left.js", "node_modules/left/lib/right.js"],
      workspaces: ["@countersign/words"],
    });
  });

  it("follows every way to load a module of ours, and no import of types", () => {
    const root = folderOf({
      "a/package.json": ESM,
      "a/main.ts": `import "./b.ts";
import { c } from './c.ts';
import type { d } from "./types.ts";
export * from "./e.ts";
export { f } from
  "./f.ts";
export type { g } from "./types.ts";
import { type h } from "./h.ts";
const i = await import("./i.ts");
new Worker(new URL("./j.ts", import.meta.url));
import k from "./k.json" with { type: "json" };
// import "./comment.ts";
`,
      "a/types.ts": "",
      ...Object.fromEntries("bcefhij".split("").map((name) => [`a/${name}.ts`, ""])),
      "a/k.json": "{}",
    });
    const { modules } = moduleGraph(root, ["a/main.ts"]);
    const names = ["b.ts", "c.ts", "e.ts", "f.ts", "h.ts", "i.ts", "j.ts", "k.json", "main.ts"];
    expect(modules).toEqual(names.map((name) => `a/${name}`));
  });

  it("takes the half of a package that an import loads", () => {
    const exports = {
      ".": {
        types: "./index.d.ts",
        browser: "./browser.js",
        node: { require: "./index.cjs", import: "./index.js" },
      },
      "./sub/*": { import: "./lib/*.js" },
      "./sub/private/*": null,
    };
    const files = {
      "p/package.json": manifest({ type: "module", exports }),
      "p/index.js": 'export { x } from "q";\nimport "p/sub/deep";\n',
      "p/index.cjs": "",
      "p/browser.js": "",
      "p/lib/deep.js": "",
      "q/package.json": manifest({ exports: { import: "./q.mjs", default: "./q.cjs" } }),
      "q/q.mjs": 'import { createRequire } from "node:module";\nimport fs from "fs";\n',
      "q/q.cjs": "",
    };
    expect(packageFiles('import "p";', files)).toEqual([
      "node_modules/p/index.js",
      "node_modules/p/lib/deep.js",
      "node_modules/q/q.mjs",
    ]);
    expect(() => packageFiles('import "p/sub/private/x";', files)).toThrow("which is not there");
    expect(() => packageFiles('import "p/lib/deep.js";', files)).toThrow("which is not there");
    expect(() => packageFiles('import "p/sub/none";', files)).toThrow("which is not there");
  });

  it("takes the other half where a package requires it", () => {
    const files = {
      "p/package.json": manifest({ main: "./p" }),
      "p/p.js": 'const q = require("q");\nconst inner = require("./inner");\nimport("q");\n',
      "p/inner/index.js": 'require("fs"); require("node:path"); require("../data.json");',
      "p/data.json": "{}",
      "q/package.json": manifest({ exports: { import: "./q.mjs", require: "./q.cjs" } }),
      "q/q.mjs": "",
      "q/q.cjs": "",
    };
    const named = { ...files, "p/package.json": manifest({ main: "./p.js" }) };
    expect(packageFiles('import "p";', named)).toEqual(packageFiles('import "p";', files));
    expect(packageFiles('import "p";', files)).toEqual([
      "node_modules/p/data.json",
      "node_modules/p/inner/index.js",
      "node_modules/p/p.js",
      "node_modules/q/q.cjs",
      "node_modules/q/q.mjs",
    ]);
  });

  it("finds packages as Node does: the nearest first", () => {
    const files = {
      "p/package.json": ESM,
      "p/index.js": 'import "q";',
      "p/node_modules/q/package.json": ESM,
      "p/node_modules/q/index.js": "",
      "q/package.json": ESM,
      "q/index.js": "",
    };
    expect(packageFiles('import "p";', files)).toEqual([
      "node_modules/p/index.js",
      "node_modules/p/node_modules/q/index.js",
    ]);
  });

  it("takes a package in a folder of ours for no code of ours", () => {
    const root = folderOf({
      "a/package.json": ESM,
      "a/main.ts": 'import "p";',
      "a/node_modules/p/package.json": manifest({ main: "p.js" }),
      "a/node_modules/p/p.js": 'require("./q");',
      "a/node_modules/p/q.js": "",
    });
    expect(moduleGraph(root, ["a/main.ts"])).toEqual({
      modules: ["a/main.ts"],
      packages: ["p"],
      packageFiles: ["a/node_modules/p/p.js", "a/node_modules/p/q.js"],
      workspaces: [],
    });
  });

  it("passes over a package that another one names without having it", () => {
    const files = {
      "p/package.json": manifest({ main: "p.js", dependencies: { q: "1.0.0" } }),
      "p/p.js": 'require("./inner/own"); throw new Error(`install it and require("r")`);\n',
      "p/inner/own.js": 'require("q");\n',
      "q/package.json": manifest({ main: "q.js" }),
      "q/q.js": "",
    };
    const found = ["node_modules/p/inner/own.js", "node_modules/p/p.js", "node_modules/q/q.js"];
    expect(packageFiles('import "p";', files)).toEqual(found);
    // Where it is there, it would be loaded.
    const there = { ...files, "r/package.json": manifest({ main: "r.js" }), "r/r.js": "" };
    expect(packageFiles('import "p";', there)).toEqual([...found, "node_modules/r/r.js"]);
  });

  it.each([
    ["a package that it is installed with", { "p/p.js": 'require("q");\n' }],
    ["a file of its own", { "p/p.js": 'require("./gone");\n' }],
    ["a file of another's", { "p/p.js": 'require("q/gone");\n', "q/package.json": ESM }],
  ])("refuses a package that lacks %s", (_, changed) => {
    const dependencies = { q: "1.0.0" };
    const files = { "p/package.json": manifest({ main: "p.js", dependencies }), ...changed };
    expect(() => packageFiles('import "p";', files)).toThrow("which is not there");
  });

  it.each([
    [
      "is named above the folder that has a package.json of its own",
      { "p/package.json": manifest({ main: "c/p.js", dependencies: { q: "1.0.0" } }) },
      { "p/c/package.json": manifest({ type: "commonjs" }), "p/c/p.js": 'require("q");\n' },
    ],
    [
      "was left out where it was installed",
      { "p/package.json": manifest({ main: "p.js", optionalDependencies: { q: "1.0.0" } }) },
      { "p/p.js": 'require("q");\n' },
    ],
    [
      "whoever has it brings",
      { "p/package.json": manifest({ main: "p.js", peerDependencies: { q: "1.0.0" } }) },
      { "p/p.js": 'require("q");\n' },
    ],
    [
      "a statement loads",
      { "p/package.json": manifest({ type: "module", main: "p.js" }) },
      { "p/p.js": 'import { x } from "q";\n' },
    ],
  ])("refuses a package without another that %s", (_, own, code) => {
    expect(() => packageFiles('import "p";', { ...own, ...code })).toThrow(
      /loads "q", which is not there/u,
    );
  });

  it.each([
    ["a module of ours that is missing", 'import "./gone.ts";'],
    ["a package that is missing", 'import "gone";'],
    ["a specifier that is none", 'import "https://example.org/x.ts";'],
    ["a package whose package.json is none", 'import "broken";'],
    ["a package whose package.json is no object", 'import "listed";'],
  ])("refuses %s", (_, text) => {
    const files = {
      "broken/package.json": "{",
      "broken/index.js": "",
      "listed/package.json": "[]",
      "listed/index.js": "",
    };
    expect(() => packageFiles(text, files)).toThrow(
      expect.objectContaining({ code: "image/input" }),
    );
  });

  it("refuses an entry that is missing, and what lies outside of the checkout", () => {
    const root = folderOf({ "a/main.ts": 'import "../../outside.ts";' });
    const refusal: unknown = expect.objectContaining({ code: "image/input" });
    expect(() => moduleGraph(root, ["a/none.ts"])).toThrow(refusal);
    expect(() => moduleGraph(root, ["a/main.ts"])).toThrow(refusal);
    const other = folderOf({ "o.ts": "" });
    symlinkSync(join(other, "o.ts"), join(root, "a/link.ts"));
    folderOf({ "a/main.ts": 'import "./link.ts";' }, root);
    expect(() => moduleGraph(root, ["a/main.ts"])).toThrow(/is not in/u);
  });
});

it("manifestsOf finds what decides how files are read, and not the root's", () => {
  const root = newFolder();
  const paths = ["package.json", "a/package.json", "a/b/package.json", "a/b/c/x.ts", "d/y.ts"];
  folderOf(Object.fromEntries(paths.map((path) => [path, "{}"])), root);
  expect(manifestsOf(root, ["a/b/c/x.ts", "d/y.ts"])).toEqual([
    "a/b/package.json",
    "a/package.json",
  ]);
});
