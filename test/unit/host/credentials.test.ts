import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import {
  type CredentialChain,
  CredentialSource,
  defaultChain,
  type ProvidedCredentials,
} from "../../../host/credentials.ts";
import { keyAccess, serveProvisioning } from "../../../host/provision.ts";
import { neededKeyServices } from "../../../host/key-services.ts";
import { scanModels } from "../../../host/store.ts";
import { FILE_ENVELOPE, KMS_ENVELOPE, plantVersion, sealedVersion } from "./sealed-files.ts";
import { CHOICE, memoryLog, onTestEnd, type Recorded, type Reply, scratch } from "./support.ts";
import { request } from "node:http";

const NOW_MS = Date.parse("2026-11-21T00:00:00Z");
const MINUTE_MS = 60_000;
const KEYS = { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "a secret of the operator's" };

/** A chain that says how often it was asked, and a clock. */
function sourceOf(answers: () => Promise<ProvidedCredentials>): {
  readonly source: CredentialSource;
  readonly lines: Recorded[];
  readonly clock: { nowMs: number };
  asked: () => number;
} {
  const clock = { nowMs: NOW_MS };
  let asked = 0;
  const { log, lines } = memoryLog();
  const chain: CredentialChain = () => {
    asked += 1;
    return answers();
  };
  const source = new CredentialSource(chain, () => clock.nowMs, log);
  return { source, lines, clock, asked: () => asked };
}

describe("the host's AWS credentials", () => {
  it("are told with their end, and nothing besides that the SDK knows of them", async () => {
    const expiration = new Date(NOW_MS + 60 * MINUTE_MS);
    const found = { ...KEYS, sessionToken: "token", expiration, accountId: "123456789012" };
    const { source } = sourceOf(() => Promise.resolve(found));
    expect(await source.take()).toEqual({
      ...KEYS,
      sessionToken: "token",
      expiration: "2026-11-21T01:00:00.000Z",
    });
  });

  it("are asked for once by many, and anew after a minute", async () => {
    const { source, clock, asked } = sourceOf(() => Promise.resolve(KEYS));
    const all = await Promise.all([source.take(), source.take(), source.take()]);
    expect(all).toEqual([KEYS, KEYS, KEYS]);
    clock.nowMs += MINUTE_MS - 1;
    await source.take();
    expect(asked()).toBe(1);
    clock.nowMs += 1;
    await source.take();
    expect(asked()).toBe(2);
  });

  it("are kept for no more than a second in their last five minutes", async () => {
    const expiration = new Date(NOW_MS + 5 * MINUTE_MS + 2000);
    const { source, clock, asked } = sourceOf(() => Promise.resolve({ ...KEYS, expiration }));
    await source.take();
    clock.nowMs += 1999;
    await source.take();
    expect(asked()).toBe(1);
    clock.nowMs += 1;
    await source.take();
    expect(asked()).toBe(2);
    clock.nowMs += 999;
    // However often an enclave asks: each question to a chain may start a program.
    for (let i = 0; i < 100; i++) await source.take();
    expect(asked()).toBe(2);
    clock.nowMs += 1;
    await source.take();
    expect(asked()).toBe(3);
  });

  it("that there are none is logged by its kind, once a second at most", async () => {
    const failure = new Error(`${KEYS.secretAccessKey} in a message`);
    failure.name = "CredentialsProviderError";
    const { source, lines, clock, asked } = sourceOf(() => Promise.reject(failure));
    expect(await source.take()).toEqual({ why: "CredentialsProviderError" });
    expect(await source.take()).toEqual({ why: "CredentialsProviderError" });
    expect(asked()).toBe(1);
    clock.nowMs += 1000;
    await source.take();
    expect(asked()).toBe(2);
    const line = { event: "credentials-unavailable", fields: { why: "CredentialsProviderError" } };
    expect(lines).toEqual([line, line]);
  });

  it("are not waited for without end", async () => {
    vi.useFakeTimers();
    const { source } = sourceOf(() => new Promise(() => undefined));
    const taken = source.take();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await taken).toEqual({ why: "timeout" });
  });
});

describe("AWS's default chain", () => {
  it("reads a profile's file anew each time", async () => {
    const file = join(scratch(), "credentials");
    for (const name of ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) {
      vi.stubEnv(name, undefined);
    }
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", file);
    vi.stubEnv("AWS_CONFIG_FILE", "/dev/null");
    const written = async (id: string): Promise<string> => {
      const text = `[default]\naws_access_key_id=${id}\naws_secret_access_key=s\n`;
      writeFileSync(file, text);
      return (await defaultChain()).accessKeyId;
    };
    expect(await written("AKIAONE")).toBe("AKIAONE");
    expect(await written("AKIATWO")).toBe("AKIATWO");
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

/** A node's answer to `GET /credentials`, with these models. */
async function answered(
  versions: Readonly<Record<string, Record<string, Uint8Array>>>,
  chain: CredentialChain,
): Promise<Reply & { readonly lines: readonly Recorded[] }> {
  const [directory, file] = [scratch(), join(scratch(), "services.json")];
  const broker = { kind: "broker", key: "*", endpoint: "http://broker.example:7480", roots: [] };
  const kms = {
    kind: "aws-kms",
    region: "*",
    endpoint: "https://kms.{region}.{suffix}",
    roots: ["0".repeat(64)],
  };
  writeFileSync(
    file,
    JSON.stringify({ version: 1, services: [broker, kms], rootCertificates: [] }),
  );
  for (const [version, files] of Object.entries(versions)) {
    await plantVersion(directory, version, files);
  }
  const { models } = await scanModels(directory);
  const { log, lines } = memoryLog();
  const path = join(scratch(), "p.sock");
  const server = await serveProvisioning(
    { kind: "unix", path },
    models,
    CHOICE,
    new EnclaveContact(log),
    keyAccess(await neededKeyServices(file, models), chain, log),
  );
  onTestEnd(() => server.close());
  const reply = await new Promise<Reply>((resolve, reject) => {
    const sent = request({ socketPath: path, path: "/credentials", agent: false });
    sent.on("error", reject).on("response", (incoming) => {
      const chunks: Uint8Array[] = [];
      incoming.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      incoming.on("end", () => {
        const { statusCode: status = 0, headers } = incoming;
        resolve({ status, headers, body: Buffer.concat(chunks) });
      });
    });
    sent.end();
  });
  return { ...reply, lines };
}

describe("GET /credentials", () => {
  it("answers where a model's key is in AWS KMS, for nobody to keep", async () => {
    const versions = { "m/1": sealedVersion({ "model.onnx": 1 }, KMS_ENVELOPE) };
    const { status, headers, body, lines } = await answered(versions, () => Promise.resolve(KEYS));
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("application/json");
    expect(headers["cache-control"]).toBe("no-store");
    expect(JSON.parse(body.toString())).toEqual(KEYS);
    expect(JSON.stringify(lines)).not.toContain(KEYS.secretAccessKey);
  });

  it("is not there where no key is in AWS KMS, and nobody is asked", async () => {
    const chain = vi.fn<CredentialChain>(() => Promise.resolve(KEYS));
    const sealed = { "m/1": sealedVersion({ "model.onnx": 1 }, FILE_ENVELOPE) };
    expect((await answered(sealed, chain)).status).toBe(404);
    const clear = { "m/1": { "model.onnx": Uint8Array.of(1) } };
    expect((await answered(clear, chain)).status).toBe(404);
    expect(chain).not.toHaveBeenCalled();
  });

  it("is 503 where the host has none", async () => {
    const versions = { "m/1": sealedVersion({ "model.onnx": 1 }, KMS_ENVELOPE) };
    const none = new Error("no");
    const { status, body, lines } = await answered(versions, () => Promise.reject(none));
    expect([status, body.length]).toEqual([503, 0]);
    expect(lines).toEqual([{ event: "credentials-unavailable", fields: { why: "Error" } }]);
  });
});
