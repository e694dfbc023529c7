/** The indexes that are meant for others, and their types as the sources have them now. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { format, resolveConfig } from "prettier";
import { rollUp } from "./rollup.ts";

const ROOT: string = new URL("../../", import.meta.url).pathname;
const COMPILER = join(ROOT, "node_modules/typescript/bin/tsc");
/** What tsc leaves of private fields, so that no other class has the type, looks like a mistake. */
const UNUSED_PRIVATE =
  "/* oxlint-disable no-unused-private-class-members -- a declaration has no bodies */";

/** One index that a package exports. */
export interface Index {
  /** As others import it: `@countersign/protocol/web`. */
  readonly specifier: string;
  /** Relative to the root: `protocol/web.ts`. */
  readonly source: string;
  /** The checked-in file's name: `protocol-web.d.ts`. */
  readonly file: string;
}

/** The types of an index as they should be checked in. */
export interface Surface extends Index {
  readonly text: string;
}

/** Every module that a workspace exports, private workspaces apart. */
export function publicIndexes(): readonly Index[] {
  const { workspaces } = readJson<{ readonly workspaces: readonly string[] }>("package.json");
  return workspaces.flatMap((folder) => {
    const manifest = readJson<Manifest>(join(folder, "package.json"));
    if (manifest.private === true) return [];
    return Object.entries(manifest.exports)
      .filter(([, target]) => target.endsWith(".ts"))
      .map(([subpath, target]) => {
        const specifier = join(manifest.name, subpath);
        const file = `${specifier.slice("@countersign/".length).replaceAll("/", "-")}.d.ts`;
        return { specifier, source: join(folder, target), file };
      });
  });
}

/**
 * Builds the declarations of every public index anew, and rolls them up.
 *
 * The build is of this run alone, and goes with it: neither an older one nor one that is under way
 * elsewhere can hide a change.
 *
 * @throws Error with the compiler's output where the sources do not compile; TypeError as
 * {@link rollUp}.
 */
export async function publicSurfaces(): Promise<readonly Surface[]> {
  const indexes = publicIndexes();
  const builds = join(ROOT, ".build");
  mkdirSync(builds, { recursive: true });
  const folder = mkdtempSync(join(builds, "api-"));
  try {
    await build(
      folder,
      indexes.map(({ source }) => projectOf(source)),
    );
    return await Promise.all(indexes.map((index) => surfaceOf(folder, index)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function surfaceOf(folder: string, index: Index): Promise<Surface> {
  const project = projectOf(index.source);
  const output = join(outputOf(folder, project), relative(project, index.source));
  const types = rollUp(output.replace(/\.ts$/u, ".d.ts"), (path) => readFileSync(path, "utf8"));
  const head = [`/** The public types of ${index.specifier}. Written by test/api/generate.ts. */`];
  if (types.includes("#private")) head.push(UNUSED_PRIVATE);
  const options = await resolveConfig(join(ROOT, "test/api", index.file));
  const text = [...head, types, ""].join("\n");
  return { ...index, text: await format(text, { ...options, parser: "typescript" }) };
}

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly exports: Readonly<Record<string, string>>;
}

interface Project {
  readonly references?: readonly { readonly path: string }[];
}

/** The folder of the TypeScript project that `source` belongs to. */
function projectOf(source: string): string {
  const folder = dirname(source);
  if (folder === ".") throw new TypeError(`${source} belongs to no project`);
  return existsSync(join(ROOT, folder, "tsconfig.json")) ? folder : projectOf(folder);
}

function outputOf(folder: string, project: string): string {
  return join(folder, project.replaceAll("/", "-"), "types");
}

/** Compiles `projects` and what they refer to into `folder`, each as its own configuration says. */
async function build(folder: string, projects: readonly string[]): Promise<void> {
  const all = new Set(projects);
  // A set that grows while it is walked: references of references come along.
  for (const project of all) {
    const references = referencesOf(project);
    for (const reference of references) all.add(reference);
    configure(folder, project, references);
  }
  const configured = [...all].map((project) => dirname(outputOf(folder, project)));
  try {
    await promisify(execFile)(process.execPath, [COMPILER, "-b", ...configured], { cwd: ROOT });
  } catch (cause) {
    const output = cause instanceof Error && "stdout" in cause ? String(cause.stdout) : "";
    throw new Error(`the public types do not compile:\n${output}`, { cause });
  }
}

function referencesOf(project: string): readonly string[] {
  const { references = [] } = readJson<Project>(join(project, "tsconfig.json"));
  return references.map(({ path }) => join(project, path).replace(/\/$/u, ""));
}

/** The project's own configuration, with another place for what it yields. */
function configure(folder: string, project: string, references: readonly string[]): void {
  const here = dirname(outputOf(folder, project));
  mkdirSync(here, { recursive: true });
  const configuration = {
    extends: relative(here, join(ROOT, project, "tsconfig.json")),
    compilerOptions: { outDir: "types", tsBuildInfoFile: "tsconfig.tsbuildinfo" },
    references: references.map((path) => ({
      path: relative(here, dirname(outputOf(folder, path))),
    })),
  };
  writeFileSync(join(here, "tsconfig.json"), JSON.stringify(configuration));
}

/** Our own files, whose shape the caller names. */
function readJson<T>(path: string): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own files, of fixed shape
  return JSON.parse(readFileSync(join(ROOT, path), "utf8")) as T;
}
