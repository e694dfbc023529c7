/** What a failed release tells: nothing that was in an answer, to whoever reads errors or what is printed. */
import buffer from "node:buffer";
import { randomBytes } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { inspect } from "node:util";
import { encodeEnvelope, type Envelope } from "@countersign/protocol";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../../../enclave/clock.ts";
import { hostCredentials } from "../../../../enclave/keys/credentials.ts";
import { kmsRelease } from "../../../../enclave/keys/kms.ts";
import { CREDENTIALS, type KmsAnswer, ScriptedKms } from "../../../fakes/scripted-kms.ts";

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/0f6e1ab2-5d0f-4c1e-9d0a-6f5e4d3c2b1a";
const ENVELOPE: Envelope = { kind: "aws-kms", key: ARN, wrapped: randomBytes(184) };
const DATA_KEY = randomBytes(32);
const BASE64 = DATA_KEY.toString("base64");
const HEX = DATA_KEY.toString("hex");
/** A head that node:http cannot read, and what comes with it. */
const unreadable = (body: string): string => `HTTP/1.1 200 OK\r\nno name\r\n\r\n${body}`;

// All of one, and not the fifty bytes that are shown else.
buffer.INSPECT_MAX_BYTES = Number.POSITIVE_INFINITY;

let printed: string[] = [];
beforeEach(() => {
  printed = [];
  const print = (...words: unknown[]): boolean => printed.push(words.map(whole).join(" ")) > 0;
  for (const name of ["debug", "error", "info", "log", "trace", "warn"] as const) {
    vi.spyOn(console, name).mockImplementation(print);
  }
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, "write").mockImplementation(print);
  }
  vi.spyOn(process, "emitWarning").mockImplementation(print);
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** All that can be reached from a value, causes and hidden members included. */
function whole(value: unknown): string {
  return inspect(value, {
    depth: Number.POSITIVE_INFINITY,
    showHidden: true,
    maxStringLength: Number.POSITIVE_INFINITY,
    maxArrayLength: Number.POSITIVE_INFINITY,
  });
}

/** `text` as it is, and as the bytes that {@link inspect} shows of a buffer, in both its ways. */
function formsOf(text: string): readonly string[] {
  const pairs = Buffer.from(text).toString("hex").match(/../gu);
  return [text, (pairs ?? []).join(" "), Buffer.from(text).join(", ")];
}

function expectUntold(error: unknown, kms: ScriptedKms | null, secrets: readonly string[]): void {
  const told = [whole(error), whole(kms?.lines), ...printed].join("\n").replaceAll(/\s+/gu, " ");
  for (const secret of secrets) {
    for (const form of formsOf(secret)) expect(told).not.toContain(form);
  }
}

async function refused(answer: KmsAnswer): Promise<{ error: unknown; kms: ScriptedKms }> {
  const kms = await ScriptedKms.start(() => answer);
  const error: unknown = await kmsRelease(kms.context())
    .release(ENVELOPE, encodeEnvelope(ENVELOPE), new Uint8Array(32))
    .then(
      () => null,
      (reason: unknown) => reason,
    );
  await kms.close();
  expect(error).toMatchObject({ name: "EnclaveError" });
  return { error, kms };
}

describe("of an answer of KMS is told nothing", () => {
  const ok = (body: string): KmsAnswer => ({ status: 200, body: Buffer.from(body) });
  const inClear = JSON.stringify({ KeyId: ARN, Plaintext: BASE64 });
  const answers: readonly (readonly [what: string, answer: KmsAnswer])[] = [
    ["that is no JSON, but a key", ok(BASE64)],
    ["that is no JSON, but a key in hexadecimal digits", ok(HEX)],
    ["that begins with a word", ok(`key ${BASE64}`)],
    ["that ends too early", ok(inClear.slice(0, -1))],
    ["that goes on", ok(`${inClear}x`)],
    ["that is a string", ok(JSON.stringify(BASE64))],
    ["that has the key in clear", ok(inClear)],
    ["that has it where a string was due", ok(`{"Plaintext":{"key":"${BASE64}"}}`)],
    [
      "that has it where an envelope was due",
      ok(`{"KeyId":"${ARN}","CiphertextForRecipient":"${BASE64}"}`),
    ],
    ["that has it in bad base64", ok(`{"CiphertextForRecipient":"${BASE64}!"}`)],
    ["that has it as the key's name", ok(JSON.stringify({ KeyId: HEX }))],
    ["that refuses in its name", { status: 400, body: { __type: HEX, message: BASE64 } }],
    ["that refuses in its code", { status: 400, body: { code: HEX } }],
    ["that refuses in a header", { status: 400, body: {}, headers: { "x-amzn-errortype": HEX } }],
    ["that refuses in no JSON", { status: 400, body: Buffer.from(BASE64) }],
    ["that fails with it", { status: 500, body: { __type: "KMSInternalException", key: BASE64 } }],
    ["that is no HTTP", { raw: unreadable(inClear) }],
    ["that is no chunk", { raw: `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${BASE64}` }],
  ];
  it.each(answers)("%s", async (_, answer) => {
    const { error, kms } = await refused(answer);
    expectUntold(error, kms, [BASE64, HEX, ...Object.values(CREDENTIALS)]);
  });

  it.each([
    ["as text", { key: BASE64 }],
    ["as bytes", { key: Buffer.from(" ".repeat(9999) + BASE64) }],
    ["as an array", { key: new Uint8Array(Buffer.from(BASE64)) }],
  ])("and what a cause has %s would be found", (_, members) => {
    const cause = Object.assign(new Error("inner"), members);
    expect(() => {
      expectUntold(new Error("outer", { cause }), null, [BASE64]);
    }).toThrow(/not to contain/u);
  });
});

describe("of the host's credentials is told nothing", () => {
  let server: Server | null = null;
  afterEach(() => server?.close());

  const body = JSON.stringify(CREDENTIALS);
  const answers = [
    unreadable(body),
    `HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n${body}`,
    `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${body}`,
    `HTTP/1.1 200 OK\r\ncontent-length: ${body.length + 1}\r\n\r\n${body}x`,
    `HTTP/1.1 200 ${"x".repeat(9)}\r\ncontent-length: ${body.length}\r\n${body}\r\n\r\n`,
  ];
  it.each(answers)("where the answer is %j", async (answer) => {
    server = createServer((socket: Socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end(answer));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    const transport = {
      listen: () => Promise.reject(new TypeError("nobody is to listen")),
      dial: () => connect({ port, host: "127.0.0.1" }),
    };
    const error: unknown = await hostCredentials(transport, systemClock)().catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: "key/credentials" });
    expectUntold(error, null, Object.values(CREDENTIALS));
  });
});
