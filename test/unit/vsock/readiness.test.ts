import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { abstractUnixTarget } from "../../../vsock/choice.ts";
import {
  acceptSocket,
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  openSocket,
  type Outcome,
  POLLIN,
  POLLOUT,
} from "../../../vsock/libc.ts";
import { whenReady } from "../../../vsock/readiness.ts";

const DONE: Outcome<number> = { value: 0 };

test("a descriptor that is ready is told of once, and not before the function returns", async () => {
  const [near, far] = connectedPair();
  let told = 0;
  whenReady(near, POLLOUT, true, () => told++);
  expect(told).toBe(0);
  await pause(60);
  expect(told).toBe(1);
  for (const fd of [near, far]) closeDescriptor(fd);
});

test("one that is not ready is told of when it is: the other end has closed", async () => {
  const [near, far] = connectedPair();
  let told = 0;
  whenReady(near, POLLIN, true, () => told++);
  await pause(60);
  expect(told).toBe(0);
  closeDescriptor(far);
  await pause(60);
  expect(told).toBe(1);
  closeDescriptor(near);
});

test("a watch that was cancelled is silent, also where another's callback cancels it", async () => {
  const [near, far] = connectedPair();
  const told: string[] = [];
  const gone = whenReady(near, POLLOUT, true, () => told.push("cancelled before"));
  gone.cancel();
  const watches = [near, far].map((fd, index) =>
    whenReady(fd, POLLOUT, true, () => {
      told.push(`watch ${index}`);
      for (const watch of watches) watch.cancel();
    }),
  );
  await pause(60);
  expect(told).toEqual(["watch 0"]);
  for (const fd of [near, far]) closeDescriptor(fd);
});

test("a callback may wait again", async () => {
  const [near, far] = connectedPair();
  let told = 0;
  const wait = (): void => {
    if (++told < 5) whenReady(near, POLLOUT, true, wait);
  };
  whenReady(near, POLLOUT, true, wait);
  await pause(60);
  expect(told).toBe(5);
  for (const fd of [near, far]) closeDescriptor(fd);
});

test("many wait at once, and only who is ready goes on", async () => {
  const pairs = Array.from({ length: 40 }, connectedPair);
  const told = new Set<number>();
  const watches = pairs.map(([near], index) =>
    whenReady(near, POLLIN, true, () => told.add(index)),
  );
  await pause(30);
  for (const [index, [, far]] of pairs.entries()) if (index % 2 === 0) closeDescriptor(far);
  await pause(60);
  expect([...told].toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 20 }, (_, index) => index * 2),
  );
  for (const watch of watches) watch.cancel();
  for (const [index, [near, far]] of pairs.entries()) {
    closeDescriptor(near);
    if (index % 2 !== 0) closeDescriptor(far);
  }
});

function connectedPair(): readonly [near: number, far: number] {
  const { address, domain } = abstractUnixTarget(randomUUID());
  const listening = value(openSocket(domain));
  expect(bindSocket(listening, address)).toEqual(DONE);
  expect(listenSocket(listening, 1)).toEqual(DONE);
  const near = value(openSocket(domain));
  expect(connectSocket(near, address)).toEqual(DONE);
  const far = value(acceptSocket(listening));
  closeDescriptor(listening);
  return [near, far];
}

function value(outcome: Outcome<number>): number {
  if ("failed" in outcome) throw new Error(outcome.failed.error);
  return outcome.value;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
