import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { encodeEnvelope, parseEnvelope } from "@countersign/protocol";
import {
  type DevKms,
  type DevKmsFault,
  fileProvider,
  kmsClient,
  kmsKeyRegion,
  kmsProvider,
  type KmsProvider,
  startDevKms,
} from "@countersign/sealing";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { codeOf, newFolder } from "./sealing-files.ts";

const DIGEST = new Uint8Array(32).fill(5);
const OTHER = "alias/other";
let dev: DevKms;
let arn: string;
let otherArn: string;

beforeAll(async () => {
  dev = await startDevKms({
    directory: join(await newFolder(), "dev-kms"),
    listen: { host: "127.0.0.1", port: 0 },
    allowRemote: false,
    attestationRoots: [],
    aliases: [OTHER],
  });
  arn = dev.keys[0].arn;
  otherArn = dev.keys[1]?.arn ?? "";
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await dev.close();
});
beforeEach(() => {
  dev.recover();
  as("owner");
});

/** Only what this test says: no credentials, no region of whoever runs it. */
function as(principal: "owner" | "node" | "nobody"): void {
  vi.unstubAllEnvs();
  for (const name of Object.keys(process.env)) {
    if (name.startsWith("AWS_")) vi.stubEnv(name, undefined);
  }
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
  vi.stubEnv("AWS_CONFIG_FILE", "/nonexistent");
  const path = principal === "nobody" ? "/nonexistent" : dev[principal].credentialsPath;
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", path);
}

async function providerOf(key: string, ca: string | null = dev.caPem): Promise<KmsProvider> {
  return kmsProvider(await kmsClient({ region: dev.region, endpoint: dev.url, ca }), key);
}

async function generate(key = arn): Promise<string> {
  const provider = await providerOf(key);
  return await codeOf(async () => await provider.generate(DIGEST));
}

describe("data keys of a KMS", () => {
  it("are fresh, and open again for the model that they were made for", async () => {
    const provider = await providerOf(arn);
    const one = await provider.generate(DIGEST);
    const two = await provider.generate(DIGEST);
    expect(one.key.length).toBe(32);
    expect(one.key).not.toEqual(two.key);
    expect(parseEnvelope(encodeEnvelope(one.envelope))).toEqual(one.envelope);
    expect(one.envelope).toMatchObject({ kind: "aws-kms", key: arn });
    expect(await provider.unwrap(one.envelope, DIGEST)).toEqual(one.key);
    const other = async (): Promise<unknown> =>
      await provider.unwrap(one.envelope, new Uint8Array(32));
    expect(await codeOf(other)).toBe("sealing/kms-refused");
  });

  it("name the key that an alias meant", async () => {
    const alias = arn.replace(/key\/.*$/u, "alias/countersign");
    for (const name of ["alias/countersign", alias]) {
      const { envelope } = await (await providerOf(name)).generate(DIGEST);
      expect(envelope.key).toBe(arn);
    }
  });

  it("can be wrapped under another key, and moved to one unseen", async () => {
    const from = await providerOf(arn);
    const to = await providerOf(OTHER);
    const { key, envelope } = await from.generate(DIGEST);
    const wrapped = await to.wrap(key, DIGEST);
    const moved = await to.reencrypt(envelope, DIGEST);
    for (const other of [wrapped, moved]) {
      expect(other.key).toBe(otherArn);
      expect(await to.unwrap(other, DIGEST)).toEqual(key);
    }
  });

  it("are not taken from a key file's envelope", async () => {
    const { envelope } = await fileProvider(new Uint8Array(32)).generate(DIGEST);
    const provider = await providerOf(arn);
    expect(await codeOf(async () => await provider.unwrap(envelope, DIGEST))).toBe("sealing/key");
    expect(await codeOf(async () => await provider.reencrypt(envelope, DIGEST))).toBe(
      "sealing/key",
    );
  });
});

describe("a KMS that does not play along", () => {
  it("denies whom its policy does not name", async () => {
    as("node");
    expect(await generate()).toBe("sealing/kms-denied");
    const refusal = await (await providerOf(arn)).generate(DIGEST).catch((e: unknown) => e);
    expect(String(refusal)).toContain(`KMS denies kms:GenerateDataKey on ${arn}`);
  });

  it("does not know whoever has no credentials", async () => {
    as("nobody");
    expect(await generate()).toBe("sealing/kms-credentials");
    vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "not the secret of this key");
    expect(await generate()).toBe("sealing/kms-credentials");
  });

  it("has no such key", async () => {
    const missing = arn.replace(/[0-9a-f]{12}$/u, "000000000000");
    expect(await generate(missing)).toBe("sealing/kms-refused");
    expect(await generate("alias/missing")).toBe("sealing/kms-refused");
  });

  it.each<DevKmsFault>([
    { kind: "throttle" },
    { kind: "internal" },
    { kind: "unavailable" },
    { kind: "cut" },
  ])("is asked again where it fails once, and not for ever: %o", async (fault) => {
    dev.inject(fault, 1);
    expect(await generate()).toBe("no error");
    dev.inject(fault, 100);
    expect(await generate()).toBe("sealing/kms-unreachable");
  });

  it.each<[DevKmsFault, string]>([
    [{ kind: "deny" }, "sealing/kms-denied"],
    [{ kind: "garbage" }, "sealing/kms-answer"],
    [{ kind: "other-answer", answer: { Plaintext: "AAAA" } }, "sealing/kms-answer"],
    [{ kind: "other-answer", answer: { Plaintext: undefined } }, "sealing/kms-answer"],
    [{ kind: "other-answer", answer: { CiphertextBlob: "" } }, "sealing/kms-answer"],
    [{ kind: "other-answer", answer: { CiphertextBlob: undefined } }, "sealing/kms-answer"],
    [{ kind: "other-answer", answer: { KeyId: "alias/countersign" } }, "sealing/kms-answer"],
    [{ kind: "other-answer", answer: { KeyId: undefined } }, "sealing/kms-answer"],
  ])("answers %o, and no model is sealed", async (fault, code) => {
    dev.inject(fault, 1);
    expect(await generate()).toBe(code);
  });

  it.each<DevKmsFault>([{ kind: "garbage" }, { kind: "cut-answer" }])(
    "answers %o, and nobody repeats what it said",
    async (fault) => {
      dev.inject(fault, 10);
      const error: unknown = await (
        await providerOf(arn)
      )
        .generate(DIGEST)
        .catch((e: unknown) => e);
      expect(error).toMatchObject({ code: "sealing/kms-answer" });
      expect(error).not.toHaveProperty("cause");
      expect(String(error)).toMatch(
        /: an answer of KMS to kms:GenerateDataKey is cut or no JSON$/u,
      );
    },
  );

  it("answers of another key than it was asked for", async () => {
    const provider = await providerOf(arn);
    const { key, envelope } = await provider.generate(DIGEST);
    for (const run of [
      async () => await provider.generate(DIGEST),
      async () => await provider.unwrap(envelope, DIGEST),
      async () => await provider.wrap(key, DIGEST),
      async () => await provider.reencrypt(envelope, DIGEST),
    ]) {
      dev.inject({ kind: "other-key-id", keyId: otherArn }, 1);
      expect(await codeOf(run)).toBe("sealing/kms-answer");
    }
    dev.inject({ kind: "other-answer", answer: { SourceKeyId: otherArn } }, 1);
    expect(await codeOf(async () => await provider.reencrypt(envelope, DIGEST))).toBe(
      "sealing/kms-answer",
    );
  });

  it("is not the one whose root was given", async () => {
    const provider = await providerOf(arn, null);
    expect(await codeOf(async () => await provider.generate(DIGEST))).toBe(
      "sealing/kms-unreachable",
    );
  });
});

describe("a call that nobody waits for any more", () => {
  it("ends", async () => {
    const asked = Promise.withResolvers<void>();
    const kms = await kmsClient({ region: dev.region, endpoint: dev.url, ca: dev.caPem });
    kms.middlewareStack.add(
      (next) => async (call) => {
        setImmediate(() => {
          asked.resolve();
        });
        return await next(call);
      },
      { step: "finalizeRequest", name: "asked" },
    );
    const interrupt = new AbortController();
    const provider = kmsProvider(kms, arn, interrupt.signal);
    // Longer than a test may take.
    dev.inject({ kind: "delay", ms: 3_600_000 }, 10);
    const generated = codeOf(async () => await provider.generate(DIGEST));
    await asked.promise;
    interrupt.abort(new Error("enough"));
    expect(await generated).toBe("sealing/kms-unreachable");
  });
});

function requireAddress(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("it has no port");
  return address;
}

describe("how to reach a KMS", () => {
  it.each(["http://localhost:1", "localhost:1", "https://user:pw@localhost", "ftp://x", ""])(
    "is not %j",
    async (endpoint) => {
      const options = { region: dev.region, endpoint, ca: null };
      expect(await codeOf(async () => await kmsClient(options))).toBe("sealing/kms-options");
    },
  );

  it("is not what the environment names, where that is no URL of TLS", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "a secret");
    let asked = 0;
    const server = createServer((_, response) => {
      asked++;
      response.end("{}");
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = requireAddress(server);
    for (const url of [`http://127.0.0.1:${port}`, "garbage"]) {
      vi.stubEnv("AWS_ENDPOINT_URL_KMS", url);
      const kms = await kmsClient({ region: dev.region, endpoint: null, ca: null });
      const run = async (): Promise<unknown> => await kmsProvider(kms, arn).generate(DIGEST);
      expect(await codeOf(run)).toBe("sealing/kms-options");
    }
    server.close();
    expect(asked).toBe(0);
  });

  it.each(["", "no certificate", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"])(
    "is under no root that is %j: nothing else is trusted in its place",
    async (ca) => {
      const options = { region: dev.region, endpoint: dev.url, ca };
      expect(await codeOf(async () => await kmsClient(options))).toBe("sealing/kms-options");
    },
  );

  it("needs credentials that fit in a header", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "a secret");
    vi.stubEnv("AWS_SESSION_TOKEN", "one line\nand another");
    expect(await generate()).toBe("sealing/kms-credentials");
  });

  it("needs a region", async () => {
    const kms = await kmsClient({ region: null, endpoint: null, ca: null });
    const provider = kmsProvider(kms, "alias/countersign");
    expect(await codeOf(async () => await provider.generate(DIGEST))).toBe("sealing/kms-options");
  });

  it("is in a key's name, where the name has a region", async () => {
    expect(kmsKeyRegion(arn)).toBe("dev-local-1");
    expect(kmsKeyRegion("arn:aws:kms:eu-central-1:123456789012:alias/a/b_c-1")).toBe(
      "eu-central-1",
    );
    expect(kmsKeyRegion("alias/models")).toBeNull();
    for (const key of ["", "models", "alias/", "alias/a b", arn.slice(0, -1), `${arn}\n`]) {
      expect(await codeOf(async () => kmsKeyRegion(key))).toBe("sealing/kms-options");
    }
  });
});
