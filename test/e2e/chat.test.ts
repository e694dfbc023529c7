/** `model add` and `chat` as a user has them: real programs, a real node, models made here. */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { decoderExport } from "../fakes/decoder/index.ts";

const PROGRAM = fileURLToPath(new URL("../../client/bin/countersign.js", import.meta.url));
const START_MS = 60_000;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let root: string;
let models: string;
let digest: string;

/** Runs the command line with nothing but `input` on its standard input. */
async function countersign(words: readonly string[], input = ""): Promise<Ended> {
  const child = spawn(process.execPath, [PROGRAM, ...words], { cwd: root });
  const said = { stdout: "", stderr: "" };
  child.stdout.on("data", (part: Buffer) => (said.stdout += part.toString()));
  child.stderr.on("data", (part: Buffer) => (said.stderr += part.toString()));
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  return { code, ...said };
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "countersign-chat-"));
  models = join(root, "models");
  const made = join(root, "export");
  for (const [path, bytes] of decoderExport({ architecture: "llama", external: true })) {
    await mkdir(dirname(join(made, path)), { recursive: true });
    await writeFile(join(made, path), bytes);
  }
  const words = ["model", "add", `file:${made}`, "--as", "random", "--models", models, "--quiet"];
  const added = await countersign(words);
  if (added.code !== 0) throw new Error(added.stderr);
  digest = added.stdout.trim();
});

afterAll(async () => {
  await rm(root, { recursive: true });
});

describe("model add, then chat", () => {
  it(
    "answers a pipe once, with a verdict, from a node of its own",
    async () => {
      const proof = join(root, "a.proof");
      const words = ["--models", models, "--max-tokens", "6", "--seed", "7", "--proof", proof];
      const first = await countersign(["chat", ...words, "--json"], "hello there\n");
      expect(first).toMatchObject({ code: 0, stderr: "" });
      const line: unknown = JSON.parse(first.stdout);
      expect(line).toMatchObject({
        version: 1,
        model: "random",
        answer: { model: "random@1", digest, seed: 7, finishReason: "length", completionTokens: 6 },
        verdict: { result: "verified", platform: "simulated" },
        proof,
        error: null,
      });
      // The node is gone by now: its simulated vendor is that of the policy all the same.
      expect(await countersign(["policy", "init", "--models", models])).toMatchObject({ code: 0 });
      const verified = await countersign(["verify", proof]);
      expect(verified).toMatchObject({ code: 0 });
      expect(verified.stdout).toContain("the text: ");
    },
    START_MS,
  );

  it(
    "says the same again for the same seed, and its verdict on standard error",
    async () => {
      const words = ["chat", "random", "hello there", "--models", models, "--max-tokens", "6"];
      const first = await countersign([...words, "--seed", "7"]);
      const second = await countersign([...words, "--seed", "7", "--quiet"]);
      expect(first.code).toBe(0);
      expect(first.stdout.length).toBeGreaterThan(0);
      expect(second).toEqual({ code: 0, stdout: first.stdout, stderr: "" });
      expect(first.stderr).toMatch(/✓ verified .* random 1 [0-9a-f]{16}…, 6 tokens/u);
      expect(first.stderr).toContain("cut at the limit of tokens, seed 7, index ");
    },
    START_MS,
  );

  it(
    "says that a question is too long for the model",
    async () => {
      const words = ["chat", "random", "long ".repeat(5000), "--models", models];
      const { code, stdout, stderr } = await countersign(words);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain("the enclave refused the message (400)");
      expect(stderr).toContain("fix: say less");
    },
    START_MS,
  );
});
