/** How connections come about, and how they end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { Listener } from "../../enclave/transport.ts";
import {
  type Case,
  closed,
  pattern,
  pause,
  requireSame,
  type Subject,
  withPair,
} from "./subject.ts";

const AT_ONCE = 64;
const IN_A_ROW = 100;
/** What the process itself may open or close meanwhile. */
const STRAY_DESCRIPTORS = 8;

export const CONNECTION_CASES: readonly Case[] = [
  {
    name: "a dial where nobody listens fails with a code",
    async run(subject) {
      const error = await failure(subject.parent.dial());
      assert.ok("code" in error && typeof error.code === "string", "an error without a code");
    },
  },
  {
    name: "a dial that failed can be made again, and again after a restart",
    async run(subject) {
      await failure(subject.parent.dial());
      for (const greeting of ["first", "second"]) {
        const listener = await echoing(subject);
        assert.equal((await asked(subject, Buffer.from(greeting))).toString(), greeting);
        await listener.close();
        await failure(subject.parent.dial());
      }
    },
  },
  {
    name: "the enclave dials as the parent does",
    async run(subject) {
      const mirrored = { enclave: subject.parent, parent: subject.enclave };
      const listener = await echoing(mirrored);
      const bytes = pattern(100_000, 6);
      requireSame(await asked(mirrored, bytes), bytes);
      await listener.close();
    },
  },
  {
    name: "closing the listener ends what is open",
    run: (subject) =>
      withPair(subject, async ({ near, far }, listener) => {
        const over = Promise.race([once(near, "end"), closed(near)]);
        near.resume();
        await listener.close();
        await over;
        await closed(far);
        await failure(subject.parent.dial());
      }),
  },
  {
    name: "a stream destroyed before it is connected closes without an error",
    async run(subject) {
      const listener = await echoing(subject);
      const near = subject.parent.dial();
      near.on("error", assert.ifError);
      near.destroy();
      await closed(near);
      await listener.close();
    },
  },
  {
    name: `${AT_ONCE} connections at once keep their bytes apart`,
    async run(subject) {
      const listener = await echoing(subject);
      const questions = Array.from({ length: AT_ONCE }, (_, index) => pattern(20_000, index + 1));
      const answers = await Promise.all(questions.map((bytes) => asked(subject, bytes)));
      for (const [index, bytes] of questions.entries()) {
        requireSame(answers[index] ?? Buffer.alloc(0), bytes);
      }
      await listener.close();
    },
  },
  {
    name: `${IN_A_ROW} connections in a row leave no descriptor behind`,
    async run(subject) {
      const listener = await echoing(subject);
      await asked(subject, Buffer.from("warm"));
      const before = await descriptors();
      for (let count = 0; count < IN_A_ROW; count++) await asked(subject, Buffer.from([count]));
      await pause(100);
      const after = await descriptors();
      await listener.close();
      assert.ok(after <= before + STRAY_DESCRIPTORS, `${before} descriptors, then ${after}`);
    },
  },
  {
    name: `${IN_A_ROW} failed dials in a row leave no descriptor behind`,
    async run(subject) {
      await failure(subject.parent.dial());
      const before = await descriptors();
      for (let count = 0; count < IN_A_ROW; count++) await failure(subject.parent.dial());
      await pause(100);
      const after = await descriptors();
      assert.ok(after <= before + STRAY_DESCRIPTORS, `${before} descriptors, then ${after}`);
    },
  },
];

/** The error that a stream fails with; rejects where it closes without one. */
async function failure(stream: Duplex): Promise<Error> {
  const found = await new Promise<Error>((resolve, reject) => {
    stream.once("error", resolve);
    stream.once("close", () => {
      reject(new assert.AssertionError({ message: "closed without an error" }));
    });
    // Whoever is connected all the same would see the end of the stream only.
    stream.resume();
  });
  await closed(stream);
  return found;
}

/** An enclave that sends back what it is sent, up to the first end. */
function echoing(subject: Subject): Promise<Listener> {
  return subject.enclave.listen((connection) => {
    connection.on("error", () => undefined);
    connection.pipe(connection);
  });
}

/** Sends `bytes`, and waits for as many: an end is not half a close. */
async function asked(subject: Subject, bytes: Buffer): Promise<Buffer> {
  const connection = subject.parent.dial();
  connection.write(bytes);
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of bytesOf(connection)) {
    pieces.push(piece);
    length += piece.length;
    if (length >= bytes.length) break;
  }
  await closed(connection.destroy());
  return Buffer.concat(pieces);
}

/** A stream without an encoding yields buffers; its type says `any`. */
function bytesOf(stream: Duplex): AsyncIterable<Buffer> {
  return stream;
}

async function descriptors(): Promise<number> {
  return (await readdir("/proc/self/fd")).length;
}
