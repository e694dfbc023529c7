/** The promise of the enclave's socket, kept by the real process: nothing sent there changes anything. */
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RealEnclave, startRealEnclave } from "../fakes/enclave-process.ts";
import { mutate, noise, randomFrom } from "../fakes/fuzz.ts";
import { open, seal, sealPlaintext, send, utf8 } from "../fakes/ring.ts";

/** Of each kind. */
const CASES = 10_000;
const SIDE_BY_SIDE = 32;
const TEN_MINUTES = 600_000;
const MAX_BODY_BYTES = 262_144;
const PATH = "/v2/models/digits/infer";
const IMAGE = {
  name: "image",
  datatype: "FP32",
  shape: [1, 1, 8, 8],
  data: Array.from({ length: 64 }, (_, i) => i % 17),
};
const REQUEST = { method: "POST", path: PATH, chunks: [utf8(JSON.stringify({ inputs: [IMAGE] }))] };

let enclave: RealEnclave;
let wanted = "";
let nextIndex = 0;

beforeAll(async () => {
  enclave = await startRealEnclave(MAX_BODY_BYTES);
  const first = await enclave.exchange(REQUEST);
  if (first.status !== 200 || first.claims.index !== 0) throw new Error("no first answer");
  wanted = first.text;
  nextIndex = 1;
});
afterAll(() => enclave.close());

/** How many exchanges it counts as begun and as under way. */
async function counts(): Promise<{ readonly begun: number; readonly active: number }> {
  const { body } = await send(enclave, "GET", "/status");
  const text = new TextDecoder().decode(body);
  expect(text).toMatch(/^\{"phase":"serving",/u);
  const found = /"exchanges":(\d+),"live".*"exchanges":\{"active":(\d+)/u.exec(text);
  return { begun: Number(found?.[1]), active: Number(found?.[2]) };
}

/** The same process gives the same answer, numbers it next, and has nothing left to do. */
async function unchanged(): Promise<void> {
  expect(enclave.exit()).toBe(null);
  for (let tries = 0; (await counts()).active !== 0 && tries < 100; tries++) await delay(20);
  const { begun, active } = await counts();
  const answer = await enclave.exchange(REQUEST);
  expect([active, answer.status, answer.text, answer.claims.index]).toEqual([
    0,
    200,
    wanted,
    begun,
  ]);
  expect(begun).toBeGreaterThanOrEqual(nextIndex);
  nextIndex = begun + 1;
}

async function many(run: (index: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < CASES; from += SIDE_BY_SIDE) {
    const length = Math.min(SIDE_BY_SIDE, CASES - from);
    await Promise.all(Array.from({ length }, (_, i) => run(from + i)));
    if (from % 1024 === 0) await unchanged();
  }
  await unchanged();
}

/** Writes to a connection of its own and ends it: whole, half-closed, or at once. */
function sendRaw(bytes: Uint8Array, atOnce: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(enclave.socketPath);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      resolve();
    });
    socket.resume();
    socket.write(bytes, () => {
      if (atOnce) socket.destroy();
      else socket.end();
    });
  });
}

/** A request as the host writes it. */
function httpRequest(body: Uint8Array, chunked: boolean): Uint8Array {
  const framing = chunked ? "transfer-encoding: chunked" : `content-length: ${body.length}`;
  const head = utf8(`POST /gateway HTTP/1.1\r\nhost: localhost\r\n${framing}\r\n\r\n`);
  const chunk = utf8(`${body.length.toString(16)}\r\n`);
  const end = utf8("\r\n0\r\n\r\n");
  return chunked
    ? Uint8Array.of(...head, ...chunk, ...body, ...end)
    : Uint8Array.of(...head, ...body);
}

describe("the enclave's socket", () => {
  it(`takes ${CASES} random byte strings`, { timeout: TEN_MINUTES }, async () => {
    const random = randomFrom(0xbad);
    const answers = new Set<string>();
    await many(async (index) => {
      const bytes = noise(random, 8000);
      if (index % 2 === 0) {
        await sendRaw(bytes, index % 4 === 0);
        return;
      }
      const answer = await send(enclave, "POST", "/gateway", bytes);
      answers.add(`${answer.status} ${answer.contentType}`);
    });
    expect([...answers]).toEqual(["400 application/problem+json"]);
  });

  it(`takes ${CASES} mutated requests`, { timeout: TEN_MINUTES }, async () => {
    const random = randomFrom(0xf00d);
    const outcomes = new Map<string, number>();
    const count = (outcome: string): void => {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    };
    await many(async (index) => {
      const sealed = await seal(enclave.epoch, REQUEST);
      if (index % 2 === 0) {
        // Flips in its HTTP framing as well as in what it carries.
        const whole = httpRequest(sealed.body, index % 4 === 0);
        await sendRaw(mutate(random, whole), index % 8 === 0);
        return;
      }
      const body = mutate(random, sealed.body);
      const answer = await send(enclave, "POST", "/gateway", body);
      if (answer.status === 200) {
        const inner = await open(sealed, answer.body);
        const same = Buffer.compare(body, sealed.body) === 0;
        count(`inner ${inner.status}${same ? " unchanged" : ""}`);
      } else {
        count(`${answer.status} ${answer.contentType}`);
      }
    });
    // The request is one chunk: what is left of it opens as it was, or not at all.
    const known = [
      "400 application/problem+json",
      "413 application/problem+json",
      "inner 200 unchanged",
    ];
    for (const outcome of outcomes.keys()) expect(known).toContain(outcome);
    expect(outcomes.get("400 application/problem+json")).toBeGreaterThan(CASES / 8);
  });

  it("takes connections that do nothing, and ends with them open", async () => {
    const begun = utf8("POST /gateway HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nabc");
    const sockets = Array.from({ length: 600 }, (_, i) => {
      const socket = connect(enclave.socketPath);
      socket.on("error", () => undefined);
      if (i % 3 === 0) socket.write(begun);
      if (i % 3 === 1) socket.write("POST /gate");
      return socket;
    });
    await delay(200);
    expect((await enclave.exchange(REQUEST)).text).toBe(wanted);
    nextIndex++;
    for (const socket of sockets) socket.destroy();
    await unchanged();
  });
});

describe("bad input inside the encryption", () => {
  const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value));
  const inputs = (change: object): Uint8Array => json({ inputs: [{ ...IMAGE, ...change }] });
  const binary = { name: "image", datatype: "FP32", shape: [1, 1, 8, 8] };
  const nan = utf8(
    JSON.stringify({ inputs: [{ ...binary, parameters: { binary_data_size: 256 } }] }),
  );
  const length = ["inference-header-content-length", `${nan.length}`] as const;

  it.each<[string, number, string, object]>([
    ["an unknown model", 404, "model/unknown", { path: "/v2/models/none/infer" }],
    ["an unknown version", 404, "model/unknown", { path: "/v2/models/digits/versions/9/infer" }],
    ["a path that is none", 404, "request/path", { path: "/v3" }],
    ["a method that is none there", 405, "request/method", { method: "DELETE" }],
    ["no JSON", 400, "request/json", { chunks: [utf8("{")] }],
    ["no UTF-8", 400, "request/json", { chunks: [Uint8Array.of(0xff, 0xfe)] }],
    ["a wrong name", 400, "input/unknown", { chunks: [inputs({ name: "picture" })] }],
    ["a wrong type", 400, "input/datatype", { chunks: [inputs({ datatype: "INT64" })] }],
    ["a wrong shape", 400, "input/shape", { chunks: [inputs({ shape: [1, 1, 4, 16] })] }],
    ["a wrong rank", 400, "input/shape", { chunks: [inputs({ shape: [64] })] }],
    ["a wrong length", 400, "input/length", { chunks: [inputs({ data: [1, 2] })] }],
    ["no input", 400, "input/missing", { chunks: [json({ inputs: [] })] }],
    [
      "one too many",
      400,
      "input/unknown",
      { chunks: [json({ inputs: [IMAGE, { ...IMAGE, name: "b" }] })] },
    ],
    ["the same twice", 400, "input/duplicate", { chunks: [json({ inputs: [IMAGE, IMAGE] })] }],
    ["an empty batch", 400, "input/empty", { chunks: [inputs({ shape: [0, 1, 8, 8], data: [] })] }],
    ["null", 400, "input/value", { chunks: [inputs({ data: Array(64).fill(null) })] }],
    ["NaN in JSON", 400, "request/json", { chunks: [utf8('{"inputs":[{"data":[NaN]}]}')] }],
    [
      "an infinity",
      400,
      "input/value",
      {
        chunks: [utf8(JSON.stringify({ inputs: [IMAGE] }).replace("[0,1,", "[1e999,1,"))],
      },
    ],
    [
      "NaN as binary data, whose answer is none in JSON",
      406,
      "output/binary-only",
      {
        headers: [length],
        chunks: [nan, new Uint8Array(new Float32Array(64).fill(Number.NaN).buffer)],
      },
    ],
    ["too much nesting", 400, "request/structure", { chunks: [utf8("[".repeat(100))] }],
    ["too much", 413, "exchange/too-large", { chunks: [new Uint8Array(MAX_BODY_BYTES + 1)] }],
    [
      "another keyset",
      400,
      "exchange/keyset",
      { ringHeaders: [["date", new Date().toUTCString()]] },
    ],
  ])("%s: %i %s, with a receipt", async (_, status, code, change) => {
    const answer = await enclave.exchange({ ...REQUEST, ...change });
    const index = nextIndex++;
    const { phase, outcome } = answer.claims;
    expect([phase, answer.claims.index, outcome.status]).toEqual(["final", index, status]);
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([status, { code }]);
  });

  it("Binary HTTP that is none: 400 bhttp/malformed, with a receipt", async () => {
    const sealed = await sealPlaintext(enclave.epoch, [utf8("\u0007 no message")], []);
    const answer = await send(enclave, "POST", "/gateway", sealed.body);
    const { status, text, claims } = await open(sealed, answer.body);
    expect([status, claims.phase, claims.model, claims.request.leaves]).toEqual([
      400,
      "final",
      null,
      0,
    ]);
    expect(JSON.parse(text)).toMatchObject({ code: "bhttp/malformed" });
    nextIndex++;
  });

  it("HPKE that does not open: a problem, no index, and nothing of why", async () => {
    const { body } = await seal(enclave.epoch, REQUEST);
    const details = new Set<string>();
    for (const at of [7, 7 + 1184, body.length - 1]) {
      const changed = body.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      const answer = await send(enclave, "POST", "/gateway", changed);
      expect(answer.status).toBe(400);
      details.add(new TextDecoder().decode(answer.body));
    }
    expect(details.size).toBe(1);
  });

  it("leaves everything as it was", async () => {
    await unchanged();
    const words = JSON.stringify(enclave.lines);
    for (const secret of ["picture", "no message", "digits/infer"]) {
      expect(words).not.toContain(secret);
    }
  });
});
