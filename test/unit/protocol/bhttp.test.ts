import { concatBytes } from "@countersign/attestation";
import {
  type DecodedMessage,
  decodeRequest,
  decodeResponse,
  encodeContentChunk,
  encodeRequestPreamble,
  encodeResponsePreamble,
  encodeTrailers,
  type Fields,
  MAX_CONTENT_CHUNK_BYTES,
  MAX_FIELDS,
  MAX_INFORMATIONAL,
  MAX_PADDING_BYTES,
  type RequestPreamble,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { encodeVarint } from "../../../protocol/varint.ts";
import { ascii, codeOf, collect, hex, inPieces, stream } from "./support.ts";

/** RFC 9292 §5.1. */
const KNOWN_REQUEST = hex(
  "00034745540568747470" +
    "73000a2f68656c6c6f2e747874406c0a757365722d6167656e74346375726c2f372e31362e33206c696263" +
    "75726c2f372e31362e33204f70656e53534c2f302e392e376c207a6c69622f312e322e3304686f73740f777777" +
    "2e6578616d706c652e636f6d0f6163636570742d6c616e677561676506656e2c206d690000",
);
const INDETERMINATE_REQUEST = hex(
  "02034745540568747470" +
    "73000a2f68656c6c6f2e7478740a757365722d6167656e74346375726c2f372e31362e33206c6962637572" +
    "6c2f372e31362e33204f70656e53534c2f302e392e376c207a6c69622f312e322e3304686f73740f7777772e65" +
    "78616d706c652e636f6d0f6163636570742d6c616e677561676506656e2c206d6900000000000000000000000000",
);
const REQUEST: RequestPreamble = {
  method: "GET",
  scheme: "https",
  authority: "",
  path: "/hello.txt",
  headers: [
    ["user-agent", "curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"],
    ["host", "www.example.com"],
    ["accept-language", "en, mi"],
  ],
};
/** RFC 9292 §5.2. */
const INFORMATIONAL_RESPONSE = hex(
  "0340660772756e6e696e670a22736c656570203135220040" +
    "67046c696e6b233c2f7374796c652e6373733e3b2072656c3d7072656c6f61643b2061733d7374796c65046c69" +
    "6e6b243c2f7363726970742e6a733e3b2072656c3d7072656c6f61643b2061733d7363726970740040c8046461" +
    "74651d4d6f6e2c203237204a756c20323030392031323a32383a353320474d540673657276657206417061636865" +
    "0d6c6173742d6d6f6469666965641d5765642c203232204a756c20323030392031393a31353a353620474d5404" +
    "657461671422333461613338372d642d313536386562303022" +
    "0d6163636570742d72616e6765730562797465730e636f6e74656e742d6c656e677468023531" +
    "04766172790f4163636570742d456e636f64696e670c636f6e74656e742d747970650a746578742f706c61696e00" +
    "3348656c6c6f20576f726c6421204d7920636f6e74656e7420696e636c75646573206120747261696c696e672043" +
    "524c462e0d0a0000",
);
const KNOWN_RESPONSE = hex(
  "0140c8001d5468697320636f6e74656e7420636f6e7461696e732043524c462e0d0a0d07747261696c65720474657874",
);

interface Body {
  readonly content: readonly Uint8Array[];
  readonly trailers: Fields;
}

async function body(message: DecodedMessage): Promise<Body> {
  const content = await collect(message.content);
  return { content, trailers: message.trailers() };
}

async function readRequest(source: AsyncIterable<Uint8Array>): Promise<unknown> {
  const message = await decodeRequest(source);
  return { preamble: message.preamble, leaf: message.leaf, ...(await body(message)) };
}

async function readResponse(source: AsyncIterable<Uint8Array>): Promise<unknown> {
  const message = await decodeResponse(source);
  const { status, headers, leaf } = message;
  return { status, headers, leaf, ...(await body(message)) };
}

describe("RFC 9292 §5", () => {
  it("the request in both forms, and every truncation and padding it names", async () => {
    for (const whole of [KNOWN_REQUEST, INDETERMINATE_REQUEST]) {
      const unpadded = whole === KNOWN_REQUEST ? whole : whole.subarray(0, whole.length - 10);
      const leafLength = unpadded.length - 2;
      const padded = concatBytes(whole, new Uint8Array(40));
      const same = [padded, whole, unpadded, unpadded.subarray(0, -1), unpadded.subarray(0, -2)];
      for (const bytes of same) {
        expect(await readRequest(stream(bytes))).toEqual({
          preamble: REQUEST,
          leaf: unpadded.subarray(0, leafLength),
          content: [],
          trailers: [],
        });
      }
      for (let end = 0; end < leafLength; end++) {
        const code = await codeOf(() => readRequest(stream(unpadded.subarray(0, end))));
        // RFC 9458 Appendix A leaves out an empty header section: that the path ends there is no error.
        const isBare = end === 23;
        expect(code).toBe(isBare ? "no error" : "bhttp/truncated");
      }
    }
  });

  it("the response with informational responses, which are no part of leaf 0", async () => {
    const message = await decodeResponse(stream(INFORMATIONAL_RESPONSE));
    expect(message.status).toBe(200);
    expect(message.headers.map(([name]) => name)).toEqual([
      "date",
      "server",
      "last-modified",
      "etag",
      "accept-ranges",
      "content-length",
      "vary",
      "content-type",
    ]);
    const { content, trailers } = await body(message);
    expect(content).toEqual([ascii("Hello World! My content includes a trailing CRLF.\r\n")]);
    expect(trailers).toEqual([]);
    expect(message.leaf).toEqual(encodeResponsePreamble(200, message.headers));
  });

  it("the response of known length with a trailer", async () => {
    expect(await readResponse(stream(KNOWN_RESPONSE))).toEqual({
      status: 200,
      headers: [],
      leaf: hex("0140c800"),
      content: [ascii("This content contains CRLF.\r\n")],
      trailers: [["trailer", "text"]],
    });
  });

  it("the messages of RFC 9458 Appendix A, which end before their header section", async () => {
    const request = hex("00034745540568747470730b6578616d706c652e636f6d012f");
    expect(await readRequest(stream(request))).toEqual({
      preamble: {
        method: "GET",
        scheme: "https",
        authority: "example.com",
        path: "/",
        headers: [],
      },
      leaf: request,
      content: [],
      trailers: [],
    });
    const response = { status: 200, headers: [], leaf: hex("0140c8"), content: [], trailers: [] };
    expect(await readResponse(stream(hex("0140c8")))).toEqual(response);
  });
});

const TRAILERS: Fields = [["countersign-receipt", ":AAEC:"]];
const HEADERS: Fields = [
  ["content-type", "text/plain"],
  ["x-empty", ""],
  ["x-bytes", "\u00e9\tb"],
];

describe("what we write", () => {
  const preamble = {
    method: "POST",
    scheme: "https",
    authority: "a:1",
    path: "/v2?x=1",
    headers: HEADERS,
  };
  const requestLeaf = encodeRequestPreamble(preamble);
  const responseLeaf = encodeResponsePreamble(503, HEADERS);
  const chunks = [ascii("one"), new Uint8Array(70).fill(2), new Uint8Array(20_000).fill(3)];
  const tail = concatBytes(...chunks.map(encodeContentChunk), encodeTrailers(TRAILERS));

  it("reads back, with the leaves as they were written", async () => {
    expect(await readRequest(stream(requestLeaf, tail))).toEqual({
      preamble,
      leaf: requestLeaf,
      content: chunks,
      trailers: TRAILERS,
    });
    expect(await readResponse(stream(responseLeaf, tail))).toEqual({
      status: 503,
      headers: HEADERS,
      leaf: responseLeaf,
      content: chunks,
      trailers: TRAILERS,
    });
  });

  it("reads the same whatever the pieces are", async () => {
    const small = [ascii("one"), ascii("!")];
    const end = concatBytes(...small.map(encodeContentChunk), encodeTrailers(TRAILERS));
    for (const [leaf, read] of [
      [requestLeaf, readRequest],
      [responseLeaf, readResponse],
    ] as const) {
      const whole = concatBytes(leaf, end, new Uint8Array(5));
      const wanted = await read(stream(whole));
      for (let size = 1; size < whole.length; size++) {
        expect(await read(inPieces(whole, size))).toEqual(wanted);
      }
      for (let cut = 0; cut <= whole.length; cut++) {
        const pieces = stream(whole.subarray(0, cut), new Uint8Array(0), whole.subarray(cut));
        expect(await read(pieces)).toEqual(wanted);
      }
    }
  });

  it("throws truncated at every byte before the content's end", async () => {
    const end = concatBytes(encodeContentChunk(ascii("one")), encodeTrailers(TRAILERS));
    const whole = concatBytes(requestLeaf, end);
    // Empty content with empty trailers may be left out (RFC 9292 §3.8), and trailers after content.
    const contentEnd = requestLeaf.length + 4 + 1;
    // Control data alone: framing, then four texts, each after its length.
    const bare = 1 + 1 + 4 + 1 + 5 + 1 + 3 + 1 + 7;
    for (let length = 0; length < whole.length; length++) {
      const code = await codeOf(() => readRequest(stream(whole.subarray(0, length))));
      const allowed = [requestLeaf.length, contentEnd, bare].includes(length);
      expect([length, code]).toEqual([length, allowed ? "no error" : "bhttp/truncated"]);
    }
  });

  it("gives trailers only after the content", async () => {
    const message = await decodeRequest(stream(requestLeaf, tail));
    expect(() => message.trailers()).toThrow(TypeError);
    for await (const chunk of message.content) {
      expect(chunk.length).toBeGreaterThan(0);
      expect(() => message.trailers()).toThrow(TypeError);
    }
    expect(message.trailers()).toEqual(TRAILERS);
  });

  it("resolves with the preamble before content has arrived", async () => {
    let pulled = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      yield requestLeaf;
      pulled++;
      yield tail;
    }
    const message = await decodeRequest(source());
    expect(message.preamble).toEqual(preamble);
    expect(pulled).toBe(0);
    expect((await collect(message.content)).length).toBe(3);
  });

  it("an error of the source comes out of the content", async () => {
    async function* source(): AsyncGenerator<Uint8Array> {
      yield concatBytes(requestLeaf, encodeContentChunk(ascii("a")), encodeTrailers([]));
      throw new RangeError("final chunk missing");
    }
    const message = await decodeRequest(source());
    await expect(collect(message.content)).rejects.toThrow(RangeError);
    expect(() => message.trailers()).toThrow(TypeError);
  });

  it("handed-out chunks do not change when more arrives", async () => {
    const message = await decodeRequest(inPieces(concatBytes(requestLeaf, tail), 3));
    const kept: { chunk: Uint8Array; copy: Uint8Array }[] = [];
    for await (const chunk of message.content) kept.push({ chunk, copy: new Uint8Array(chunk) });
    for (const { chunk, copy } of kept) expect(chunk).toEqual(copy);
    expect(message.leaf).toEqual(requestLeaf);
  });

  it("will not write an empty chunk, a 1xx, a bad target or a bad field", async () => {
    expect(() => encodeContentChunk(new Uint8Array(0))).toThrow(TypeError);
    for (const status of [99, 100, 199, 600, 200.5]) {
      expect(await codeOf(() => encodeResponsePreamble(status, []))).toBe("bhttp/malformed");
    }
    for (const change of BAD_TARGETS) {
      const code = await codeOf(() => encodeRequestPreamble({ ...preamble, ...change }));
      expect(code).toBe("bhttp/malformed");
    }
    for (const field of BAD_FIELDS) {
      expect(await codeOf(() => encodeTrailers([field]))).toBe("bhttp/field");
      expect(await codeOf(() => encodeResponsePreamble(200, [field]))).toBe("bhttp/field");
    }
    const many: Fields = Array.from({ length: MAX_FIELDS + 1 }, () => ["a", "b"] as const);
    expect(await codeOf(() => encodeTrailers(many))).toBe("bhttp/too-large");
    const long: Fields = [["a", "b".repeat(65_536)]];
    expect(await codeOf(() => encodeTrailers(long))).toBe("bhttp/too-large");
  });
});

const BAD_TARGETS: readonly Partial<RequestPreamble>[] = [
  { method: "" },
  { method: "GE T" },
  { method: "GET\r\n" },
  { scheme: "" },
  { scheme: "1http" },
  { scheme: "ht tp" },
  { authority: "a b" },
  { authority: "a\u0000" },
  { path: "" },
  { path: "v2" },
  { path: "/a b" },
  { path: "/a\u007f" },
  { path: "/\u00e9" },
  { path: "http://a/" },
];
const BAD_FIELDS: Fields = [
  ["", "x"],
  ["A", "x"],
  [":path", "x"],
  [":new", "x"],
  ["a b", "x"],
  ["a:", "x"],
  ["a\u00e9", "x"],
  ["a\u0000", "x"],
  ["a", " x"],
  ["a", "x "],
  ["a", "\tx"],
  ["a", "x\r\ny: z"],
  ["a", "x\ny"],
  ["a", "x\u0000y"],
  ["a", "x\u007f"],
  ["a", "\u0001"],
  ["a", "x\u0100"],
];

/** A message put together by hand, so that it may be wrong. */
function raw(...texts: readonly (string | number)[]): Uint8Array {
  const parts = texts.map((text) =>
    typeof text === "number"
      ? Uint8Array.of(text)
      : concatBytes(encodeVarint(text.length), ascii(text)),
  );
  return concatBytes(...parts);
}

describe("what we refuse", () => {
  it("bad targets and bad fields, from the wire", async () => {
    for (const change of BAD_TARGETS) {
      const t = { method: "GET", scheme: "https", authority: "a", path: "/", ...change };
      const bytes = raw(2, t.method, t.scheme, t.authority, t.path, 0, 0, 0);
      expect(await codeOf(() => readRequest(stream(bytes)))).toBe("bhttp/malformed");
    }
    for (const [name, value] of BAD_FIELDS) {
      if (name === "" || value.includes("\u0100")) continue;
      const inHeaders = concatBytes(raw(3), encodeVarint(200), raw(name, value, 0, 0, 0));
      expect(await codeOf(() => readResponse(stream(inHeaders)))).toBe("bhttp/field");
      const inTrailers = concatBytes(raw(3), encodeVarint(200), raw(0, 0, name, value, 0));
      expect(await codeOf(() => readResponse(stream(inTrailers)))).toBe("bhttp/field");
      const early = concatBytes(raw(3), encodeVarint(103), raw(name, value, 0));
      expect(await codeOf(() => readResponse(stream(early)))).toBe("bhttp/field");
    }
  });

  it("another framing, another kind of message, a status out of range", async () => {
    for (const framing of [1, 3, 4, 0x40, 0xff]) {
      const bytes = concatBytes(Uint8Array.of(framing), INDETERMINATE_REQUEST.subarray(1));
      expect(await codeOf(() => readRequest(stream(bytes)))).toBe("bhttp/malformed");
    }
    for (const framing of [0, 2, 4]) {
      const bytes = concatBytes(Uint8Array.of(framing), hex("40c8000000"));
      expect(await codeOf(() => readResponse(stream(bytes)))).toBe("bhttp/malformed");
    }
    for (const status of [0, 1, 99, 600, 999, 70_000]) {
      const bytes = concatBytes(raw(3), encodeVarint(status), raw(0, 0, 0));
      expect(await codeOf(() => readResponse(stream(bytes)))).toBe("bhttp/malformed");
    }
  });

  it("padding that is not zero, a field section that does not fit its length", async () => {
    const padded = concatBytes(INDETERMINATE_REQUEST, Uint8Array.of(1));
    expect(await codeOf(() => readRequest(stream(padded)))).toBe("bhttp/malformed");
    const later = stream(INDETERMINATE_REQUEST, new Uint8Array(3), Uint8Array.of(0, 9));
    expect(await codeOf(() => readRequest(later))).toBe("bhttp/malformed");
    // Known length: two bytes too few for its one field; a nameless field.
    const short = concatBytes(
      raw(1),
      encodeVarint(200),
      Uint8Array.of(2),
      raw("a", "b"),
      raw(0, 0),
    );
    expect(await codeOf(() => readResponse(stream(short)))).toBe("bhttp/too-large");
    const nameless = concatBytes(raw(1), encodeVarint(200), Uint8Array.of(3), raw(0, "b"));
    expect(await codeOf(() => readResponse(stream(nameless)))).toBe("bhttp/malformed");
  });

  it("more than its limits, before the bytes have arrived", async () => {
    const start = concatBytes(raw(3), encodeVarint(200));
    const cases = [
      // A field name, a value, and a section of known length, each above 64 KiB.
      concatBytes(start, encodeVarint(65_536)),
      concatBytes(start, raw("a"), encodeVarint(65_536)),
      concatBytes(raw(1), encodeVarint(200), encodeVarint(65_536)),
      concatBytes(start, raw(0), encodeVarint(MAX_CONTENT_CHUNK_BYTES + 1)),
      concatBytes(start, raw(0), hex("ffffffffffffffff")),
      concatBytes(start, raw(0, 0), encodeVarint(65_536)),
      concatBytes(start, ...Array.from({ length: MAX_FIELDS + 1 }, () => raw("a", "b"))),
      concatBytes(
        raw(3),
        ...Array.from({ length: MAX_INFORMATIONAL + 1 }, () =>
          concatBytes(encodeVarint(103), raw(0)),
        ),
      ),
      concatBytes(start, raw(0, 0, 0), new Uint8Array(MAX_PADDING_BYTES + 1)),
    ];
    for (const bytes of cases) {
      expect(await codeOf(() => readResponse(stream(bytes)))).toBe("bhttp/too-large");
    }
    const target = concatBytes(raw(2), encodeVarint(65_536));
    expect(await codeOf(() => readRequest(stream(target)))).toBe("bhttp/too-large");
  });

  it("takes exactly its limits", async () => {
    const start = concatBytes(raw(3), encodeVarint(200));
    const chunk = new Uint8Array(MAX_CONTENT_CHUNK_BYTES).fill(1);
    const most = concatBytes(start, raw(0), encodeContentChunk(chunk), raw(0, 0));
    const message = await decodeResponse(inPieces(most, 16_384));
    expect((await collect(message.content)).map((c) => c.length)).toEqual([chunk.length]);
    const fields = Array.from({ length: MAX_FIELDS }, () => raw("a", "b"));
    const informational = Array.from({ length: MAX_INFORMATIONAL }, () =>
      concatBytes(encodeVarint(103), raw(0)),
    );
    const many = concatBytes(raw(3), ...informational, encodeVarint(200), ...fields, raw(0, 0, 0));
    expect((await decodeResponse(stream(many))).headers).toHaveLength(MAX_FIELDS);
    const padded = concatBytes(start, raw(0, 0, 0), new Uint8Array(MAX_PADDING_BYTES));
    expect(await codeOf(() => readResponse(stream(padded)))).toBe("no error");
  });
});
