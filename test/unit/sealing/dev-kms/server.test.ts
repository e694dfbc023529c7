/** What dev-kms answers to requests that are not the SDK's, and what goes wrong when a test asks. */
import { X509Certificate } from "node:crypto";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import type { DevKmsFault } from "@countersign/sealing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createAuthority } from "../../../../sealing/dev-kms/certificates.ts";
import { signHeaders } from "../../../fakes/aws-signature.ts";
import {
  ENCLAVE_KEY,
  KmsWorld,
  kmsClientOf,
  openEnvelope,
  registerHex,
} from "../../../fakes/dev-kms.ts";

const TYPE = "application/x-amz-json-1.1";
const KEY = "alias/countersign";

let world: KmsWorld;
beforeAll(async () => {
  world = await KmsWorld.start();
});
afterEach(() => {
  world.kms.recover();
});
afterAll(async () => {
  await world.close();
});

async function failureOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "answered",
    (error: unknown) => (error instanceof Error ? error.name : String(error)),
  );
}

describe("a request without a signature", () => {
  it("is told so, by a development tool that says that it is one", async () => {
    const answer = await world.raw({ "content-type": TYPE }, "{}");
    expect(answer.status).toBe(400);
    expect(answer.headers["content-type"]).toBe(TYPE);
    expect(answer.headers["server"]).toContain("development tool");
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(JSON.parse(answer.body)).toEqual({
      __type: "MissingAuthenticationTokenException",
      message: "Missing Authentication Token",
    });
  });

  it.each([
    ["GET", "/"],
    ["POST", "/keys"],
    ["POST", "/?Action=Decrypt"],
    ["PUT", "/"],
  ])("is not served at %s %s", async (method, path) => {
    const answer = await world.raw({}, method === "GET" ? "" : "{}", { method, path });
    expect(answer.status).toBe(400);
    expect(answer.body).toContain("UnknownOperationException");
  });

  it("has at most 64 KiB", async () => {
    const large = await world.raw({}, "x".repeat(65_537));
    expect(large.status).toBe(413);
    expect(large.body).toContain("RequestEntityTooLargeException");
    const largest = await world.raw({}, "x".repeat(65_536));
    expect(largest.body).toContain("MissingAuthenticationTokenException");
  });
});

describe("a signed request", () => {
  it("for an action that we do not have is told so", async () => {
    expect(await failureOf(world.owner.listKeys())).toBe("UnknownOperationException");
    expect(await failureOf(world.owner.createKey())).toBe("UnknownOperationException");
  });

  it.each([
    ["no JSON", "{", "SerializationException"],
    ["no object", "[]", "SerializationException"],
    ["a member twice", '{"KeyId":"a","KeyId":"b"}', "SerializationException"],
    ["no UTF-8", Uint8Array.of(0x7b, 0xff), "SerializationException"],
    ["no members", "{}", "ValidationException"],
    ["an unknown member", '{"KeyId":"a","Unknown":1}', "ValidationException"],
    ["a member of another type", '{"KeyId":1}', "ValidationException"],
  ])("of %s is refused", async (_, body, name) => {
    const { url, owner } = world.kms;
    const headers = { host: new URL(url).host };
    const signing = { by: owner.credentials, atMs: Date.now(), body, headers };
    const answer = await world.raw(Object.fromEntries(await signHeaders(signing)), body);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ __type: name });
  });
});

describe("TLS", () => {
  it("is for this machine's names, by an authority that can make no other authority", async () => {
    const { promise, resolve, reject } = Promise.withResolvers<X509Certificate>();
    const { hostname, port } = new URL(world.kms.url);
    const options = {
      host: hostname,
      port: Number(port),
      servername: hostname,
      ca: world.kms.caPem,
    };
    const socket = connectTls(options, () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      resolve(new X509Certificate(raw));
    });
    socket.on("error", reject);
    const certificate = await promise;
    const authority = new X509Certificate(world.kms.caPem);
    expect(certificate.checkHost("localhost")).toBe("localhost");
    expect(certificate.checkHost("example.com")).toBeUndefined();
    for (const ip of ["127.0.0.1", "::1"]) expect(certificate.checkIP(ip)).toBe(ip);
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    expect(authority.ca).toBe(true);
    expect(authority.subject).toContain("development");
    expect(certificate.verify(authority.publicKey)).toBe(true);
    expect(authority.verify(authority.publicKey)).toBe(true);
  });

  it("that a client does not trust is in the log", async () => {
    const { certificate: caPem } = await createAuthority(Date.now());
    const client = kmsClientOf({ ...world.kms, caPem }, world.kms.owner);
    expect(await failureOf(client.describeKey({ KeyId: KEY }))).not.toBe("answered");
    await expect.poll(() => world.entries.at(-1)?.outcome).toBe("TLS");
    client.destroy();
  });

  it("that was never begun does not keep the server from ending", async () => {
    const other = await KmsWorld.start();
    const socket = connect(Number(new URL(other.kms.url).port), "127.0.0.1");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    await new Promise((resolve) => socket.once("connect", resolve));
    await other.close();
    await closed;
    expect(socket.destroyed).toBe(true);
  });
});

describe("a fault", () => {
  const faults: readonly [DevKmsFault, string][] = [
    [{ kind: "throttle" }, "ThrottlingException"],
    [{ kind: "internal" }, "KMSInternalException"],
    [{ kind: "unavailable" }, "ServiceUnavailableException"],
    [{ kind: "deny" }, "AccessDeniedException"],
    [{ kind: "delay", ms: 50 }, "answered"],
    [{ kind: "cut" }, "TimeoutError"],
    [{ kind: "cut-answer" }, "Error"],
    [{ kind: "garbage" }, "SyntaxError"],
  ];
  it.each(faults)("%j strikes as often as asked, and no more", async (fault, name) => {
    world.kms.inject(fault, 2);
    const call = async () => failureOf(world.owner.describeKey({ KeyId: KEY }));
    expect([await call(), await call(), await call()]).toEqual([name, name, "answered"]);
  });

  it("of throttling is one that the SDK's own retries get over", async () => {
    const client = kmsClientOf(world.kms, world.kms.owner, { maxAttempts: 3 });
    world.kms.inject({ kind: "throttle" }, 2);
    expect(await failureOf(client.describeKey({ KeyId: KEY }))).toBe("answered");
    client.destroy();
  });

  it("gives another key's data, or another key's name, in good form", async () => {
    const made = await world.owner.generateDataKey({ KeyId: KEY, KeySpec: "AES_256" });
    const call = async () => world.owner.decrypt({ CiphertextBlob: made.CiphertextBlob });
    world.kms.inject({ kind: "other-key" }, 1);
    const other = await call();
    expect(other.Plaintext).toHaveLength(32);
    expect(other.Plaintext).not.toEqual(made.Plaintext);
    world.kms.inject({ kind: "other-key-id", keyId: "arn:of:another" }, 1);
    expect((await call()).KeyId).toBe("arn:of:another");
    world.kms.inject({ kind: "other-answer", answer: { Plaintext: "AA==" } }, 1);
    expect((await call()).Plaintext).toEqual(Uint8Array.of(0));
    expect((await call()).Plaintext).toEqual(made.Plaintext);
  });

  it("gives an enclave what it can open and what it cannot", async () => {
    const Condition = { StringEquals: { "kms:RecipientAttestation:PCR0": registerHex(0) } };
    await world.allow({ Action: "kms:Decrypt", Condition });
    const made = await world.owner.generateDataKey({ KeyId: KEY, KeySpec: "AES_256" });
    const call = async () =>
      world.node.decrypt({
        CiphertextBlob: made.CiphertextBlob,
        Recipient: {
          AttestationDocument: world.document(),
          KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
        },
      });
    world.kms.inject({ kind: "other-key" }, 1);
    const other = (await call()).CiphertextForRecipient;
    expect([...openEnvelope(other, ENCLAVE_KEY.privateKey)]).not.toEqual([
      ...(made.Plaintext ?? []),
    ]);
    world.kms.inject({ kind: "bad-envelope" }, 1);
    const bad = (await call()).CiphertextForRecipient;
    expect(() => openEnvelope(bad, ENCLAVE_KEY.privateKey)).toThrow("error:");
    const good = (await call()).CiphertextForRecipient;
    expect([...openEnvelope(good, ENCLAVE_KEY.privateKey)]).toEqual([...(made.Plaintext ?? [])]);
  });

  it("may be there from the start", async () => {
    const other = await KmsWorld.start({ faults: [{ kind: "deny" }] });
    const call = async () => failureOf(other.owner.describeKey({ KeyId: KEY }));
    expect([await call(), await call()]).toEqual(["AccessDeniedException", "answered"]);
    await other.close();
  });
});
