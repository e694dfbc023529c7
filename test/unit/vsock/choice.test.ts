import { randomUUID } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { abstractUnixTarget, chosenStreams, pipeStreamsWork } from "../../../vsock/choice.ts";
import { descriptorStreams } from "../../../vsock/descriptor.ts";
import { closeDescriptor } from "../../../vsock/libc.ts";
import { pipeStreams } from "../../../vsock/pipe.ts";
import { connectTo, listenAt } from "../../../vsock/sockets.ts";

const binding: unknown = Reflect.get(process, "binding");

afterEach(() => {
  Reflect.set(process, "binding", binding);
});

test("this Node's pipe does all that is needed of it, and is what is chosen", async () => {
  expect(await pipeStreamsWork()).toBe(true);
  expect(await chosenStreams(undefined)).toBe(pipeStreams);
  expect(await chosenStreams("pipe")).toBe(pipeStreams);
  expect(await chosenStreams("fallback")).toBe(descriptorStreams);
});

test("the fallback passes the same trial", async () => {
  expect(await pipeStreamsWork(descriptorStreams)).toBe(true);
});

test.each([
  ["there is no process.binding", undefined],
  [
    "it is forbidden",
    () => {
      throw new Error("No such binding: pipe_wrap");
    },
  ],
  ["it has no Pipe", () => ({ constants: { SOCKET: 0, SERVER: 1 } })],
  ["Pipe has no open", () => ({ Pipe: class {}, constants: { SOCKET: 0, SERVER: 1 } })],
  ["its constants are gone", () => ({ Pipe: class {}, constants: {} })],
  ["it answers nothing", () => null],
])("where %s, the trial fails, and leaves no descriptor open", async (_, replacement) => {
  Reflect.set(process, "binding", replacement);
  expect(await pipeStreamsWork()).toBe(false);
  const options = { streams: () => Promise.resolve(pipeStreams) };
  const target = abstractUnixTarget(randomUUID());
  const listening = listenAt(target, () => undefined, {
    ...options,
    maxConnections: 1,
    admits: () => true,
  });
  await expect(listening).rejects.toMatchObject({ code: "vsock/unavailable" });
  // The name is free again: the socket that was bound to it is closed.
  const other = {
    maxConnections: 1,
    admits: () => true,
    streams: () => chosenStreams("fallback"),
  };
  const listener = await listenAt(target, () => undefined, other);
  const error = await new Promise((resolve) => {
    connectTo(target, { ...options, timeoutMs: 1_000 }).once("error", resolve);
  });
  expect(error).toMatchObject({ code: "vsock/unavailable" });
  await listener.close();
});

test("streams that cannot be opened fail the trial", async () => {
  const broken = {
    ...descriptorStreams,
    open: (fd: number) => {
      closeDescriptor(fd);
      throw new Error("not today");
    },
  };
  expect(await pipeStreamsWork(broken)).toBe(false);
});

test("streams that lose bytes fail the trial", async () => {
  const deaf = {
    ...descriptorStreams,
    open: (fd: number) => {
      const inner = descriptorStreams.open(fd);
      inner.write = (): boolean => {
        inner.destroy();
        return true;
      };
      return inner;
    },
  };
  expect(await pipeStreamsWork(deaf)).toBe(false);
});
