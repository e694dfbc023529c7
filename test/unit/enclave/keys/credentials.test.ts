import { afterEach, describe, expect, it } from "vitest";
import type { ServerResponse } from "node:http";
import { hostCredentials } from "../../../../enclave/keys/credentials.ts";
import { connectHost, type ConnectHost } from "../../../fakes/connect-host.ts";
import { TestClock } from "../../../fakes/ring.ts";

const START_MS = Date.UTC(2030, 0, 1);
const ID = "AKIAIOSFODNN7EXAMPLE";
const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE/+==";
let host: ConnectHost | null = null;
afterEach(async () => {
  await host?.close();
  host = null;
});

interface Asking {
  readonly ask: ReturnType<typeof hostCredentials>;
  readonly clock: TestClock;
  readonly times: () => number;
}

/** A host that answers each time with what `answer` writes. */
async function asking(answer: (response: ServerResponse, time: number) => void): Promise<Asking> {
  let times = 0;
  host = await connectHost(
    (_, client) => client.destroy(),
    (request, response) => {
      expect(request.method).toBe("GET");
      expect(request.url).toBe("/credentials");
      answer(response, times++);
    },
  );
  const clock = new TestClock(START_MS);
  return { ask: hostCredentials(host.transport, clock), clock, times: () => times };
}

function said(body: string): Promise<Asking> {
  return asking((response) => response.end(body));
}

async function refused(body: string): Promise<string> {
  const { ask } = await said(body);
  const error = await ask().then(
    () => null,
    (cause: unknown) => cause,
  );
  if (!(error instanceof Error)) throw new Error("not refused");
  expect(error).toMatchObject({ code: "key/credentials" });
  return `${error.message} ${String(error.cause)} ${String(error.stack)}`;
}

describe("credentials of the host", () => {
  it("are what it says", async () => {
    const minimal = JSON.stringify({ accessKeyId: ID, secretAccessKey: SECRET });
    expect(await (await said(minimal)).ask()).toEqual({ accessKeyId: ID, secretAccessKey: SECRET });
    await host?.close();
    const expiration = "2030-01-02T03:04:05.678Z";
    const whole = { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: TOKEN, expiration };
    expect(await (await said(JSON.stringify(whole))).ask()).toEqual({
      ...whole,
      expiration: new Date(Date.UTC(2030, 0, 2, 3, 4, 5, 678)),
    });
  });

  it("are asked for once where they do not expire", async () => {
    const { ask, clock, times } = await said(
      JSON.stringify({ accessKeyId: ID, secretAccessKey: SECRET }),
    );
    await Promise.all([ask(), ask(), ask()]);
    await clock.advance(10 * 86_400_000);
    await ask();
    expect(times()).toBe(1);
  });

  it("are asked for anew five minutes before they expire, and no earlier", async () => {
    const { ask, clock, times } = await asking((response, time) => {
      const expiration = new Date(START_MS + (time + 1) * 3_600_000).toISOString();
      response.end(
        JSON.stringify({ accessKeyId: `${ID}${time}`, secretAccessKey: SECRET, expiration }),
      );
    });
    expect((await ask()).accessKeyId).toBe(`${ID}0`);
    await clock.advance(3_600_000 - 300_001);
    expect((await ask()).accessKeyId).toBe(`${ID}0`);
    await clock.advance(1);
    const both = await Promise.all([ask(), ask()]);
    expect(both.map(({ accessKeyId }) => accessKeyId)).toEqual([`${ID}1`, `${ID}1`]);
    expect((await ask()).accessKeyId).toBe(`${ID}1`);
    expect(times()).toBe(2);
  });

  it("are none where the host goes over to another protocol, and no cause of it is null", async () => {
    const { ask } = await asking(({ socket }) =>
      socket?.end("HTTP/1.1 101 No\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    );
    const error: unknown = await ask().catch((reason: unknown) => reason);
    if (!(error instanceof Error) || !(error.cause instanceof Error)) throw new Error("no cause");
    expect(error).toMatchObject({ code: "key/credentials" });
    expect(error.cause).toMatchObject({ code: "provision/unreachable" });
    expect(error.cause.cause).toBeUndefined();
  });

  it("that are about to expire are asked for once each time they are needed", async () => {
    const expiration = new Date(START_MS + 60_000).toISOString();
    const { ask, times } = await said(
      JSON.stringify({ accessKeyId: ID, secretAccessKey: SECRET, expiration }),
    );
    expect((await ask()).accessKeyId).toBe(ID);
    expect(times()).toBe(1);
    expect((await ask()).accessKeyId).toBe(ID);
    expect(times()).toBe(2);
  });

  it("that failed are asked for anew", async () => {
    const { ask, times } = await asking((response, time) => {
      if (time === 0) response.writeHead(503).end();
      else response.end(JSON.stringify({ accessKeyId: ID, secretAccessKey: SECRET }));
    });
    await expect(ask()).rejects.toMatchObject({ code: "key/credentials" });
    expect((await ask()).accessKeyId).toBe(ID);
    expect(times()).toBe(2);
  });
});

describe("what is none", () => {
  it.each<[string, Record<string, unknown> | string]>([
    ["not JSON", `{"accessKeyId": ${SECRET}`],
    ["empty", ""],
    ["a list", "[]"],
    ["no secret", { accessKeyId: ID }],
    ["no id", { secretAccessKey: SECRET }],
    ["another member", { accessKeyId: ID, secretAccessKey: SECRET, accountId: "000000000000" }],
    [
      "a member twice",
      `{"accessKeyId":"${ID}","secretAccessKey":"${SECRET}","secretAccessKey":"${SECRET}"}`,
    ],
    ["an id of 15", { accessKeyId: "A".repeat(15), secretAccessKey: SECRET }],
    ["an id of 129", { accessKeyId: "A".repeat(129), secretAccessKey: SECRET }],
    ["an id with a line end", { accessKeyId: `${ID}\n`, secretAccessKey: SECRET }],
    ["an id that is a number", { accessKeyId: 1, secretAccessKey: SECRET }],
    ["an empty secret", { accessKeyId: ID, secretAccessKey: "" }],
    ["a secret with a space", { accessKeyId: ID, secretAccessKey: `${SECRET} x` }],
    ["a secret that is null", { accessKeyId: ID, secretAccessKey: null }],
    [
      "a token with a line end",
      { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: "a\r\nb" },
    ],
    ["an empty token", { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: "" }],
    [
      "a token without end",
      { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: "a".repeat(12_289) },
    ],
    [
      "an end without a zone",
      { accessKeyId: ID, secretAccessKey: SECRET, expiration: "2030-01-02T03:04:05" },
    ],
    [
      "an end that is no time",
      { accessKeyId: ID, secretAccessKey: SECRET, expiration: "2030-13-02T03:04:05Z" },
    ],
    ["an end in seconds", { accessKeyId: ID, secretAccessKey: SECRET, expiration: 1_893_553_445 }],
  ])("%s is refused, and not quoted", async (_, body) => {
    const message = await refused(typeof body === "string" ? body : JSON.stringify(body));
    expect(message).not.toContain(SECRET);
    expect(message).not.toContain(ID);
  });

  it("bytes that are no UTF-8 are refused", async () => {
    const { ask } = await asking((response) => response.end(Uint8Array.of(0x22, 0xff, 0x22)));
    await expect(ask()).rejects.toMatchObject({ code: "key/credentials" });
  });

  it("a flood is cut off at the limit", async () => {
    let sent = 0;
    const { ask } = await asking((response) => {
      const more = (): void => {
        while (!response.destroyed && sent < 64 * 1024 * 1024) {
          sent += 65_536;
          if (!response.write(Buffer.alloc(65_536, " "))) return;
        }
      };
      response.on("drain", more);
      more();
    });
    await expect(ask()).rejects.toMatchObject({ code: "key/credentials" });
    expect(sent).toBeLessThan(16 * 1024 * 1024);
  });

  it.each([404, 500, 204, 301])("status %i is refused", async (status) => {
    const { ask } = await asking((response) => response.writeHead(status).end());
    await expect(ask()).rejects.toMatchObject({ code: "key/credentials" });
  });
});
