import { MAX_CHUNK_PLAINTEXT } from "@countersign/protocol";
import { afterEach, describe, expect, it } from "vitest";
import type { Padding } from "../../../enclave/sealed-response.ts";
import { eventApp } from "../../fakes/event-app.ts";
import {
  newVendor,
  open,
  type Opened,
  type Ring,
  seal,
  send,
  startRing,
} from "../../fakes/ring.ts";

const vendor = newVendor();
const NONCE_BYTES = 32;
const MIB = 1_048_576;
let ring: Ring | null = null;

afterEach(async () => {
  await ring?.close();
  ring = null;
});

/** What a handler wrote at once, as it arrives: opened, and the encrypted bytes. */
async function burst(
  pieces: readonly string[],
  padding: Padding = "buckets",
): Promise<{ readonly opened: Opened; readonly body: Uint8Array }> {
  await ring?.close();
  const app = eventApp();
  ring = await startRing({ app, vendor, padding });
  const sealed = await seal(ring.epochs.current, { method: "POST", path: "/" });
  const answer = send(ring, "POST", "/gateway", sealed.body);
  const stream = await app.next();
  for (const piece of pieces) stream.write(piece);
  stream.end();
  const { body } = await answer;
  return { opened: await open(sealed, body), body };
}

/** How many chunks there are, and their bytes, framing and nonce left out. */
function chunksIn(answer: Uint8Array): readonly number[] {
  const lengths: number[] = [];
  let at = NONCE_BYTES;
  while (at < answer.length) {
    const first = answer[at] ?? 0;
    const bytes = 1 << (first >> 6);
    let length = first & 0x3f;
    for (let i = 1; i < bytes; i++) length = length * 256 + (answer[at + i] ?? 0);
    lengths.push(length);
    at += length === 0 ? answer.length : bytes + length;
  }
  return lengths;
}

/** The events without what the ring wrote between them. */
function written({ chunks }: Opened): string {
  const events = chunks.filter((chunk) => chunk[0] !== 0x3a);
  return Buffer.concat(events).toString();
}

describe("a burst of events", () => {
  it("can be read, however many there are and however short", async () => {
    const tiny = Array.from({ length: 3000 }, () => "data: 1\n\n");
    expect(written((await burst([tiny.join("")])).opened)).toBe(tiny.join(""));
    const lines = "\n".repeat(9000);
    expect(written((await burst([lines])).opened)).toBe(lines);
  });

  it("gives the same chunks however long the tokens are, checkpoints too", async () => {
    const events = (text: string): string[] =>
      Array.from({ length: 700 }, () => `data: ${"x".repeat(150)}${text}\n\n`);
    const [short, long] = [events("a"), events("é".repeat(80))];
    const seen = [
      chunksIn((await burst([short.join("")])).body),
      chunksIn((await burst([long.join("")])).body),
    ];
    expect(seen[1]).toEqual(seen[0]);
    const bare = [
      chunksIn((await burst([short.join("")], "none")).body),
      chunksIn((await burst([long.join("")], "none")).body),
    ];
    expect(bare[1]).not.toEqual(bare[0]);
  });
});

describe("an event longer than a content chunk", () => {
  it("comes in several, none of them longer, with nothing between them", async () => {
    const long = `data: ${"x".repeat(5 * MIB)}\n\n`;
    for (const pieces of [[long], [long.slice(0, 3 * MIB), long.slice(3 * MIB)]]) {
      const { opened } = await burst(["data: 1\n\n", ...pieces, "data: 2\n\n"]);
      expect(written(opened)).toBe(`data: 1\n\n${long}data: 2\n\n`);
      expect(Math.max(...opened.chunks.map(({ length }) => length))).toBeLessThanOrEqual(MIB);
      const at = opened.text.indexOf(long);
      expect(at).toBeGreaterThan(0);
    }
  });

  it("is padded to full chunks at its end", async () => {
    const { body } = await burst([`data: ${"x".repeat(MIB)}\n\n`]);
    const plain = chunksIn(body).reduce((sum, length) => sum + Math.max(0, length - 16), 0);
    expect(plain % 512).toBe(0);
    expect(plain).toBeGreaterThan(MIB);
    expect(plain).toBeLessThan(MIB + 3 * MAX_CHUNK_PLAINTEXT);
  });
});
