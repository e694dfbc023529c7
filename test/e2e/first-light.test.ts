/** The command line against real processes: quickstart, a private request, proofs, proxy, attacks. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
const PROGRAM = join(REPOSITORY, "client", "bin", "countersign.js");
const SEVEN = join(REPOSITORY, "examples", "seven.png");

interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

let directory: string;
let quickstart: Running;
let url: string;

/** A command that goes on, and what it has said so far. */
class Running {
  readonly child: ChildProcess;
  out = "";
  errors = "";
  readonly ended: Promise<Finished>;

  constructor(words: readonly string[], input: Uint8Array | null = null) {
    this.child = spawn(process.execPath, [PROGRAM, ...words], {
      cwd: directory,
      env: { NO_COLOR: "1" },
    });
    this.child.stdout?.on("data", (part: Buffer) => (this.out += part.toString()));
    this.child.stderr?.on("data", (part: Buffer) => (this.errors += part.toString()));
    this.child.stdin?.end(input ?? undefined);
    this.ended = new Promise((resolve) => {
      this.child.on("close", (code) => {
        resolve({ code, out: this.out, errors: this.errors });
      });
    });
  }

  /** Waits until it has said what `pattern` matches. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const startedMs = performance.now();
    for (;;) {
      const found = pattern.exec(this.out);
      if (found !== null) return found;
      const ended = this.child.exitCode !== null || this.child.signalCode !== null;
      if (ended || performance.now() - startedMs > 60_000) {
        throw new TypeError(`it never said ${String(pattern)}: ${this.out}${this.errors}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function countersign(...words: readonly string[]): Promise<Finished> {
  return await new Running(words).ended;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  return port;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-e2e-"));
  quickstart = new Running(["quickstart", "--listen", `127.0.0.1:${await freePort()}`]);
  await quickstart.says(/The node stays up/u);
  url = /serves (http:\S+?)\.\n/u.exec(quickstart.out)?.[1] ?? "";
});

afterAll(async () => {
  if (quickstart.child.exitCode === null) quickstart.child.kill("SIGINT");
  await quickstart.ended;
  await rm(directory, { recursive: true, force: true });
});

describe("quickstart", () => {
  it("answers, shows the chain from the answer to the root, and says that the TEE is simulated", () => {
    const { out } = quickstart;
    expect(out).toMatch(/probabilities {2}7 {2}\d+\.\d %/u);
    expect(out).toMatch(/Simulated: .* no hardware protects this machine's memory/u);
    const lines = out.split("\n").filter((line) => /^ {2}[✓✗–] /u.test(line));
    const ids = lines.map((line) => line.slice(4).split(" ", 1)[0]);
    expect(ids[0]).toBe("complete");
    expect(ids.at(-1)).toBe("policy");
    expect(ids).toContain("chain");
    expect(lines.every((line) => line.startsWith("  ✓"))).toBe(true);
    expect(out).toContain("npx countersign verify");
  });

  it("wrote the development policy, in force", async () => {
    expect((await countersign("policy", "check")).code).toBe(0);
    const shown = (await countersign("policy", "show")).out;
    expect(shown).toContain("platform     simulated");
    expect((await countersign("policy", "init")).code).toBe(2);
  });

  it("refuses a second start and a taken port, and says why", async () => {
    const again = await countersign("quickstart", "--listen", "127.0.0.1:0");
    expect(again.code).not.toBe(0);
    expect(again.errors).toContain("already runs a node");
    const listen = new URL(url).host;
    const taken = await countersign("node", "--state", "other", "--listen", listen);
    expect(taken.code).not.toBe(0);
    expect(taken.errors).toContain("is taken");
    const missing = await countersign("node", "--state", "other", "--models", "none");
    expect(missing.code).not.toBe(0);
    expect(missing.errors).toContain("none is not a directory");
  });
});

describe("infer and verify", () => {
  it("predicts, and writes a proof that verifies without a node", async () => {
    const words = ["infer", "digits", "--input", SEVEN, "--node", url, "--proof", "seven.proof"];
    const inferred = await countersign(...words);
    expect(inferred.errors).toBe("");
    expect(inferred.code).toBe(0);
    expect(inferred.out).toMatch(/probabilities {2}7 /u);
    const verified = await countersign("verify", "seven.proof", "--opening", "--json");
    expect(verified.code).toBe(0);
    const object: unknown = JSON.parse(verified.out);
    expect(object).toMatchObject({
      result: "verified",
      mode: "archive",
      claims: { model: { id: "digits" }, outcome: { status: 200 } },
      opening: { request: { method: "POST", path: "/v2/models/digits/infer" } },
    });
  });

  it("takes a picture or JSON from standard input", async () => {
    const words = ["infer", "digits", "--input", "-", "--node", url, "--json"];
    const picture = await new Running(words, readFileSync(SEVEN)).ended;
    expect(picture.code).toBe(0);
    const answered: unknown = JSON.parse(picture.out);
    expect(answered).toMatchObject({ verdict: { result: "verified" } });
    const blank = JSON.stringify([Array.from({ length: 8 }, () => [0, 0, 0, 0, 0, 0, 0, 0])]);
    const tensors = await new Running(words, Buffer.from(blank)).ended;
    expect(tensors.code).toBe(0);
    const wrong = await new Running(words, Buffer.from("[[1, 2]]")).ended;
    expect(wrong.code).toBe(2);
    expect(wrong.errors).toContain("the model wants");
  });

  it("rejects a proof with one flipped byte, wherever it is", async () => {
    const proof = await readFile(join(directory, "seven.proof"));
    const step = Math.ceil(proof.length / 12);
    for (let at = 1; at < proof.length; at += step) {
      const changed = Buffer.from(proof);
      changed[at] = (changed[at] ?? 0) ^ 0x20;
      await writeFile(join(directory, "changed.proof"), changed);
      const { code, out } = await countersign("verify", "changed.proof");
      expect(code, `byte ${at}`).toBe(1);
      expect(out).toMatch(/✗ [a-z]+ .*\n {6}wanted .*\n {6}why .*\n {6}fix /u);
    }
  });

  it("tells unreachable, unreadable and misused apart from rejected", async () => {
    const nowhere = `http://127.0.0.1:${await freePort()}`;
    const away = await countersign("infer", "digits", "--input", SEVEN, "--node", nowhere);
    expect([away.code, /cannot be reached/u.test(away.errors)]).toEqual([2, true]);
    expect((await countersign("verify", "none.proof")).code).toBe(2);
    expect((await countersign("verify")).code).toBe(2);
    expect((await countersign("attest", url)).code).toBe(0);
    expect((await countersign("attest", url, "--challenge")).code).toBe(0);
  });
});

describe("proxy", () => {
  it("serves the API as any KServe server does, with verdict and proof", async () => {
    const proxy = new Running(["proxy", "--node", url, "--listen", "127.0.0.1:0"]);
    const at = (await proxy.says(/at (http:\S+)/u))[1] ?? "";
    const described = await fetch(`${at}/v2/models/digits`);
    expect(await described.json()).toMatchObject({ name: "digits" });
    const input = { name: "image", datatype: "FP32", shape: [1, 1, 8, 8] };
    const data = Array.from({ length: 64 }, () => 0);
    const response = await fetch(`${at}/v2/models/digits/infer`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ inputs: [{ ...input, data }] }),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("countersign-verdict")).toMatch(/^verified; /u);
    const id = response.headers.get("countersign-proof") ?? "";
    const proof = await fetch(`${at}/proofs/${id}`);
    await writeFile(join(directory, "proxy.proof"), Buffer.from(await proof.arrayBuffer()));
    expect((await countersign("verify", "proxy.proof")).code).toBe(0);
    proxy.child.kill("SIGINT");
    expect((await proxy.ended).code).toBe(0);
  });
});

describe("demo tamper", () => {
  it("catches every attack", async () => {
    const { code, out, errors } = await countersign("demo", "tamper", "--json");
    const results = out
      .trim()
      .split("\n")
      .map((line): unknown => JSON.parse(line));
    expect(results).toHaveLength(7);
    for (const result of results) expect(result).toMatchObject({ caught: true });
    expect([code, errors]).toEqual([0, ""]);
  });
});

describe("Ctrl-C", () => {
  it("ends host and enclave, and the command with 0", async () => {
    quickstart.child.kill("SIGINT");
    expect((await quickstart.ended).code).toBe(0);
    await expect(fetch(`${url}/livez`)).rejects.toThrow("fetch failed");
  });
});
