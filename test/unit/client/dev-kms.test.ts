/** `countersign dev-kms` as a newcomer has it: what it prints is pasted into a shell, and works. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { devKmsCommand } from "../../../client/cli/commands/dev-kms.ts";
import { CommandError, UsageError } from "../../../client/cli/exit.ts";
import { createAttester, NOW_MS, seededRandom } from "../../fakes/attester.ts";
import { REPOSITORY, RunningProgram } from "../../fakes/programs.ts";
import { runCommand } from "./command-line.ts";

const ANY_PORT = ["--listen", "127.0.0.1:0"] as const;

/** The SDK with nothing but its environment. */
const SCRIPT = `
import { createRequire } from "node:module";
const { KMS } = createRequire(${JSON.stringify(join(REPOSITORY, "test", "package.json"))})("@aws-sdk/client-kms");
const made = await new KMS({ maxAttempts: 1 })
  .generateDataKey({ KeyId: "alias/countersign", KeySpec: "AES_256" })
  .catch((error) => ({ KeyId: error.name }));
process.stdout.write(made.KeyId);
`;

let folder: string;
const running: RunningProgram[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "countersign-dev-kms-command-"));
});
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
  rmSync(folder, { recursive: true });
});

/** Started, and all that it says of itself at first. */
async function start(
  ...words: readonly string[]
): Promise<{ readonly program: RunningProgram; readonly lines: readonly string[] }> {
  const program = new RunningProgram(["dev-kms", ...words, ...ANY_PORT], { folder });
  running.push(program);
  await program.says(words.includes("--json") ? /\}\n/u : /\nnpx countersign node .*\n/u);
  return { program, lines: program.out.split("\n") };
}

/** Pastes lines into a shell, with the script behind them. */
async function paste(lines: readonly string[]): Promise<string> {
  const script = join(folder, "script.mjs");
  writeFileSync(script, SCRIPT);
  const text = [...lines, `exec "${process.execPath}" "${script}"`].join("\n");
  // What a shell may have from before.
  const env = {
    HOME: folder,
    AWS_PROFILE: "other",
    AWS_ACCESS_KEY_ID: "A",
    AWS_SESSION_TOKEN: "T",
  };
  const { stdout } = await promisify(execFile)("/bin/sh", ["-c", text], { cwd: folder, env });
  return stdout;
}

describe("what it prints", () => {
  it("begins with a warning, and sets up the SDK for the owner and for the node", async () => {
    const { program, lines } = await start("--dir", "it's mine");
    expect(lines[0]).toContain("development tool");
    const isSetting = (line: string) => /^(?:export|unset) /u.test(line);
    const node = lines.findIndex((line) => line.startsWith("# In the node's shell"));
    const owner = lines.slice(0, node).filter(isSetting);
    expect(owner).toHaveLength(4);
    expect(await paste(owner)).toMatch(/^arn:aws:kms:dev-local-1:000000000000:key\//u);
    expect(await paste(lines.filter(isSetting))).toBe("AccessDeniedException");
    const { code, out } = await program.stop();
    expect(code).toBe(0);
    expect(out).toMatch(/^ok {2}GenerateDataKey by countersign-owner/mu);
    expect(out).toMatch(
      /^AccessDeniedException {2}GenerateDataKey by countersign-node .*no statem/mu,
    );
  });

  it("names files that are there, and no secret", async () => {
    const { program } = await start("--dir", "kms");
    const paths = [...program.out.matchAll(/\/\S*\/kms\/[^\s']+/gu)].map(([path]) => path);
    expect(paths.length).toBeGreaterThanOrEqual(6);
    for (const path of paths) expect(statSync(path).isFile()).toBe(true);
    expect(program.out).not.toMatch(/secret_access_key|BEGIN/u);
  });

  it("is one JSON object a line, where that is asked for", async () => {
    const { lines } = await start("--dir", "kms", "--json", "--alias", "next");
    const [first = ""] = lines;
    expect(JSON.parse(first)).toMatchObject({
      event: "listening",
      warning: "a development tool: no real secrets",
      region: "dev-local-1",
      owner: { arn: "arn:aws:iam::000000000000:role/countersign-owner" },
      keys: [{ alias: "alias/countersign" }, { alias: "alias/next" }],
    });
    const credentials = readFileSync(join(folder, "kms", "owner.credentials"), "utf8");
    const secret = /secret_access_key = (.*)/u.exec(credentials)?.[1] ?? "none";
    expect(secret).toHaveLength(40);
    expect(first).not.toContain(secret);
  });
});

describe("attestation roots", () => {
  const { rootPem, rootSha256 } = createAttester({ random: seededRandom("root"), nowMs: NOW_MS });
  const pin = Buffer.from(rootSha256).toString("hex");
  const aws = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

  it.each<[string, readonly string[], readonly string[], RegExp]>([
    ["AWS's", [], [aws], /for simulated ones add --attestation-root/u],
    [
      "those named, though a key may be beside them",
      ["--attestation-root", "vendor.pem"],
      [pin],
      /^$/u,
    ],
    [
      "those of files that may come later",
      ["--attestation-root", "later.pem"],
      [],
      /later\.pem is not there yet/u,
    ],
  ])("are %s", async (_, words, attestationRoots, note) => {
    const other = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    writeFileSync(join(folder, "vendor.pem"), other + rootPem);
    const { lines, program } = await start("--dir", "kms", "--json", ...words);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ attestationRoots });
    await program.says(note);
    const { errors } = await program.stop();
    expect(errors).toMatch(note);
    expect(errors.split("note:").length).toBeLessThanOrEqual(2);
  });
});

describe("what it refuses", () => {
  async function failure(...words: string[]): Promise<CommandError> {
    const error: unknown = await runCommand(devKmsCommand, words).catch(
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof CommandError)) throw new TypeError(`no CommandError: ${String(error)}`);
    return error;
  }

  it("is a start without a directory", async () => {
    expect(await failure()).toBeInstanceOf(UsageError);
  });

  it("is an address that other machines reach, unless that is asked for", async () => {
    const { message, fix } = await failure("--dir", join(folder, "kms"), "--listen", "0.0.0.0:0");
    expect(message).toContain("0.0.0.0 can be reached from other machines");
    expect(fix).toContain("--allow-remote");
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is a root that is none", async () => {
    const file = join(folder, "root.pem");
    const words = ["--dir", join(folder, "kms"), ...ANY_PORT, "--attestation-root", file];
    writeFileSync(file, "no certificate");
    expect((await failure(...words)).message).toContain("no PEM certificate");
    writeFileSync(file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect((await failure(...words)).message).toContain("cannot be read");
  });

  it("is a directory that is open to others", async () => {
    const { message } = await failure("--dir", tmpdir(), ...ANY_PORT);
    expect(message).toContain("open to others");
  });
});
