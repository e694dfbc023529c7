import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readModelFile } from "../../../enclave/models/file.ts";
import { type SealedFile, SegmentOpener } from "../../../enclave/models/segments.ts";
import { joined, SEGMENT, sealedSegment, sealedSegments, TAG } from "../../fakes/sealed-files.ts";

const KEY = new Uint8Array(32).fill(1);
const DIGEST = new Uint8Array(32).fill(2);
const SEALING = { key: KEY, modelDigest: DIGEST, index: 3 };

function filled(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 12)) & 255;
  return bytes;
}

function fileOf(size: number, changes: Partial<SealedFile> = {}): SealedFile {
  return { ...SEALING, size, path: "weights", ...changes };
}

/** What comes out, in pieces of `pieceBytes`; and the error's code, where it ends in one. */
function opened(
  file: SealedFile,
  sealed: Uint8Array,
  pieceBytes = sealed.length + 1,
): { readonly plaintext: Uint8Array; readonly code: unknown } {
  const parts: Uint8Array[] = [];
  try {
    const opener = new SegmentOpener(file, (plaintext) => parts.push(new Uint8Array(plaintext)));
    for (let at = 0; at < sealed.length; at += pieceBytes) {
      opener.push(sealed.subarray(at, at + pieceBytes));
    }
    opener.finish();
    return { plaintext: joined(parts), code: null };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : error;
    return { plaintext: joined(parts), code };
  }
}

const THREE = filled(2 * SEGMENT + 5);
const [FIRST, SECOND, THIRD] = segmentsOf(THREE);

function segmentsOf(plaintext: Uint8Array): readonly [Uint8Array, Uint8Array, Uint8Array] {
  const [first, second, third] = sealedSegments(SEALING, plaintext);
  if (first === undefined || second === undefined || third === undefined) throw new Error("three");
  return [first, second, third];
}

describe("a sealed file", () => {
  it.each([0, 1, 15, 16, 17, 4096, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT])(
    "of %i bytes opens to what was sealed",
    (size) => {
      const plaintext = filled(size);
      const sealed = joined(sealedSegments(SEALING, plaintext));
      const found = opened(fileOf(size), sealed, 65_536);
      expect(found.code).toBe(null);
      expect(Buffer.compare(found.plaintext, plaintext)).toBe(0);
    },
  );

  it.each([1, 2, 15, 16, 17, 33])("opens in pieces of %i bytes", (pieceBytes) => {
    const plaintext = filled(100);
    const sealed = joined(sealedSegments(SEALING, plaintext));
    expect(opened(fileOf(100), sealed, pieceBytes)).toEqual({ plaintext, code: null });
  });

  it("opens wherever its segments' tags are cut in two", () => {
    const sealed = joined([FIRST, SECOND, THIRD]);
    for (let cut = 0; cut <= TAG; cut++) {
      const found = opened(fileOf(THREE.length), sealed, SEGMENT + cut);
      expect(found.code).toBe(null);
      expect(Buffer.compare(found.plaintext, THREE)).toBe(0);
    }
  });

  it("leaves nobody a piece once it was taken", () => {
    const pieces: Uint8Array[] = [];
    const sealed = joined(sealedSegments(SEALING, filled(100)));
    const opener = new SegmentOpener(fileOf(100), (plaintext) => pieces.push(plaintext));
    for (const byte of sealed) opener.push(Uint8Array.of(byte));
    opener.finish();
    expect(pieces.length).toBe(100);
    // Its memory was given back: the view that is left has no bytes.
    expect(pieces.map(({ length }) => length)).toEqual(pieces.map(() => 0));
  });
});

describe("a sealed file does not open", () => {
  const size = THREE.length;
  it.each<[string, readonly Uint8Array[]]>([
    ["with two segments swapped", [SECOND, FIRST, THIRD]],
    ["with the first twice", [FIRST, FIRST, THIRD]],
    ["with one doubled", [FIRST, SECOND, SECOND, THIRD]],
    ["with one dropped", [FIRST, THIRD]],
    ["without its last", [FIRST, SECOND]],
    ["without any", []],
    ["cut in a tag", [FIRST, SECOND, THIRD.subarray(0, -1)]],
    ["cut before a tag", [FIRST, SECOND, THIRD.subarray(0, -TAG)]],
    ["cut in a segment", [FIRST, SECOND.subarray(0, 100)]],
    ["with a byte too many", [FIRST, SECOND, THIRD, Uint8Array.of(0)]],
    ["with its last twice", [FIRST, SECOND, THIRD, THIRD]],
    [
      "with a last segment that does not say so",
      [FIRST, SECOND, sealedSegment(SEALING, THREE.subarray(2 * SEGMENT), 2, false)],
    ],
    [
      "with a segment that says it is the last",
      [FIRST, sealedSegment(SEALING, THREE.subarray(SEGMENT, 2 * SEGMENT), 1, true), THIRD],
    ],
  ])("%s", (_, segments) => {
    expect(opened(fileOf(size), joined(segments), 65_536).code).toBe("model/sealed");
  });

  it.each([0, 100, SEGMENT - 1, SEGMENT, SEGMENT + TAG - 1, SEGMENT + TAG])(
    "with bit 0 of byte %i changed",
    (at) => {
      const sealed = joined([FIRST, SECOND, THIRD]);
      sealed[at] = (sealed[at] ?? 0) ^ 1;
      const found = opened(fileOf(size), sealed, 65_536);
      expect(found.code).toBe("model/sealed");
      // Nothing of a later segment comes out.
      expect(found.plaintext.length).toBe(at < SEGMENT + TAG ? SEGMENT : 2 * SEGMENT);
    },
  );

  it.each<[string, Partial<SealedFile>]>([
    ["under another key", { key: new Uint8Array(32) }],
    ["as another model's", { modelDigest: new Uint8Array(32) }],
    ["as another file", { index: 4 }],
    ["as a shorter file", { size: size - 1 }],
    ["as a longer file", { size: size + 1 }],
    ["as a file of fewer segments", { size: SEGMENT }],
    ["as a file of more segments", { size: 4 * SEGMENT }],
    ["as an empty file", { size: 0 }],
  ])("%s", (_, changes) => {
    const sealed = joined([FIRST, SECOND, THIRD]);
    expect(opened(fileOf(size, changes), sealed, 65_536).code).toBe("model/sealed");
  });

  it("where it is empty, and nothing was sealed", () => {
    expect(opened(fileOf(0), new Uint8Array(0)).code).toBe("model/sealed");
    expect(opened(fileOf(0), new Uint8Array(TAG)).code).toBe("model/sealed");
  });
});

describe("a file that fails", () => {
  const plaintext = filled(SEGMENT + 100);
  const entry = {
    path: "weights",
    size: plaintext.length,
    sha256: new Uint8Array(createHash("sha256").update(plaintext).digest()),
  };
  const sealed = joined(sealedSegments(SEALING, plaintext));

  /** What is in the buffer of the file once reading it has failed, and with what it did. */
  async function left(
    sha256: Uint8Array,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<{ readonly code: unknown; readonly most: number; readonly after: number }> {
    const made: Uint8Array[] = [];
    const Real = globalThis.Uint8Array;
    // The buffer is the only one of this size that is made.
    const Noted = new Proxy(Real, {
      construct(target, args: [number], newTarget): Uint8Array {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Reflect.construct returns any
        const bytes = Reflect.construct(target, args, newTarget) as Uint8Array;
        if (args[0] === entry.size) made.push(bytes);
        return bytes;
      },
    });
    let most = 0;
    async function* watched(): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        yield chunk;
        most = Math.max(most, made[0]?.findLastIndex((byte) => byte !== 0) ?? 0);
      }
    }
    globalThis.Uint8Array = Noted;
    let reading: Promise<unknown>;
    try {
      reading = readModelFile({ ...entry, sha256 }, fileOf(entry.size), watched());
    } finally {
      globalThis.Uint8Array = Real;
    }
    const code = await reading.then(
      () => "read",
      (error: unknown) => (error instanceof Error && "code" in error ? error.code : error),
    );
    expect(made.length).toBe(1);
    return { code, most, after: made[0]?.findLastIndex((byte) => byte !== 0) ?? 0 };
  }

  async function* inPieces(bytes: Uint8Array, then?: Error): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 65_536) {
      yield await Promise.resolve(bytes.subarray(at, at + 65_536));
    }
    if (then !== undefined) throw then;
  }

  it("leaves its bytes where it does not", async () => {
    const found = await left(entry.sha256, inPieces(sealed));
    expect(found.code).toBe("read");
    expect(found.after).toBeGreaterThan(SEGMENT);
  });

  it.each<[string, string, Uint8Array, AsyncIterable<Uint8Array>]>([
    [
      "a segment does not open",
      "model/sealed",
      entry.sha256,
      inPieces(changedAt(sealed.length - 1)),
    ],
    ["it is not the manifest's", "model/hash", new Uint8Array(32), inPieces(sealed)],
    ["it is cut", "model/sealed", entry.sha256, inPieces(sealed.subarray(0, SEGMENT / 2))],
    ["it goes on", "model/sealed", entry.sha256, inPieces(joined([sealed, sealed]))],
    [
      "the host stops",
      "provision/slow",
      entry.sha256,
      inPieces(sealed.subarray(0, SEGMENT), hostStopped()),
    ],
  ])("leaves nothing where %s", async (_, code, sha256, chunks) => {
    const found = await left(sha256, chunks);
    expect(found.code).toBe(code);
    // There was something: half of it, and then nothing at all.
    expect(found.most).toBeGreaterThan(SEGMENT / 4);
    expect(found.after).toBe(-1);
  });

  function changedAt(at: number): Uint8Array {
    const copy = sealed.slice();
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  }

  function hostStopped(): Error {
    return Object.assign(new Error("stopped"), { code: "provision/slow" });
  }
});
