/**
 * The file tree of an enclave, in two layers. The platform: Node, the libraries and the loader it
 * needs, kernel modules, and /init, which starts it. The application: exactly the files that Node
 * reads of our code and of packages, each at its path in the repository, under /app.
 *
 * There is no shell, no package manager and no file that nothing loads.
 */
import { encodeUtf8 } from "@countersign/attestation/attester";
import { existsSync, realpathSync } from "node:fs";
import { basename, join, posix, relative } from "node:path";
import { type Architecture, isElf } from "./elf.ts";
import { contentChunks, diskContent, type Entry, sortedEntries } from "./entry.ts";
import { ImageError } from "./errors.ts";
import { manifestsOf, moduleGraph, workspaceFolder } from "./graph.ts";
import { neededLibraries, type Needs } from "./libraries.ts";
import { computedLoads, nodeProgram } from "./native.ts";

/** What an enclave's image runs: the first as process 1, which imports the second. */
export const ENCLAVE_ENTRIES: readonly [string, string] = ["enclave/init.ts", "enclave/main.ts"];
/** Where the application is in the image. */
const APPLICATION = "app";
/** The one file of it that no module loads: the enclave reads it at boot. It is in PCR2, like them. */
export const KEY_SERVICES = "enclave/key-services.json";
const NODE = "bin/node";
const LIBRARIES = "lib";
/** Loaders of every distribution look into one of these; all are one folder. */
const LIBRARY_LINKS: readonly (readonly [path: string, target: string])[] = [
  ["lib64", "lib"],
  ["usr/lib", "../lib"],
  ["usr/lib64", "../lib"],
];
const LOADER = /^\/lib(?:64)?\/([\w.+-]+)$/u;
/** Mounted over by /init. */
const EMPTY_FOLDERS = ["proc", "sys", "dev", "tmp", "run"];
/** Linux Documentation/admin-guide/devices.txt: what process 1 has before /dev is mounted. */
const DEVICES = [
  { path: "dev/console", major: 5, minor: 1 },
  { path: "dev/null", major: 1, minor: 3 },
];
const MODULE_NAME = /^[\w-]+\.ko$/u;
const MAX_MODULES = 99;

export interface TreeOptions {
  /** The checkout, with its packages installed. */
  readonly root: string;
  readonly architecture: Architecture;
  /** Kernel modules, in the order in which they are loaded. */
  readonly modules: readonly string[];
  /** Roots of unpacked distributions, or folders with libraries, searched in this order. */
  readonly libraries: readonly string[];
  /** Modules of the checkout that the image has to be able to load; /init imports the first. */
  readonly entries: readonly [string, ...string[]];
  /** Its arguments. */
  readonly arguments: readonly string[];
  /** Which key services open sealed models, in place of the checkout's own file; null is that one. */
  readonly keyServices: string | null;
}

/** The layers, each sorted. */
export interface Tree {
  readonly platform: readonly Entry[];
  readonly application: readonly Entry[];
}

/** @throws ImageError `image/input` on anything that is missing, or of another kind or architecture. */
export async function enclaveTree(options: TreeOptions): Promise<Tree> {
  const root = realpathSync(options.root);
  const { architecture } = options;
  const graph = moduleGraph(root, options.entries);
  const computed = computedLoads(graph.packages, architecture);
  for (const path of [...computed, nodeProgram(architecture)]) requireInstalled(root, path);
  const native = [...computed.filter((path) => path.endsWith(".node")), nodeProgram(architecture)];
  const needs = await neededLibraries(
    native.map((path) => join(root, path)),
    options.libraries,
    architecture,
  );
  const beside = [...needs.beside].map((file) => relative(root, file));
  const files = [...graph.modules, ...graph.packageFiles, ...computed, ...beside];
  const paths = new Set([...files, ...manifestsOf(root, files)]);
  const application: Entry[] = [];
  for (const path of paths) {
    application.push(await fileEntry(`${APPLICATION}/${path}`, join(root, path)));
  }
  const keyServices = options.keyServices ?? join(root, KEY_SERVICES);
  application.push(await fileEntry(`${APPLICATION}/${KEY_SERVICES}`, keyServices));
  for (const name of graph.workspaces) {
    const path = `node_modules/${name}`;
    const target = posix.relative(posix.dirname(path), workspaceFolder(root, name));
    application.push({ kind: "link", path: `${APPLICATION}/${path}`, target });
  }
  return {
    platform: sortedEntries(await platform(root, options, needs)),
    application: sortedEntries(application),
  };
}

async function platform(root: string, options: TreeOptions, needs: Needs): Promise<Entry[]> {
  const entries: Entry[] = [
    ...EMPTY_FOLDERS.map((path): Entry => ({ kind: "directory", path })),
    ...DEVICES.map((device): Entry => ({ kind: "device", ...device })),
    ...LIBRARY_LINKS.map(([path, target]): Entry => ({ kind: "link", path, target })),
    await fileEntry(NODE, join(root, nodeProgram(options.architecture)), true),
    initEntry(options),
  ];
  const loaders = new Set([...needs.interpreters].map(loaderName));
  for (const [name, file] of needs.libraries) {
    const entry = await fileEntry(`${LIBRARIES}/${name}`, file, loaders.has(name));
    entries.push(entry);
  }
  if (options.modules.length > MAX_MODULES) {
    throw new ImageError("image/input", `more than ${MAX_MODULES} kernel modules`);
  }
  for (const [i, file] of options.modules.entries()) {
    entries.push(await moduleEntry(file, `${String(i + 1).padStart(2, "0")}-${basename(file)}`));
  }
  return entries;
}

/**
 * Process 1. Linux appends words of its command line that it does not know to the arguments: they are
 * replaced, so that an enclave runs with those that were measured here.
 */
function initEntry({ entries: [first], arguments: words }: TreeOptions): Entry {
  const text = initText(`/${APPLICATION}/${first}`, words);
  return {
    kind: "file",
    path: "init",
    executable: true,
    content: { from: "memory", bytes: encodeUtf8(text) },
  };
}

/** The program of process 1: it loads this module, with these arguments. */
export function initText(module: string, words: readonly string[]): string {
  return `#!/${NODE}
process.argv = ${JSON.stringify([`/${NODE}`, module, ...words])};
import(${JSON.stringify(module)});
`;
}

async function fileEntry(path: string, file: string, executable = false): Promise<Entry> {
  return { kind: "file", path, executable, content: await diskContent(file) };
}

/** @throws ImageError `image/input` unless `file` is a module as `finit_module` takes it without flags. */
async function moduleEntry(file: string, name: string): Promise<Entry> {
  if (/\.ko\.(?:xz|gz|zst)$/u.test(file)) {
    const advice = "decompress it first (xz -dk, gunzip -k, unzstd)";
    throw new ImageError("image/input", `${file} is compressed: ${advice}`);
  }
  if (!MODULE_NAME.test(basename(file))) {
    throw new ImageError("image/input", `${file} is not named like a kernel module, NAME.ko`);
  }
  const content = await diskContent(file);
  for await (const start of contentChunks(content)) {
    if (!isElf(start)) throw new ImageError("image/input", `${file} is no ELF file`);
    break;
  }
  return { kind: "file", path: `lib/modules/${name}`, executable: false, content };
}

/** @throws ImageError `image/input` unless the loader is looked for where libraries are put. */
function loaderName(interpreter: string): string {
  const [, name] = LOADER.exec(interpreter) ?? [];
  if (name === undefined) {
    throw new ImageError("image/input", `the loader is looked for at ${interpreter}`);
  }
  return name;
}

/** npm installs packages of this machine's architecture only. */
function requireInstalled(root: string, path: string): void {
  if (existsSync(join(root, path))) return;
  const [, cpu] = /-linux-(x64|arm64)/u.exec(path) ?? [];
  const advice = cpu === undefined ? "" : `; \`npm ci --os=linux --cpu=${cpu}\` installs it`;
  throw new ImageError("image/input", `${path} is not installed${advice}`);
}
