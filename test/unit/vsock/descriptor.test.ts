import { randomUUID } from "node:crypto";
import type * as fs from "node:fs";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { abstractUnixTarget } from "../../../vsock/choice.ts";
import { descriptorStreams } from "../../../vsock/descriptor.ts";
import { connectTo, listenAt, type VsockListener } from "../../../vsock/sockets.ts";

/** What the next calls of `fs.write` come to: an error's name, or how many bytes go out. */
const outcomes: (string | number)[] = [];
const calls: number[] = [];

vi.mock("node:fs", async (original) => {
  const real: typeof fs = await original();
  const write = (
    fd: number,
    bytes: Buffer,
    from: number,
    length: number,
    position: null,
    done: (error: Error | null, count: number) => void,
  ): void => {
    calls.push(length);
    const next = outcomes.shift() ?? length;
    if (typeof next === "number") real.write(fd, bytes, from, next, position, done);
    else setImmediate(done, Object.assign(new Error(next), { code: next }), 0);
  };
  return { ...real, write };
});

let listener: VsockListener | null = null;
let near: Duplex;
let far: Duplex;

beforeEach(async () => {
  outcomes.length = 0;
  calls.length = 0;
  const target = abstractUnixTarget(randomUUID());
  const streams = () => Promise.resolve(descriptorStreams);
  const accepted = Promise.withResolvers<Duplex>();
  listener = await listenAt(target, accepted.resolve, {
    maxConnections: 1,
    admits: () => true,
    streams,
  });
  near = connectTo(target, { timeoutMs: 5_000, streams });
  far = await accepted.promise;
});

afterEach(async () => {
  near.destroy();
  await listener?.close();
});

test.each(["EAGAIN", "EINTR", "ENOBUFS"])("after %s a write is made again", async (name) => {
  outcomes.push(name, name, name);
  near.write("hello");
  expect(await text(far, 5)).toBe("hello");
  expect(calls).toEqual([5, 5, 5, 5]);
});

test("a write that is cut short goes on where it was cut", async () => {
  outcomes.push(1, "EAGAIN", 2);
  near.write("hello");
  expect(await text(far, 5)).toBe("hello");
  expect(calls).toEqual([5, 4, 4, 2]);
});

test("any other error ends the stream, and the write is told", async () => {
  outcomes.push("EPIPE");
  const failed = new Promise((resolve) => near.once("error", resolve));
  const outcome = new Promise((resolve) => near.write("hello", resolve));
  expect(await failed).toMatchObject({ code: "vsock/reset" });
  expect(await outcome).toMatchObject({ code: "vsock/reset" });
});

test("a stream that is destroyed while a write waits for its turn closes, and tells it", async () => {
  outcomes.push("ENOBUFS");
  const outcome = new Promise((resolve) => near.write("hello", resolve));
  while (calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  near.destroy();
  expect(await outcome).toMatchObject({ code: "vsock/reset" });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(calls).toEqual([5]);
});

async function text(stream: Duplex, length: number): Promise<string> {
  let found = "";
  stream.on("data", (bytes: Buffer) => (found += bytes.toString("latin1")));
  while (found.length < length) await new Promise((resolve) => setTimeout(resolve, 2));
  return found;
}
