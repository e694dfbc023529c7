import { beforeAll, describe, expect, it, vi } from "vitest";
import {
  type AttestationErrorCode,
  encodeCbor,
  EvidenceCache,
  type VerifiedEvidence,
  verifyEvidence,
} from "@countersign/attestation";
import {
  bitStringSignature,
  type Changes,
  documentFields,
  FAKE_NOW_MS,
  publicKeyInfo,
  rootOf,
  signDocument,
  signerAt,
  utcTime,
  tlv,
  writeChain,
} from "../../fakes/nitro.ts";
import { codeOfAsync } from "./refused.ts";

const LENGTH = 5;
let chain: readonly Uint8Array[] = [];
let roots: readonly Uint8Array[] = [];

beforeAll(async () => {
  chain = await writeChain(LENGTH);
  roots = [await rootOf(chain)];
});

async function document(timestamp: number, ders = chain): Promise<Uint8Array> {
  const fields = documentFields(ders).set("timestamp", timestamp);
  return signDocument(encodeCbor(fields), await signerAt(LENGTH - 1));
}

/** How many signatures were verified meanwhile. */
async function countingVerifications(run: () => Promise<unknown>): Promise<number> {
  const spy = vi.spyOn(crypto.subtle, "verify");
  try {
    await run();
    return spy.mock.calls.length;
  } finally {
    spy.mockRestore();
  }
}

describe("EvidenceCache", () => {
  it("spares the signatures that were verified before, and no others", async () => {
    const cache = new EvidenceCache();
    const [first, second] = [await document(FAKE_NOW_MS), await document(FAKE_NOW_MS + 1)];
    const verify = (bytes: Uint8Array): Promise<VerifiedEvidence> =>
      verifyEvidence(bytes, { roots }, FAKE_NOW_MS, cache);
    expect(await countingVerifications(() => verify(first))).toBe(LENGTH);
    // The same document: nothing. Another under the same chain: its own signature.
    expect(await countingVerifications(() => verify(first))).toBe(0);
    expect(await countingVerifications(() => verify(second))).toBe(1);
    // Another leaf: its signature, and the document's.
    const sibling = await writeLike(chain, {
      [LENGTH - 1]: { serial: tlv(0x02, Uint8Array.of(9)) },
    });
    const third = await document(FAKE_NOW_MS, sibling);
    expect(await countingVerifications(() => verify(third))).toBe(2);
  });

  it("gives what verification without it gives", async () => {
    const cache = new EvidenceCache();
    const bytes = await document(FAKE_NOW_MS);
    const fresh = await verifyEvidence(bytes, { roots }, FAKE_NOW_MS);
    for (let round = 0; round < 3; round++) {
      expect(await verifyEvidence(bytes, { roots }, FAKE_NOW_MS, cache)).toEqual(fresh);
    }
    // With tag 18 it is another input of the same content.
    const tagged = new Uint8Array([0xd2, ...bytes]);
    expect(await verifyEvidence(tagged, { roots }, FAKE_NOW_MS, cache)).toEqual(fresh);
  });

  it("judges roots and times anew", async () => {
    const cache = new EvidenceCache();
    const bytes = await document(FAKE_NOW_MS);
    const codeAt = (atMs: number, pinned = roots): Promise<AttestationErrorCode | null> =>
      codeOfAsync(() => verifyEvidence(bytes, { roots: pinned }, atMs, cache));
    expect(await codeAt(FAKE_NOW_MS)).toBe(null);
    expect(await codeAt(Date.UTC(2028, 0))).toBe(null);
    expect(await codeAt(Date.UTC(2028, 0) + 1)).toBe("chain/validity");
    expect(await codeAt(Date.UTC(2026, 0) - 1)).toBe("chain/validity");
    expect(await codeAt(Number.NaN)).toBe("chain/validity");
    expect(await codeAt(FAKE_NOW_MS, [])).toBe("chain/root");
    expect(await codeAt(FAKE_NOW_MS, [new Uint8Array(32)])).toBe("chain/root");
  });

  it("does not let a known certificate vouch for a changed one", async () => {
    const cache = new EvidenceCache();
    await verifyEvidence(await document(FAKE_NOW_MS), { roots }, FAKE_NOW_MS, cache);
    const longer = tlv(0x30, utcTime("260101000000Z"), utcTime("290101000000Z"));
    for (let index = 1; index < LENGTH; index++) {
      // The signature of the known certificate, over other contents.
      const known = signatureOf(chain[index]);
      const forged = await writeLike(chain, {
        [index]: { validity: longer, signature: () => known },
      });
      const bytes = await document(FAKE_NOW_MS, forged);
      const judged = codeOfAsync(() => verifyEvidence(bytes, { roots }, FAKE_NOW_MS, cache));
      expect(await judged, `certificate ${index}`).toBe("chain/signature");
    }
    const known = await document(FAKE_NOW_MS);
    await verifyEvidence(known, { roots }, FAKE_NOW_MS, cache);
    const other = await document(FAKE_NOW_MS + 5);
    const spliced = new Uint8Array([...other.subarray(0, -96), ...known.subarray(-96)]);
    const judged = codeOfAsync(() => verifyEvidence(spliced, { roots }, FAKE_NOW_MS, cache));
    expect(await judged).toBe("cose/signature");
  });

  it("does not let one issuer's certificate stand under another of the same name", async () => {
    const cache = new EvidenceCache();
    await verifyEvidence(await document(FAKE_NOW_MS), { roots }, FAKE_NOW_MS, cache);
    const { point } = await signerAt(7);
    const impostor = await writeLike(chain, { 2: { publicKey: publicKeyInfo(point) } });
    const bytes = await document(FAKE_NOW_MS, impostor);
    const judged = codeOfAsync(() => verifyEvidence(bytes, { roots }, FAKE_NOW_MS, cache));
    expect(await judged).toBe("chain/signature");
  });

  it("remembers nothing that was refused", async () => {
    const cache = new EvidenceCache();
    const damaged = (raw: Uint8Array): Uint8Array =>
      bitStringSignature(raw.map((byte, at) => (at === 40 ? byte ^ 1 : byte)));
    const broken = await writeLike(chain, { 3: { signature: damaged } });
    const bytes = await document(FAKE_NOW_MS, broken);
    for (let round = 0; round < 2; round++) {
      const count = await countingVerifications(async () => {
        const judged = codeOfAsync(() => verifyEvidence(bytes, { roots }, FAKE_NOW_MS, cache));
        expect(await judged).toBe("chain/signature");
      });
      expect(count).toBe(LENGTH);
    }
  });

  it("takes no other signature for a known document's, whichever byte is changed", async () => {
    const cache = new EvidenceCache();
    const known = await document(FAKE_NOW_MS);
    await verifyEvidence(known, { roots }, FAKE_NOW_MS, cache);
    for (let back = 1; back <= 96; back++) {
      const forged = known.slice();
      const at = forged.length - back;
      forged[at] = (forged[at] ?? 0) ^ 1;
      const judged = codeOfAsync(() => verifyEvidence(forged, { roots }, FAKE_NOW_MS, cache));
      expect(await judged, `byte ${at}`).toMatch(/^cose\/signature/u);
    }
  });

  it("keeps its roots, whatever a caller does with what it was given", async () => {
    const cache = new EvidenceCache();
    const first = await verifyEvidence(await document(1), { roots }, FAKE_NOW_MS, cache);
    first.rootDigest.fill(7);
    const bytes = await document(2);
    const under = (root: Uint8Array): Promise<AttestationErrorCode | null> =>
      codeOfAsync(() => verifyEvidence(bytes, { roots: [root] }, FAKE_NOW_MS, cache));
    expect(await under(new Uint8Array(32).fill(7))).toBe("chain/root");
    expect(await under(await rootOf(chain))).toBe(null);
  });

  it("hands out copies: what a caller changes in one changes no other", async () => {
    const cache = new EvidenceCache();
    const bytes = await document(FAKE_NOW_MS);
    const fresh = await verifyEvidence(bytes, { roots }, FAKE_NOW_MS);
    for (let round = 0; round < 3; round++) {
      const verified = await verifyEvidence(bytes, { roots }, FAKE_NOW_MS, cache);
      expect(verified).toEqual(fresh);
      for (const part of [verified.payload, verified.signature, verified.certificate]) part.fill(0);
      for (const der of verified.cabundle) der.fill(0);
      for (const register of verified.pcrs.values()) register.fill(7);
      verified.rootDigest.fill(0);
      Object.assign(verified.chainValidity, { notAfterMs: Number.POSITIVE_INFINITY });
      Object.assign(verified.leafValidity, { notAfterMs: Number.POSITIVE_INFINITY });
    }
  });

  it("forgets the least recently used, and never grows beyond its bound", async () => {
    const cache = new EvidenceCache();
    const documents: Uint8Array[] = [];
    for (let i = 0; i < 130; i++) documents.push(await document(FAKE_NOW_MS + i));
    const verify = (bytes: Uint8Array): Promise<VerifiedEvidence> =>
      verifyEvidence(bytes, { roots }, FAKE_NOW_MS, cache);
    const [first, second, third] = documents;
    if (first === undefined || second === undefined || third === undefined)
      throw new TypeError("too few");
    for (const bytes of documents.slice(0, 128)) await verify(bytes);
    expect(await countingVerifications(() => verify(first))).toBe(0);
    for (const bytes of documents.slice(128)) await verify(bytes);
    // The first was used after the second and the third, which had to go.
    expect(await countingVerifications(() => verify(first))).toBe(0);
    expect(await countingVerifications(() => verify(second))).toBe(1);
    expect(await countingVerifications(() => verify(third))).toBe(1);
  });
});

/** `chain` with certificates written anew from the first change on; those before stay as they are. */
async function writeLike(like: readonly Uint8Array[], changes: Changes): Promise<Uint8Array[]> {
  const first = Math.min(...Object.keys(changes).map(Number));
  const written = await writeChain(LENGTH, changes);
  return [...like.slice(0, first), ...written.slice(first)];
}

/** The BIT STRING at a certificate's end. */
function signatureOf(der: Uint8Array | undefined): Uint8Array {
  if (der === undefined) throw new TypeError("no certificate");
  for (let at = der.length - 108; at < der.length - 90; at++) {
    if (der[at] === 0x03 && at + 2 + (der[at + 1] ?? 0) === der.length) return der.slice(at);
  }
  throw new TypeError("no signature at the end of a certificate");
}
