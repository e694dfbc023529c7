import { createHash } from "node:crypto";
import { concatBytes } from "@countersign/attestation";
import { generateRecipientKey, importRecipientKey, KEM_BYTES } from "@countersign/protocol";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { ml_kem768_x25519 } from "@noble/post-quantum/hybrid.js";
import { describe, expect, it } from "vitest";
import { encapsulate } from "../../../protocol/kem.ts";
import { codeOf, hex, native, noble, providers, vectors, web, withRandom } from "./support.ts";

interface XWingVector {
  readonly seed: string;
  readonly eseed: string;
  readonly ss: string;
  readonly pkStart?: string;
  readonly pkEnd?: string;
  readonly pkSha256?: string;
  readonly ctStart?: string;
  readonly ctSha256?: string;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

describe("X-Wing, draft-connolly-cfrg-xwing-kem Appendix C", () => {
  const { vectors: list } = vectors<{ readonly vectors: readonly XWingVector[] }>(
    "hpke/xwing.json",
  );
  for (const [index, vector] of list.entries()) {
    for (const [name, p] of providers) {
      it(`vector ${index}, ${name}: key, encapsulation and decapsulation`, async () => {
        const key = await importRecipientKey(p, 0x647a, hex(vector.seed));
        const pk = toHex(key.publicKey);
        expect(key.publicKey.length).toBe(1216);
        expect(pk.startsWith(vector.pkStart ?? "")).toBe(true);
        expect(pk.endsWith(vector.pkEnd ?? "")).toBe(true);
        expect(sha256(key.publicKey)).toBe(vector.pkSha256 ?? sha256(key.publicKey));
        // Encapsulation with the randomness of the vector: ML-KEM's m, then the X25519 scalar.
        const eseed = hex(vector.eseed);
        const fixed = withRandom(
          {
            ...p,
            mlkem768: {
              ...p.mlkem768,
              encapsulate(publicKey) {
                const sent = ml_kem768.encapsulate(publicKey, eseed.subarray(0, 32));
                return { sharedSecret: sent.sharedSecret, ciphertext: sent.cipherText };
              },
            },
          },
          eseed.subarray(32),
        );
        const { sharedSecret, enc } = await encapsulate(fixed, 0x647a, key.publicKey);
        expect(toHex(sharedSecret)).toBe(vector.ss);
        expect(toHex(enc).startsWith(vector.ctStart ?? "")).toBe(true);
        expect(sha256(enc)).toBe(vector.ctSha256 ?? sha256(enc));
        expect(toHex(await key.decapsulate(enc))).toBe(vector.ss);
        // An independent implementation has the same bytes throughout.
        const other = ml_kem768_x25519.keygen(hex(vector.seed));
        expect(toHex(other.publicKey)).toBe(pk);
        expect(toHex(ml_kem768_x25519.encapsulate(other.publicKey, eseed).cipherText)).toBe(
          toHex(enc),
        );
      });
    }
  }
});

describe("MLKEM768-X25519, draft-ietf-hpke-pq", () => {
  const vector = vectors<Record<string, string>>("hpke/mlkem768-x25519.json");
  for (const [name, p] of providers) {
    it(`${name}: KEM 0x647a is X-Wing`, async () => {
      const key = await importRecipientKey(p, 0x647a, hex(vector["skRm"] ?? ""));
      expect(toHex(key.publicKey).startsWith(vector["pkStart"] ?? "-")).toBe(true);
      expect(toHex(key.publicKey).endsWith(vector["pkEnd"] ?? "-")).toBe(true);
      const secret = await key.decapsulate(hex(vector["enc"] ?? ""));
      expect(toHex(secret)).toBe(vector["shared_secret"]);
    });
  }
});

describe("interoperability", () => {
  for (const kem of [0x647a, 0x0020] as const) {
    for (const [senderName, sender] of providers) {
      for (const [recipientName, recipient] of providers) {
        it(`0x${kem.toString(16)}: ${senderName} to ${recipientName}`, async () => {
          const key = await generateRecipientKey(recipient, kem);
          const { sharedSecret, enc } = await encapsulate(sender, kem, key.publicKey);
          expect(enc.length).toBe(KEM_BYTES[kem].enc);
          expect(await key.decapsulate(enc)).toEqual(sharedSecret);
        });
      }
    }
  }
});

describe("bad keys", () => {
  // RFC 7748 §6.1: u-coordinates of order 1, 2, 4 and 8, and p, p + 1, which stand for 0 and 1.
  const lowOrder = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  ].map(hex);

  for (const [name, p] of providers) {
    it(`${name}: a point of low order is refused on both sides, in both KEMs`, async () => {
      const dh = await generateRecipientKey(p, 0x0020);
      const xwing = await generateRecipientKey(p, 0x647a);
      const { enc } = await encapsulate(p, 0x647a, xwing.publicKey);
      for (const point of lowOrder) {
        expect(await codeOf(() => encapsulate(p, 0x0020, point))).toBe("hpke/key");
        expect(await codeOf(() => dh.decapsulate(point))).toBe("hpke/open");
        const badKey = concatBytes(xwing.publicKey.subarray(0, 1184), point);
        expect(await codeOf(() => encapsulate(p, 0x647a, badKey))).toBe("hpke/key");
        const badEnc = concatBytes(enc.subarray(0, 1088), point);
        expect(await codeOf(() => xwing.decapsulate(badEnc))).toBe("hpke/open");
      }
    });

    it(`${name}: lengths that are off by one`, async () => {
      for (const kem of [0x647a, 0x0020] as const) {
        const { publicKey, enc } = KEM_BYTES[kem];
        const key = await generateRecipientKey(p, kem);
        for (const delta of [-1, 1]) {
          const badKey = new Uint8Array(publicKey + delta).fill(9);
          expect(await codeOf(() => encapsulate(p, kem, badKey))).toBe("hpke/key");
          const badEnc = new Uint8Array(enc + delta).fill(9);
          expect(await codeOf(() => key.decapsulate(badEnc))).toBe("hpke/open");
          const badPrivate = new Uint8Array(32 + delta);
          expect(await codeOf(() => importRecipientKey(p, kem, badPrivate))).toBe("hpke/key");
        }
        expect(await codeOf(() => key.decapsulate(new Uint8Array(0)))).toBe("hpke/open");
      }
    });

    it(`${name}: an ML-KEM key with a coefficient out of range (FIPS 203 §7.2)`, async () => {
      const key = await generateRecipientKey(p, 0x647a);
      const bad = new Uint8Array(key.publicKey);
      bad.fill(0xff, 0, 3);
      expect(await codeOf(() => encapsulate(p, 0x647a, bad))).toBe("hpke/key");
    });

    it(`${name}: a destroyed key opens nothing`, async () => {
      for (const kem of [0x647a, 0x0020] as const) {
        const key = await generateRecipientKey(p, kem);
        const { enc } = await encapsulate(p, kem, key.publicKey);
        key.destroy();
        expect(await codeOf(() => key.decapsulate(enc))).toBe("hpke/destroyed");
      }
    });
  }

  it("the ML-KEM in JavaScript forgets its bytes", async () => {
    const key = await noble.mlkem768.key(new Uint8Array(64).fill(1));
    const sent = await noble.mlkem768.encapsulate(key.publicKey);
    if (sent === null) throw new TypeError("a good key was refused");
    expect(await key.decapsulate(sent.ciphertext)).toEqual(sent.sharedSecret);
    key.destroy();
    const after = await (async () => key.decapsulate(sent.ciphertext))().catch(() => null);
    expect(after).not.toEqual(sent.sharedSecret);
  });

  it("private bytes given out by random() are overwritten after use", async () => {
    for (const p of [native, web, noble]) {
      const handed: Uint8Array[] = [];
      const spy = {
        ...p,
        random(length: number): Uint8Array {
          const bytes = p.random(length);
          handed.push(bytes);
          return bytes;
        },
      };
      const key = await generateRecipientKey(spy, 0x647a);
      await encapsulate(spy, 0x647a, key.publicKey);
      expect(handed).toHaveLength(2);
      for (const bytes of handed) expect(bytes.every((byte) => byte === 0)).toBe(true);
    }
  });
});
