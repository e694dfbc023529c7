import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { releaseRebuildCommand } from "../../../client/cli/commands/release-rebuild.ts";
import { releaseCommand } from "../../../client/cli/commands/release.ts";
import { findCommand } from "../../../client/cli/main.ts";
import { buildImage, type BuildOptions, DEFAULT_CMDLINES } from "../../../image/build.ts";
import { differenceOf } from "../../../image/release-difference.ts";
import { describeImage } from "../../../image/release-image.ts";
import { rebuildImage } from "../../../image/release-rebuild.ts";
import { encodeRelease, parseRelease, type Release } from "../../../image/release.ts";
import { ENCLAVE_ENTRIES } from "../../../image/tree.ts";
import { runCommand } from "../client/command-line.ts";

const ROOT = new URL("../../..", import.meta.url).pathname;
const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "x86_64";

let folder = "";
let kernel = "";
let modules: readonly string[] = [];
let file = "";
let release: Release;

/** A file with the marks of a kernel of either architecture, which nobody starts. */
function writeKernel(path: string, mark: number): void {
  const bytes = Buffer.alloc(2048, mark);
  bytes.write("ARM\x64", 56, "latin1");
  bytes.write("HdrS", 0x202, "latin1");
  writeFileSync(path, bytes);
}

/** What the image is built with, but for where it goes. */
function options(): Omit<BuildOptions, "out"> {
  return {
    root: ROOT,
    kernel,
    modules,
    libraries: ["/"],
    architecture: ARCHITECTURE,
    cmdline: DEFAULT_CMDLINES[ARCHITECTURE],
    arguments: ["--heartbeat", "--parent-cid", "3"],
    entries: ENCLAVE_ENTRIES,
    keyServices: null,
    signingKey: null,
  };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-rebuild-test-"));
  kernel = join(folder, "kernel");
  writeKernel(kernel, 1);
  modules = ["vsock.ko", "nsm.ko"].map((name) => {
    const path = join(folder, name);
    writeFileSync(path, `\x7fELF of ${name}`, "latin1");
    return path;
  });
  const out = join(folder, "image.eif");
  await buildImage({ ...options(), out });
  release = await describeImage(out, "1.0.0", null);
  file = join(folder, "release.json");
  writeFileSync(file, encodeRelease(release));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe("a release of this checkout", () => {
  it("names every file that the enclave loads, with its digest", () => {
    const paths = release.inputs.map(({ path }) => path);
    expect(paths).toContain("1:/bin/node");
    expect(paths).toContain("1:/lib/modules/01-vsock.ko");
    expect(paths).toContain("1:/lib/modules/02-nsm.ko");
    expect(paths).toContain("2:/app/enclave/main.ts");
    expect(paths.filter((path) => path.includes("/simulation/"))).toEqual([]);
    expect(parseRelease(readFileSync(file, "utf8"))).toEqual(release);
  });

  it("comes out the same when it is built again, modules in whatever order", async () => {
    const { comparison } = await rebuildImage(release, {
      root: ROOT,
      kernel,
      modules: modules.toReversed(),
      libraries: ["/"],
      keyServices: null,
      out: join(folder, "again.eif"),
    });
    expect(comparison).toEqual({ equal: true, file: "same", registers: [], differences: [] });
    expect(differenceOf(comparison)).toBeNull();
  });

  it("is not built again with a command line that starts another program", async () => {
    const evil = join(folder, "evil.json");
    const cmdline = "console=ttyS0 rdinit=/bin/node -- --eval=steal()";
    writeFileSync(evil, encodeRelease({ ...release, options: { ...release.options, cmdline } }));
    const given = ["--kernel", kernel, ...modules.flatMap((path) => ["--module", path])];
    await expect(runCommand(releaseRebuildCommand, [evil, ...given])).rejects.toThrow(
      /^image\/input: the command line has rdinit=/u,
    );
  });

  it("is shown with a command line that is not ours, for whoever reads it to judge", async () => {
    const cmdline = "console=ttyS0 mitigations=off";
    const [image, other] = [join(folder, "other.eif"), join(folder, "other.json")];
    await buildImage({ ...options(), out: image, cmdline });
    writeFileSync(other, encodeRelease(await describeImage(image, "1.0.0", null)));
    const given = ["--kernel", kernel, ...modules.flatMap((path) => ["--module", path])];
    const { exit, notes } = await runCommand(releaseRebuildCommand, [other, "--quiet", ...given]);
    expect(exit).toBe(0);
    expect(notes).toEqual([`Linux's command line is the release's own: ${cmdline}`]);
    const ours = await runCommand(releaseRebuildCommand, [file, ...given]);
    expect([ours.exit, ours.notes]).toEqual([0, []]);
    expect(ours.lines.join("\n")).toContain('arguments are ["--heartbeat","--parent-cid","3"]');
    const asJson = await runCommand(releaseRebuildCommand, [other, "--json", ...given]);
    expect(JSON.parse(asJson.lines[0] ?? "")).toMatchObject({
      equal: true,
      cmdlineOfRelease: true,
      rebuilt: { options: { cmdline } },
    });
  });

  it("with key services of its own is built again with their file, and the file is named without it", async () => {
    const [image, other] = [join(folder, "keys.eif"), join(folder, "keys.json")];
    const [services, broken] = [join(folder, "services.json"), join(folder, "no-services.json")];
    writeFileSync(services, '{"version":1,"services":[],"rootCertificates":[]}');
    writeFileSync(broken, '{"version":1,"services":[{}],"rootCertificates":[]}');
    await buildImage({ ...options(), out: image, keyServices: services });
    writeFileSync(other, encodeRelease(await describeImage(image, "1.0.0", null)));
    const given = ["--kernel", kernel, ...modules.flatMap((path) => ["--module", path])];
    const words = [other, ...given];
    const without = await runCommand(releaseRebuildCommand, [...words, "--quiet"]);
    expect([without.exit, without.notes]).toEqual([
      1,
      ["the release was built with other key services: --key-services names their file"],
    ]);
    expect(without.lines.join("\n")).toContain(
      "image/differs: PCR0, PCR2: 2:/app/enclave/key-services.json",
    );
    const named = [...words, "--key-services", services];
    const equal = await runCommand(releaseRebuildCommand, [...named, "--quiet"]);
    expect([equal.exit, equal.notes]).toEqual([
      0,
      ["the enclave asks the key services of the file that you named, not the commit's"],
    ]);
    const asJson = await runCommand(releaseRebuildCommand, [...named, "--json"]);
    expect(JSON.parse(asJson.lines[0] ?? "")).toMatchObject({ equal: true, keyServices: "other" });
    const told = ["--image", image, "--out", join(folder, "told.json")];
    const written = await runCommand(releaseCommand, told);
    expect(written.lines.join("\n")).toContain(
      "Its key services are not those of the commit: publish their file, too",
    );
    const refused = runCommand(releaseRebuildCommand, [...words, "--key-services", broken]);
    await expect(refused).rejects.toMatchObject({ name: "CommandError", exitCode: 2 });
    await expect(refused).rejects.toThrow(/key-services\/structure/u);
  });

  it("that lists what is not in its image is equal, and said to list it", async () => {
    const lie = join(folder, "lie.json");
    const [first, ...rest] = release.inputs;
    if (first === undefined) throw new TypeError("no input");
    const inputs = [{ ...first, sha256: "0".repeat(64) }, ...rest];
    writeFileSync(lie, encodeRelease({ ...release, inputs }));
    const given = ["--kernel", kernel, ...modules.flatMap((path) => ["--module", path])];
    const { exit, notes } = await runCommand(releaseRebuildCommand, [lie, ...given]);
    expect(exit).toBe(0);
    expect(notes).toEqual(["the release lists inputs that are not the image's: kernel"]);
  });

  it("is told apart from one with another kernel: exit code 1, and the kernel is named", async () => {
    const other = join(folder, "other-kernel");
    writeKernel(other, 2);
    const given = modules.flatMap((path) => ["--module", path]);
    const words = [file, "--json", "--kernel", other, ...given];
    const { exit, lines } = await runCommand(releaseRebuildCommand, words);
    expect(exit).toBe(1);
    const [line = ""] = lines;
    expect(JSON.parse(line)).toMatchObject({
      equal: false,
      registers: ["pcr0", "pcr1"],
      differences: [{ what: "kernel" }],
      error: "image/differs: PCR0, PCR1: kernel",
    });
  });

  it.each([
    ["a module too few", () => modules.slice(1), "vsock.ko is missing"],
    ["a module twice", () => [...modules, ...modules.slice(1)], "nsm.ko is not in the release"],
    ["a module of its own", () => [...modules, join(folder, "x.ko")], "x.ko is not in the release"],
  ])("is not built with %s: exit code 2", async (_what, given, message) => {
    const words = given().flatMap((path) => ["--module", path]);
    const rebuild = runCommand(releaseRebuildCommand, [file, "--kernel", kernel, ...words]);
    await expect(rebuild).rejects.toMatchObject({ name: "CommandError", exitCode: 2 });
    await expect(rebuild).rejects.toThrow(/^image\/input: /u);
    await expect(rebuild).rejects.toThrow(message);
  });

  it("that cannot be read is said to be so: exit code 2", async () => {
    const broken = join(folder, "broken.json");
    writeFileSync(broken, readFileSync(file, "utf8").replace('"version": 1', '"version": 7'));
    const rebuild = runCommand(releaseRebuildCommand, [broken, "--kernel", kernel]);
    await expect(rebuild).rejects.toMatchObject({ exitCode: 2 });
    await expect(rebuild).rejects.toThrow("/version: 7, want 1");
  });

  it("is written by the command line, with the entry for policies, and not twice", async () => {
    const out = join(folder, "written.json");
    const words = ["--image", join(folder, "image.eif"), "--name", "1.0.0", "--out", out];
    const first = await runCommand(releaseCommand, words);
    expect(first.exit).toBe(0);
    const written = parseRelease(readFileSync(out, "utf8"));
    expect({ ...written, source: null }).toEqual(release);
    const { pcr0, pcr1, pcr2 } = release.measurements;
    expect(first.lines.map((line) => line.trim())).toContain(
      JSON.stringify({ name: "1.0.0", pcr0, pcr1, pcr2 }),
    );
    await expect(runCommand(releaseCommand, words)).rejects.toMatchObject({
      exitCode: 2,
      message: `cannot write the release ${out}: it exists`,
    });
  });

  it("is not written of a file that is no image: exit code 1", async () => {
    const words = ["--image", kernel, "--out", join(folder, "none.json")];
    const written = runCommand(releaseCommand, words);
    await expect(written).rejects.toMatchObject({ name: "CommandError", exitCode: 1 });
    await expect(written).rejects.toThrow(/^image\/malformed: /u);
  });

  it("is rebuilt by a command of two words, which is not the one of one", () => {
    expect(findCommand(["release", "rebuild", "x"])?.command.name).toBe("release rebuild");
    expect(findCommand(["release", "--out", "x"])?.command.name).toBe("release");
  });
});
