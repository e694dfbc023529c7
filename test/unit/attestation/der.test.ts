import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DerReader,
  parseBoolean,
  parseNamedBits,
  parseOctetAligned,
  parseTime,
  parseUnsigned,
  readDer,
  requireWellFormed,
  TAG,
} from "../../../attestation/der.ts";
import { hex, tlv } from "../../fakes/nitro.ts";
import { codeOf } from "./refused.ts";

describe("DerReader", () => {
  it("reads elements in order and ends", () => {
    const reader = readDer(hex("300702010104020a0b"), TAG.sequence);
    expect(reader.next).toBe(TAG.integer);
    expect(reader.expect(TAG.integer).content).toEqual(hex("01"));
    expect(reader.done).toBe(false);
    const last = reader.element();
    expect(last.encoded).toEqual(hex("04020a0b"));
    expect(reader.done).toBe(true);
    expect(reader.next).toBe(null);
    reader.end();
  });

  it("reads every length form at its limits", () => {
    for (const length of [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff]) {
      const bytes = tlv(TAG.octetString, new Uint8Array(length));
      const reader = new DerReader(bytes);
      expect(reader.expect(TAG.octetString).content).toHaveLength(length);
      reader.end();
    }
  });

  it.each([
    ["nothing", ""],
    ["no length", "04"],
    ["no content", "0401"],
    ["length cut", "0482ff"],
    ["length of no bytes", "0481"],
    ["indefinite length", "30800000"],
    ["three length bytes", "0483000080"],
    ["127 length bytes", "04ff"],
    ["one byte where none is needed", "04810100"],
    ["one byte, 127", `04817f${"00".repeat(127)}`],
    ["two bytes where one is enough", `048200ff${"00".repeat(255)}`],
    ["a tag of two bytes", "1f0100"],
    ["another tag", "0500"],
    ["bytes after", "04000400"],
  ])("refuses %s", (_, text) => {
    expect(codeOf(() => readDer(hex(text), TAG.octetString))).toBe("certificate/der");
  });

  it("is never more than its parent", () => {
    expect(codeOf(() => readDer(hex("300304020000"), TAG.sequence).enter(TAG.octetString))).toBe(
      "certificate/der",
    );
  });

  it("any bytes give an element or certificate/der", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const code = codeOf(() => {
          const reader = new DerReader(bytes);
          while (!reader.done) reader.element();
        });
        expect([null, "certificate/der"]).toContain(code);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("values", () => {
  it("INTEGER: positive and minimal", () => {
    expect(parseUnsigned(hex("00"))).toEqual(hex("00"));
    expect(parseUnsigned(hex("7f"))).toEqual(hex("7f"));
    expect(parseUnsigned(hex("0080"))).toEqual(hex("80"));
    for (const bad of ["", "0000", "007f"]) {
      expect(codeOf(() => parseUnsigned(hex(bad)))).toBe("certificate/der");
    }
    for (const negative of ["80", "ff01"]) {
      expect(codeOf(() => parseUnsigned(hex(negative)))).toBe("certificate/profile");
    }
  });

  it("BOOLEAN: 00 or ff", () => {
    expect(parseBoolean(hex("00"))).toBe(false);
    expect(parseBoolean(hex("ff"))).toBe(true);
    for (const bad of ["", "01", "fe", "ffff"]) {
      expect(codeOf(() => parseBoolean(hex(bad)))).toBe("certificate/der");
    }
  });

  it("BIT STRING: whole bytes", () => {
    expect(parseOctetAligned(hex("00aabb"))).toEqual(hex("aabb"));
    for (const bad of ["", "01aa", "08aa"]) {
      expect(codeOf(() => parseOctetAligned(hex(bad)))).toBe("certificate/der");
    }
  });

  it("named bits: bit 0 is the first, no trailing zeros", () => {
    expect(parseNamedBits(hex("0780"))).toBe(1);
    expect(parseNamedBits(hex("0204"))).toBe(0x20);
    expect(parseNamedBits(hex("0186"))).toBe(0x61);
    expect(parseNamedBits(hex("06c0"))).toBe(3);
    expect(parseNamedBits(hex("070080"))).toBe(0x100);
    for (const bad of [
      "",
      "00",
      "07",
      "0880",
      "0080",
      "0680",
      "0781",
      "0000",
      "0700",
      "07000080",
    ]) {
      expect(codeOf(() => parseNamedBits(hex(bad)))).toBe("certificate/der");
    }
  });
});

describe("parseTime", () => {
  const time = (tag: number, text: string): number =>
    parseTime(new DerReader(tlv(tag, Buffer.from(text, "latin1"))).element());

  it.each([
    [TAG.utcTime, "700101000000Z", "1970-01-01T00:00:00Z"],
    [TAG.utcTime, "500101000000Z", "1950-01-01T00:00:00Z"],
    [TAG.utcTime, "491231235959Z", "2049-12-31T23:59:59Z"],
    [TAG.utcTime, "000229120000Z", "2000-02-29T12:00:00Z"],
    [TAG.utcTime, "260202203428Z", "2026-02-02T20:34:28Z"],
    [TAG.generalizedTime, "20500101000000Z", "2050-01-01T00:00:00Z"],
    [TAG.generalizedTime, "24000229000000Z", "2400-02-29T00:00:00Z"],
    [TAG.generalizedTime, "99991231235959Z", "9999-12-31T23:59:59Z"],
  ])("tag %i, %s is %s", (tag, text, iso) => {
    expect(time(tag, text)).toBe(Date.parse(iso));
  });

  it.each([
    [TAG.utcTime, "2602022034Z"],
    [TAG.utcTime, "260202203428"],
    [TAG.utcTime, "260202203428z"],
    [TAG.utcTime, "260202203428+0000"],
    [TAG.utcTime, "2602022034 8Z"],
    [TAG.utcTime, "26020220342\u00b2Z"],
    [TAG.utcTime, "260002203428Z"],
    [TAG.utcTime, "261302203428Z"],
    [TAG.utcTime, "260200203428Z"],
    [TAG.utcTime, "260229203428Z"],
    [TAG.utcTime, "260431203428Z"],
    [TAG.utcTime, "260202243428Z"],
    [TAG.utcTime, "260202206028Z"],
    [TAG.utcTime, "260202203460Z"],
    [TAG.utcTime, "20260202203428Z"],
    [TAG.generalizedTime, "20500101000000.5Z"],
    [TAG.generalizedTime, "21000229000000Z"],
    [TAG.octetString, "260202203428Z"],
  ])("tag %i refuses %s", (tag, text) => {
    expect(codeOf(() => time(tag, text))).toBe("certificate/der");
  });

  it.each(["20260202203428Z", "20491231235959Z"])("is no GeneralizedTime at %s", (text) => {
    // RFC 5280 §4.1.2.5: good DER, and not to be written before 2050.
    expect(codeOf(() => time(TAG.generalizedTime, text))).toBe("certificate/profile");
  });

  // Reckoned by `date -u +%s`.
  it.each([
    ["20500101000000Z", 2_524_608_000],
    ["20520229235959Z", 2_592_863_999],
    ["21000228235959Z", 4_107_542_399],
    ["24000229120000Z", 13_574_606_400],
    ["99991231235959Z", 253_402_300_799],
  ])("takes %s", (text, seconds) => {
    expect(time(TAG.generalizedTime, text)).toBe(seconds * 1000);
  });
});

describe("requireWellFormed", () => {
  const code = (text: string): string | null =>
    codeOf(() => {
      requireWellFormed(new DerReader(hex(text)));
    });

  it.each([
    ["nothing", ""],
    ["a list of lists", "3007 3005 0101ff 0500"],
    ["context tags, primitive and constructed, empty too", "8000 8101aa a200 a304 02020100"],
    ["strings and times", "0400 0c0141 170d3236303130313030303030305a"],
  ])("takes %s", (_, text) => {
    expect(code(text.replaceAll(" ", ""))).toBe(null);
  });

  it.each([
    ["a BOOLEAN of 1", "0101 01"],
    ["an INTEGER with a zero too many", "0202 0000"],
    ["an OBJECT IDENTIFIER that ends early", "0602 5580"],
    ["a constructed OCTET STRING", "2403 040100"],
    ["a primitive SEQUENCE", "1000"],
    ["a primitive SET", "1100"],
    ["end-of-contents", "0000"],
    ["an empty SEQUENCE", "3000"],
    ["the same further down", "a304 3002 0101"],
    ["a length beyond its element", "3004 020101"],
    ["nine levels", nested(9)],
  ])("refuses %s", (_, text) => {
    expect(code(text.replaceAll(" ", ""))).toBe("certificate/der");
  });
});

function nested(depth: number): string {
  let bytes = hex("020101");
  for (let i = 0; i < depth; i++) bytes = tlv(TAG.sequence, bytes);
  return Buffer.from(bytes).toString("hex");
}
