import {
  appraiseProof,
  parsePolicy,
  parseProof,
  parseReceipt,
  type Verdict,
} from "@countersign/attestation";
import {
  ClientError,
  connect,
  type Connection,
  type ConnectOptions,
  type Fetch,
  fetchBundle,
  VerdictError,
} from "@countersign/client";
import { BUNDLE_PATH, CHALLENGE_PATH, GATEWAY_PATH } from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { beforeEach, describe, expect, it } from "vitest";

import { NOW_MS } from "../../fakes/attester.ts";
import { createFakeNode, type FakeNode, type InnerCall, problem } from "./fake-gateway.ts";
import { rejection } from "./rejection.ts";

const NODE = "http://node.test";
const INFER = "/v2/models/digits/infer";

let node: FakeNode;

async function open(options: Partial<ConnectOptions> = {}): Promise<Connection> {
  return await connect(NODE, {
    policy: node.policy,
    fetch: node.fetch,
    primitives: nativePrimitives,
    now: () => node.nowMs,
    ...options,
  });
}

async function verdictOf(promise: Promise<unknown>): Promise<Verdict> {
  return (await rejection(promise, VerdictError)).verdict;
}

async function failureOf(promise: Promise<unknown>): Promise<ClientError> {
  return await rejection(promise, ClientError);
}

function failedCheck(verdict: Verdict): string | undefined {
  return verdict.checks.find((check) => check.status === "fail")?.id;
}

function requestsTo(path: string): number {
  return node.calls.filter((call) => call.path === path).length;
}

beforeEach(async () => {
  node = await createFakeNode("client");
});

describe("connect", () => {
  it("verifies the node and tells what it found", async () => {
    const connection = await open();
    expect(connection.verdict.result).toBe("verified");
    expect(connection.epoch.models.map(({ id }) => id)).toEqual(["digits"]);
    expect(requestsTo(BUNDLE_PATH)).toBe(1);
    expect(requestsTo(GATEWAY_PATH)).toBe(0);
  });

  it("throws the verdict where the evidence does not hold", async () => {
    const bundle = node.epoch.bundle.slice();
    const at = Math.floor(bundle.length / 2);
    bundle[at] = (bundle[at] ?? 0) ^ 1;
    node.misdeeds.bundle = bundle;
    expect((await verdictOf(open())).result).toBe("rejected");
  });

  it("throws the verdict on old evidence", async () => {
    node.nowMs = NOW_MS + 7300 * 1000;
    const verdict = await verdictOf(open());
    expect(verdict.failure).toBe("stale");
  });

  it.each(["ftp://node.test", "no url", "http://user:secret@node.test", "http://node.test/?a"])(
    "refuses %s",
    async (url) => {
      const error = await failureOf(connect(url, { policy: node.policy, fetch: node.fetch }));
      expect(error.code).toBe("client/url");
    },
  );

  it("takes a node below a path", async () => {
    const connection = await connect(`${NODE}/below/`, {
      policy: node.policy,
      fetch: node.fetch,
      primitives: nativePrimitives,
      now: () => node.nowMs,
    });
    expect(connection.verdict.result).toBe("verified");
    expect(node.calls[0]?.path).toBe(`/below${BUNDLE_PATH}`);
  });

  it("says that a node cannot be reached", async () => {
    const unreachable = async (): Promise<Response> => {
      await Promise.resolve();
      const cause = new Error("connect ECONNREFUSED 127.0.0.1:1");
      throw new TypeError("fetch failed", { cause });
    };
    const error = await failureOf(open({ fetch: unreachable }));
    expect(error.code).toBe("client/unreachable");
    expect(error.message).toContain("ECONNREFUSED");
  });

  it("refuses a bundle without end", async () => {
    node.misdeeds.bundle = new Uint8Array(300 * 1024);
    expect((await failureOf(open())).code).toBe("node/answer");
  });

  it("works on WebCrypto alone", async () => {
    const connection = await connect(NODE, {
      policy: node.policy,
      fetch: node.fetch,
      now: () => node.nowMs,
    });
    const response = await connection.fetch("/v2");
    expect(await response.json()).toEqual({ hello: "world" });
  });
});

describe("challenge", () => {
  it("asks for a document over its own nonce, and judges receipts by the epoch's", async () => {
    const connection = await open({ challenge: true });
    expect(requestsTo(CHALLENGE_PATH)).toBe(1);
    const freshness = connection.verdict.checks.find(({ id }) => id === "freshness");
    expect(freshness?.status).toBe("pass");
    const response = await connection.fetch("/v2");
    expect((await response.verdict()).result).toBe("verified");
  });

  it("challenges where the policy requires it", async () => {
    const { policy } = node;
    if (policy.freshness === "unchecked") throw new TypeError("the policy asks for freshness");
    const freshness = { ...policy.freshness, challenge: "required" } as const;
    const connection = await open({ policy: { ...policy, freshness } });
    expect(requestsTo(CHALLENGE_PATH)).toBe(1);
    expect(connection.verdict.result).toBe("verified");
  });

  it("asks again where an epoch begins between its two questions", async () => {
    let rotated = false;
    const rotating: ConnectOptions["fetch"] = async (input, init) => {
      const response = await node.fetch(input, init);
      const url = input instanceof Request ? input.url : input.toString();
      if (url.endsWith(CHALLENGE_PATH) && !rotated) {
        rotated = true;
        await node.rotate();
      }
      return response;
    };
    const connection = await open({ challenge: true, fetch: rotating });
    expect(requestsTo(CHALLENGE_PATH)).toBe(2);
    expect(await (await connection.fetch("/v2")).json()).toEqual({ hello: "world" });
  });

  it("refuses an answer to another nonce", async () => {
    let recorded: Uint8Array | null = null;
    const replaying: ConnectOptions["fetch"] = async (input, init) => {
      const url = input instanceof Request ? input.url : input.toString();
      if (!url.endsWith(CHALLENGE_PATH)) return await node.fetch(input, init);
      if (recorded !== null) return new Response(recorded.slice());
      const response = await node.fetch(input, init);
      recorded = new Uint8Array(await response.arrayBuffer());
      return new Response(recorded.slice());
    };
    await open({ challenge: true, fetch: replaying });
    const verdict = await verdictOf(open({ challenge: true, fetch: replaying }));
    expect(failedCheck(verdict)).toBe("freshness");
  });
});

describe("fetch", () => {
  let seen: InnerCall | null = null;

  beforeEach(() => {
    seen = null;
    node.handler = (call) => {
      seen = call;
      return { headers: [["content-type", "application/json"]], content: ['{"answer":', "42}"] };
    };
  });

  it("carries method, path, headers and body inside, and nothing outside", async () => {
    const { fetch } = await open();
    const response = await fetch(`${INFER}?x=1`, {
      method: "POST",
      headers: { "content-type": "text/plain", connection: "x-hop", "x-hop": "1", "x-kept": "2" },
      body: "secret",
    });
    expect(response).toBeInstanceOf(Response);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual({ answer: 42 });
    expect(seen?.method).toBe("POST");
    expect(seen?.path).toBe(`${INFER}?x=1`);
    expect(Buffer.from(seen?.content ?? []).toString()).toBe("secret");
    const names = seen?.headers.map(([name]) => name);
    expect(names).toEqual(["content-type", "x-kept", "date", "countersign-keyset"]);
    const headers = new Map(seen?.headers);
    expect(headers.get("date")).toBe(new Date(NOW_MS).toUTCString());
    const keyset = Buffer.from(node.epoch.keysetDigest).toString("hex");
    expect(headers.get("countersign-keyset")).toBe(keyset);
  });

  it("uses path and query of absolute URLs and of Requests", async () => {
    const { fetch } = await open();
    await (await fetch("http://countersign/v1/models?a=b#c")).json();
    expect(seen?.path).toBe("/v1/models?a=b");
    await (await fetch(new URL("https://elsewhere.example/x"))).json();
    expect(seen?.path).toBe("/x");
    await (await fetch(new Request("http://countersign/y", { method: "PUT", body: "z" }))).json();
    expect(seen?.method).toBe("PUT");
  });

  it("cuts a large body into chunks of a mebibyte and proves all of it", async () => {
    const { fetch } = await open();
    const body = new Uint8Array(2_500_000).fill(7);
    const response = await fetch(INFER, { method: "POST", body });
    const proof = parseProof(await response.proof());
    expect(seen?.content.length).toBe(body.length);
    expect(proof.opening?.request.map((leaf) => leaf.length).slice(1)).toEqual([
      1_048_576, 1_048_576, 402_848,
    ]);
  });

  it("gives a proof that verifies offline, with the opening", async () => {
    const { fetch } = await open();
    const response = await fetch(INFER, { method: "POST", body: "{}" });
    expect(await response.json()).toEqual({ answer: 42 });
    const bytes = await response.proof();
    const context = { nowMs: NOW_MS + 300 * 24 * 3_600_000 };
    const judged = await appraiseProof(bytes, node.policy, context, nativePrimitives);
    expect(judged.verdict.result).toBe("verified");
    expect(judged.proof?.opening?.response.length).toBe(3);
    expect(Buffer.from(judged.claims?.exchange ?? []).toString("hex")).toBe(response.exchange);
  });

  it("leaves the opening out where asked, or where it would be too large", async () => {
    for (const options of [{ opening: false }, { maxOpeningBytes: 100 }]) {
      const { fetch } = await open(options);
      const response = await fetch(INFER, { method: "POST", body: "{}" });
      const proof = await response.proof();
      expect(parseProof(proof).opening).toBeNull();
      const judged = await appraiseProof(proof, node.policy, { nowMs: NOW_MS }, nativePrimitives);
      expect(judged.verdict.result).toBe("verified");
    }
  });

  it("proves before the body is read, and the body stays readable", async () => {
    const { fetch } = await open();
    const response = await fetch(INFER, { method: "POST", body: "{}" });
    expect((await response.verdict()).result).toBe("verified");
    expect(await response.json()).toEqual({ answer: 42 });
  });

  it("streams: the first chunk is there before the last is made", async () => {
    const gate = Promise.withResolvers<void>();
    node.handler = () => ({ content: ["first", "second"], gate: gate.promise });
    const { fetch } = await open();
    const response = await fetch("/v1/chat/completions", { method: "POST", body: "{}" });
    const reader = response.body?.getReader();
    const first = await reader?.read();
    expect(Buffer.from(first?.value ?? []).toString()).toBe("first");
    gate.resolve();
    const second = await reader?.read();
    expect(Buffer.from(second?.value ?? []).toString()).toBe("second");
    expect((await reader?.read())?.done).toBe(true);
    expect((await response.verdict()).result).toBe("verified");
  });

  it("returns refusals from inside as responses, verified like answers", async () => {
    node.handler = () => ({ status: 404, content: ['{"error":"no such model"}'], model: null });
    const { fetch } = await open();
    const response = await fetch("/v2/models/none/infer", { method: "POST", body: "{}" });
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ error: "no such model" });
    expect((await response.verdict()).result).toBe("verified");
  });

  it("takes a refusal that commits to a part of the request, and proves that part", async () => {
    node.handler = () => ({ status: 413, model: null });
    node.misdeeds.claims = ({ request }) => ({ request: { ...request, leaves: 99 } });
    const { fetch } = await open();
    expect(failedCheck(await verdictOf((await fetch("/v2")).text()))).toBe("request");
    // RFC 9162 §2.1.1: the root of no leaves is the hash of nothing.
    const empty = { leaves: 0, bytes: 0, root: await nativePrimitives.sha256(new Uint8Array(0)) };
    node.misdeeds.claims = () => ({ request: empty });
    const response = await fetch("/v2", { method: "POST", body: "much" });
    const proof = await response.proof();
    const judged = await appraiseProof(proof, node.policy, { nowMs: NOW_MS }, nativePrimitives);
    expect(judged.verdict.result).toBe("verified");
    expect(judged.proof?.opening?.request).toEqual([]);
  });

  it.each([
    ["HEAD", 200],
    ["GET", 204],
  ])("verifies %s with status %i before it returns", async (method, status) => {
    node.handler = () => ({ status });
    const { fetch } = await open();
    const response = await fetch("/v2", { method });
    expect(response.body).toBeNull();
    expect((await response.verdict()).result).toBe("verified");
    node.misdeeds.receipt = "missing";
    expect((await verdictOf(fetch("/v2", { method }))).failure).toBe("truncated");
  });

  it("refuses a request that Binary HTTP cannot carry", async () => {
    const { fetch } = await open();
    const headers = { "x-long": "a".repeat(70_000) };
    const error = await failureOf(fetch("/v2", { headers }));
    expect(error.code).toBe("client/request");
  });

  it("gives up where the caller does", async () => {
    const { fetch } = await open();
    const controller = new AbortController();
    controller.abort();
    const error = await rejection(fetch("/v2", { signal: controller.signal }), DOMException);
    expect(error.name).toBe("AbortError");
  });

  it("has no proof of a response that was not read to its end", async () => {
    const { promise: gate } = Promise.withResolvers<void>();
    node.handler = () => ({ content: ["first", "never"], gate });
    const { fetch } = await open();
    const response = await fetch("/v2");
    const reader = response.body?.getReader();
    await reader?.read();
    void reader?.cancel();
    await Promise.resolve();
    const error = await failureOf(response.proof());
    expect(error.code).toBe("client/aborted");
  });
});

describe("a lying host", () => {
  const flip =
    (at: (length: number) => number) =>
    (answer: Uint8Array): Uint8Array => {
      const changed = answer.slice();
      const index = at(changed.length);
      changed[index] = (changed[index] ?? 0) ^ 1;
      return changed;
    };

  it.each([0, 20, 34, 60])("that flips byte %i of the answer is caught", async (index) => {
    node.misdeeds.mangle = flip(() => index);
    const { fetch } = await open();
    const verdict = await verdictOf(fetch("/v2").then((response) => response.json()));
    expect(verdict.result).toBe("rejected");
    expect(["tampered", "truncated", "malformed"]).toContain(verdict.failure);
  });

  it("that flips the last byte is caught, and says tampered", async () => {
    node.misdeeds.mangle = flip((length) => length - 1);
    const { fetch } = await open();
    const verdict = await verdictOf(fetch("/v2").then((response) => response.json()));
    expect([verdict.failure, failedCheck(verdict)]).toEqual(["tampered", "response"]);
    expect(verdict.checks.find(({ id }) => id === "receipt")?.found).toBe("not reached");
  });

  it("that cuts the answer anywhere is caught", async () => {
    const { fetch } = await open();
    let length = 0;
    node.misdeeds.mangle = (answer) => {
      length = answer.length;
      return answer;
    };
    await (await fetch("/v2")).json();
    for (let cut = 0; cut < length; cut += 23) {
      node.misdeeds.mangle = (answer) => answer.slice(0, cut);
      const verdict = await verdictOf(fetch("/v2").then((response) => response.text()));
      expect(verdict.result).toBe("rejected");
      expect(["tampered", "truncated"]).toContain(verdict.failure);
    }
  });

  it("that ends in good order before the last chunk is caught as truncated", async () => {
    node.misdeeds.mangle = (answer) => answer.slice(0, lastChunk(answer));
    const { fetch } = await open();
    const response = await fetch("/v2");
    const verdict = await verdictOf(response.json());
    expect(verdict.failure).toBe("truncated");
    expect((await verdictOf(response.proof())).failure).toBe("truncated");
  });

  it("whose connection breaks is caught as truncated", async () => {
    node.misdeeds.breakAfter = 90;
    const { fetch } = await open();
    const verdict = await verdictOf(fetch("/v2").then((response) => response.text()));
    expect(verdict.failure).toBe("truncated");
  });

  it("that answers with the answer to another request is caught", async () => {
    const { fetch } = await open();
    let first: Uint8Array | null = null;
    node.misdeeds.mangle = (answer) => (first ??= answer);
    await (await fetch("/v2")).json();
    const verdict = await verdictOf(fetch("/v2").then((response) => response.json()));
    expect([verdict.failure, failedCheck(verdict)]).toEqual(["tampered", "response"]);
  });
});

describe("an enclave whose receipt does not hold", () => {
  it.each([
    ["missing", "receipt"],
    ["twice", "receipt"],
  ] as const)("because it is %s", async (receipt, check) => {
    node.misdeeds.receipt = receipt;
    const { fetch } = await open();
    const response = await fetch("/v2");
    expect(failedCheck(await verdictOf(response.json()))).toBe(check);
  });

  it.each([
    ["exchange", { exchange: new Uint8Array(16) }, "index"],
    ["keyset", { keysetDigest: new Uint8Array(32) }, "epoch"],
    ["model", { model: null }, "model"],
    ["phase", { phase: "aborted" as const }, "index"],
    ["status", { outcome: { status: 201 } }, "response"],
  ])("because of its %s", async (_what, claims, check) => {
    node.misdeeds.claims = () => claims;
    const { fetch } = await open();
    const response = await fetch(INFER, { method: "POST", body: "{}" });
    expect(failedCheck(await verdictOf(response.json()))).toBe(check);
  });

  it("because it commits to another answer", async () => {
    node.misdeeds.claims = ({ response }) => ({ response: { ...response, bytes: 1 } });
    const { fetch } = await open();
    expect(failedCheck(await verdictOf((await fetch("/v2")).json()))).toBe("response");
  });
});

describe("rotation", () => {
  it("verifies anew and retries once, with a new encapsulation", async () => {
    const connection = await open();
    const before = connection.epoch;
    await node.rotate();
    const response = await connection.fetch("/v2");
    expect(await response.json()).toEqual({ hello: "world" });
    expect(connection.epoch).not.toBe(before);
    const sent = node.calls.filter(({ path }) => path === GATEWAY_PATH);
    expect(sent.length).toBe(2);
    expect(sent[0]?.enc).not.toBe(sent[1]?.enc);
    expect(requestsTo(BUNDLE_PATH)).toBe(2);
  });

  it("does not call it tampering when the key is unknown a second time", async () => {
    const connection = await open();
    node.misdeeds.outer = (path) => (path === GATEWAY_PATH ? problem("unknownKey") : null);
    const verdict = await verdictOf(connection.fetch("/v2"));
    expect([verdict.result, verdict.failure]).toEqual(["incomplete", "rotated"]);
    expect(requestsTo(GATEWAY_PATH)).toBe(2);
  });

  it("verifies once for many requests", async () => {
    const { fetch } = await open();
    await node.rotate();
    const answers = await Promise.all(
      Array.from({ length: 8 }, async (): Promise<unknown> => (await fetch("/v2")).json()),
    );
    expect(answers).toEqual(Array.from({ length: 8 }, () => ({ hello: "world" })));
    expect(requestsTo(BUNDLE_PATH)).toBe(2);
  });

  it("sends nothing to a new epoch that does not verify", async () => {
    const connection = await open();
    await node.rotate();
    const other = await createFakeNode("somebody else");
    node.misdeeds.bundle = other.epoch.bundle;
    expect((await verdictOf(connection.fetch("/v2"))).result).toBe("rejected");
    expect(requestsTo(GATEWAY_PATH)).toBe(1);
  });

  it("does not ask an epoch that has run out", async () => {
    const { fetch } = await open();
    node.nowMs = NOW_MS + 7201 * 1000;
    expect((await verdictOf(fetch("/v2"))).failure).toBe("stale");
    expect(requestsTo(GATEWAY_PATH)).toBe(0);
    await node.rotate();
    expect(await (await fetch("/v2")).json()).toEqual({ hello: "world" });
  });

  it("does not use a document for longer than the policy allows, however old it was", async () => {
    const text = node.policyText.replace(/"maxAgeSeconds":\d+/u, '"maxAgeSeconds":600');
    const policy = parsePolicy(text);
    node.nowMs = NOW_MS + 500 * 1000;
    const { fetch } = await open({ policy });
    expect((await fetch("/v2")).ok).toBe(true);
    node.nowMs = NOW_MS + 700 * 1000;
    expect((await verdictOf(fetch("/v2"))).failure).toBe("stale");
    expect(requestsTo(GATEWAY_PATH)).toBe(1);
  });

  it("does not use an epoch beyond the certificates that vouch for it", async () => {
    node = await createFakeNode("short leaf", NOW_MS + 60_000);
    const { fetch } = await open();
    node.nowMs = NOW_MS + 60_000;
    expect((await fetch("/v2")).ok).toBe(true);
    node.nowMs = NOW_MS + 60_001;
    expect((await verdictOf(fetch("/v2"))).failure).toBe("expired");
    expect(requestsTo(GATEWAY_PATH)).toBe(1);
  });

  it("does not outlive its policy", async () => {
    const expires = new Date(NOW_MS + 60_000).toISOString();
    const text = node.policyText.replace(/"expires":"[^"]+"/u, `"expires":"${expires}"`);
    const { fetch } = await open({ policy: parsePolicy(text) });
    expect((await fetch("/v2")).ok).toBe(true);
    node.nowMs = NOW_MS + 60_000;
    expect((await verdictOf(fetch("/v2"))).failure).toBe("expired");
    expect(requestsTo(GATEWAY_PATH)).toBe(1);
  });

  it("lets a caller go while a host keeps all waiting for its bundle", async () => {
    let stuck = false;
    const { fetch } = await open({
      fetch: async (input, init) => {
        if (stuck) return await new Promise<never>(() => undefined);
        return await node.fetch(input, init);
      },
    });
    stuck = true;
    node.nowMs = NOW_MS + 7300 * 1000;
    const leaving = new AbortController();
    const failure = failureOf(fetch("/v2", { signal: leaving.signal }));
    setTimeout(() => {
      leaving.abort();
    }, 20);
    expect((await failure).code).toBe("client/aborted");
  });
});

describe("an answer in very many pieces", () => {
  it("gives a proof that can be read again", async () => {
    node.handler = () => ({ content: Array.from({ length: 65_536 }, () => "x") });
    const { fetch } = await open();
    const response = await fetch("/v2");
    expect((await response.text()).length).toBe(65_536);
    expect(parseProof(await response.proof()).opening).toBeNull();
  }, 60_000);
});

describe("a bundle that drips", () => {
  it("is waited for no longer than its time", async () => {
    const drip: Fetch = async (_input, init) => {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          init?.signal?.addEventListener("abort", () => {
            controller.error(init.signal?.reason);
          });
        },
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          controller.enqueue(new Uint8Array(1));
        },
      });
      return await Promise.resolve(new Response(body));
    };
    const error = await failureOf(fetchBundle(drip, new URL(NODE), null, null, 40));
    expect(error.code).toBe("client/unreachable");
    expect(error.message).toContain("timeout");
  });
});

describe("what the host says in the clear", () => {
  let connection: Connection;
  beforeEach(async () => {
    connection = await open();
  });

  it.each([
    ["malformed", "node/malformed", 400],
    ["replay", "node/replay", 409],
    ["tooLarge", "node/too-large", 413],
    ["tooMany", "node/busy", 429],
    ["unavailable", "node/unavailable", 503],
    ["method", "node/answer", 405],
  ] as const)("%s is no result", async (code, wanted, status) => {
    node.misdeeds.outer = () => problem(code, { "retry-after": "7" });
    const error = await failureOf(connection.fetch("/v2"));
    expect([error.code, error.status, error.retryAfterSeconds]).toEqual([wanted, status, 7]);
    expect(requestsTo(GATEWAY_PATH)).toBe(1);
  });

  it.each([
    ["plain text", new Response("ok", { headers: { "content-type": "text/plain" } })],
    ["nothing", new Response(null, { status: 204 })],
    ["an error page", new Response("<h1>502</h1>", { status: 502 })],
    [
      "a broken problem",
      new Response("{", { status: 500, headers: { "content-type": "application/problem+json" } }),
    ],
  ])("%s is no result", async (_what, response) => {
    node.misdeeds.outer = () => response;
    const error = await failureOf(connection.fetch("/v2"));
    expect(error.code).toBe("node/answer");
  });

  it("names the receipt's exchange", async () => {
    const response = await connection.fetch("/v2");
    const { receipt } = parseProof(await response.proof());
    const id = Buffer.from(parseReceipt(receipt).claims.exchange).toString("hex");
    expect(response.exchange).toBe(id);
  });
});

/** Offset of the chunk whose length is 0, behind the response nonce. */
function lastChunk(answer: Uint8Array): number {
  let offset = 32;
  for (;;) {
    const first = answer[offset] ?? 0;
    if (first === 0) return offset;
    const bytes = 1 << (first >> 6);
    let length = first & 0x3f;
    for (const byte of answer.subarray(offset + 1, offset + bytes)) length = length * 256 + byte;
    offset += bytes + length;
  }
}
