/**
 * What the SDK would look at by itself: variables, files, names, metadata services. All are there and say
 * something wrong; none is read, from the moment that the SDK is loaded.
 */
import { createHash, randomBytes } from "node:crypto";
import { subscribe } from "node:diagnostics_channel";
import dns from "node:dns";
import fs from "node:fs";
import promises from "node:fs/promises";
import type { ClientRequest } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeEnvelope, type Envelope } from "@countersign/protocol";
import { afterAll, beforeAll, expect, it } from "vitest";
import { kmsEnvelope } from "../../../fakes/recipient-envelope.ts";
import { ScriptedKms } from "../../../fakes/scripted-kms.ts";

const WRONG = "wrong-surroundings";
const folder = fs.mkdtempSync(join(tmpdir(), "countersign-surroundings-"));
const CONFIG = `[default]\nregion = ${WRONG}\nsdk_ua_app_id = ${WRONG}\nmax_attempts = 9
aws_access_key_id = ${WRONG}\naws_secret_access_key = ${WRONG}\nendpoint_url = https://${WRONG}\n`;
const VARIABLES: Readonly<Record<string, string>> = {
  HOME: folder,
  AWS_CONFIG_FILE: join(folder, "config"),
  AWS_SHARED_CREDENTIALS_FILE: join(folder, "credentials"),
  AWS_REGION: WRONG,
  AWS_DEFAULT_REGION: WRONG,
  AWS_ACCESS_KEY_ID: WRONG,
  AWS_SECRET_ACCESS_KEY: WRONG,
  AWS_SESSION_TOKEN: WRONG,
  AWS_PROFILE: "default",
  AWS_ENDPOINT_URL: `https://${WRONG}`,
  AWS_ENDPOINT_URL_KMS: `https://${WRONG}`,
  AWS_MAX_ATTEMPTS: "9",
  AWS_RETRY_MODE: "adaptive",
  AWS_DEFAULTS_MODE: "auto",
  AWS_USE_FIPS_ENDPOINT: "true",
  AWS_USE_DUALSTACK_ENDPOINT: "true",
  AWS_AUTH_SCHEME_PREFERENCE: "sigv4a",
  AWS_DISABLE_CLOCK_SKEW_CORRECTION: "true",
  AWS_SDK_UA_APP_ID: WRONG,
  AWS_EXECUTION_ENV: WRONG,
  AWS_LAMBDA_FUNCTION_NAME: WRONG,
  _X_AMZN_TRACE_ID: WRONG,
  AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${WRONG}`,
  HTTPS_PROXY: `http://${WRONG}`,
};
/**
 * Read, and of no consequence: whether to keep a store for AWS Lambda, to warn of an old Node, to have
 * the SDK's own HTTP time out.
 */
const HARMLESS: ReadonlySet<string> = new Set([
  "AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA",
  "AWS_LAMBDA_BENCHMARK_MODE",
  "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED",
  "AWS_ENABLE_DEFAULT_SOCKET_TIMEOUT_2026",
]);

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/0f6e1ab2-5d0f-4c1e-9d0a-6f5e4d3c2b1a";
const ENVELOPE: Envelope = { kind: "aws-kms", key: ARN, wrapped: randomBytes(184) };
const DATA_KEY = new Uint8Array(randomBytes(32));

const read = new Set<string>();
const files = new Set<string>();
const names = new Set<string>();
/** Method and Host of every HTTP request that this process makes. */
const requests = new Set<string>();
const environment = process.env;

beforeAll(() => {
  for (const name of ["config", "credentials"]) fs.writeFileSync(join(folder, name), CONFIG);
  fs.mkdirSync(join(folder, ".aws"));
  for (const name of ["config", "credentials"])
    fs.writeFileSync(join(folder, ".aws", name), CONFIG);
  process.env = new Proxy(
    { ...environment, ...VARIABLES },
    {
      get(target, name) {
        if (typeof name === "string" && /AWS|AMZN|HOME|PROXY/u.test(name)) read.add(name);
        return typeof name === "string" ? target[name] : undefined;
      },
      has(target, name) {
        if (typeof name === "string" && /AWS|AMZN/u.test(name)) read.add(name);
        return name in target;
      },
    },
  );
  watch(fs, ["readFile", "readFileSync", "open", "createReadStream"], files);
  watch(promises, ["readFile", "open"], files);
  watch(dns, ["lookup"], names);
  subscribe("http.client.request.start", (message) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- node:http says so of this channel
    const { request } = message as { readonly request: ClientRequest };
    requests.add(`${request.method} ${String(request.getHeader("host"))}`);
  });
});

afterAll(() => {
  process.env = environment;
  fs.rmSync(folder, { recursive: true });
});

/** Writes down the first argument of each call. */
function watch(module: object, functions: readonly string[], seen: Set<string>): void {
  for (const name of functions) {
    const real: unknown = Reflect.get(module, name);
    if (typeof real !== "function") throw new TypeError(`no ${name} to watch`);
    const watched = (...args: readonly unknown[]): unknown => {
      seen.add(JSON.stringify(args[0]));
      return Reflect.apply(real, module, args);
    };
    Reflect.set(module, name, watched);
  }
}

it("nothing of them is read, and nothing of them is sent", async () => {
  const kms = await ScriptedKms.start(({ publicKey }) => {
    const identifier = createHash("sha256").update(publicKey).digest();
    const ciphertext = Buffer.from(kmsEnvelope(publicKey, identifier, DATA_KEY));
    const body = { KeyId: ARN, CiphertextForRecipient: ciphertext.toString("base64") };
    return { status: 200, body };
  });
  files.clear();
  read.clear();
  try {
    // Not before now: what is watched is what the SDK is given when it is loaded.
    const { kmsRelease } = await import("../../../../enclave/keys/kms.ts");
    const released = kmsRelease(kms.context());
    const key = await released.release(ENVELOPE, encodeEnvelope(ENVELOPE), new Uint8Array(32));
    expect(key).toEqual(DATA_KEY);
    expect([...read].filter((name) => !HARMLESS.has(name))).toEqual([]);
    expect(read.size).toBeGreaterThan(0);
    // Modules are read by Node's loader; anything beside them would be seen here.
    expect([...files].filter((path) => path.includes(folder) || path.includes(".aws"))).toEqual([]);
    expect([...names].filter((name) => name !== '"127.0.0.1"')).toEqual([]);
    const { host, port } = kms.service;
    expect([...requests].toSorted()).toEqual([
      `CONNECT ${host}:${port}`,
      "GET host:80",
      `POST ${host}:${port}`,
    ]);
    expect(JSON.stringify(kms.asked)).not.toContain(WRONG);
    expect(kms.asked).toHaveLength(1);
  } finally {
    await kms.close();
  }
});

it("what looks for credentials by itself is not even loaded", () => {
  const { cache } = createRequire(import.meta.url);
  const loaded = Object.keys(cache).filter((path) => path.includes("/node_modules/@"));
  expect(loaded.some((path) => path.includes("/@aws-sdk/client-kms/"))).toBe(true);
  const finders =
    /credential-provider-(?:http|imds|ini|login|process|sso|web-identity)|nested-clients|token-providers|signature-v4-multi-region/u;
  expect(loaded.filter((path) => finders.test(path))).toEqual([]);
});
