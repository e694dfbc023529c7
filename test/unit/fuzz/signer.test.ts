import { createPublicKey, verify } from "node:crypto";
import { describe, expect, it } from "vitest";
import { makeLab } from "../../fuzz/lab.ts";
import { type Curve, labKey, labScalar, twin } from "../../fuzz/signer.ts";

const CURVES: readonly (readonly [Curve, "sha256" | "sha384", number])[] = [
  ["P-256", "sha256", 32],
  ["P-384", "sha384", 48],
];

describe.each(CURVES)("a key on %s", (curve, hash, bytes) => {
  const key = labKey(curve, labScalar(curve, "a test"));
  const text = (from: number): string =>
    Buffer.from(key.point.subarray(from, from + bytes)).toString("base64url");
  const jwk = { kty: "EC", crv: curve, x: text(1), y: text(1 + bytes) };
  const publicKey = createPublicKey({ key: jwk, format: "jwk" });
  const accepts = (message: Uint8Array, signature: Uint8Array): boolean =>
    verify(hash, message, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);

  it("makes signatures that OpenSSL verifies, and their twins", () => {
    for (let i = 0; i < 20; i++) {
      const message = new Uint8Array(i).fill(i);
      const signature = key.signNow(message);
      expect(accepts(message, signature)).toBe(true);
      expect(twin(curve, signature)).not.toEqual(signature);
      expect(accepts(message, twin(curve, signature))).toBe(true);
      expect(accepts(Uint8Array.of(...message, 0), signature)).toBe(false);
    }
  });

  it("makes the same one again, and another one of another message", () => {
    const again = labKey(curve, labScalar(curve, "a test"));
    const message = Uint8Array.of(1, 2, 3);
    expect(again.point).toEqual(key.point);
    expect(again.signNow(message)).toEqual(key.signNow(message));
    expect(again.signNow(Uint8Array.of(3)).subarray(0, bytes)).not.toEqual(
      key.signNow(message).subarray(0, bytes),
    );
  });
});

it("the lab follows from its seed", async () => {
  const { documents, bundles, receipts, proofs } = await makeLab(1);
  const again = await makeLab(1);
  expect([again.documents, again.bundles]).toEqual([documents, bundles]);
  expect([again.receipts, again.proofs]).toEqual([receipts, proofs]);
  expect((await makeLab(2)).documents).not.toEqual(documents);
});
