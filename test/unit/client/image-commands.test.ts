import { createHash } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imageBuildCommand, imageTreeCommand } from "../../../client/cli/commands/image.ts";
import { measureCommand } from "../../../client/cli/commands/measure.ts";
import { CommandError, UsageError } from "../../../client/cli/exit.ts";
import { imageOf } from "../image/eif-files.ts";
import { selfSigned } from "../image/signing.ts";
import { type Ran, runCommand } from "./command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-image-commands-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const kernel = join(folder, "bzImage");
const image = join(folder, "image.eif");
const small = join(folder, "small.eif");

beforeAll(() => {
  const [offset, magic] = process.arch === "arm64" ? [56, "ARMd"] : [0x202, "HdrS"];
  const parts = [Buffer.alloc(offset), Buffer.from(magic), Buffer.alloc(99)];
  writeFileSync(kernel, Buffer.concat(parts));
  writeFileSync(small, imageOf(["kernel", "k"], ["cmdline", "c"], ["ramdisk", "r"]));
});

/** The error that a command ends with. */
async function failure(run: Promise<Ran>): Promise<CommandError> {
  try {
    await run;
  } catch (error) {
    if (error instanceof CommandError) return error;
    throw error;
  }
  throw new TypeError("it did not fail");
}

/** As they are in the image. */
const ARGUMENTS = '"--heartbeat","--parent-cid","4","--parent-port","7001"]';

describe("measure", () => {
  it("prints the registers, and with --quiet nothing else", async () => {
    const { exit, lines } = await runCommand(measureCommand, [small]);
    expect(exit).toBe(0);
    expect(lines).toEqual([
      expect.stringMatching(/^pcr0 {2}[0-9a-f]{96}$/u),
      expect.stringMatching(/^pcr1 {2}[0-9a-f]{96}$/u),
      expect.stringMatching(/^pcr2 {2}[0-9a-f]{96}$/u),
      expect.stringMatching(/^x86_64, 587 bytes, sha256 [0-9a-f]{64}$/u),
    ]);
    const quiet = await runCommand(measureCommand, [small, "--quiet"]);
    expect(quiet.lines).toEqual(lines.slice(0, 3));
  });

  it("says with its exit code whether the image or the path is at fault", async () => {
    const broken = join(folder, "broken.eif");
    writeFileSync(broken, Buffer.concat([readFileSync(small), Buffer.of(0)]));
    const malformed = await failure(runCommand(measureCommand, [broken]));
    expect([malformed.exitCode, malformed.message]).toEqual([
      1,
      expect.stringMatching(/^image\/malformed: /u),
    ]);
    const bent = readFileSync(small);
    bent[bent.length - 1] = 0;
    writeFileSync(broken, bent);
    expect((await failure(runCommand(measureCommand, [broken]))).exitCode).toBe(1);
    const gone = await failure(runCommand(measureCommand, [join(folder, "gone.eif")]));
    expect([gone.exitCode, gone.message]).toEqual([2, expect.stringMatching(/^image\/input: /u)]);
  });
});

describe("image build", () => {
  it("builds this checkout's enclave, signed, and prints what measure prints", async () => {
    const { key, certificate } = selfSigned();
    writeFileSync(join(folder, "key.pem"), key);
    writeFileSync(join(folder, "certificate.pem"), certificate);
    const signed = [
      "--sign-key",
      join(folder, "key.pem"),
      "--sign-cert",
      join(folder, "certificate.pem"),
    ];
    const words = [
      "--kernel",
      kernel,
      "--out",
      image,
      "--json",
      "--heartbeat",
      "--parent-cid",
      "4",
      "--parent-port",
      "7001",
    ];
    const built = await runCommand(imageBuildCommand, [...words, ...signed]);
    const measured = await runCommand(measureCommand, [image, "--json"]);
    expect(built.lines).toEqual(measured.lines);
    const register: unknown = expect.stringMatching(/^[0-9a-f]{96}$/u);
    const time: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/u);
    expect(JSON.parse(built.lines[0] ?? "")).toEqual({
      image,
      architecture: process.arch === "arm64" ? "arm64" : "x86_64",
      bytes: statSync(image).size,
      sha256: createHash("sha256").update(readFileSync(image)).digest("hex"),
      measurement: { pcr0: register, pcr1: register, pcr2: register, pcr8: register },
      signingCertificate: { notBefore: time, notAfter: time },
    });
    expect(readFileSync(image).includes(ARGUMENTS)).toBe(true);
    rmSync(image);
  });

  it.each([
    ["no kernel", ["--out", image], "--kernel is missing"],
    ["nothing to write", ["--kernel", kernel], "--out is missing"],
    ["a key alone", ["--kernel", kernel, "--out", image, "--sign-key", "k"], "are given together"],
    ["a certificate alone", ["--kernel", kernel, "--out", image, "--sign-cert", "c"], "together"],
    [
      "another architecture",
      ["--kernel", kernel, "--out", image, "--arch", "riscv"],
      "want x86_64",
    ],
    [
      "a port that is none",
      ["--kernel", kernel, "--out", image, "--listen-port", "4294967295"],
      "at most",
    ],
    [
      "a context id that is none",
      ["--kernel", kernel, "--out", image, "--parent-cid", "4294967295"],
      "at most",
    ],
  ])("refuses a line with %s", async (_, words, message) => {
    const error = await failure(runCommand(imageBuildCommand, words));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain(message);
    expect(existsSync(image)).toBe(false);
  });

  it("takes modules and libraries more than once, in their order", async () => {
    const words = [
      "--module",
      "a.ko",
      "--module",
      "b.ko.xz",
      "--libraries",
      "x",
      "--libraries",
      "y",
    ];
    const error = await failure(
      runCommand(imageBuildCommand, ["--kernel", kernel, "--out", image, ...words]),
    );
    expect(error.message).toMatch(/needs lib[\w.+]+, which is not in \S*\/x, \S*\/y$/u);
    expect(error.exitCode).toBe(2);
  });
});

describe("image tree", () => {
  it("writes the tree as a folder", async () => {
    const out = join(folder, "tree");
    const { lines } = await runCommand(imageTreeCommand, [
      "--out",
      out,
      "--parent-cid",
      "3",
      "--json",
    ]);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ tree: out });
    expect(readdirSync(out)).toEqual(expect.arrayContaining(["app", "bin", "init", "lib"]));
    const again = await failure(runCommand(imageTreeCommand, ["--out", out]));
    expect(again.message).toContain("is not empty");
  });

  it("has the key services of a file that is named, where an enclave would start with them", async () => {
    const [services, wrong] = [join(folder, "services.json"), join(folder, "wrong.json")];
    writeFileSync(services, '{"version":1,"services":[],"rootCertificates":[]}');
    writeFileSync(wrong, '{"version":1,"services":[],"rootCertificates":[],"more":1}');
    const [one, two] = [join(folder, "own"), join(folder, "refused")];
    await runCommand(imageTreeCommand, ["--out", one, "--key-services", services]);
    const written = readFileSync(join(one, "app/enclave/key-services.json"), "utf8");
    expect(written).toBe(readFileSync(services, "utf8"));
    for (const [file, words] of [
      [wrong, "wrong.json: key-services/structure"],
      [join(folder, "gone.json"), "cannot read the key services"],
    ] as const) {
      const run = runCommand(imageTreeCommand, ["--out", two, "--key-services", file]);
      const error = await failure(run);
      expect([error.exitCode, error.message]).toEqual([2, expect.stringContaining(words)]);
    }
    expect(existsSync(two)).toBe(false);
  });
});
