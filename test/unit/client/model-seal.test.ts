import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DevKms, startDevKms } from "@countersign/sealing";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { modelDigestCommand, modelListCommand } from "../../../client/cli/commands/model.ts";
import { modelInspectCommand } from "../../../client/cli/commands/model-inspect.ts";
import { modelKeygenCommand } from "../../../client/cli/commands/model-keygen.ts";
import { modelResealCommand } from "../../../client/cli/commands/model-reseal.ts";
import { modelSealCommand } from "../../../client/cli/commands/model-seal.ts";
import { modelUnsealCommand } from "../../../client/cli/commands/model-unseal.ts";
import { CommandError, UsageError } from "../../../client/cli/exit.ts";
import { BUNDLED_MODELS } from "../../../client/cli/paths.ts";
import { type Ran, runCommand } from "./command-line.ts";

const DIGITS = join(BUNDLED_MODELS, "digits", "1");
const GUIDE = join(BUNDLED_MODELS, "guide", "1");
const OTHER = "alias/other";

let folder: string;
let key: string;
let dev: DevKms;
/** What names the KMS to every command. */
let kms: readonly string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-model-seal-"));
  key = join(folder, "owner.key");
  await runCommand(modelKeygenCommand, [key]);
  dev = await startDevKms({
    directory: join(folder, "dev-kms"),
    listen: { host: "127.0.0.1", port: 0 },
    allowRemote: false,
    attestationRoots: [],
    aliases: [OTHER],
  });
  kms = ["--kms-endpoint", dev.url, "--kms-ca", dev.caPath];
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await dev.close();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith("AWS_")) vi.stubEnv(name, undefined);
  }
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
  vi.stubEnv("AWS_CONFIG_FILE", "/nonexistent");
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", dev.owner.credentialsPath);
});

let made = 0;
/** A path in which nothing is yet. */
function place(): string {
  made += 1;
  return join(folder, `place-${made}`);
}

async function seal(directory: string, ...words: readonly string[]): Promise<string> {
  const out = place();
  await runCommand(modelSealCommand, [directory, "--out", out, "--quiet", ...words]);
  return out;
}

async function sealUnderFile(directory = DIGITS): Promise<string> {
  return await seal(directory, "--key-provider", "file", "--key", key);
}

async function sealUnderKms(name = "alias/countersign"): Promise<string> {
  return await seal(DIGITS, "--kms-key", name, "--region", dev.region, ...kms);
}

function objects({ lines }: Ran): readonly unknown[] {
  return lines.map((line): unknown => JSON.parse(line));
}

async function digestOf(directory: string): Promise<string> {
  const { lines } = await runCommand(modelDigestCommand, [directory]);
  return lines.join("\n");
}

async function expectSameFiles(one: string, other: string): Promise<void> {
  const names = await readdir(one, { recursive: true });
  expect((await readdir(other, { recursive: true })).toSorted()).toEqual(names.toSorted());
  for (const name of names) {
    if ((await stat(join(one, name))).isDirectory()) continue;
    expect((await readFile(join(other, name))).equals(await readFile(join(one, name)))).toBe(true);
  }
}

/** How a command that is refused says so. */
async function refusal(run: Promise<unknown>): Promise<CommandError> {
  try {
    await run;
  } catch (error) {
    if (error instanceof CommandError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("model seal", () => {
  it("keeps the digest, and says what it did", async () => {
    const out = place();
    const words = [DIGITS, "--key-provider", "file", "--key", key, "--out", out];
    const ran = await runCommand(modelSealCommand, words);
    const digest = await digestOf(DIGITS);
    expect(ran.exit).toBe(0);
    expect(digest.startsWith(ran.lines[0] ?? "-")).toBe(true);
    expect(ran.lines[1]).toMatch(/^ {2}2 files, 197\.3 kB, under key file [0-9a-f]{32}$/u);
    expect(ran.lines[2]).toBe(`sealed into ${out}`);
    expect(await digestOf(out)).toBe(digest);
    expect((await readdir(out)).toSorted()).toEqual([
      "metadata.json.sealed",
      "model.onnx.sealed",
      "seal.cbor",
    ]);
  });

  it("seals a whole repository, which lists and opens as before", async () => {
    const sealed = await sealUnderFile(BUNDLED_MODELS);
    const list = async (models: string): Promise<readonly string[]> =>
      (await runCommand(modelListCommand, ["--models", models])).lines;
    expect(await list(sealed)).toEqual(await list(BUNDLED_MODELS));
    const out = place();
    await runCommand(modelUnsealCommand, [sealed, "--key", key, "--out", out]);
    await expectSameFiles(GUIDE, join(out, "guide", "1"));
    await expectSameFiles(DIGITS, join(out, "digits", "1"));
  });

  it("seals under a key of KMS, named by alias or ARN, and its owner opens it again", async () => {
    const { arn } = dev.keys[0];
    for (const out of [await sealUnderKms(), await seal(DIGITS, "--kms-key", arn, ...kms)]) {
      const [inspected] = objects(await runCommand(modelInspectCommand, [out, "--json"]));
      expect(inspected).toMatchObject({ key: { kind: "aws-kms", id: arn }, whole: true });
      const opened = place();
      await runCommand(modelUnsealCommand, [out, "--out", opened, ...kms]);
      await expectSameFiles(DIGITS, opened);
    }
  });

  it("says in JSON what it made, one line a version", async () => {
    const out = place();
    const words = ["--key-provider", "file", "--key", key, "--out", out, "--json"];
    const ran = await runCommand(modelSealCommand, [BUNDLED_MODELS, ...words]);
    const listed = objects(await runCommand(modelListCommand, ["--json"]));
    expect(objects(ran)).toEqual(
      listed.map((model) => {
        const { id, version, digest, files } = modelOf(model);
        const bytes = files.reduce((sum, { size }) => sum + size, 0);
        const id16: unknown = expect.stringMatching(/^[0-9a-f]{32}$/u);
        const wrapping = { kind: "file", id: id16 };
        return { name: `${id}/${version}`, digest, files: files.length, bytes, key: wrapping, out };
      }),
    );
  });

  it.each<[string, readonly string[], RegExp]>([
    ["no key", [], /want --kms-key or --key-provider/u],
    ["two keys", ["--kms-key", "alias/a", "--key-provider", "file"], /want --kms-key or/u],
    ["a provider that there is not", ["--key-provider", "vault"], /no --key-provider vault/u],
    ["a provider without its file", ["--key-provider", "file"], /--key is missing/u],
    ["a file for KMS", ["--kms-key", "alias/a", "--key", "k"], /--key belongs to/u],
    [
      "a region for a file",
      ["--key-provider", "file", "--key", "k", "--region", "eu-west-1"],
      /--region belongs to/u,
    ],
    [
      "two regions",
      ["--kms-key", "arn:aws:kms:eu-central-1:123456789012:alias/a", "--region", "eu-west-1"],
      /--region is eu-west-1, and the key is in eu-central-1/u,
    ],
  ])("with %s is a mistake of usage", async (_, words, said) => {
    const out = place();
    const error = await refusal(runCommand(modelSealCommand, [DIGITS, "--out", out, ...words]));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toMatch(said);
    expect(await readdir(folder)).not.toContain(out);
  });

  it("says what is wrong and what to do about it", async () => {
    const taken = await sealUnderFile();
    const file = ["--key-provider", "file", "--key", key];
    const error = await refusal(runCommand(modelSealCommand, [DIGITS, "--out", taken, ...file]));
    expect(error.message).toBe(`${taken} exists already, and nothing is overwritten`);
    expect(error.fix).toContain("another place");
    const again = await refusal(runCommand(modelSealCommand, [taken, "--out", place(), ...file]));
    expect(again.message).toBe(`${taken} is sealed already`);
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", dev.node.credentialsPath);
    const denied = await refusal(sealUnderKms());
    expect(denied.message).toContain("KMS denies kms:GenerateDataKey on alias/countersign");
    expect(denied.fix).toContain("countersign model policy");
    const root = ["--kms-key", "alias/a", "--region", "eu-west-1", "--kms-ca"];
    const rootless = await refusal(seal(DIGITS, ...root, folder));
    expect(rootless.message).toBe(`cannot read KMS's root ${folder}: it is a directory`);
    const notPem = await refusal(seal(DIGITS, ...root, join(DIGITS, "metadata.json")));
    expect(notPem.message).toBe("the root for KMS is no certificate in PEM");
    expect(notPem.fix).toContain("--kms-ca");
    const without = await refusal(runCommand(modelSealCommand, [DIGITS, ...file]));
    expect(without.message).toBe("--out is missing");
  });
});

describe("model reseal", () => {
  it("moves a model from one key file to another, to KMS, and back", async () => {
    const sealed = await sealUnderFile();
    const digest = await digestOf(sealed);
    const other = place();
    await runCommand(modelKeygenCommand, [other]);
    const steps = [
      ["--old-key", key, "--key-provider", "file", "--key", other],
      ["--old-key", other, "--kms-key", "alias/countersign", "--region", dev.region, ...kms],
      ["--kms-key", OTHER, "--region", dev.region, ...kms],
      ["--key-provider", "file", "--key", key, ...kms],
    ];
    const moved: unknown[] = [];
    for (const step of steps) {
      const ran = await runCommand(modelResealCommand, [sealed, "--json", ...step]);
      moved.push(...objects(ran));
      expect(await digestOf(sealed)).toBe(digest);
    }
    const first = { kind: "aws-kms", id: dev.keys[0].arn };
    const second = { kind: "aws-kms", id: dev.keys[1]?.arn };
    expect(moved).toMatchObject([
      { moved: "here", before: { kind: "file" }, after: { kind: "file" } },
      { moved: "here", before: { kind: "file" }, after: first },
      { moved: "key-service", before: first, after: second },
      { moved: "here", before: second, after: { kind: "file" } },
    ]);
    const out = place();
    await runCommand(modelUnsealCommand, [sealed, "--key", key, "--out", out]);
    await expectSameFiles(DIGITS, out);
  });

  it("says which key is missing, and changes nothing", async () => {
    const sealed = await sealUnderFile();
    const before = await readFile(join(sealed, "seal.cbor"));
    const words = ["--kms-key", OTHER, "--region", dev.region, ...kms];
    const error = await refusal(runCommand(modelResealCommand, [sealed, ...words]));
    expect(error.message).toBe("--old-key is missing");
    expect(await readFile(join(sealed, "seal.cbor"))).toEqual(before);
  });

  it("says for a person who had the data key", async () => {
    const sealed = await sealUnderKms();
    const words = ["--kms-key", OTHER, "--region", dev.region, ...kms];
    const { lines } = await runCommand(modelResealCommand, [sealed, ...words]);
    expect(lines[1]).toBe(`  from KMS key ${dev.keys[0].arn}`);
    expect(lines[2]).toBe(`  to   KMS key ${dev.keys[1]?.arn}; KMS moved the data key`);
  });
});

describe("model unseal", () => {
  it("refuses with another key, and leaves nothing", async () => {
    const sealed = await sealUnderFile();
    const [other, out] = [place(), place()];
    await runCommand(modelKeygenCommand, [other]);
    const words = [sealed, "--key", other, "--out", out];
    const error = await refusal(runCommand(modelUnsealCommand, words));
    expect(error.message).toMatch(
      /^the model is sealed under key [0-9a-f]{32}, and this key file/u,
    );
    expect(error.fix).toContain("model inspect");
    await expect(stat(out)).rejects.toThrow("ENOENT");
    const missing = await refusal(runCommand(modelUnsealCommand, [sealed, "--out", out]));
    expect(missing.message).toBe("--key is missing");
  });
});

describe("model inspect", () => {
  it("needs no key, and ends with 1 where something is wrong", async () => {
    const sealed = await sealUnderFile(GUIDE);
    const whole = await runCommand(modelInspectCommand, [sealed]);
    expect(whole.exit).toBe(0);
    expect(whole.lines.slice(0, 2)).toEqual([
      (await digestOf(GUIDE)).slice(0, 64),
      expect.stringMatching(/^ {2}under key file [0-9a-f]{32}$/u),
    ]);
    await rm(join(sealed, "onnx", "model.onnx.sealed"));
    await writeFile(join(sealed, "notes"), "");
    await writeFile(join(sealed, ".DS_Store"), "");
    const broken = await runCommand(modelInspectCommand, [sealed, "--json"]);
    expect(broken.exit).toBe(1);
    expect(objects(broken)).toMatchObject([
      {
        whole: false,
        faults: [
          ".DS_Store is hidden: remove it or rename it",
          "notes does not belong here",
          "onnx/model.onnx.sealed is missing",
        ],
      },
    ]);
    expect((await refusal(digestOf(sealed))).message).toContain("and 2 more");
  });

  it("says that a model in clear is not sealed", async () => {
    const error = await refusal(runCommand(modelInspectCommand, [DIGITS]));
    expect(error.message).toBe(`${DIGITS} holds no sealed version`);
  });
});

interface Listed {
  readonly id: string;
  readonly version: string;
  readonly digest: string;
  readonly files: readonly { readonly size: number }[];
}

function modelOf(value: unknown): Listed {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what model list prints
  return value as Listed;
}
