import { concatBytes } from "@countersign/attestation";
import {
  decodeRequest,
  decodeResponse,
  encodeByteSequence,
  encodeContentChunk,
  encodeManifest,
  encodeRequestPreamble,
  encodeResponsePreamble,
  encodeTrailers,
  generateRecipientKey,
  type KeyConfig,
  openRequest,
  parseByteSequence,
  parseKeyConfig,
  parseManifest,
  parseProblem,
  parseProvisioning,
  ProtocolError,
  type RecipientKey,
  sealRequest,
} from "@countersign/protocol";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeVarint, readVarint } from "../../protocol/varint.ts";
import { collect, collectBytes, native, stream } from "../unit/protocol/support.ts";

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });

const field = fc.tuple(
  fc.stringMatching(/^[a-z0-9-]{1,12}$/),
  fc.stringMatching(/^([!-~]([ -~]{0,12}[!-~])?)?$/),
);
const fields = fc.array(field, { maxLength: 6 });

/** `whole`, cut at places that `cuts` stand for. */
function cutAt(whole: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = cuts.map((cut) => cut % (whole.length + 1)).toSorted((a, b) => a - b);
  return [0, ...places].map((start, i) => whole.subarray(start, places[i] ?? whole.length));
}

/** The error that `run` ended with where it is not one of ours, else null. */
async function foreignError(run: () => unknown): Promise<unknown> {
  try {
    await run();
    return null;
  } catch (error) {
    return error instanceof ProtocolError ? null : error;
  }
}

describe("any bytes give a value or our error, nothing else", () => {
  const parsers: readonly (readonly [string, (input: Uint8Array) => unknown])[] = [
    ["key configuration", parseKeyConfig],
    ["manifest", parseManifest],
    ["provisioning", parseProvisioning],
    ["byte sequence", (input) => parseByteSequence(Buffer.from(input).toString("latin1"))],
    ["problem", (input) => parseProblem(Buffer.from(input).toString("latin1"))],
    ["request", async (input) => collect((await decodeRequest(stream(input))).content)],
    ["response", async (input) => collect((await decodeResponse(stream(input))).content)],
  ];
  for (const [name, parse] of parsers) {
    it(`${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(bytes(200), async (input) => {
          expect(await foreignError(() => parse(input))).toBeNull();
        }),
        { numRuns: 500 },
      );
    });
  }

  it("binary HTTP with a good start", async () => {
    const starts = [
      encodeRequestPreamble({
        method: "GET",
        scheme: "https",
        authority: "a",
        path: "/",
        headers: [],
      }),
      encodeResponsePreamble(200, []),
    ];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...starts), bytes(80), async (start, input) => {
        const whole = concatBytes(start.subarray(0, -1), input);
        expect(
          await foreignError(async () => collect((await decodeRequest(stream(whole))).content)),
        ).toBeNull();
        expect(
          await foreignError(async () => collect((await decodeResponse(stream(whole))).content)),
        ).toBeNull();
      }),
      { numRuns: 500 },
    );
  });
});

describe("parse(encode(x)) is x", () => {
  it("varint", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        expect(readVarint(encodeVarint(value), 0, "ohttp/too-large")).toBe(value);
      }),
    );
  });

  it("byte sequence", () => {
    fc.assert(
      fc.property(bytes(100), (input) => {
        expect(parseByteSequence(encodeByteSequence(input))).toEqual(input);
      }),
    );
  });

  it("manifest", () => {
    const path = fc.stringMatching(/^[a-z]{1,4}(-[a-z]{1,4}){0,2}$/);
    fc.assert(
      fc.property(fc.uniqueArray(path, { maxLength: 20 }), fc.nat(), (paths, size) => {
        const entries = paths.map((p) => ({ path: p, size, sha256: new Uint8Array(32) }));
        const sorted = entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
        expect(parseManifest(encodeManifest(entries))).toEqual(sorted);
      }),
    );
  });

  it("binary HTTP, in any pieces", async () => {
    const chunk = fc.uint8Array({ minLength: 1, maxLength: 90 });
    await fc.assert(
      fc.asyncProperty(
        fields,
        fc.array(chunk, { maxLength: 4 }),
        fields,
        fc.array(fc.nat(), { maxLength: 12 }),
        async (headers, content, trailers, cuts) => {
          const leaf = encodeResponsePreamble(404, headers);
          const parts = [leaf, ...content.map(encodeContentChunk), encodeTrailers(trailers)];
          const message = await decodeResponse(stream(...cutAt(concatBytes(...parts), cuts)));
          expect(message.headers).toEqual(headers);
          expect(message.leaf).toEqual(leaf);
          expect(await collect(message.content)).toEqual(content);
          expect(message.trailers()).toEqual(trailers);
        },
      ),
    );
  });
});

describe("chunked OHTTP", () => {
  let key: RecipientKey;
  let config: KeyConfig;

  beforeAll(async () => {
    key = await generateRecipientKey(native, 0x0020);
    config = { keyId: 0, kem: 0x0020, publicKey: key.publicKey, kdf: 1, aead: 2 };
  });

  it("carries any pieces in any pieces, both ways", async () => {
    const pieces = fc.array(bytes(20_000), { maxLength: 4 });
    const cuts = fc.array(fc.nat(), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(pieces, fc.boolean(), cuts, async (input, live, places) => {
        const whole = concatBytes(...input);
        const request = await sealRequest(native, config, live ? stream(...input) : input);
        const wire = await collectBytes(request.body);
        const opened = await openRequest(native, () => key, stream(...cutAt(wire, places)));
        expect(await collectBytes(opened.plaintext)).toEqual(whole);
        const sealer = await opened.sealResponse();
        const parts = [sealer.head];
        for (const piece of input) parts.push(await sealer.seal(piece));
        parts.push(await sealer.finish(new Uint8Array(0)));
        const answer = cutAt(concatBytes(...parts), places);
        expect(await collectBytes(request.openResponse(stream(...answer)))).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  it("any bytes after a good header are our error", async () => {
    const wire = await collectBytes((await sealRequest(native, config, [new Uint8Array(9)])).body);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: wire.length }), bytes(60), async (keep, input) => {
        const mixed = concatBytes(wire.subarray(0, keep), input);
        const error = await foreignError(async () =>
          collect((await openRequest(native, () => key, stream(mixed))).plaintext),
        );
        expect(error).toBeNull();
      }),
      { numRuns: 300 },
    );
  });

  it("any bytes for a response are our error, never a result", async () => {
    const request = await sealRequest(native, config, [new Uint8Array(9)]);
    await fc.assert(
      fc.asyncProperty(bytes(120), async (input) => {
        await expect(collect(request.openResponse(stream(input)))).rejects.toThrow(ProtocolError);
      }),
      { numRuns: 300 },
    );
  });
});
