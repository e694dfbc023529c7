import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import {
  encodeKeyChallenge,
  generateRecipientKey,
  KEM_MLKEM768_X25519,
  KEY_CHALLENGE_PATH,
  KEY_RELEASE_PATH,
  parseKeyRequest,
  sealDataKey,
} from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { afterEach, describe, expect, it } from "vitest";
import { brokerRelease } from "../../../enclave/keys/broker.ts";
import {
  MODEL_DIGEST,
  type Script,
  ScriptedBroker,
  wrappedUnder,
  type Wrapped,
} from "../../fakes/key-broker.ts";
import { TestClock } from "../../fakes/ring.ts";

const wrapped: Wrapped = await wrappedUnder(new Uint8Array(randomBytes(32)));
const other = await generateRecipientKey(nativePrimitives, KEM_MLKEM768_X25519);
let broker: ScriptedBroker | null = null;

afterEach(async () => {
  await broker?.close();
});

async function brokerOf(script: Script): Promise<ScriptedBroker> {
  broker = new ScriptedBroker(script);
  await broker.start();
  return broker;
}

function askAs({ context }: ReturnType<ScriptedBroker["enclave"]>): Promise<Uint8Array> {
  return brokerRelease(context).release(wrapped.envelope, wrapped.envelopeBytes, MODEL_DIGEST);
}

function challenge(response: ServerResponse): void {
  const nonce = new Uint8Array(randomBytes(32));
  response.end(encodeKeyChallenge({ nonce, expires: 2_000_000_000 }));
}

/** The key, for whoever asks: what a broker judges is not looked at here. */
async function released(response: ServerResponse, body: Uint8Array): Promise<void> {
  const { publicKey, document } = parseKeyRequest(body);
  response.end(await sealDataKey(nativePrimitives, publicKey, document, wrapped.dataKey));
}

const honest: Script = ({ path, body }, response) => {
  if (path === KEY_CHALLENGE_PATH) challenge(response);
  else void released(response, body);
};

/** Honest, but for the first `times` answers to `path`. */
function faulty(path: string, times: number, fault: Script): Script {
  return (asked, response, connection) => {
    const spoilt = asked.path === path && asked.number < times;
    (spoilt ? fault : honest)(asked, response, connection);
  };
}

const status =
  (code: number): Script =>
  (_, response) =>
    response.writeHead(code).end("{}");
const cut: Script = (_, response, connection) => {
  response.writeHead(200, { "content-length": 100 }).write("half");
  setImmediate(() => connection.destroy());
};
const ALWAYS = Infinity;

describe("an enclave", () => {
  it("asks for a challenge, then for the key, once each", async () => {
    const made = await brokerOf(honest);
    const asker = made.enclave();
    expect(await askAs(asker)).toEqual(wrapped.dataKey);
    expect(made.paths).toEqual([KEY_CHALLENGE_PATH, KEY_RELEASE_PATH]);
    expect(asker.lines).toEqual([]);
  });
});

describe("a fault that passes", () => {
  it.each([
    ["a broker that fails", status(500), "key/unreachable"],
    ["a broker that has no policy just now", status(503), "key/unreachable"],
    ["a broker that has too much to do", status(429), "key/throttled"],
    ["a connection that is cut", cut, "key/unreachable"],
  ] as const)("is %s: the enclave asks again, five times at most", async (_, fault, code) => {
    for (const path of [KEY_CHALLENGE_PATH, KEY_RELEASE_PATH]) {
      const passing = await brokerOf(faulty(path, 4, fault));
      const asker = passing.enclave();
      expect(await askAs(asker)).toEqual(wrapped.dataKey);
      expect(asker.lines.map(({ fields }) => fields["code"])).toEqual(Array(4).fill(code));
      await passing.close();

      const lasting = await brokerOf(faulty(path, ALWAYS, fault));
      await expect(askAs(lasting.enclave())).rejects.toMatchObject({ code });
      expect(lasting.paths.filter((asked) => asked === path)).toHaveLength(5);
      await lasting.close();
    }
  });

  it("is a challenge that was over: the next one is answered", async () => {
    const asker = (await brokerOf(faulty(KEY_RELEASE_PATH, 1, status(409)))).enclave();
    expect(await askAs(asker)).toEqual(wrapped.dataKey);
    expect(asker.lines.map(({ fields }) => fields["code"])).toEqual(["key/refused"]);
  });

  it("is a broker that is not there, until it has not come for five attempts", async () => {
    const gone = await brokerOf(honest);
    const asker = gone.enclave();
    const away = { ...asker.context.service, port: 1 };
    const context = { ...asker.context, service: away };
    await expect(askAs({ ...asker, context })).rejects.toMatchObject({ code: "key/unreachable" });
    expect(asker.lines).toHaveLength(5);
  });

  it("is silence, of ten seconds at a time and a minute in all", async () => {
    const silent = await brokerOf(() => undefined);
    const clock = new TestClock(Date.now());
    const asker = silent.enclave({ clock });
    const { lines } = asker;
    const asked = askAs(asker);
    const ended = asked.then(
      () => null,
      (error: unknown) => error,
    );
    await expect.poll(() => silent.paths.length).toBe(1);
    await clock.advance(9_999);
    expect(lines).toEqual([]);
    // The attempt's end, then the first pause, half a second at most.
    await clock.advance(1);
    await expect.poll(() => lines.length).toBe(1);
    await clock.advance(500);
    await expect.poll(() => silent.paths.length).toBe(2);
    await clock.advance(60_000);
    expect(await ended).toMatchObject({ code: "key/unreachable" });
    expect(silent.paths.length).toBeLessThanOrEqual(5);
  });
});

describe("a definite answer", () => {
  const foreign: Script = ({ body }, response) => {
    const { document } = parseKeyRequest(body);
    const { publicKey } = other;
    void sealDataKey(nativePrimitives, publicKey, document, wrapped.dataKey).then((sealed) =>
      response.end(sealed),
    );
  };
  const foreignDocument: Script = ({ body }, response) => {
    const { publicKey } = parseKeyRequest(body);
    const document = new Uint8Array(100);
    void sealDataKey(nativePrimitives, publicKey, document, wrapped.dataKey).then((sealed) =>
      response.end(sealed),
    );
  };
  const garbage: Script = (_, response) => response.end(randomBytes(500));
  const long: Script = (_, response) => response.end(randomBytes(100_000));
  const empty: Script = (_, response) => response.end();

  it.each([
    [KEY_RELEASE_PATH, "no", status(403), "key/denied"],
    [KEY_RELEASE_PATH, "no, for it does not know us", status(401), "key/denied"],
    [KEY_RELEASE_PATH, "that it has no such key", status(404), "key/refused"],
    [KEY_RELEASE_PATH, "that it cannot read us", status(400), "key/refused"],
    [KEY_RELEASE_PATH, "that the envelope does not open", status(422), "key/refused"],
    [KEY_RELEASE_PATH, "that it is elsewhere", status(302), "key/answer"],
    [KEY_RELEASE_PATH, "nothing", status(204), "key/answer"],
    [KEY_RELEASE_PATH, "an empty body", empty, "key/answer"],
    [KEY_RELEASE_PATH, "garbage", garbage, "key/answer"],
    [KEY_RELEASE_PATH, "without end", long, "key/answer"],
    [KEY_RELEASE_PATH, "another enclave's key", foreign, "key/answer"],
    [KEY_RELEASE_PATH, "the answer to another document", foreignDocument, "key/answer"],
    [KEY_CHALLENGE_PATH, "no challenge but garbage", garbage, "key/answer"],
    [KEY_CHALLENGE_PATH, "that there is nothing", status(404), "key/refused"],
  ] as const)("%s: %s ends it at once (%s)", async (path, _, fault, code) => {
    const made = await brokerOf(faulty(path, ALWAYS, fault));
    const asker = made.enclave();
    await expect(askAs(asker)).rejects.toMatchObject({ code });
    expect(made.paths.filter((asked) => asked === path)).toHaveLength(1);
  });
});

describe("a module that fails", () => {
  it("ends it at once, with the module's own code", async () => {
    const made = await brokerOf(honest);
    const asker = made.enclave();
    const { nsm } = asker.context;
    nsm.attest = () => {
      throw new TypeError("no module");
    };
    await expect(askAs(asker)).rejects.toThrow("no module");
    expect(made.paths).toEqual([KEY_CHALLENGE_PATH]);
  });
});
