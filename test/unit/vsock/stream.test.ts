import { Duplex } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { VsockError } from "../../../vsock/errors.ts";
import type { Inner } from "../../../vsock/inner.ts";
import { MAX_WRITE_BYTES, pieces, VsockStream } from "../../../vsock/stream.ts";

type Callback = (error?: Error | null) => void;

/** A connection whose writes are done when a test says so. */
class FakeInner extends Duplex implements Inner {
  readonly writes: Buffer[] = [];
  readonly pending: Callback[] = [];
  held = true;

  override _read(): void {
    // A test pushes.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.writes.push(chunk);
    this.pending.push(callback);
  }

  ref(): this {
    this.held = true;
    return this;
  }

  unref(): this {
    this.held = false;
    return this;
  }

  /** The kernel takes what it has been given. */
  async settle(error?: Error): Promise<void> {
    this.pending.shift()?.(error);
    await turn();
  }
}

test("no write is larger than the cap, and none begins before the last is done", async () => {
  const { stream, inner } = attached();
  stream.write(Buffer.alloc(2 * MAX_WRITE_BYTES + 1, 1));
  stream.write(Buffer.alloc(10, 2));
  const sizes = [];
  while (inner.pending.length > 0) {
    expect(inner.pending).toHaveLength(1);
    sizes.push(inner.writes.at(-1)?.length);
    await inner.settle();
  }
  expect(sizes).toEqual([MAX_WRITE_BYTES, MAX_WRITE_BYTES, 1, 10]);
  expect(MAX_WRITE_BYTES).toBeLessThan(32_768 - 44 - 320);
});

test("what waits meanwhile goes out together", async () => {
  const { stream, inner } = attached();
  for (const text of ["first", "a", "b", "c"]) stream.write(text);
  await inner.settle();
  expect(inner.writes.map(String)).toEqual(["first", "abc"]);
});

test("any chunks come out as the same bytes, in pieces of at most the cap", () => {
  const lengths = fc.array(fc.nat(3 * MAX_WRITE_BYTES), { maxLength: 6 });
  fc.assert(
    fc.property(lengths, (sizes) => {
      const chunks = sizes.map((size, index) => ({ chunk: Buffer.alloc(size, index + 1) }));
      const found = [...pieces(chunks)];
      expect(found.every(({ length }) => length > 0 && length <= MAX_WRITE_BYTES)).toBe(true);
      const wanted = Buffer.concat(chunks.map(({ chunk }) => chunk));
      expect(Buffer.concat(found).equals(wanted)).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test("end waits until everything is written, then closes the whole", async () => {
  const { stream, inner } = attached();
  stream.end("last");
  await turn();
  expect(inner.destroyed).toBe(false);
  await inner.settle();
  await turn();
  expect([stream.destroyed, inner.destroyed]).toEqual([true, true]);
  expect(inner.writableEnded).toBe(false);
});

test("the other side's end closes the stream once it is read", async () => {
  const { stream, inner } = attached();
  const found: unknown[] = [];
  stream.on("data", (bytes) => found.push(String(bytes)));
  stream.on("end", () => found.push("end"));
  const over = closed(stream);
  inner.push("x");
  inner.push(null);
  await over;
  expect(found).toEqual(["x", "end"]);
});

test("a write and an end before the connection are kept for it", async () => {
  const stream = new VsockStream(() => undefined);
  stream.write("early");
  stream.end();
  await turn();
  const inner = new FakeInner();
  stream.attach(inner);
  await inner.settle();
  await closed(stream);
  expect(inner.writes.map(String)).toEqual(["early"]);
});

test("a stream without a connection is destroyed at once, its connect abandoned", async () => {
  let abandoned = 0;
  const stream = new VsockStream(() => abandoned++);
  const outcome = new Promise((resolve) => stream.write("never", resolve));
  stream.destroy();
  await closed(stream);
  expect(abandoned).toBe(1);
  expect(await outcome).toMatchObject({ code: "vsock/reset" });
  const late = new FakeInner();
  stream.attach(late);
  expect(late.destroyed).toBe(true);
});

test("an error of the connection is ours, with its cause, and told to the write", async () => {
  const { stream, inner } = attached();
  const failed = new Promise<Error>((resolve) => stream.once("error", resolve));
  const outcome = new Promise((resolve) => stream.write("x", resolve));
  const cause = Object.assign(new Error("broken"), { code: "EPIPE" });
  inner.destroy(cause);
  const error = await failed;
  expect(error).toBeInstanceOf(VsockError);
  expect(error).toMatchObject({ code: "vsock/reset", cause });
  expect(await outcome).toBe(error);
});

test("a connection that closes without a word is a reset", async () => {
  const { stream, inner } = attached();
  const failed = new Promise<Error>((resolve) => stream.once("error", resolve));
  inner.destroy();
  expect(await failed).toMatchObject({ code: "vsock/reset" });
});

test("a reader that does not read pauses the connection", async () => {
  const { stream, inner } = attached();
  await turn();
  expect(inner.isPaused()).toBe(true);
  stream.on("data", () => stream.pause());
  inner.push(Buffer.alloc(1));
  await turn();
  for (let count = 0; count < 8; count++) inner.push(Buffer.alloc(65_536));
  await turn();
  expect(inner.isPaused()).toBe(true);
  expect(stream.readableLength).toBeLessThanOrEqual(2 * 65_536);
  stream.destroy();
});

test("silence is told of once a time, bytes begin it anew, zero ends it", async () => {
  const { stream, inner } = attached();
  let told = 0;
  stream.setTimeout(40, () => told++);
  expect(stream.timeout).toBe(40);
  await new Promise((resolve) => stream.once("timeout", resolve));
  expect(told).toBe(1);
  stream.resume();
  inner.push("x");
  await new Promise((resolve) => stream.once("timeout", resolve));
  stream.setTimeout(0);
  inner.push("x");
  stream.once("timeout", () => expect.fail("told though nobody asked"));
  await new Promise((resolve) => setTimeout(resolve, 120));
  stream.destroy();
});

test("holding the process is passed on, also from before the connection", () => {
  const inner = new FakeInner();
  const stream = new VsockStream(() => undefined).unref();
  stream.attach(inner);
  expect(inner.held).toBe(false);
  stream.ref();
  expect(inner.held).toBe(true);
  stream.destroy();
});

function attached(): { stream: VsockStream; inner: FakeInner } {
  const stream = new VsockStream(() => undefined);
  const inner = new FakeInner();
  stream.attach(inner);
  return { stream, inner };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once("close", resolve);
  });
}
