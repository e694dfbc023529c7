import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { peerCid } from "../../../vsock/address.ts";
import { abstractUnixTarget, chosenStreams } from "../../../vsock/choice.ts";
import {
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  openSocket,
  struct,
} from "../../../vsock/libc.ts";
import { connectTo, listenAt, type Target } from "../../../vsock/sockets.ts";
import { connectVsock, listenVsock, vsockAvailable } from "../../../vsock/index.ts";

const AF_INET = 2;
/** linux/socket.h: AF_MAX of no kernel is as large. */
const AF_NOBODY = 4242;

const streams = () => chosenStreams("fallback");
const anybody = () => true;
const connect = (target: Target, timeoutMs = 5_000) => connectTo(target, { timeoutMs, streams });

test("refused: nobody listens there", async () => {
  const target = abstractUnixTarget(randomUUID());
  expect(await failure(connect(target))).toMatchObject({ code: "vsock/refused" });
});

test("address-in-use: somebody else listens there", async () => {
  const target = abstractUnixTarget(randomUUID());
  const options = { maxConnections: 1, admits: anybody, streams };
  const listener = await listenAt(target, () => undefined, options);
  await expect(listenAt(target, () => undefined, options)).rejects.toMatchObject({
    code: "vsock/address-in-use",
  });
  await listener.close();
  await (await listenAt(target, () => undefined, options)).close();
});

test("unavailable: the kernel has no such family", async () => {
  const target: Target = { name: "nobody", domain: AF_NOBODY, address: new Uint8Array(16) };
  expect(await failure(connect(target))).toMatchObject({ code: "vsock/unavailable" });
  const listening = listenAt(target, () => undefined, {
    maxConnections: 1,
    admits: anybody,
    streams,
  });
  await expect(listening).rejects.toMatchObject({ code: "vsock/unavailable" });
});

test("system: any other error, by its name, and the socket is closed", async () => {
  const before = descriptors();
  const target = { ...abstractUnixTarget(randomUUID()), address: new Uint8Array(200) };
  const error = await failure(connect(target));
  expect(error).toMatchObject({ code: "vsock/system" });
  expect(String(error)).toContain("EINVAL");
  expect(descriptors()).toBe(before);
});

test("system: an option that the kernel does not take", async () => {
  const target: Target = {
    ...abstractUnixTarget(randomUUID()),
    prepare: () => ({ failed: { call: "setsockopt", error: "ENOPROTOOPT" } }),
  };
  expect(String(await failure(connect(target)))).toContain("ENOPROTOOPT");
});

test("timeout: a listener that takes no more connections", async () => {
  const full = await fullListener();
  const before = descriptors();
  expect(await failure(connect(full.target, 200))).toMatchObject({ code: "vsock/timeout" });
  expect(descriptors()).toBe(before);
  full.close();
});

test("a connect that is under way ends with its stream, in silence", async () => {
  const full = await fullListener();
  const before = descriptors();
  const stream = connect(full.target);
  stream.on("error", () => expect.fail("an error of a stream that was destroyed"));
  const outcome = new Promise((resolve) => stream.write("x", resolve));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(descriptors()).toBe(before + 1);
  stream.destroy();
  expect(await outcome).toMatchObject({ code: "vsock/reset" });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(descriptors()).toBe(before);
  full.close();
});

test.each(["pipe", "fallback"] as const)(
  "connections beyond the bound are closed, and a place that is free again is given (%s)",
  async (kind) => {
    const target = abstractUnixTarget(randomUUID());
    const accepted: Duplex[] = [];
    const options = {
      maxConnections: 2,
      admits: anybody,
      streams: () => chosenStreams(kind),
    };
    const listener = await listenAt(target, (connection) => accepted.push(connection), options);
    const first = connect(target);
    const second = connect(target);
    await until(() => accepted.length === 2);
    const third = connect(target).resume();
    third.on("error", () => undefined);
    await new Promise((resolve) => third.once("close", resolve));
    expect(accepted).toHaveLength(2);
    first.destroy();
    for (const connection of accepted) connection.on("error", () => undefined).resume();
    await until(() => accepted.some(({ closed }) => closed));
    const fourth = connect(target);
    await until(() => accepted.length === 3);
    for (const stream of [second, fourth]) stream.destroy();
    await listener.close();
  },
);

test.each(["pipe", "fallback"] as const)(
  "a connection that is not admitted is closed before a byte of it is read (%s)",
  async (kind) => {
    const target = abstractUnixTarget(randomUUID());
    const asked: (number | null)[] = [];
    const options = {
      maxConnections: 1,
      // No machine stands behind a Unix socket, so that one of a machine is not let in.
      admits: (fd: number) => {
        asked.push(peerCid(fd));
        return asked.length > 1;
      },
      streams: () => chosenStreams(kind),
    };
    const accepted: Duplex[] = [];
    const listener = await listenAt(target, (connection) => accepted.push(connection), options);
    const refused = connect(target).resume();
    refused.on("error", () => undefined).write("secret");
    await new Promise((resolve) => refused.once("close", resolve));
    expect(accepted).toHaveLength(0);
    const second = connect(target);
    await until(() => accepted.length === 1);
    expect(asked).toEqual([null, null]);
    second.destroy();
    await listener.close();
  },
);

test.skipIf(!vsockAvailable())("AF_VSOCK: two listeners at one port", async () => {
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const listener = await listenVsock(port, () => undefined);
  await expect(listenVsock(port, () => undefined)).rejects.toMatchObject({
    code: "vsock/address-in-use",
  });
  await listener.close();
  await (await listenVsock(port, () => undefined)).close();
});

test("AF_VSOCK: a machine that is not there is an error with one of the codes", async () => {
  // Context id 0 is the hypervisor's own, and no socket's.
  const error = await failure(connectVsock({ cid: 0, port: 5000 }, { timeoutMs: 300 }));
  expect(String(error)).toMatch(/^VsockError: vsock\/(?:refused|timeout|unavailable|system): /u);
});

function failure(stream: Duplex): Promise<Error> {
  return new Promise((resolve, reject) => {
    stream.once("error", resolve);
    stream.once("close", () => {
      reject(new Error("closed without an error"));
    });
  });
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** A TCP listener of this machine whose backlog is full: Linux lets the next connect wait. */
async function fullListener(): Promise<{ target: Target; close: () => void }> {
  const port = await freePort();
  const address = Buffer.concat([
    struct(2, [[0, 2, AF_INET]]),
    Uint8Array.of(port >> 8, port & 0xff, 127, 0, 0, 1),
    new Uint8Array(8),
  ]);
  const listening = opened();
  expect(bindSocket(listening, address)).toEqual({ value: 0 });
  // Zero leaves room for one that nobody accepts; those after it wait.
  expect(listenSocket(listening, 0)).toEqual({ value: 0 });
  const filling = [opened(), opened()];
  for (const fd of filling) connectSocket(fd, address);
  await new Promise((resolve) => setTimeout(resolve, 20));
  return {
    target: { name: `tcp:${port}`, domain: AF_INET, address },
    close() {
      for (const fd of [listening, ...filling]) closeDescriptor(fd);
    },
  };
}

function opened(): number {
  const outcome = openSocket(AF_INET);
  if ("failed" in outcome) throw new Error(outcome.failed.error);
  return outcome.value;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen({ host: "127.0.0.1", port: 0 }, () => {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("no port");
      server.close(() => {
        resolve(address.port);
      });
    });
  });
}
