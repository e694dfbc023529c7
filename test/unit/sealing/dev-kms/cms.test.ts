/** The envelopes that dev-kms writes: the form of a real one, and content that others can read. */
import { spawnSync } from "node:child_process";
import { createPublicKey, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { encodeRecipientEnvelope } from "../../../../sealing/dev-kms/cms.ts";
import { noOpenssl } from "../../../differential/openssl.ts";
import { ENCLAVE_KEY, openEnvelope } from "../../../fakes/dev-kms.ts";

/**
 * An answer of AWS KMS, published with edgebitio/nitro-enclaves-sdk-go (MIT, commit 8a5476ff3cc2,
 * crypto/cms/cms_test.go), in pieces; null stands for what differs from answer to answer.
 */
const REAL: readonly (string | { readonly bytes: number })[] = [
  "308006092a864886f70d010703a0803080020102318201" + "6b308201670201028020",
  // Its key identifier: of the public key below.
  "9631a0c659910ad5aabc1fecfc0c3e64d4c395ce9491af3a48b56694d9851803",
  "303c06092a864886f70d010107302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108",
  "300d0609608648016503040201050004820100",
  { bytes: 256 },
  "308006092a864886f70d010701301d060960864801650304012a0410",
  { bytes: 16 },
  "a0800430",
  { bytes: 48 },
  "00".repeat(10),
];
/** The public half of that sample's test key, which protects nothing. */
const REAL_KEY =
  "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwg8xlWTIwm44aLEqiA5lweHUSm2eeKwrTg3qEUhOVyGAo3eN" +
  "XRoD9wOHzjcvS8r/qfQdSdLA9p6IbSxV9LU2fXgYnT3IDhNuQ1rVkiIYqWqPWUn2izUMJmbdVFRsgWi7/keXkslZD0De" +
  "KQM1R2QsCRZnPGHU3Jo/+2b6dTg8IRoBH2cqrAPuynqBXYCC9+wNdYMQLA5vdaVzhFBASIVkMDDWlMaFgdOsISMHy9Kl" +
  "m0cXj3RE02VsHcOQ1NRLY4Ddgpb5r0LUB0nfB4HMeK9plYqkkVF5BJihoGtGmebGuMqSFNgUXflrxH152bHAZqqV+aIP" +
  "Iy2y4IdaQgP1VJrVKwIDAQAB";

const folder = mkdtempSync(join(tmpdir(), "countersign-cms-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe("an envelope", () => {
  it("has the form of AWS's, byte for byte, and names the key as AWS does", () => {
    const spki = Buffer.from(REAL_KEY, "base64");
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    const ber = encodeRecipientEnvelope(randomBytes(32), key);
    const found: (typeof REAL)[number][] = [];
    let offset = 0;
    for (const piece of REAL) {
      const bytes = typeof piece === "string" ? piece.length / 2 : piece.bytes;
      const text = Buffer.from(ber.subarray(offset, offset + bytes)).toString("hex");
      found.push(typeof piece === "string" ? text : { bytes: text.length / 2 });
      offset += bytes;
    }
    expect(found).toEqual(REAL);
    expect(ber).toHaveLength(offset);
  });

  it("is another one each time", () => {
    const plaintext = randomBytes(32);
    const made = [1, 2].map(() => encodeRecipientEnvelope(plaintext, ENCLAVE_KEY.publicKey));
    const [a = new Uint8Array(), b = new Uint8Array()] = made;
    expect(Buffer.from(a)).not.toEqual(Buffer.from(b));
    for (const ber of made) expect(openEnvelope(ber, ENCLAVE_KEY.privateKey)).toEqual(plaintext);
  });

  it.skipIf(noOpenssl()).each([0, 1, 15, 16, 32, 64, 1024])(
    "of %d bytes is opened by OpenSSL",
    (length) => {
      const plaintext = randomBytes(length);
      const [key, envelope] = [join(folder, "key.pem"), join(folder, "envelope.ber")];
      writeFileSync(key, ENCLAVE_KEY.privateKey.export({ type: "pkcs8", format: "pem" }));
      writeFileSync(envelope, encodeRecipientEnvelope(plaintext, ENCLAVE_KEY.publicKey));
      const words = ["cms", "-decrypt", "-binary", "-inform", "DER", "-in", envelope];
      const run = spawnSync("openssl", [...words, "-inkey", key]);
      expect(run.stderr.toString()).toBe("");
      expect(run.stdout).toEqual(plaintext);
    },
  );
});
