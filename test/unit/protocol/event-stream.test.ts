import {
  bucketOf,
  encodeCheckpoint,
  encodeContentChunk,
  encodeFill,
  fillChunks,
  isEventStream,
  isFill,
  parseCheckpoint,
  ProtocolError,
  reckonedBytes,
  zeroPadding,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

describe("buckets", () => {
  it.each([
    [0, 512],
    [1, 512],
    [512, 512],
    [513, 1024],
    [1025, 2048],
    [8193, 16_384],
    [16_384, 16_384],
    [16_385, 32_768],
    [32_768, 32_768],
    [32_769, 49_152],
    [1_000_000, 1_015_808],
  ])("%i bytes take %i", (length, bucket) => {
    expect(bucketOf(length)).toBe(bucket);
    expect(length + zeroPadding(length).length).toBe(bucket);
    expect(zeroPadding(length).every((byte) => byte === 0)).toBe(true);
  });
});

describe("fill", () => {
  it("makes a bucket of every length, whatever it is reckoned as", () => {
    // Each length of the small buckets, and what lies around the places where lengths of lengths grow.
    const around = [4096, 8192, 16_384, 32_768, 49_152].flatMap((middle) =>
      Array.from({ length: 200 }, (_, i) => middle - 100 + i),
    );
    const wrong: string[] = [];
    for (const length of [...Array.from({ length: 2100 }, (_, i) => i), ...around]) {
      for (const reckoned of [0, reckonedBytes(length), 700, 20_000]) {
        const chunks = fillChunks(length, reckoned);
        const framed = chunks.reduce(
          (sum, chunk) => sum + encodeContentChunk(chunk).length,
          length,
        );
        const right = bucketOf(framed) === framed && framed >= reckoned && chunks.every(isFill);
        if (!right) wrong.push(`${length} reckoned ${reckoned}: ${framed}`);
      }
      if (fillChunks(length, reckonedBytes(length)).length === 0) wrong.push(`${length}: no room`);
    }
    expect(wrong).toEqual([]);
  });

  it("is a comment, and known by its form alone", () => {
    expect(Buffer.from(encodeFill()).toString()).toBe(": \n\n");
    expect(Buffer.from(encodeFill(9)).toString()).toBe(":      \n\n");
    for (const text of [":\n\n", ": x\n\n", ": \n", "  \n\n", ": \n\n\n", ":  \n \n", "", ":"]) {
      expect(isFill(bytes(text)), JSON.stringify(text)).toBe(false);
    }
  });
});

describe("a checkpoint's comment", () => {
  it("carries its receipt", () => {
    for (const length of [0, 1, 2, 3, 700]) {
      const receipt = new Uint8Array(length).fill(7);
      expect(parseCheckpoint(encodeCheckpoint(receipt))).toEqual(receipt);
    }
    const comment = Buffer.from(encodeCheckpoint(Uint8Array.of(1, 2, 3))).toString();
    expect(comment).toBe(": countersign-receipt :AQID:\n\n");
  });

  it.each([
    "data: 1\n\n",
    ": countersign-receipt",
    ":countersign-receipt :AQID:\n\n",
    "",
    ": ping\n\n",
  ])("is not %j", (text) => {
    expect(parseCheckpoint(bytes(text))).toBeNull();
  });

  it.each([
    ":AQID:",
    ":AQID:\n",
    ":AQID:\n\n\n",
    ":AQI:\n\n",
    "AQID\n\n",
    ":AQID:\n\ndata: 1\n\n",
    "\n\n",
    "\xff\n\n",
  ])("is refused with %j in it", (rest) => {
    const chunk = new Uint8Array(Buffer.from(`: countersign-receipt ${rest}`, "latin1"));
    expect(() => parseCheckpoint(chunk)).toThrow(ProtocolError);
  });
});

describe("an event stream", () => {
  it.each([
    ["text/event-stream", true],
    ["Text/Event-Stream; charset=utf-8", true],
    ["text/event-stream ;x=1", true],
    ["text/event-streams", false],
    ["text/plain", false],
    ["application/json; type=text/event-stream", false],
  ])("%s: %s", (type, is) => {
    expect(isEventStream([["content-type", type]])).toBe(is);
  });

  it("is none where its content is coded, and where no type is said", () => {
    const type = ["content-type", "text/event-stream"] as const;
    expect(isEventStream([type, ["content-encoding", "gzip"]])).toBe(false);
    expect(isEventStream([])).toBe(false);
  });
});
