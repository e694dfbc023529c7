import { parseReceipt, type ReceiptClaims } from "@countersign/attestation";
import { connect, type VerifiedFetch, VerdictError } from "@countersign/client";
import { ProtocolError } from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { beforeEach, describe, expect, it } from "vitest";
import { EventGate } from "../../../client/event-gate.ts";
import { sha256 } from "../../fakes/attester.ts";
import { CHECKPOINT, createFakeNode, type FakeNode, type InnerAnswer } from "./fake-gateway.ts";
import { rejection } from "./rejection.ts";

const PATH = "/v1/completions";
const DONE = "data: [DONE]\n\n";
const headers = [["content-type", "text/event-stream; charset=utf-8"]] as const;
let node: FakeNode;

beforeEach(async () => {
  node = await createFakeNode("events");
});

async function fetchOf(): Promise<VerifiedFetch> {
  const { fetch } = await connect("http://node.test", {
    policy: node.policy,
    fetch: node.fetch,
    primitives: nativePrimitives,
    now: () => node.nowMs,
  });
  return fetch;
}

function answerWith(...content: NonNullable<InnerAnswer["content"]>): void {
  node.handler = () => ({ headers, content });
}

/** Changes the n-th receipt of an exchange, from 0. */
function change(nth: number, changed: (claims: ReceiptClaims) => Partial<ReceiptClaims>): void {
  let count = 0;
  node.misdeeds.claims = (claims) => (count++ === nth ? changed(claims) : {});
}

/** What the reader of a stream had when it broke off, and why. */
async function broken(): Promise<{ readonly text: string; readonly error: VerdictError }> {
  const fetch = await fetchOf();
  const response = await fetch(PATH, { method: "POST", body: "{}" });
  let text = "";
  const reading = (async (): Promise<void> => {
    const decoder = new TextDecoder();
    const reader = response.body?.getReader();
    for (;;) {
      const next = await reader?.read();
      if (next?.done !== false) return;
      text += decoder.decode(next.value, { stream: true });
    }
  })();
  return { error: await rejection(reading, VerdictError), text };
}

function failureOf({ verdict }: VerdictError): readonly (string | null | undefined)[] {
  const failed = verdict.checks.find(({ status }) => status === "fail");
  return [verdict.failure, failed?.id, failed?.code];
}

describe("checkpoints on their way", () => {
  it("are verified, and stay in the body", async () => {
    answerWith("data: 1\n\n", CHECKPOINT, "data: 2\n\n", CHECKPOINT, DONE);
    const response = await (await fetchOf())(PATH, { method: "POST", body: "{}" });
    const text = await response.text();
    expect(text.match(/^: countersign-receipt :[A-Za-z0-9+/=]+:$/gmu)?.length).toBe(2);
    expect(text.replaceAll(/^:.*\n\n/gmu, "")).toBe(`data: 1\n\ndata: 2\n\n${DONE}`);
    expect((await response.verdict()).result).toBe("verified");
  });

  const other = sha256("another receipt");
  it.each([
    [
      "another answer",
      { response: { leaves: 2, root: other, bytes: 30 } },
      "response",
      "transcript/response",
    ],
    [
      "fewer leaves",
      { response: { leaves: 1, root: other, bytes: 3 } },
      "response",
      "transcript/response",
    ],
    [
      "another request",
      { request: { leaves: 2, root: other, bytes: 2 } },
      "request",
      "transcript/request",
    ],
    [
      "more of the request than was sent",
      { request: { leaves: 9, root: other, bytes: 2 } },
      "request",
      "transcript/request",
    ],
    ["another exchange", { exchange: new Uint8Array(16) }, "index", "receipt/exchange"],
    ["a receipt before it that never came", { previous: other }, "index", "receipt/previous"],
    ["another epoch", { keysetDigest: other }, "epoch", "receipt/epoch"],
    ["another status", { outcome: { status: 201 } }, "response", "receipt/status"],
    [
      "a model that is not served",
      { model: { id: "digits", version: "1", digest: other } },
      "model",
      "receipt/model",
    ],
  ] as const)("end the stream where they say %s", async (_what, claims, check, code) => {
    answerWith("data: 1\n\n", CHECKPOINT, "data: 2\n\n");
    change(0, () => claims);
    const { error, text } = await broken();
    expect(failureOf(error)).toEqual(["tampered", check, code]);
    expect(error.checkpoint).toBeNull();
    expect(text).toBe("data: 1\n\n");
  });

  it.each(["final", "aborted"] as const)("end the stream where they are %s", async (phase) => {
    answerWith("data: 1\n\n", CHECKPOINT, "data: 2\n\n");
    change(0, () => ({ phase }));
    expect(failureOf((await broken()).error)).toEqual(["truncated", "index", "receipt/phase"]);
  });

  it("end the stream where they hold no receipt", async () => {
    answerWith("data: 1\n\n", ": countersign-receipt :AAAA:\n\n", DONE);
    expect((await broken()).error.verdict.result).toBe("rejected");
    for (const comment of ["x", ":AAAA:\n", ":AAA:\n\n", "\n\n"]) {
      answerWith("data: 1\n\n", `: countersign-receipt ${comment}`);
      const { error } = await broken();
      expect(error.verdict.failure).toBe("malformed");
    }
  });

  it("must be named by the one that follows, and the last by the final receipt", async () => {
    answerWith("data: 1\n\n", CHECKPOINT, "data: 2\n\n", CHECKPOINT, DONE);
    for (const nth of [1, 2]) {
      for (const previous of [null, other]) {
        change(nth, () => ({ previous }));
        const { error, text } = await broken();
        expect(failureOf(error)).toEqual(["tampered", "index", "receipt/previous"]);
        expect(error.checkpoint?.leaves).toBe(nth === 1 ? 2 : 4);
        expect(text).not.toContain("[DONE]");
      }
    }
  });

  it("that do not hold end the connection too, and others do not", async () => {
    const signals: (AbortSignal | null | undefined)[] = [];
    const { fetch } = await connect("http://node.test", {
      policy: node.policy,
      fetch: (input, init) => {
        signals.push(init?.signal);
        return node.fetch(input, init);
      },
      primitives: nativePrimitives,
      now: () => node.nowMs,
    });
    answerWith("data: 1\n\n", CHECKPOINT, "data: 2\n\n");
    await (await fetch(PATH, { method: "POST", body: "{}" })).text();
    expect(signals.at(-1)?.aborted).toBe(false);
    change(0, () => ({ previous: other }));
    const response = await fetch(PATH, { method: "POST", body: "{}" });
    await rejection(response.text(), VerdictError);
    expect(signals.at(-1)?.aborted).toBe(true);
  });

  it("show no model where one was asked for and none answered", async () => {
    answerWith("data: 1\n\n", CHECKPOINT, DONE);
    change(0, () => ({ model: null }));
    const fetch = await fetchOf();
    const body = JSON.stringify({ model: "digits", prompt: "x" });
    const response = await fetch(PATH, { method: "POST", body });
    const error = await rejection(response.text(), VerdictError);
    expect(failureOf(error)).toEqual(["tampered", "model", "receipt/model"]);
  });

  it("are none outside an event stream", async () => {
    const text = ": countersign-receipt x";
    node.handler = () => ({ headers: [["content-type", "text/plain"]], content: [text] });
    expect(await (await (await fetchOf())(PATH)).text()).toBe(text);
  });

  it("are in the proof of the whole exchange, chained", async () => {
    answerWith("data: 1\n\n", CHECKPOINT, DONE);
    let final: ReceiptClaims | null = null;
    let checkpoint: ReceiptClaims | null = null;
    node.misdeeds.claims = (claims) => {
      if (claims.phase === "final") final = claims;
      else checkpoint = claims;
      return {};
    };
    const response = await (await fetchOf())(PATH, { method: "POST", body: "{}" });
    expect((await response.proof()).length).toBeGreaterThan(0);
    expect(checkpoint).toMatchObject({ phase: "checkpoint", previous: null });
    expect(final).toMatchObject({ phase: "final" });
    expect(final).not.toMatchObject({ previous: null });
  });
});

describe("the end of the events", () => {
  it("is not shown before the receipt is verified", async () => {
    answerWith("data: 1\n\n", DONE);
    node.misdeeds.receipt = "missing";
    const { error, text } = await broken();
    expect(failureOf(error)).toEqual(["truncated", "receipt", "receipt/missing"]);
    expect(text).toBe("data: 1\n\n");
  });

  it("is not shown either where something follows it", async () => {
    answerWith("data: 1\n\n", "data: [DONE]\r\n\r", "\n", "data: 2\n\n", CHECKPOINT);
    node.misdeeds.receipt = "missing";
    const { error, text } = await broken();
    expect(failureOf(error)).toEqual(["truncated", "receipt", "receipt/missing"]);
    expect(text).toBe("data: 1\n\n");
    node.misdeeds.receipt = "sent";
    const response = await (await fetchOf())(PATH, { method: "POST", body: "{}" });
    expect(await response.text()).toMatch(/^data: 1\n\ndata: \[DONE\]\r\n\r\ndata: 2\n\n: c/u);
  });

  it("with more behind it than can be held is an error", async () => {
    answerWith(DONE, `data: ${"x".repeat(70_000)}\n\n`);
    const { error, text } = await broken();
    expect([error.verdict.failure, text]).toEqual(["malformed", ""]);
  });

  it("does not wait for more than the receipt", async () => {
    const gate = Promise.withResolvers<void>();
    node.handler = () => ({
      headers,
      content: ["data: 1\n\n", "data: 2\n\n", DONE],
      gate: gate.promise,
    });
    const response = await (await fetchOf())(PATH, { method: "POST", body: "{}" });
    const reader = response.body?.getReader();
    const first = await reader?.read();
    expect(new TextDecoder().decode(first?.value)).toBe("data: 1\n\n");
    gate.resolve();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("data: 2\n\n");
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(DONE);
    expect((await reader?.read())?.done).toBe(true);
  });

  it("leaves out padding, and nothing else that is a comment", async () => {
    answerWith(":    \n\n", "data: 1\n\n", ":\n\n", `:${" ".repeat(300)}\n\n`, ": ping\n\n", DONE);
    const response = await (await fetchOf())(PATH, { method: "POST", body: "{}" });
    expect(await response.text()).toBe(`data: 1\n\n:\n\n: ping\n\n${DONE}`);
  });
});

describe("the gate", () => {
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
  const shown = (chunks: readonly Uint8Array[]): string => Buffer.concat(chunks).toString();

  it("holds back all that comes behind the end, in its order", () => {
    const gate = new EventGate();
    expect(shown(gate.pass(bytes("data: 1\n\n")))).toBe("data: 1\n\n");
    for (const chunk of [DONE, ": a receipt\n\n", "data: more\n\n"]) {
      expect(shown(gate.pass(bytes(chunk)))).toBe("");
    }
    expect(shown(gate.open())).toBe(`${DONE}: a receipt\n\ndata: more\n\n`);
    expect(gate.open()).toEqual([]);
  });

  it.each([
    "data:[DONE]\n\n",
    "data: [DONE]\r\n\r\n",
    "data: [DONE]\r\r",
    // The official client looks at the beginning only, and does not need the empty line.
    "data: [DONE] \n\n",
    "data: [DONE]\n",
    "event: done\ndata: [DONE]\n\n",
    ": ping\r\ndata: [DONE]\r\n\r\n",
  ])("knows the end in %j", (end) => {
    expect(new EventGate().pass(bytes(end))).toEqual([]);
  });

  it.each(['data: {"content":"data: [DONE]"}\n\n', "data:  [DONE]\n\n", "xdata: [DONE]\n\n"])(
    "takes %j for no end",
    (event) => {
      expect(shown(new EventGate().pass(bytes(event)))).toBe(event);
    },
  );

  it("keeps no more than 64 KiB", () => {
    const gate = new EventGate();
    gate.pass(bytes(DONE));
    gate.pass(new Uint8Array(65_536 - DONE.length));
    expect(() => gate.pass(bytes("x"))).toThrow(ProtocolError);
  });
});

it("a receipt on the way parses as one", async () => {
  answerWith("data: 1\n\n", CHECKPOINT, DONE);
  const response = await (await fetchOf())(PATH, { method: "POST", body: "{}" });
  const [, base64 = ""] = /: countersign-receipt :([^:]+):/u.exec(await response.text()) ?? [];
  const { claims } = parseReceipt(new Uint8Array(Buffer.from(base64, "base64")));
  expect([claims.phase, claims.response.leaves]).toEqual(["checkpoint", 2]);
});
