import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer, request as httpRequest, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { getRequestListener } from "@hono/node-server";
import { appraiseProof } from "@countersign/attestation";
import { connect } from "@countersign/client";
import { GATEWAY_PATH } from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { createProxyApp, type ProxyEntry } from "../../../client/cli/proxy/app.ts";
import { isOwnHost, parseListen } from "../../../client/cli/proxy/guard.ts";
import { createProofStore } from "../../../client/cli/proxy/proofs.ts";
import { NOW_MS } from "../../fakes/attester.ts";
import {
  CHECKPOINT,
  createFakeNode,
  type FakeNode,
  type InnerCall,
  problem,
} from "./fake-gateway.ts";

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

const LOOPBACK = { host: "127.0.0.1", port: 8481 };

describe("isOwnHost", () => {
  it.each(["127.0.0.1:8481", "localhost:8481", "LOCALHOST:8481", "[::1]:8481"])("%s is", (host) => {
    expect(isOwnHost(host, LOOPBACK)).toBe(true);
  });

  it.each([
    undefined,
    "",
    "127.0.0.1",
    "127.0.0.1:8480",
    "evil.example:8481",
    "localhost.evil.example:8481",
    "127.0.0.1.evil.example:8481",
    "10.0.0.7:8481",
    "user@127.0.0.1:8481",
    "127.0.0.1:8481:8481",
  ])("%s is not", (host) => {
    expect(isOwnHost(host, LOOPBACK)).toBe(false);
  });

  it("takes any IP address, and no foreign name, where others may reach the proxy", () => {
    const open = { host: "0.0.0.0", port: 8481 };
    expect(isOwnHost("10.0.0.7:8481", open)).toBe(true);
    expect(isOwnHost("[fe80::1]:8481", open)).toBe(true);
    expect(isOwnHost("evil.example:8481", open)).toBe(false);
    expect(isOwnHost("proxy.internal:8481", { ...open, host: "proxy.internal" })).toBe(true);
  });

  it("knows the default port of http", () => {
    expect(isOwnHost("localhost", { host: "127.0.0.1", port: 80 })).toBe(true);
  });
});

describe("parseListen", () => {
  it("reads addresses", () => {
    expect(parseListen("127.0.0.1:8481")).toEqual(LOOPBACK);
    expect(parseListen("[::1]:0")).toEqual({ host: "::1", port: 0 });
  });

  it.each(["8481", "127.0.0.1", "127.0.0.1:99999", "::1:80", ":80"])("refuses %s", (text) => {
    expect(() => parseListen(text)).toThrow("is no address");
  });
});

describe("the proof store", () => {
  const id = (n: number): string => n.toString(16).padStart(32, "0");

  it("drops the oldest proofs first", async () => {
    const store = createProofStore(null, 10);
    for (let i = 0; i < 3; i++) await store.put(id(i), new Uint8Array(4).fill(i));
    expect(await store.get(id(0))).toBeNull();
    expect(await store.get(id(1))).toEqual(new Uint8Array(4).fill(1));
    expect(await store.get(id(2))).toEqual(new Uint8Array(4).fill(2));
  });

  it("counts a proof that comes twice once", async () => {
    const store = createProofStore(null, 10);
    for (let i = 0; i < 3; i++) await store.put(id(7), new Uint8Array(4));
    await store.put(id(8), new Uint8Array(4));
    expect(await store.get(id(7))).not.toBeNull();
  });

  it("writes files that are its owner's alone", async () => {
    const directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
    try {
      const store = createProofStore(directory, 1);
      await store.put(id(1), new Uint8Array(4));
      expect((await stat(join(directory, `${id(1)}.proof`))).mode & 0o077).toBe(0);
      expect(await store.get(id(1))).toEqual(new Uint8Array(4));
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("knows no other names than ids", async () => {
    const store = createProofStore("/", 10);
    expect(await store.get("../etc/passwd")).toBeNull();
    await expect(store.put("../x", new Uint8Array(1))).rejects.toThrow(TypeError);
  });
});

describe("the proxy", () => {
  let node: FakeNode;
  let server: Server;
  let url: string;
  /** What would end the last request to the node. */
  let signal: AbortSignal | null;
  let log: ProxyEntry[];
  let seen: InnerCall | null;

  beforeEach(async () => {
    node = await createFakeNode("proxy");
    seen = null;
    signal = null;
    log = [];
    node.handler = (call) => {
      seen = call;
      return { headers: [["content-type", "application/json"]], content: ['{"a":1}'] };
    };
    const connection = await connect("http://node.test", {
      policy: node.policy,
      fetch: (input, init) => {
        signal = init?.signal ?? null;
        return node.fetch(input, init);
      },
      primitives: nativePrimitives,
      now: () => node.nowMs,
    });
    const app = createProxyApp({
      fetch: connection.fetch,
      listen: () => ({ host: "127.0.0.1", port: portOf(server) }),
      proofs: createProofStore(null, 1_000_000),
      maxHeldBytes: 1000,
      log: (entry) => log.push(entry),
    });
    const answer = getRequestListener((request) => app.fetch(request));
    server = createServer((incoming, outgoing) => {
      void answer(incoming, outgoing);
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    url = `http://127.0.0.1:${portOf(server)}`;
  });

  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  async function rawStatus(method: string, path: string): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const options = { method, path, host: "127.0.0.1", port: portOf(server) };
    httpRequest(options, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end();
    return await promise;
  }

  it("passes requests on, and answers with verdict and proof", async () => {
    const response = await fetch(`${url}/v2/models/digits/infer?x=1`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-mine": "1" },
      body: "{}",
    });
    expect(await response.json()).toEqual({ a: 1 });
    expect([seen?.method, seen?.path]).toEqual(["POST", "/v2/models/digits/infer?x=1"]);
    expect(Buffer.from(seen?.content ?? []).toString()).toBe("{}");
    const inside = new Map(seen?.headers);
    expect(inside.get("x-mine")).toBe("1");
    expect(inside.has("host") || inside.has("connection")).toBe(false);
    expect(response.headers.get("countersign-verdict")).toBe(
      'verified; platform="simulated"; measurement="test-build"',
    );
    const id = response.headers.get("countersign-proof") ?? "";
    const proof = await fetch(`${url}/proofs/${id}`);
    const bytes = new Uint8Array(await proof.arrayBuffer());
    const judged = await appraiseProof(bytes, node.policy, { nowMs: NOW_MS }, nativePrimitives);
    expect(judged.verdict.result).toBe("verified");
    expect(log.at(-1)).toMatchObject({ outcome: "verified", status: 200, exchange: id });
  });

  it("passes refusals from inside on as what they are", async () => {
    node.handler = () => ({ status: 404, content: ["no"], model: null });
    const response = await fetch(`${url}/v2/models/none/infer`, { method: "POST", body: "{}" });
    expect([response.status, await response.text()]).toEqual([404, "no"]);
    expect(response.headers.get("countersign-verdict")).toContain("verified");
  });

  it("refuses what does not verify, with the check and a remedy", async () => {
    node.misdeeds.mangle = (bytes) =>
      bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte));
    const response = await fetch(`${url}/v2`);
    expect(response.status).toBe(502);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(response.headers.get("countersign-verdict")).toBeNull();
    expect(await response.json()).toMatchObject({
      type: "urn:countersign:problem:not-verified",
      status: 502,
      result: "rejected",
      failure: "tampered",
      check: "response",
    });
    expect(log.at(-1)).toMatchObject({ outcome: "refused", status: 502 });
  });

  it.each([
    ["tooMany", 429],
    ["unavailable", 503],
    ["tooLarge", 413],
    ["replay", 502],
    ["malformed", 502],
  ] as const)("turns the host's %s into %i", async (code, status) => {
    node.misdeeds.outer = () => problem(code, { "retry-after": "3" });
    const response = await fetch(`${url}/v2`);
    expect([response.status, response.headers.get("retry-after")]).toEqual([status, "3"]);
    expect(await response.json()).toMatchObject({ status });
  });

  it("says 503 where the node cannot be reached", async () => {
    node.misdeeds.outer = () => {
      throw new TypeError("fetch failed");
    };
    expect((await fetch(`${url}/v2`)).status).toBe(503);
  });

  it("does not hold more than it may", async () => {
    node.handler = () => ({ content: ["x".repeat(900), "x".repeat(200)] });
    const response = await fetch(`${url}/v2`);
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      type: "urn:countersign:problem:too-large-to-verify",
    });
  });

  it("lets events through as they come, and has their proof in the end", async () => {
    const gate = Promise.withResolvers<void>();
    const headers = [["content-type", "text/event-stream"]] as const;
    node.handler = () => ({ headers, content: ["data: 1\n\n", "data: 2\n\n"], gate: gate.promise });
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: "{}" });
    expect(response.headers.get("countersign-verdict")).toBe("streaming; verified-at-end");
    const reader = response.body?.getReader();
    const first = await reader?.read();
    expect(Buffer.from(first?.value ?? []).toString()).toBe("data: 1\n\n");
    gate.resolve();
    let rest = "";
    for (;;) {
      const next = await reader?.read();
      if (next?.done !== false) break;
      rest += Buffer.from(next.value).toString();
    }
    expect(rest).toBe("data: 2\n\n");
    const id = response.headers.get("countersign-proof") ?? "";
    expect((await fetch(`${url}/proofs/${id}`)).status).toBe(200);
  });

  it("breaks a stream of events that is not complete", async () => {
    const headers = [["content-type", "text/event-stream"]] as const;
    node.handler = () => ({ headers, content: ["data: 1\n\n"] });
    node.misdeeds.receipt = "missing";
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: "{}" });
    await expect(response.text()).rejects.toThrow("terminated");
    const id = response.headers.get("countersign-proof") ?? "";
    expect((await fetch(`${url}/proofs/${id}`)).status).toBe(404);
  });

  it("shows the end of the events only where all is verified", async () => {
    const headers = [["content-type", "text/event-stream"]] as const;
    const content = ["data: 1\n\n", CHECKPOINT, ":        \n\n", "data: [DONE]\n\n"] as const;
    node.handler = () => ({ headers, content });
    const ask = (): Promise<Response> =>
      fetch(`${url}/v1/chat/completions`, { method: "POST", body: "{}" });
    const whole = await (await ask()).text();
    expect(whole).toMatch(/^data: 1\n\n: countersign-receipt :[^:]+:\n\ndata: \[DONE\]\n\n$/u);
    expect(log.at(-1)).toMatchObject({ outcome: "verified" });
    // The receipt is cut off: the events that came are shown, their end is not.
    node.misdeeds.receipt = "missing";
    const reader = (await ask()).body?.getReader();
    let seen = "";
    const reading = (async (): Promise<void> => {
      for (;;) {
        const next = await reader?.read();
        if (next?.done !== false) return;
        seen += Buffer.from(next.value).toString();
      }
    })();
    await expect(reading).rejects.toThrow("terminated");
    expect(seen.includes("[DONE]")).toBe(false);
    expect(log.at(-1)).toMatchObject({ outcome: "refused" });
  });

  it("holds back events that are coded, whose end it cannot know, and what only begins like events", async () => {
    node.misdeeds.receipt = "missing";
    for (const headers of [
      [
        ["content-type", "text/event-stream"],
        ["content-encoding", "x-none"],
      ],
      [["content-type", "text/event-stream-of-another-kind"]],
    ] as const) {
      node.handler = () => ({ headers, content: ["data: 1\n\n"] });
      const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: "{}" });
      expect([response.status, (await response.text()).includes("data: 1")]).toEqual([502, false]);
    }
  });

  it("leaves the node at once where its caller leaves, before the answer and amid it", async () => {
    const gate = Promise.withResolvers<void>();
    const headers = [["content-type", "text/event-stream"]] as const;
    const asked = Promise.withResolvers<void>();
    const leaving = new AbortController();
    const ask = (): Promise<Response> =>
      fetch(`${url}/v1/completions`, { method: "POST", body: "{}", signal: leaving.signal });
    node.handler = () => ({ headers, content: ["data: 1\n\n", "x"], gate: gate.promise });
    const stream = await ask();
    await stream.body?.getReader().read();
    const amid = signal;
    expect(amid?.aborted).toBe(false);
    node.handler = async () => {
      asked.resolve();
      await gate.promise;
      return {};
    };
    const pending = ask();
    await asked.promise;
    leaving.abort();
    await expect(pending).rejects.toThrow("abort");
    await vi.waitFor(() => {
      expect([amid?.aborted, signal?.aborted]).toEqual([true, true]);
    });
    expect(signal).not.toBe(amid);
    gate.resolve();
  });

  it("breaks a stream at a checkpoint that does not hold", async () => {
    const headers = [["content-type", "text/event-stream"]] as const;
    node.handler = () => ({ headers, content: ["data: 1\n\n", CHECKPOINT, "data: 2\n\n"] });
    node.misdeeds.claims = ({ phase }) =>
      phase === "checkpoint" ? { outcome: { status: 201 } } : {};
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: "{}" });
    await expect(response.text()).rejects.toThrow("terminated");
    expect(log.at(-1)?.detail).toContain("rejected, tampered");
  });

  it("keeps the proof of what came until the last checkpoint, which is not verified", async () => {
    const headers = [["content-type", "text/event-stream"]] as const;
    node.handler = () => ({ headers, content: ["data: 1\n\n", CHECKPOINT, "data: 2\n\n"] });
    node.misdeeds.receipt = "missing";
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: "{}" });
    await expect(response.text()).rejects.toThrow("terminated");
    const proof = await fetch(`${url}/proofs/${response.headers.get("countersign-proof") ?? ""}`);
    const bytes = new Uint8Array(await proof.arrayBuffer());
    const judged = await appraiseProof(bytes, node.policy, { nowMs: NOW_MS }, nativePrimitives);
    expect([judged.verdict.result, judged.verdict.failure]).toEqual(["rejected", "truncated"]);
    expect([judged.claims, judged.unfinished?.response.leaves]).toEqual([null, 2]);
  });

  it("sends the path that it was asked for, and no other", async () => {
    const status = await rawStatus("GET", "//other.example/v2");
    expect([status, seen?.path]).toEqual([200, "//other.example/v2"]);
  });

  it("refuses methods that it cannot send, and requests that are too large", async () => {
    expect(await rawStatus("TRACE", "/v2")).toBe(405);
    const large = await fetch(`${url}/v2`, { method: "POST", body: new Uint8Array(1001) });
    expect([large.status, large.headers.get("content-type")]).toEqual([
      413,
      "application/problem+json",
    ]);
    expect(node.calls.filter(({ path }) => path === GATEWAY_PATH).length).toBe(0);
  });

  it("does not serve the page of another origin", async () => {
    const headers = { origin: "http://pages.example" };
    expect((await fetch(`${url}/v2`, { method: "POST", body: "{}", headers })).status).toBe(403);
    expect(seen).toBeNull();
    const own = { origin: url };
    expect((await fetch(`${url}/v2`, { method: "POST", body: "{}", headers: own })).status).toBe(
      200,
    );
  });

  it("is for its own address only", async () => {
    const status = await new Promise<number>((resolve, reject) => {
      const headers = { host: "rebound.example:8481" };
      httpRequest(`${url}/v2`, { headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on("error", reject)
        .end();
    });
    expect(status).toBe(403);
    const cross = await fetch(`${url}/v2`, { headers: { "sec-fetch-site": "cross-site" } });
    expect(cross.status).toBe(403);
    expect(node.calls.filter(({ path }) => path === GATEWAY_PATH).length).toBe(0);
  });
});
