import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeHex } from "@countersign/attestation";
import { createKeyFile, readKeyFile } from "@countersign/sealing";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { keyBrokerCommand } from "../../../client/cli/commands/key-broker.ts";
import { brokerRelease } from "../../../enclave/keys/broker.ts";
import {
  askerAt,
  MODEL_DIGEST,
  ownersPolicyText,
  type Relay,
  startRelay,
  wrappedUnder,
} from "../../fakes/key-broker.ts";
import { runCommand } from "./command-line.ts";

const PROGRAM = fileURLToPath(new URL("../../../client/bin/countersign.js", import.meta.url));

let folder: string;
let keyFile: string;
let policyFile: string;
let keyId: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "key-broker-"));
  keyFile = join(folder, "owner.key");
  policyFile = join(folder, "policy.json");
  keyId = await createKeyFile(keyFile);
  await writeFile(policyFile, ownersPolicyText());
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** The command as a process, which is up once it has said where. */
class Running {
  readonly lines: string[] = [];
  errors = "";
  readonly ended: Promise<number | null>;
  readonly #child;
  #rest = "";

  constructor(words: readonly string[]) {
    this.#child = spawn(process.execPath, [PROGRAM, "key-broker", ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stdout.on("data", (part: Buffer) => {
      const [...whole] = (this.#rest + part.toString()).split("\n");
      this.#rest = whole.pop() ?? "";
      this.lines.push(...whole);
    });
    this.#child.stderr.on("data", (part: Buffer) => (this.errors += part.toString()));
    this.ended = new Promise((resolve) => {
      this.#child.on("close", resolve);
    });
  }

  async url(): Promise<string> {
    const first = await this.line(() => true);
    return /http:\/\/127\.0\.0\.1:\d+/u.exec(first)?.[0] ?? "";
  }

  /** The first line that is as wanted, once it is there. */
  async line(wanted: (line: string) => boolean): Promise<string> {
    const found = (): string | undefined => {
      if (this.#child.exitCode !== null) throw new Error(this.errors);
      return this.lines.find(wanted);
    };
    return (await vi.waitUntil(found, { timeout: 20_000 })) ?? "";
  }

  stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    return this.ended;
  }
}

let running: Running | null = null;
let relay: Relay | null = null;

afterEach(async () => {
  await running?.stop();
  await relay?.close();
  [running, relay] = [null, null];
});

async function start(...words: readonly string[]): Promise<Running> {
  running = new Running(["--listen", "127.0.0.1:0", "--key", keyFile, ...words]);
  await running.url();
  return running;
}

async function ask(at: Running): Promise<{ readonly got: unknown; readonly dataKey: Uint8Array }> {
  const wrapped = await wrappedUnder(await readKeyFile(keyFile));
  relay ??= await startRelay();
  const { context } = askerAt(relay, await at.url(), {});
  const { envelope, envelopeBytes, dataKey } = wrapped;
  const got: unknown = await brokerRelease(context)
    .release(envelope, envelopeBytes, MODEL_DIGEST)
    .catch((error: unknown) => error);
  return { got, dataKey };
}

describe("countersign key-broker", () => {
  it("releases keys by the policy as it is now, and says what it did", async () => {
    const policy = join(folder, "changing.json");
    await writeFile(policy, ownersPolicyText());
    const broker = await start("--policy", policy, "--json");
    const { got, dataKey } = await ask(broker);
    expect(got).toEqual(dataKey);

    await writeFile(policy, ownersPolicyText((file) => (file.models = "any")).slice(0, -1));
    expect((await ask(broker)).got).toMatchObject({ code: "key/unreachable" });
    await writeFile(
      policy,
      ownersPolicyText((file) => {
        file.models = "any";
        file.revoked["models"] = [encodeHex(MODEL_DIGEST)];
      }),
    );
    expect((await ask(broker)).got).toMatchObject({ code: "key/denied" });

    await broker.line((line) => line.includes("policy/revoked"));
    const entries = broker.lines.map((line): unknown => JSON.parse(line));
    expect(entries[0]).toMatchObject({ event: "listening", keys: [keyId] });
    const model = encodeHex(MODEL_DIGEST);
    const released = { event: "key-released", model, measurement: "release-7", key: keyId };
    expect(entries[1]).toMatchObject(released);
    expect(entries[2]).toMatchObject({ event: "key-refused", code: "broker/policy" });
    expect(entries.at(-1)).toMatchObject({ event: "key-refused", code: "policy/revoked" });
    expect(broker.errors).toBe("");
    expect(await broker.stop()).toBe(0);
  });

  it("speaks to people, too, and of no secret", async () => {
    const broker = await start("--policy", policyFile);
    const { dataKey } = await ask(broker);
    const third = await broker.line((line) => line.startsWith("released"));
    const [first, second] = broker.lines;
    expect(first).toMatch(/^Releasing keys to the enclaves of the policy at http:/u);
    expect(second).toBe(`  key ${keyId}`);
    expect(third).toMatch(/^released {2}model [0-9a-f]{64} {2}release-7 {2}127\.0\.0\.1$/u);
    const said = `${broker.lines.join("\n")}${broker.errors}`;
    for (const secret of [dataKey, await readKeyFile(keyFile)]) {
      expect(said).not.toContain(encodeHex(secret));
      expect(said).not.toContain(Buffer.from(secret).toString("base64url"));
    }
  });
});

describe("it does not start", () => {
  const runWith = (...words: readonly string[]): Promise<unknown> =>
    runCommand(keyBrokerCommand, ["--listen", "127.0.0.1:0", ...words]);

  it("without a key or a policy", async () => {
    await expect(runWith("--policy", policyFile)).rejects.toThrow("--key is missing");
    await expect(runWith("--key", keyFile)).rejects.toThrow("--policy is missing");
  });

  it("with a policy that is not there, or has a mistake", async () => {
    const absent = join(folder, "absent.json");
    await expect(runWith("--key", keyFile, "--policy", absent)).rejects.toThrow("no such file");
    const wrong = join(folder, "wrong.json");
    await writeFile(wrong, "{}");
    await expect(runWith("--key", keyFile, "--policy", wrong)).rejects.toThrow("has a mistake");
  });

  it("with a policy that would give keys to any code", async () => {
    const open = join(folder, "open.json");
    const text = ownersPolicyText((file) => {
      const simulated = file.platforms["simulated"];
      file.platforms["simulated"] = { ...simulated, measurements: "unchecked" };
    });
    await writeFile(open, text);
    await expect(runWith("--key", keyFile, "--policy", open)).rejects.toThrow("any code");
  });

  it("with a key file that others may read, or that is none", async () => {
    const readable = join(folder, "readable.key");
    await createKeyFile(readable);
    await chmod(readable, 0o644);
    const others = runWith("--policy", policyFile, "--key", keyFile, "--key", readable);
    await expect(others).rejects.toThrow("chmod 600");
    await expect(runWith("--policy", policyFile, "--key", policyFile)).rejects.toThrow(/\.json/u);
  });

  it("at an address that is none, or a port that is taken", async () => {
    const words = ["--policy", policyFile, "--key", keyFile];
    const nowhere = runCommand(keyBrokerCommand, ["--listen", "nowhere", ...words]);
    await expect(nowhere).rejects.toThrow("is no address");
    const broker = await start("--policy", policyFile);
    const taken = runCommand(keyBrokerCommand, [
      "--listen",
      (await broker.url()).slice("http://".length),
      ...words,
    ]);
    await expect(taken).rejects.toThrow("EADDRINUSE");
  });
});
