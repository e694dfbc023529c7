import { concatBytes } from "@countersign/attestation";
import {
  AEAD_AES_128_GCM,
  AEAD_AES_256_GCM,
  generateRecipientKey,
  importRecipientKey,
  type KemId,
  type KeyConfig,
  type OpenedRequest,
  openRequest,
  type Primitives,
  ProtocolError,
  type RecipientKey,
  sealRequest,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { setupRecipient, setupSender } from "../../../protocol/hpke.ts";
import { openRequestAs, requestHeader, requestInfo } from "../../../protocol/ohttp.ts";
import {
  ascii,
  codeOf,
  collect,
  collectBytes,
  hex,
  inPieces,
  native,
  providers,
  sharedVectors,
  stream,
  vectors,
  withRandom,
} from "./support.ts";

interface ChunkedVector {
  readonly skR: string;
  readonly keyConfig: string;
  readonly skE: string;
  readonly enc: string;
  readonly info: string;
  readonly requestChunks: readonly string[];
  readonly encapsulatedRequest: string;
  readonly responseNonce: string;
  readonly responseChunks: readonly string[];
  readonly encapsulatedResponse: string;
}

const chunked = vectors<ChunkedVector>("ohttp/chunked-appendix-a.json");

describe("draft-ietf-ohai-chunked-ohttp-08 Appendix A", () => {
  const publicKey = hex(chunked.keyConfig).subarray(3, 35);
  const config: KeyConfig = { keyId: 1, kem: 0x0020, publicKey, kdf: 1, aead: AEAD_AES_128_GCM };

  for (const [name, p] of providers) {
    it(`${name}: both directions, byte for byte, through sender and recipient`, async () => {
      const key = await importRecipientKey(p, 0x0020, hex(chunked.skR));
      expect(key.publicKey).toEqual(publicKey);
      expect(requestInfo("message/bhttp chunked request", requestHeader(1, 0x0020, 1))).toEqual(
        hex(chunked.info),
      );
      // The example's chunks, each sealed as it comes; the final one is empty.
      const sender = withRandom(p, hex(chunked.skE));
      const request = await sealRequest(sender, config, stream(...chunked.requestChunks.map(hex)));
      expect(request.enc).toEqual(hex(chunked.enc));
      const wire = await collectBytes(request.body);
      expect(wire).toEqual(hex(chunked.encapsulatedRequest));

      const recipient = withRandom(p, hex(chunked.responseNonce));
      const find = (id: number): RecipientKey | null => (id === 1 ? key : null);
      const opened = await openRequestAs(recipient, AEAD_AES_128_GCM, find, stream(wire));
      expect(opened.keyId).toBe(1);
      expect(opened.header).toEqual(hex(chunked.encapsulatedRequest).subarray(0, 7));
      expect(opened.enc).toEqual(hex(chunked.enc));
      const chunks = await collect(opened.plaintext);
      expect(chunks).toEqual(chunked.requestChunks.filter((c) => c !== "").map(hex));

      const sealer = await opened.sealResponse();
      const [first, second] = chunked.responseChunks.map(hex);
      const answer = concatBytes(
        sealer.head,
        await sealer.seal(first ?? new Uint8Array(0)),
        await sealer.seal(second ?? new Uint8Array(0)),
        await sealer.finish(new Uint8Array(0)),
      );
      expect(answer).toEqual(hex(chunked.encapsulatedResponse));
      const read = await collect(request.openResponse(stream(answer)));
      expect(read).toEqual(chunked.responseChunks.filter((c) => c !== "").map(hex));
    });
  }
});

describe("RFC 9458 Appendix A, the parts that the chunked form shares", () => {
  const file = sharedVectors<{
    readonly vectors: readonly Record<string, string>[];
  }>("ohttp/rfc9458-appendix-a.json");
  const vector = file?.vectors[0] ?? {};
  // RFC 9458 Appendix A: the ephemeral key and the encapsulated request, which the file lacks.
  const skE = hex("bc51d5e930bda26589890ac7032f70ad12e4ecb37abb1b65b1256c9c48999c73");
  const encapsulated = hex(
    "010020000100014b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472" +
      "6374e469135906992e1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525",
  );
  const info = requestInfo("message/bhttp request", requestHeader(1, 0x0020, AEAD_AES_128_GCM));

  for (const [name, p] of providers) {
    it.skipIf(file === null)(`${name}: opens and makes the request`, async () => {
      const key = await importRecipientKey(p, 0x0020, hex(vector["privateKey"] ?? ""));
      expect(key.publicKey).toEqual(hex(vector["publicKey"] ?? ""));
      const enc = encapsulated.subarray(7, 39);
      const recipient = await setupRecipient(p, key, AEAD_AES_128_GCM, enc, info);
      const none = new Uint8Array(0);
      expect(await recipient.opener.open(none, encapsulated.subarray(39))).toEqual(
        hex(vector["request"] ?? ""),
      );
      const fixed = withRandom(p, skE);
      const sender = await setupSender(fixed, 0x0020, AEAD_AES_128_GCM, key.publicKey, info);
      const sealed = await sender.sealer.seal(none, hex(vector["request"] ?? ""));
      expect(concatBytes(encapsulated.subarray(0, 7), sender.enc, sealed)).toEqual(encapsulated);
      const secret = await recipient.export(ascii("message/bhttp response"), 16);
      expect(secret).toEqual(hex("62d87a6ba569ee81014c2641f52bea36"));
    });
  }
});

async function makeKey(
  p: Primitives,
  kem: KemId,
): Promise<{ key: RecipientKey; config: KeyConfig }> {
  const key = await generateRecipientKey(p, kem);
  const config = {
    keyId: 7,
    kem,
    publicKey: key.publicKey,
    kdf: 1,
    aead: AEAD_AES_256_GCM,
  } as const;
  return { key, config };
}

async function exchange(
  p: Primitives,
  kem: KemId,
  plaintext: Uint8Array,
): Promise<{ opened: OpenedRequest; wire: Uint8Array; received: Uint8Array }> {
  const { key, config } = await makeKey(p, kem);
  const request = await sealRequest(p, config, [plaintext]);
  const wire = await collectBytes(request.body);
  const opened = await openRequest(p, () => key, stream(wire));
  return { opened, wire, received: await collectBytes(opened.plaintext) };
}

describe("requests", () => {
  for (const [name, p] of providers) {
    for (const kem of [0x647a, 0x0020] as const) {
      it(`${name}, 0x${kem.toString(16)}: sizes around a chunk, exporter, response`, async () => {
        for (const size of [0, 1, 16_383, 16_384, 16_385, 32_768, 32_769, 50_000]) {
          const plaintext = new Uint8Array(size).fill(size % 251);
          const { key, config } = await makeKey(p, kem);
          const request = await sealRequest(p, config, [
            plaintext.subarray(0, 5),
            plaintext.subarray(5),
          ]);
          const wire = await collectBytes(request.body);
          const chunks = Math.max(1, Math.ceil(size / 16_384));
          expect(wire.length).toBe(7 + request.enc.length + size + 17 * chunks + 3 * (chunks - 1));
          const opened = await openRequest(p, () => key, stream(wire));
          expect(await collectBytes(opened.plaintext)).toEqual(plaintext);
          expect(await opened.export("a", 32)).toEqual(await request.export("a", 32));
          expect(await opened.export("b", 32)).not.toEqual(await request.export("a", 32));
          const sealer = await opened.sealResponse();
          expect(sealer.head.length).toBe(32);
          const answer = concatBytes(
            sealer.head,
            await sealer.seal(plaintext),
            await sealer.finish(plaintext),
          );
          const read = await collectBytes(request.openResponse(stream(answer)));
          expect(read).toEqual(concatBytes(plaintext, plaintext));
        }
      });
    }
  }

  it("a small request is one piece of the body", async () => {
    const { config } = await makeKey(native, 0x647a);
    const request = await sealRequest(native, config, [new Uint8Array(9), new Uint8Array(1)]);
    expect(await collect(request.body)).toHaveLength(1);
  });

  it("an asynchronous source is sealed as it comes", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    let given = 0;
    async function* slow(): AsyncGenerator<Uint8Array> {
      for (; given < 3; given++) yield new Uint8Array(10).fill(given);
      yield new Uint8Array(0);
      yield new Uint8Array(20_000).fill(9);
    }
    const request = await sealRequest(native, config, slow());
    const pieces: Uint8Array[] = [];
    const seen: number[] = [];
    for await (const piece of request.body) {
      pieces.push(piece);
      seen.push(given);
    }
    expect(seen).toEqual([0, 0, 1, 2, 3, 3, 3]);
    const opened = await openRequest(native, () => key, stream(...pieces));
    expect((await collect(opened.plaintext)).map((c) => c.length)).toEqual([
      10, 10, 10, 16_384, 3616,
    ]);
  });

  it("resolves when the first chunk has opened, before the rest is there", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const request = await sealRequest(native, config, stream(ascii("one"), ascii("two")));
    const [head, one, two, final] = await collect(request.body);
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    async function* body(): AsyncGenerator<Uint8Array> {
      yield head ?? new Uint8Array(0);
      yield one ?? new Uint8Array(0);
      await gate;
      yield two ?? new Uint8Array(0);
      yield final ?? new Uint8Array(0);
    }
    const opened = await openRequest(native, () => key, body());
    release?.();
    expect(await collectBytes(opened.plaintext)).toEqual(ascii("onetwo"));
  });

  it("every cut of the stream gives the same result", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const request = await sealRequest(native, config, stream(ascii("first"), ascii("second")));
    const wire = await collectBytes(request.body);
    const wanted = ascii("firstsecond");
    for (let size = 1; size <= wire.length; size++) {
      const opened = await openRequest(native, () => key, inPieces(wire, size));
      expect(await collectBytes(opened.plaintext)).toEqual(wanted);
    }
    for (let cut = 0; cut <= wire.length; cut++) {
      const pieces = stream(wire.subarray(0, cut), new Uint8Array(0), wire.subarray(cut));
      const opened = await openRequest(native, () => key, pieces);
      expect(await collectBytes(opened.plaintext)).toEqual(wanted);
    }
  });

  it("an early end of either stream is never success", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const request = await sealRequest(native, config, stream(ascii("first"), ascii("second")));
    const wire = await collectBytes(request.body);
    const openAll = async (bytes: Uint8Array): Promise<Uint8Array> =>
      collectBytes((await openRequest(native, () => key, stream(bytes))).plaintext);
    for (let end = 0; end < wire.length; end++) {
      expect(await codeOf(() => openAll(wire.subarray(0, end)))).toMatch(
        /^(ohttp\/truncated|hpke\/open)$/,
      );
    }
    // At a chunk boundary nothing but the final marker is missing.
    expect(await codeOf(() => openAll(wire.subarray(0, wire.length - 17)))).toBe("ohttp/truncated");

    const opened = await openRequest(native, () => key, stream(wire));
    const sealer = await opened.sealResponse();
    const answer = concatBytes(
      sealer.head,
      await sealer.seal(ascii("a")),
      await sealer.finish(ascii("b")),
    );
    for (let end = 0; end < answer.length; end++) {
      const partial = request.openResponse(stream(answer.subarray(0, end)));
      expect(await codeOf(() => collect(partial))).toMatch(/^(ohttp\/truncated|hpke\/open)$/);
    }
  });

  it("a changed byte anywhere is refused", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const request = await sealRequest(native, config, stream(ascii("first"), ascii("second")));
    const wire = await collectBytes(request.body);
    const find = (id: number): RecipientKey | null => (id === 7 ? key : null);
    for (let i = 0; i < wire.length; i++) {
      const changed = new Uint8Array(wire);
      changed[i] = (changed[i] ?? 0) ^ 0x40;
      const code = await codeOf(async () =>
        collect((await openRequest(native, find, stream(changed))).plaintext),
      );
      expect(code).toMatch(/^(ohttp\/(unknown-key|suite|truncated|too-large)|hpke\/open)$/);
    }
  });

  it("names what is wrong with the header", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const wire = await collectBytes((await sealRequest(native, config, [ascii("x")])).body);
    expect(await codeOf(() => openRequest(native, () => null, stream(wire)))).toBe(
      "ohttp/unknown-key",
    );
    for (let i = 1; i < 7; i++) {
      const changed = new Uint8Array(wire);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(await codeOf(() => openRequest(native, () => key, stream(changed)))).toBe(
        "ohttp/suite",
      );
    }
    key.destroy();
    expect(await codeOf(() => openRequest(native, () => key, stream(wire)))).toBe("hpke/destroyed");
  });

  it("refuses a chunk above the limit before it has arrived", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const head = (await collectBytes((await sealRequest(native, config, [])).body)).subarray(0, 39);
    for (const length of ["8000" + "4011", "ffffffffffffffff", "c000000000004011"]) {
      const code = await codeOf(() => openRequest(native, () => key, stream(head, hex(length))));
      expect(code).toBe("ohttp/too-large");
    }
    const endless = stream(head, hex("00"), new Uint8Array(16_401));
    expect(await codeOf(() => openRequest(native, () => key, endless))).toBe("ohttp/too-large");
  });

  it("refuses bytes after the final chunk", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const request = await sealRequest(native, config, [ascii("x")]);
    const wire = await collectBytes(request.body);
    const longer = concatBytes(wire, Uint8Array.of(0));
    expect(await codeOf(() => openRequest(native, () => key, stream(longer)))).toBe("hpke/open");
    const opened = await openRequest(native, () => key, stream(wire));
    const sealer = await opened.sealResponse();
    const finished = concatBytes(sealer.head, await sealer.finish(ascii("a")));
    const doubled = request.openResponse(stream(finished, finished));
    expect(await codeOf(() => collect(doubled))).toBe("hpke/open");
    await expect(async () => sealer.seal(ascii("b"))).rejects.toThrow(TypeError);
    await expect(async () => sealer.finish(ascii("b"))).rejects.toThrow(TypeError);
    await expect(opened.sealResponse()).rejects.toThrow(TypeError);
  });

  it("refuses an empty chunk that is not final, chunks in another order, and a chunk left out", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const info = requestInfo("message/bhttp chunked request", requestHeader(7, 0x0020, 2));
    const sender = await setupSender(native, 0x0020, 2, config.publicKey, info);
    const none = new Uint8Array(0);
    const empty = await sender.sealer.seal(none, none);
    const wire = stream(requestHeader(7, 0x0020, 2), sender.enc, Uint8Array.of(16), empty);
    expect(await codeOf(() => openRequest(native, () => key, wire))).toBe("hpke/open");

    const request = await sealRequest(native, config, stream(ascii("a"), ascii("b")));
    const [head, a, b, final] = await collect(request.body);
    if (head === undefined || a === undefined || b === undefined || final === undefined) {
      throw new TypeError("want four pieces");
    }
    for (const pieces of [
      [head, b, a, final],
      [head, a, final],
      [head, a, a, b, final],
      [head, final],
    ]) {
      const code = await codeOf(async () =>
        collect((await openRequest(native, () => key, stream(...pieces))).plaintext),
      );
      expect(code).toBe("hpke/open");
    }
  });

  it("a response opens only for its own request", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const one = await sealRequest(native, config, [ascii("x")]);
    const two = await sealRequest(native, config, [ascii("x")]);
    const opened = await openRequest(native, () => key, one.body);
    const sealer = await opened.sealResponse();
    const answer = concatBytes(sealer.head, await sealer.finish(ascii("a")));
    expect(await codeOf(() => collect(two.openResponse(stream(answer))))).toBe("hpke/open");
    expect(await collectBytes(one.openResponse(stream(answer)))).toEqual(ascii("a"));
  });

  it("overlapping seals of a response come out in the order of the calls", async () => {
    for (const [, p] of providers) {
      const { key, config } = await makeKey(p, 0x0020);
      const request = await sealRequest(p, config, [ascii("x")]);
      const opened = await openRequest(p, () => key, request.body);
      const sealer = await opened.sealResponse();
      const parts = await Promise.all([
        ...Array.from({ length: 9 }, (_, i) => sealer.seal(new Uint8Array(17_000).fill(i))),
        sealer.seal(new Uint8Array(0)),
        sealer.finish(ascii("end")),
      ]);
      const read = await collectBytes(request.openResponse(stream(sealer.head, ...parts)));
      expect(read.length).toBe(9 * 17_000 + 3);
    }
  });

  it("stops its source when nobody reads on", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const request = await sealRequest(native, config, stream(ascii("a"), ascii("b")));
    const pieces = await collect(request.body);
    let stopped = false;
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        yield* pieces;
      } finally {
        stopped = true;
      }
    }
    const opened = await openRequest(native, () => key, body());
    for await (const piece of opened.plaintext) {
      expect(piece).toEqual(ascii("a"));
      break;
    }
    expect(stopped).toBe(true);
  });

  it("two requests of the same bytes share no byte of ciphertext but the header", async () => {
    const first = await exchange(native, 0x647a, ascii("same"));
    const second = await exchange(native, 0x647a, ascii("same"));
    expect(first.received).toEqual(second.received);
    expect(first.opened.enc).not.toEqual(second.opened.enc);
    expect(first.wire.subarray(0, 7)).toEqual(second.wire.subarray(0, 7));
  });

  it("an error of the source goes through as it is", async () => {
    const { key, config } = await makeKey(native, 0x0020);
    const [piece] = await collect((await sealRequest(native, config, stream(ascii("a")))).body);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield piece ?? new Uint8Array(0);
      throw new RangeError("connection reset");
    }
    const error: unknown = await openRequest(native, () => key, broken()).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(RangeError);
    expect(error).not.toBeInstanceOf(ProtocolError);
  });
});
