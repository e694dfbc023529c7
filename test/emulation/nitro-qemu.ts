/**
 * A QEMU whose `nitro-enclave` machine is built in, which Debian's is not: that needs libcbor and GnuTLS.
 *
 * It is built from Debian's source, against libraries of this machine's own release that are unpacked
 * into a folder; the compiler, ninja and Python are this machine's.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  type Archive,
  fetchSource,
  openArchive,
  requireProgram,
  Unavailable,
  unpackClosure,
  unpackPackage,
} from "./archive.ts";
import { filledOnce, type ProgramCommand } from "./packages.ts";

const run = promisify(execFile);

const LAYOUT = "nitro-qemu-v1";
/** The first release with the machine. */
const LEAST: readonly [number, number] = [9, 2];
const LIBRARIES = ["libglib2.0-dev", "libcbor-dev", "libgnutls28-dev", "zlib1g-dev", "libfdt-dev"];
const TOOLS = ["meson", "python3-pycotap"];
const TARGET = "qemu-system-x86_64";
const FEATURES = ["tcg", "system", "gnutls", "libcbor", "vhost-user", "fdt=system"];
const BUILD_MS = 1_800_000;
const MAX_OUTPUT_BYTES = 64 << 20;

/** The built program in `folder`, with the loader and libraries that it was built for. */
export function nitroCommand(folder: string): ProgramCommand {
  const tree = join(folder, "libraries");
  const parts = ["lib", "usr/lib"].map((part) => join(tree, part, "x86_64-linux-gnu"));
  const loader = parts
    .map((part) => join(part, "ld-linux-x86-64.so.2"))
    .find((path) => existsSync(path));
  if (loader === undefined) throw new Error(`no loader in ${tree}`);
  const words = ["--inhibit-cache", "--library-path", parts.join(":"), join(folder, TARGET)];
  return { file: loader, args: words, env: { LC_ALL: "C.UTF-8" } };
}

/** Builds it the first time, for minutes. @throws {@link Unavailable} where it cannot be built. */
export async function prepareNitroQemu(cache: string): Promise<string> {
  return await filledOnce(cache, LAYOUT, async (draft) => {
    for (const program of ["cc", "ninja", "pkg-config", "tar"]) requireProgram(program);
    await build(draft);
  });
}

async function build(folder: string): Promise<void> {
  const apt = join(folder, "apt");
  const archive = await openArchive(apt, [await codename(), "sid"], ["deb", "deb-src"]);
  const libraries = join(folder, "libraries");
  await unpackClosure(archive, await codename(), LIBRARIES, libraries);
  const tools = join(apt, "tools");
  for (const tool of TOOLS) await unpackPackage(archive, `${tool}/sid`, tools);
  const source = await unpackSource(archive, join(apt, "source"));
  const into = join(source, "build");
  await mkdir(into);
  const environment = {
    ...process.env,
    PATH: `${join(tools, "usr", "bin")}:${process.env["PATH"] ?? ""}`,
    PYTHONPATH: join(tools, "usr", "lib", "python3", "dist-packages"),
    PKG_CONFIG_SYSROOT_DIR: libraries,
    PKG_CONFIG_PATH: ["lib/x86_64-linux-gnu", "share"]
      .map((part) => join(libraries, "usr", part, "pkgconfig"))
      .join(":"),
  };
  await step(join(source, "configure"), configuration(libraries), into, environment);
  await step("ninja", [TARGET], into, environment);
  await copyFile(join(into, TARGET), join(folder, TARGET));
  await rm(apt, { recursive: true });
}

function configuration(libraries: string): readonly string[] {
  const found = join(libraries, "usr", "lib", "x86_64-linux-gnu");
  return [
    "--python=/usr/bin/python3",
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    ...FEATURES.map((feature) => `--enable-${feature}`),
    "--disable-docs",
    "--disable-tools",
    "--disable-guest-agent",
    "--disable-install-blobs",
    "--disable-werror",
    `--extra-cflags=-idirafter ${join(libraries, "usr", "include")}`,
    `--extra-ldflags=-L${found} -Wl,-rpath-link,${found}`,
  ];
}

async function unpackSource(archive: Archive, into: string): Promise<string> {
  const file = await fetchSource(archive, "qemu", LEAST);
  await mkdir(into);
  await step("tar", ["--extract", "--file", file, "--strip-components=1"], into, process.env);
  // Debian leaves the firmware out of the source, and the build would look for it.
  await writeFile(join(into, "pc-bios", "meson.build"), "roms = []\nkeymap_targets = []\n");
  return into;
}

async function codename(): Promise<string> {
  const release = await readFile("/etc/os-release", "utf8");
  const [, name] = /^VERSION_CODENAME=([a-z]+)$/mu.exec(release) ?? [];
  if (name === undefined) throw new Unavailable("this machine's release has no name");
  return name;
}

async function step(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const settings = { cwd, env, timeout: BUILD_MS, maxBuffer: MAX_OUTPUT_BYTES };
  try {
    await run(program, [...args], settings);
  } catch (cause) {
    const output = cause instanceof Error && "stdout" in cause ? String(cause.stdout) : "";
    const said = output.trim().split("\n").slice(-3).join(" ");
    throw new Unavailable(`${program} failed: ${said}`, { cause });
  }
}
