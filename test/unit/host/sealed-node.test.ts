/** A node with sealed models, as the process that it is, with an enclave that asks nobody for a key. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { launch, type Launch, type Running } from "./launch.ts";
import {
  FILE_ENVELOPE,
  KMS_ENVELOPE,
  KMS_KEY,
  plantVersion,
  sealedVersion,
} from "./sealed-files.ts";
import { scratch, send, until } from "./support.ts";

const SECRET = "a secret of the operator's that no log has";
const WITH_CREDENTIALS: Launch = {
  env: {
    AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
    AWS_SECRET_ACCESS_KEY: SECRET,
    AWS_SESSION_TOKEN: SECRET,
  },
};

async function sealedRepository(): Promise<string> {
  const directory = scratch();
  await plantVersion(directory, "a/1", sealedVersion({ "model.onnx": 10 }, KMS_ENVELOPE));
  await plantVersion(directory, "b/1", sealedVersion({ "model.onnx": 10 }, FILE_ENVELOPE));
  await plantVersion(directory, "c/1", { "model.onnx": "in clear" });
  return directory;
}

async function start(words: readonly string[], how: Launch = {}): Promise<Running> {
  const own = ["--models", await sealedRepository(), "--state", join(scratch(), "state")];
  return launch([...own, "--listen", "127.0.0.1:0", ...words], how);
}

/** Services that nobody can reach. */
function servicesFile(): string {
  const file = join(scratch(), "services.json");
  const endpoint = "https://kms.{region}.nobody.invalid";
  const services = [
    { kind: "broker", key: FILE_ENVELOPE.key, endpoint: "http://127.0.0.1:9", roots: [] },
    { kind: "aws-kms", region: "*", endpoint, roots: ["ab".repeat(32)] },
  ];
  writeFileSync(file, JSON.stringify({ version: 1, services, rootCertificates: [] }));
  return file;
}

describe("a node with sealed models", () => {
  it("says what is sealed, by which key, and whom it relays to; not with what credentials", async () => {
    const { events, stderr } = await start(["--key-services", servicesFile()], WITH_CREDENTIALS);
    await until("it serves", () => events().some(({ event }) => event === "listening"));
    const told = events().filter(({ event }) => /^(?:sealed-model|key-)/u.test(String(event)));
    const at: unknown = expect.any(Number);
    expect(told).toEqual([
      { event: "sealed-model", at, id: "a", version: "1", kind: "aws-kms", key: KMS_KEY },
      { event: "sealed-model", at, id: "b", version: "1", kind: "file", key: FILE_ENVELOPE.key },
      {
        event: "key-service",
        at,
        kind: "aws-kms",
        host: "kms.eu-central-1.nobody.invalid",
        port: 443,
      },
      { event: "key-service", at, kind: "broker", host: "127.0.0.1", port: 9 },
    ]);
    expect(JSON.stringify(events()) + stderr()).not.toContain(SECRET);
  });

  it("that serves already is not hurt by services that are not there", async () => {
    const { events } = await start(["--key-services", servicesFile()]);
    const listening = (): Readonly<Record<string, unknown>> | undefined =>
      events().find(({ event }) => event === "listening");
    await until("it serves", () => listening() !== undefined);
    const { status } = await send(`${String(listening()?.["url"])}/readyz`);
    expect(status).toBe(200);
    expect(events().filter(({ event }) => event === "key-tunnel-failed")).toEqual([]);
  });

  it("does not start where its file names no service for one of them", async () => {
    const { exit, stderr } = await start([]);
    expect(await exit).toBe(1);
    expect(stderr()).toMatch(
      /^countersign: keys\/services: \S+\/enclave\/key-services\.json has no service for b\/1, sealed by file key/u,
    );
  });
});
