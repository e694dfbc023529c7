import { createHash, createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { webPrimitives } from "@countersign/protocol/web";
import { codeOf, hex, native, noble, providers, web } from "./support.ts";

const plain = (buffer: Buffer): Uint8Array => new Uint8Array(buffer);

describe("primitives", () => {
  for (const [name, p] of providers) {
    it(`${name}: HMAC-SHA-256 for keys below, at and above one block`, async () => {
      for (const length of [0, 1, 31, 32, 63, 64, 65, 1152]) {
        const key = new Uint8Array(length).fill(0xa5);
        for (const size of [0, 1, 55, 64, 1000]) {
          const bytes = new Uint8Array(size).fill(3);
          const wanted = plain(createHmac("sha256", key).update(bytes).digest());
          expect(await p.hmacSha256(key, bytes)).toEqual(wanted);
        }
      }
    });

    it(`${name}: SHA-256, SHA3-256, SHAKE256`, async () => {
      const bytes = new Uint8Array(300).fill(7);
      expect(await p.sha256(bytes)).toEqual(plain(createHash("sha256").update(bytes).digest()));
      expect(await p.sha3_256(bytes)).toEqual(plain(createHash("sha3-256").update(bytes).digest()));
      const shake = createHash("shake256", { outputLength: 96 }).update(bytes).digest();
      expect(await p.shake256(bytes, 96)).toEqual(plain(shake));
    });

    it(`${name}: gives plain arrays, of which slice() is a copy`, async () => {
      const key = await p.x25519(new Uint8Array(32).fill(1));
      const aead = await p.aesGcm(new Uint8Array(32));
      const sealed = await aead.seal(new Uint8Array(12), new Uint8Array(0), new Uint8Array(3));
      const mlkem = await p.mlkem768.key(new Uint8Array(64));
      const sent = await p.mlkem768.encapsulate(mlkem.publicKey);
      const outputs = [
        p.random(8),
        await p.sha256(sealed),
        await p.hmacSha256(sealed, sealed),
        await p.sha3_256(sealed),
        await p.shake256(sealed, 9),
        key.publicKey,
        await key.agree((await p.x25519(new Uint8Array(32).fill(2))).publicKey),
        sealed,
        await aead.open(new Uint8Array(12), new Uint8Array(0), sealed),
        mlkem.publicKey,
        sent?.ciphertext,
        sent?.sharedSecret,
      ];
      for (const output of outputs) expect(output?.constructor).toBe(Uint8Array);
    });

    it(`${name}: encapsulates to the key it is given, whichever came before`, async () => {
      const seeds = [1, 2].map((byte) => new Uint8Array(64).fill(byte));
      const keys = await Promise.all(seeds.map((seed) => p.mlkem768.key(seed)));
      // One array for both keys: what it held before must not count.
      const given = new Uint8Array(1184);
      for (const key of [...keys, ...keys]) {
        given.set(key.publicKey);
        const sent = await p.mlkem768.encapsulate(given);
        expect(sent?.sharedSecret).toEqual(await key.decapsulate(sent?.ciphertext ?? given));
      }
    });

    it(`${name}: an AEAD outlives the key bytes it was made of`, async () => {
      const key = new Uint8Array(32).fill(9);
      const aead = await p.aesGcm(key);
      key.fill(0);
      const sealed = await aead.seal(new Uint8Array(12), new Uint8Array(0), new Uint8Array(3));
      const other = await native.aesGcm(new Uint8Array(32).fill(9));
      const opened = await other.open(new Uint8Array(12), new Uint8Array(0), sealed);
      expect(opened).toEqual(new Uint8Array(3));
    });
  }

  it("RFC 7748 §6.1, X25519", async () => {
    for (const p of [native, web]) {
      const alice = await p.x25519(hex(ALICE));
      expect(alice.publicKey).toEqual(hex(ALICE_PUBLIC));
      expect(await alice.agree(hex(BOB_PUBLIC))).toEqual(hex(SHARED));
    }
  });

  it("without ML-KEM anywhere, it says so", async () => {
    const { mlkem768 } = webPrimitives({ mlkem768: null });
    // This Node has ML-KEM in WebCrypto; a runtime without it has no encapsulateBits.
    const prototype: unknown = Object.getPrototypeOf(crypto.subtle);
    const own = Object.getOwnPropertyDescriptor(prototype, "encapsulateBits");
    Object.defineProperty(crypto.subtle, "encapsulateBits", {
      value: undefined,
      configurable: true,
    });
    try {
      expect(own).toBeDefined();
      expect(await codeOf(() => mlkem768.key(new Uint8Array(64)))).toBe("hpke/key");
      const selected = webPrimitives({ mlkem768: noble.mlkem768 }).mlkem768;
      const key = await selected.key(new Uint8Array(64));
      expect(key.publicKey).toEqual((await noble.mlkem768.key(new Uint8Array(64))).publicKey);
    } finally {
      Reflect.deleteProperty(crypto.subtle, "encapsulateBits");
    }
  });
});

const ALICE = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
const ALICE_PUBLIC = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
const BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
const SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
