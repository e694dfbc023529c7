import { describe, expect, it } from "vitest";

import { send } from "../../../client/cli/add/request.ts";
import { createWorld } from "./model-add-world.ts";
import { rejection } from "./rejection.ts";

const STALL_MS = 50;
const ADDRESS = new URL("https://models.example/config.json");

describe("a response that cannot be used", () => {
  it.each([
    ["a redirect to plain HTTP", 302, { location: "http://192.0.2.1/" }],
    ["a redirect to nowhere", 302, {}],
    ["another encoding", 200, { "content-encoding": "gzip" }],
    ["a refusal", 404, {}],
    ["a server that is busy", 503, {}],
  ])("is let go of at once: %s", async (_name, status, headers) => {
    const { around } = await createWorld("https://hub.example");
    let letGo = false;
    let watched: AbortSignal | null = null;
    const body = new ReadableStream<Uint8Array>({
      cancel() {
        letGo = true;
      },
    });
    const fetch: typeof around.fetch = async (_url, { signal }) => {
      watched = signal ?? null;
      return await Promise.resolve(new Response(body, { status, headers }));
    };
    const request = { method: "GET", url: ADDRESS, headers: {}, credential: null } as const;
    await rejection(send({ ...around, fetch, stallMs: STALL_MS }, request), Error);
    expect(letGo).toBe(true);
    // A watch that is still set would keep the process alive for so long, and then end the request.
    await new Promise((resolve) => setTimeout(resolve, 2 * STALL_MS));
    expect(watched).toMatchObject({ aborted: false });
  });
});

it("takes a slow body whole, as long as something comes", async () => {
  const { around } = await createWorld("https://hub.example");
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
      if (sent === SLOW_PARTS) controller.close();
      else controller.enqueue(Uint8Array.of(sent++));
    },
  });
  const fetch: typeof around.fetch = async (_url, { signal }) => {
    const until = signal === undefined || signal === null ? {} : { signal };
    return await Promise.resolve(new Response(body.pipeThrough(new TransformStream(), until)));
  };
  const request = { method: "GET", url: ADDRESS, headers: {}, credential: null } as const;
  const response = await send({ ...around, fetch, stallMs: PATIENCE_MS }, request);
  const parts: number[] = [];
  for await (const part of response.read()) parts.push(...part);
  expect(parts).toEqual([0, 1, 2, 3, 4, 5]);
});

/** The whole takes longer than the patience with each part. */
const SLOW_PARTS = 6;
const SLOW_MS = 100;
const PATIENCE_MS = 400;
