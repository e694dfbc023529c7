import { concatBytes } from "@countersign/attestation";
import { encodeKeyConfig, type KeyConfig, parseKeyConfig } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { codeOf, hex } from "./support.ts";

const X25519 = "31e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e798155";

describe("key configurations, RFC 9458 §3.1", () => {
  const configs: readonly KeyConfig[] = [
    { keyId: 1, kem: 0x0020, publicKey: hex(X25519), kdf: 1, aead: 1 },
    { keyId: 255, kem: 0x647a, publicKey: new Uint8Array(1216).fill(3), kdf: 1, aead: 2 },
  ];

  it("is what the RFC's example is, with one suite of its two", () => {
    const [first] = configs;
    if (first === undefined) throw new TypeError("no configuration");
    expect(encodeKeyConfig(first)).toEqual(hex(`010020${X25519}000400010001`));
  });

  for (const config of configs) {
    it(`0x${config.kem.toString(16)}: parses what it encodes, at every length refuses less`, async () => {
      const bytes = encodeKeyConfig(config);
      expect(parseKeyConfig(bytes)).toEqual(config);
      for (let end = 0; end < bytes.length; end++) {
        expect(await codeOf(() => parseKeyConfig(bytes.subarray(0, end)))).toBe("ohttp/key-config");
      }
      const longer = concatBytes(bytes, Uint8Array.of(0));
      expect(await codeOf(() => parseKeyConfig(longer))).toBe("ohttp/key-config");
    });
  }

  it("copies the key, from a Buffer too", () => {
    const bytes = Buffer.from(hex(`010020${X25519}000400010001`));
    const { publicKey } = parseKeyConfig(bytes);
    bytes.fill(0);
    expect(publicKey).toEqual(hex(X25519));
    expect(publicKey.constructor).toBe(Uint8Array);
  });

  it("refuses two suites, none, and unknown algorithms", async () => {
    const refused = [
      // RFC 9458 Appendix A, whole: two symmetric suites.
      `010020${X25519}00080001000100010003`,
      `010020${X25519}0000`,
      `010020${X25519}000800010001`,
      `010020${X25519}000400020001`,
      `010020${X25519}000400010003`,
      `010020${X25519}00040001ffff`,
      `010010${X25519}000400010001`,
      `010000${X25519}000400010001`,
    ];
    for (const text of refused) {
      expect(await codeOf(() => parseKeyConfig(hex(text)))).toBe("ohttp/key-config");
    }
  });

  it("refuses to encode a key or an id that does not fit", async () => {
    const [config] = configs;
    if (config === undefined) throw new TypeError("no configuration");
    for (const keyId of [-1, 256, 1.5, Number.NaN]) {
      expect(await codeOf(() => encodeKeyConfig({ ...config, keyId }))).toBe("ohttp/key-config");
    }
    const publicKey = new Uint8Array(31);
    expect(await codeOf(() => encodeKeyConfig({ ...config, publicKey }))).toBe("ohttp/key-config");
  });
});
