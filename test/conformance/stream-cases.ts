/** What a connection does with bytes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import {
  type Case,
  closed,
  collect,
  pattern,
  pause,
  requireSame,
  withPair,
  written,
} from "./subject.ts";

const MIB = 1_048_576;
/** Around our own cut, the kernel's largest packet, and the sizes of common buffers. */
const AWKWARD_SIZES = [1, 2, 4095, 28_671, 28_672, 28_673, 32_767, 32_768, 32_769, 65_537, 300_001];
/** More than streams, sockets and devices between the two keep, and little beside what a writer offers. */
const MAX_IN_FLIGHT_BYTES = 16 * MIB;
/** A writer that has not been let on for so long is held back. */
const HELD_BACK_MS = 500;

export const STREAM_CASES: readonly Case[] = [
  {
    name: "bytes arrive in order, both ways at once",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        const [there, back] = [pattern(2 * MIB, 1), pattern(2 * MIB, 2)];
        const found = Promise.all([firstBytes(far, there.length), firstBytes(near, back.length)]);
        near.write(there);
        far.write(back);
        const [atFar, atNear] = await found;
        requireSame(atFar, there);
        requireSame(atNear, back);
      }),
  },
  {
    name: "writes of every size arrive whole",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        const writes = AWKWARD_SIZES.map((size) => pattern(size, size));
        const found = collect(far);
        for (const bytes of writes) near.write(bytes);
        near.end();
        requireSame(await found, Buffer.concat(writes));
      }),
  },
  {
    name: "a thousand small writes arrive whole",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        const writes = Array.from({ length: 1000 }, (_, index) => pattern(index % 97, index));
        const found = collect(far);
        near.cork();
        for (const bytes of writes.slice(0, 500)) near.write(bytes);
        near.uncork();
        for (const bytes of writes.slice(500)) near.write(bytes);
        near.end();
        requireSame(await found, Buffer.concat(writes));
      }),
  },
  {
    name: "an empty write is neither a byte nor the end",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        const found = collect(far);
        await written(near, new Uint8Array(0));
        await pause(50);
        assert.equal(far.readableEnded, false);
        near.end("after");
        assert.equal((await found).toString(), "after");
      }),
  },
  {
    name: "what is written before the connection is made is sent",
    async run(subject) {
      const found = Promise.withResolvers<Buffer>();
      const listener = await subject.enclave.listen((far) => {
        collect(far).then(found.resolve, found.reject);
      });
      const near = subject.parent.dial();
      near.on("error", found.reject);
      near.write("before ");
      near.end("it was there");
      assert.equal((await found.promise).toString(), "before it was there");
      near.destroy();
      await listener.close();
    },
  },
  {
    name: "a writer whose reader does not read is held back, and nothing is lost",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        const chunk = pattern(65_536, 3);
        let chunks = 0;
        for (let heldBack = false; !heldBack; chunks++) {
          assert.ok(chunks * chunk.length < MAX_IN_FLIGHT_BYTES, "the writer was never held back");
          heldBack = !near.write(chunk) && !(await drained(near));
        }
        const found = collect(far);
        near.end();
        const bytes = await found;
        assert.equal(bytes.length, chunks * chunk.length);
        for (let index = 0; index < chunks; index++) {
          assert.ok(bytes.subarray(index * chunk.length, (index + 1) * chunk.length).equals(chunk));
        }
      }),
  },
  {
    name: "end sends what was written before it",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        const bytes = pattern(3 * MIB, 4);
        const found = collect(far);
        near.end(bytes);
        requireSame(await found, bytes);
      }),
  },
  {
    name: "a late reader loses nothing that came before the end",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        const bytes = pattern(16_384, 5);
        near.end(bytes);
        await pause(100);
        requireSame(await collect(far), bytes);
      }),
  },
  {
    name: "where both have ended, both close",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        far.once("end", () => far.end());
        far.resume();
        near.resume();
        near.end("x");
        await Promise.all([closed(near), closed(far)]);
      }),
  },
  {
    name: "a destroyed stream ends the other",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        const over = Promise.race([once(far, "end"), closed(far)]);
        far.resume();
        near.destroy();
        await over;
      }),
  },
  {
    name: "a write that a destroyed stream never made says so",
    run: (subject) =>
      withPair(subject, async ({ near }) => {
        // More than everything in between keeps, and nobody reads.
        const outcome = written(near, Buffer.alloc(2 * MAX_IN_FLIGHT_BYTES));
        await pause(100);
        near.destroy();
        await assert.rejects(outcome);
      }),
  },
  {
    name: "writing to one that has gone fails and harms nothing",
    run: (subject) =>
      withPair(subject, async ({ near, far }) => {
        far.destroy();
        await closed(far);
        near.on("error", () => undefined);
        while (near.writable) {
          near.write(Buffer.alloc(1024));
          await pause(5);
        }
        await closed(near);
      }),
  },
];

/** The first `length` bytes and what came with them. The stream stays open. */
function firstBytes(stream: Duplex, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let found = 0;
    stream.on("data", (piece: Buffer) => {
      pieces.push(piece);
      found += piece.length;
      if (found >= length) resolve(Buffer.concat(pieces));
    });
    stream.once("close", () => {
      reject(new Error(`closed after ${found} of ${length} bytes`));
    });
  });
}

async function drained(stream: Duplex): Promise<boolean> {
  const abort = AbortSignal.timeout(HELD_BACK_MS);
  try {
    await once(stream, "drain", { signal: abort });
    return true;
  } catch {
    // Not an error of the stream: that would end the case by itself.
    return false;
  }
}
