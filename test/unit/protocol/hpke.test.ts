import { concatBytes } from "@countersign/attestation";
import { importRecipientKey } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { nonceAt } from "../../../protocol/cipher.ts";
import { setupRecipient, setupSender } from "../../../protocol/hpke.ts";
import { codeOf, hex, native, providers, sharedVectors, web, withRandom } from "./support.ts";

interface HpkeVector {
  readonly mode: number;
  readonly kem_id: number;
  readonly kdf_id: number;
  readonly aead_id: number;
  readonly info: string;
  readonly skRm: string;
  readonly pkRm: string;
  readonly skEm: string;
  readonly enc: string;
  readonly encryptions: readonly {
    readonly aad: string;
    readonly ct: string;
    readonly pt: string;
  }[];
  readonly exports: readonly {
    readonly exporter_context: string;
    readonly L: number;
    readonly exported_value: string;
  }[];
}

const file = sharedVectors<readonly HpkeVector[]>("hpke/rfc9180-subset.json");

/** Base mode with the KEM, KDF and AEADs that we have; the file holds more. */
function isOurs({ mode, kem_id: kem, kdf_id: kdf, aead_id: aead }: HpkeVector): boolean {
  return mode === 0 && kem === 0x0020 && kdf === 1 && (aead === 1 || aead === 2);
}

describe("RFC 9180 Appendix A", () => {
  it.skipIf(file === null)("the vectors are here, two of them ours", () => {
    expect(file?.filter(isOurs)).toHaveLength(2);
  });

  for (const vector of file ?? []) {
    const { mode, kem_id: kem, kdf_id: kdf, aead_id: aead } = vector;
    const name = `mode ${mode}, KEM ${kem}, KDF ${kdf}, AEAD ${aead}`;
    for (const [provider, p] of [
      ["native", native],
      ["web", web],
    ] as const) {
      it.skipIf(!isOurs(vector))(`${name}: ${provider} seals`, async () => {
        const fixed = withRandom(p, hex(vector.skEm));
        const id = aead === 1 ? 1 : 2;
        const sender = await setupSender(fixed, 0x0020, id, hex(vector.pkRm), hex(vector.info));
        expect(sender.enc).toEqual(hex(vector.enc));
        for (const { aad, ct, pt } of vector.encryptions) {
          expect(await sender.sealer.seal(hex(aad), hex(pt))).toEqual(hex(ct));
        }
        for (const { exporter_context: context, L, exported_value: value } of vector.exports) {
          expect(await sender.export(hex(context), L)).toEqual(hex(value));
        }
      });

      it.skipIf(!isOurs(vector))(`${name}: ${provider} opens`, async () => {
        const id = aead === 1 ? 1 : 2;
        const key = await importRecipientKey(p, 0x0020, hex(vector.skRm));
        expect(key.publicKey).toEqual(hex(vector.pkRm));
        const recipient = await setupRecipient(p, key, id, hex(vector.enc), hex(vector.info));
        for (const { aad, ct, pt } of vector.encryptions) {
          expect(await recipient.opener.open(hex(aad), hex(ct))).toEqual(hex(pt));
        }
        for (const { exporter_context: context, L, exported_value: value } of vector.exports) {
          expect(await recipient.export(hex(context), L)).toEqual(hex(value));
        }
      });
    }
  }
});

describe("nonces, RFC 9180 §5.2", () => {
  const base = hex("0102030405060708fffefdfc");

  it("is the base XOR the counter, and the base is left alone", () => {
    expect(nonceAt(base, 0)).toEqual(base);
    expect(nonceAt(base, 1)).toEqual(hex("0102030405060708fffefdfd"));
    expect(nonceAt(base, 2 ** 32 - 1)).toEqual(hex("010203040506070800010203"));
    expect(base).toEqual(hex("0102030405060708fffefdfc"));
  });

  it("never wraps", async () => {
    for (const counter of [2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) {
      expect(await codeOf(() => nonceAt(base, counter))).toBe("hpke/exhausted");
    }
  });
});

describe("contexts", () => {
  for (const [provider, p] of providers) {
    it(`${provider}: of different info, used in turn, are different`, async () => {
      const key = await importRecipientKey(p, 0x0020, new Uint8Array(32).fill(1));
      const infos = [1, 2, 1, 2].map((byte) => new Uint8Array(9).fill(byte));
      const label = new Uint8Array(3);
      const secrets = [];
      for (const info of infos) {
        const sender = await setupSender(
          withRandom(p, new Uint8Array(32).fill(7)),
          0x0020,
          2,
          key.publicKey,
          info,
        );
        const recipient = await setupRecipient(p, key, 2, sender.enc, info);
        const secret = await sender.export(label, 32);
        expect(await recipient.export(label, 32)).toEqual(secret);
        secrets.push(secret);
      }
      expect(secrets[2]).toEqual(secrets[0]);
      expect(secrets[3]).toEqual(secrets[1]);
      expect(secrets[1]).not.toEqual(secrets[0]);
    });
  }

  const none = new Uint8Array(0);
  const text = new Uint8Array([1, 2, 3]);

  for (const [name, p] of providers) {
    it(`${name}: concurrent seals never share a nonce, and open in the order of the calls`, async () => {
      const key = await importRecipientKey(p, 0x0020, new Uint8Array(32).fill(5));
      const sender = await setupSender(p, 0x0020, 2, key.publicKey, none);
      const sealed = await Promise.all(
        Array.from({ length: 20 }, (_, i) => sender.sealer.seal(none, Uint8Array.of(i))),
      );
      const recipient = await setupRecipient(p, key, 2, sender.enc, none);
      for (const [i, ct] of sealed.entries()) {
        expect(await recipient.opener.open(none, ct)).toEqual(Uint8Array.of(i));
      }
      expect(new Set(sealed.map((ct) => Buffer.from(ct).toString("hex"))).size).toBe(20);
    });

    it(`${name}: whatever is wrong, the failure is the same, and nothing opens after it`, async () => {
      const key = await importRecipientKey(p, 0x0020, new Uint8Array(32).fill(5));
      const sender = await setupSender(p, 0x0020, 2, key.publicKey, none);
      const first = await sender.sealer.seal(none, text);
      const second = await sender.sealer.seal(none, text);
      const flipped = new Uint8Array(first);
      flipped[0] = (flipped[0] ?? 0) ^ 1;
      const attempts = [
        [none, flipped],
        [none, first.subarray(0, 15)],
        [none, none],
        [none, second],
        [text, first],
        [none, concatBytes(first, Uint8Array.of(0))],
      ] as const;
      const messages = new Set<string>();
      for (const [aad, ct] of attempts) {
        const recipient = await setupRecipient(p, key, 2, sender.enc, none);
        expect(await codeOf(() => recipient.opener.open(aad, ct))).toBe("hpke/open");
        await recipient.opener.open(none, second).catch((e: unknown) => messages.add(String(e)));
      }
      expect([...messages]).toEqual(["ProtocolError: hpke/open: cannot decrypt"]);
    });
  }
});
