import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { modelSealCommand } from "../../../client/cli/commands/model-seal.ts";
import { CommandError } from "../../../client/cli/exit.ts";
import { BUNDLED_MODELS } from "../../../client/cli/paths.ts";
import { withProgress } from "../../../client/cli/sealing.ts";
import { END_SIGNALS } from "../../../client/cli/signals.ts";
import { runCommand } from "./command-line.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-sealing-signals-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** As the system would send it to this process; the others that listen are none of ours. */
function send(name: NodeJS.Signals, before: readonly unknown[]): void {
  for (const listener of process.rawListeners(name)) {
    if (!before.includes(listener)) listener.call(process, name);
  }
}

async function refusal(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => null,
    (error: unknown) => error,
  );
}

describe("long work", () => {
  it.each(END_SIGNALS)("is ended by %s, and says so whatever it fails with", async (name) => {
    const before = process.rawListeners(name);
    const work = withProgress(true, async ({ signal }) => {
      send(name, before);
      expect(signal.aborted).toBe(true);
      return await Promise.reject(new Error("cut off"));
    });
    const error = await refusal(work);
    expect(error).toBeInstanceOf(CommandError);
    expect(error).toMatchObject({ message: "interrupted; nothing is left of it" });
    expect(process.rawListeners(name)).toEqual(before);
  });

  it("ends, too, while a KMS does not answer", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "a secret");
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
    vi.stubEnv("AWS_CONFIG_FILE", "/nonexistent");
    vi.stubEnv("AWS_PROFILE", undefined);
    // It takes connections, and says nothing at all: a handshake alone may last minutes.
    const silent = createServer((socket) => socket.on("error", () => undefined));
    await once(silent.listen(0, "127.0.0.1"), "listening");
    const address = silent.address();
    if (address === null || typeof address === "string") throw new Error("it has no port");
    const before = process.rawListeners("SIGINT");
    const asked = once(silent, "connection");
    const options = ["--kms-key", "alias/models", "--region", "eu-central-1"];
    const where = ["--kms-endpoint", `https://127.0.0.1:${address.port}`];
    const words = [join(BUNDLED_MODELS, "digits", "1"), "--out", join(folder, "out")];
    const ended = refusal(runCommand(modelSealCommand, [...words, ...options, ...where]));
    await asked;
    send("SIGINT", before);
    expect(await ended).toMatchObject({ message: "interrupted; nothing is left of it" });
    expect(await readdir(folder)).toEqual([]);
    silent.close();
  });
});
