import {
  type AttestationErrorCode,
  type CborKey,
  type CborValue,
  concatBytes,
  debugMode,
  encodeCbor,
  type Evidence,
  MAX_EVIDENCE_BYTES,
  parseEvidence,
  parseMeasurement,
  verifyEvidence,
} from "@countersign/attestation";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import {
  bitStringSignature,
  type Changes,
  documentFields,
  FAKE_NOW_MS,
  hex,
  MODULE_ID,
  name,
  publicKeyInfo,
  rootOf,
  signDocument,
  signerAt,
  writeChain,
} from "../../fakes/nitro.ts";
import { codeOf, codeOfAsync } from "./refused.ts";

type Fields = Map<CborKey, CborValue>;

let chain: readonly Uint8Array[] = [];
let root: Uint8Array = new Uint8Array();
beforeAll(async () => {
  chain = await writeChain(5);
  root = await rootOf(chain);
});

async function sign(payload: Uint8Array): Promise<Uint8Array> {
  return signDocument(payload, await signerAt(4));
}

/** A signed document with changed fields, in deterministic order, which a vendor may use. */
async function document(change: (fields: Fields) => void = () => undefined): Promise<Uint8Array> {
  const fields = documentFields(chain);
  change(fields);
  return sign(encodeCbor(fields));
}

async function refusal(change: (fields: Fields) => void): Promise<AttestationErrorCode | null> {
  const bytes = await document(change);
  return codeOf(() => parseEvidence(bytes));
}

async function verdict(
  bytes: Uint8Array,
  roots: readonly Uint8Array[] = [root],
): Promise<AttestationErrorCode | null> {
  return codeOfAsync(async () => verifyEvidence(bytes, { roots }, FAKE_NOW_MS));
}

describe("parseEvidence", () => {
  it("reads a document", async () => {
    const bytes = await document((fields) => {
      fields.set("public_key", new Uint8Array(1024)).set("user_data", new Uint8Array());
    });
    const evidence = parseEvidence(bytes);
    expect(evidence).toMatchObject({
      moduleId: MODULE_ID,
      timestampMs: FAKE_NOW_MS,
      certificate: chain[4],
      cabundle: chain.slice(0, 4),
      publicKey: new Uint8Array(1024),
      userData: new Uint8Array(),
      nonce: null,
    });
    expect([...evidence.pcrs.keys()]).toEqual(Array.from({ length: 16 }, (_, i) => i));
    expect(evidence.signature).toHaveLength(96);
  });

  it("copies its input, a Node Buffer too", async () => {
    const bytes = Buffer.from(await document((fields) => fields.set("nonce", hex("aabb"))));
    const evidence = parseEvidence(bytes);
    bytes.fill(0);
    expect(evidence.nonce).toEqual(hex("aabb"));
  });

  const pcrs = (fields: Fields): Fields => {
    const value = fields.get("pcrs");
    if (!(value instanceof Map)) throw new TypeError("no registers to change");
    return value;
  };
  const refused: readonly (readonly [string, AttestationErrorCode | null, (f: Fields) => void])[] =
    [
      ["an unknown field", "evidence/structure", (f) => f.set("extra", 1)],
      ["an integer key", "evidence/structure", (f) => f.set(1, 1)],
      [
        "a NitroTPM document",
        "evidence/platform",
        (f) => f.set("nitrotpm_pcrs", f.get("pcrs") ?? null).delete("pcrs"),
      ],
      [
        "registers of both kinds",
        "evidence/platform",
        (f) => f.set("nitrotpm_pcrs", f.get("pcrs") ?? null),
      ],
      ["no module id", "evidence/field", (f) => f.delete("module_id")],
      ["an empty module id", "evidence/field", (f) => f.set("module_id", "")],
      ["a module id with a dot", "evidence/field", (f) => f.set("module_id", "i-0123.aws")],
      ["a module id with a line end", "evidence/field", (f) => f.set("module_id", "i-0123\n")],
      ["a module id of 65 characters", "evidence/field", (f) => f.set("module_id", "a".repeat(65))],
      ["a module id in bytes", "evidence/field", (f) => f.set("module_id", hex("41"))],
      ["no digest", "evidence/field", (f) => f.delete("digest")],
      ["digest SHA256", "evidence/field", (f) => f.set("digest", "SHA256")],
      ["digest in lower case", "evidence/field", (f) => f.set("digest", "sha384")],
      ["no timestamp", "evidence/field", (f) => f.delete("timestamp")],
      ["timestamp 0", "evidence/field", (f) => f.set("timestamp", 0)],
      ["a negative timestamp", "evidence/field", (f) => f.set("timestamp", -1)],
      ["a timestamp beyond 53 bits", "evidence/field", (f) => f.set("timestamp", 2n ** 60n)],
      ["a timestamp in text", "evidence/field", (f) => f.set("timestamp", "1")],
      ["no registers", "evidence/pcrs", (f) => f.delete("pcrs")],
      ["a list of registers", "evidence/pcrs", (f) => f.set("pcrs", [])],
      ["an empty map of registers", "evidence/pcrs", (f) => f.set("pcrs", new Map())],
      ["a missing PCR2", "evidence/pcrs", (f) => pcrs(f).delete(2)],
      ["PCR31", null, (f) => pcrs(f).set(31, new Uint8Array(48))],
      ["PCR32", "evidence/pcrs", (f) => pcrs(f).set(32, new Uint8Array(48))],
      ["PCR-1", "evidence/pcrs", (f) => pcrs(f).set(-1, new Uint8Array(48))],
      ["a register in text", "evidence/pcrs", (f) => pcrs(f).set("0", new Uint8Array(48))],
      ["a register of 47 bytes", "evidence/pcrs", (f) => pcrs(f).set(0, new Uint8Array(47))],
      ["a register of 32 bytes", "evidence/pcrs", (f) => pcrs(f).set(5, new Uint8Array(32))],
      ["a register of 64 bytes", "evidence/pcrs", (f) => pcrs(f).set(5, new Uint8Array(64))],
      ["a null register", "evidence/pcrs", (f) => pcrs(f).set(5, null)],
      ["no certificate", "evidence/field", (f) => f.delete("certificate")],
      ["an empty certificate", "evidence/field", (f) => f.set("certificate", new Uint8Array())],
      [
        "a certificate of 1025 bytes",
        "evidence/field",
        (f) => f.set("certificate", new Uint8Array(1025)),
      ],
      ["no bundle", "evidence/field", (f) => f.delete("cabundle")],
      ["a bundle that is bytes", "evidence/field", (f) => f.set("cabundle", new Uint8Array(9))],
      [
        "a bundle with an empty certificate",
        "evidence/field",
        (f) => f.set("cabundle", [new Uint8Array()]),
      ],
      ["a bundle with text", "evidence/field", (f) => f.set("cabundle", ["a"])],
      [
        "public_key of 1025 bytes",
        "evidence/field",
        (f) => f.set("public_key", new Uint8Array(1025)),
      ],
      [
        "user_data of 1025 bytes",
        "evidence/field",
        (f) => f.set("user_data", new Uint8Array(1025)),
      ],
      ["nonce of 1025 bytes", "evidence/field", (f) => f.set("nonce", new Uint8Array(1025))],
      ["nonce in text", "evidence/field", (f) => f.set("nonce", "a")],
      ["nonce false", "evidence/field", (f) => f.set("nonce", false)],
      [
        "optional fields left out",
        null,
        (f) => ["public_key", "user_data", "nonce"].forEach((k) => f.delete(k)),
      ],
      ["a deeper register", "cbor/too-deep", (f) => pcrs(f).set(5, [[0]])],
    ];
  it.each(refused)("%s: %s", async (_, code, change) => {
    expect(await refusal(change)).toBe(code);
  });

  it("takes the payload map in any order and, outermost, of indefinite length", async () => {
    const fields = [...documentFields(chain)];
    const body = (order: typeof fields): Uint8Array =>
      concatBytes(...order.flatMap(([k, v]) => [encodeCbor(k), encodeCbor(v)]));
    for (const order of [fields, fields.toReversed()]) {
      const definite = concatBytes(Uint8Array.of(0xa9), body(order));
      const indefinite = concatBytes(Uint8Array.of(0xbf), body(order), Uint8Array.of(0xff));
      expect(await verdict(await sign(definite))).toBe(null);
      expect(await verdict(await sign(indefinite))).toBe(null);
      const open = concatBytes(Uint8Array.of(0xbf), body(order));
      expect(await verdict(await sign(open))).toBe("cbor/truncated");
      const after = concatBytes(indefinite, Uint8Array.of(0));
      expect(await verdict(await sign(after))).toBe("cbor/trailing");
      const twice = concatBytes(Uint8Array.of(0xaa), body(order), body(order.slice(0, 1)));
      expect(await verdict(await sign(twice))).toBe("cbor/duplicate-key");
    }
    const registers = encodeCbor(documentFields(chain).get("pcrs") ?? null);
    const open = concatBytes(Uint8Array.of(0xbf), registers.subarray(1), Uint8Array.of(0xff));
    const parts = fields.map(([k, v]) =>
      concatBytes(encodeCbor(k), k === "pcrs" ? open : encodeCbor(v)),
    );
    const inner = concatBytes(Uint8Array.of(0xa9), ...parts);
    expect(await verdict(await sign(inner))).toBe("cbor/indefinite");
  });

  it("refuses bombs at once", async () => {
    const started = performance.now();
    const bombs = [
      hex("81".repeat(8000)),
      hex("a161".repeat(4000)),
      hex("bf".repeat(8000)),
      hex("9bffffffffffffffff"),
      hex("bb001fffffffffffff"),
      hex("bf6a6d6f64756c655f69645bffffffffffffffff"),
      hex(`bf6470637273b90fff${"1818f6".repeat(4095)}ff`),
    ];
    for (const bomb of bombs) {
      const bytes = await sign(bomb);
      expect(codeOf(() => parseEvidence(bytes))).toMatch(/^cbor\//u);
      expect(codeOf(() => parseEvidence(bomb))).toMatch(/^cbor\/|^cose\/structure$/u);
    }
    expect(codeOf(() => parseEvidence(new Uint8Array(MAX_EVIDENCE_BYTES + 1)))).toBe(
      "cbor/too-large",
    );
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it("any bytes give evidence or a refusal", async () => {
    const genuine = await document();
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc
            .tuple(fc.nat(genuine.length), fc.uint8Array({ maxLength: 3 }))
            .map(([at, insert]) =>
              concatBytes(genuine.subarray(0, at), insert, genuine.subarray(at + 1)),
            ),
        ),
        (bytes) => {
          // codeOf rethrows what is not our error.
          const code = codeOf(() => parseEvidence(bytes));
          expect(code ?? "evidence/").toMatch(/^(?:cbor|cose|evidence)\//u);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("verifyEvidence", () => {
  it("gives what was verified, of chains of every length", async () => {
    for (const length of [2, 5, 8]) {
      const ders = await writeChain(length);
      const bytes = await signDocument(
        encodeCbor(documentFields(ders)),
        await signerAt(length - 1),
      );
      const pinned = await rootOf(ders);
      const verified = await verifyEvidence(bytes, { roots: [pinned] }, FAKE_NOW_MS);
      expect(verified).toMatchObject({
        moduleId: MODULE_ID,
        rootDigest: pinned,
        leafValidity: { notBeforeMs: Date.UTC(2026, 0), notAfterMs: Date.UTC(2028, 0) },
        chainValidity: { notBeforeMs: Date.UTC(2026, 0), notAfterMs: Date.UTC(2028, 0) },
      });
    }
  });

  it("takes tag 18, which AWS leaves out", async () => {
    expect(await verdict(concatBytes(Uint8Array.of(0xd2), await document()))).toBe(null);
  });

  it("refuses an empty bundle, a long one, another root", async () => {
    expect(await verdict(await document((f) => f.set("cabundle", [])))).toBe("chain/length");
    const eight = Array.from({ length: 8 }, () => chain[0] ?? new Uint8Array());
    expect(await verdict(await document((f) => f.set("cabundle", eight)))).toBe("chain/length");
    expect(await verdict(await document(), [new Uint8Array(32)])).toBe("chain/root");
    expect(await verdict(await document(), [])).toBe("chain/root");
  });

  it("refuses another signer, another payload, a signature in the other order", async () => {
    const payload = encodeCbor(documentFields(chain));
    expect(await verdict(await signDocument(payload, await signerAt(3)))).toBe("cose/signature");
    const { signature } = parseEvidence(await sign(payload));
    const envelope = (bytes: Uint8Array, value: Uint8Array): Uint8Array =>
      encodeCbor([hex("a1013822"), new Map(), bytes, value]);
    expect(await verdict(envelope(payload, signature))).toBe(null);
    const other = encodeCbor(documentFields(chain).set("timestamp", FAKE_NOW_MS + 1));
    expect(await verdict(envelope(other, signature))).toBe("cose/signature");
    const swapped = concatBytes(signature.subarray(48), signature.subarray(0, 48));
    expect(await verdict(envelope(payload, swapped))).toBe("cose/signature");
  });

  async function withChain(changes: Changes): Promise<AttestationErrorCode | null> {
    const ders = await writeChain(5, changes);
    const bytes = await signDocument(encodeCbor(documentFields(ders)), await signerAt(4));
    return verdict(bytes, [await rootOf(ders)]);
  }

  it.each([1, 2, 3, 4])("refuses a chain in which certificate %i is not signed", async (index) => {
    const damaged = (raw: Uint8Array): Uint8Array =>
      bitStringSignature(raw.map((byte, at) => (at === 40 ? byte ^ 1 : byte)));
    expect(await withChain({ [index]: { signature: damaged } })).toBe("chain/signature");
    const zero = (): Uint8Array => hex("0309003006020100020100");
    expect(await withChain({ [index]: { signature: zero } })).toBe("chain/signature");
    const order = (): Uint8Array => bitStringSignature(new Uint8Array(96).fill(255));
    expect(await withChain({ [index]: { signature: order } })).toBe("chain/signature");
  });

  it("reports the chain before the document where both fail", async () => {
    const damaged = (raw: Uint8Array): Uint8Array =>
      bitStringSignature(raw.map((byte, at) => (at === 90 ? byte ^ 1 : byte)));
    const ders = await writeChain(5, { 4: { signature: damaged } });
    const bytes = await signDocument(encodeCbor(documentFields(ders)), await signerAt(0));
    expect(await verdict(bytes, [await rootOf(ders)])).toBe("chain/signature");
  });

  it("trusts the root for its digest: its own signature proves nothing", async () => {
    const zero = (): Uint8Array => bitStringSignature(new Uint8Array(96).fill(1));
    expect(await withChain({ 0: { signature: zero } })).toBe(null);
  });

  it("refuses keys that are not on the curve", async () => {
    const { point } = await signerAt(2);
    const off = point.slice();
    off[96] = (off[96] ?? 0) ^ 1;
    for (const index of [0, 2, 4]) {
      const changes = { [index]: { publicKey: publicKeyInfo(off) } };
      expect(await withChain(changes)).toBe("certificate/key");
    }
  });

  it("wants the leaf issued to the module that the document names", async () => {
    const named = async (subject: Uint8Array): Promise<AttestationErrorCode | null> =>
      withChain({ 4: { subject } });
    expect(await named(name(`${MODULE_ID}.eu-west-1.aws`))).toBe(null);
    expect(await named(name("i-0123456789abcdef0-enc0123456789abcdee.eu-west-1.aws"))).toBe(
      "evidence/module-id",
    );
    expect(await named(name(MODULE_ID))).toBe("evidence/module-id");
    expect(await named(name(`${MODULE_ID}0.eu-west-1.aws`))).toBe("evidence/module-id");
    expect(await named(name(`x${MODULE_ID}.eu-west-1.aws`))).toBe("evidence/module-id");
    expect(await named(hex("300f310d300b060355040a0c0446616b65"))).toBe("evidence/module-id");
    const prefix = await document((fields) => fields.set("module_id", MODULE_ID.slice(0, -1)));
    expect(await verdict(prefix)).toBe("evidence/module-id");
  });

  it("says what kind of enclave it is by the leaf's name", async () => {
    const platformOf = async (domain: string): Promise<string> => {
      const ders = await writeChain(3, { 2: { subject: name(MODULE_ID + domain) } });
      const bytes = await signDocument(encodeCbor(documentFields(ders)), await signerAt(2));
      const roots = [await rootOf(ders)];
      return (await verifyEvidence(bytes, { roots }, FAKE_NOW_MS)).platform;
    };
    expect(await platformOf(".us-gov-west-1.aws")).toBe("aws-nitro");
    expect(await platformOf(".simulated.countersign")).toBe("simulated");
    expect(await platformOf(".x.aws.")).toBe("simulated");
    expect(await platformOf(".test")).toBe("simulated");
    for (const domain of [".aws", "..aws", ".EU-WEST-1.aws", ".a.b.aws", ".", ".x.aws/", ""]) {
      await expect(platformOf(domain)).rejects.toThrow("evidence/module-id");
    }
  });

  it("keeps what it verified when its input changes meanwhile", async () => {
    const bytes = await document((fields) => fields.set("nonce", hex("aabb")));
    const expected = parseEvidence(bytes);
    const verifying = verifyEvidence(bytes, { roots: [root] }, FAKE_NOW_MS);
    bytes.fill(0);
    expect(await verifying).toMatchObject({ ...expected });
  });
});

describe("debugMode", () => {
  const evidence = (...zero: readonly number[]): Pick<Evidence, "pcrs"> => ({
    pcrs: new Map(
      [0, 1, 2, 3].map((index) => [
        index,
        parseMeasurement(new Uint8Array(48).fill(zero.includes(index) ? 0 : 1)),
      ]),
    ),
  });

  it("is said by zero registers of the image", () => {
    expect(debugMode(evidence())).toBe(false);
    expect(debugMode(evidence(3))).toBe(false);
    expect(debugMode(evidence(0, 1, 2))).toBe(true);
    for (const index of [0, 1, 2]) expect(debugMode(evidence(index))).toBe(true);
    expect(debugMode({ pcrs: new Map() })).toBe(true);
  });

  it("needs every byte zero", () => {
    const almost = new Uint8Array(48);
    almost[47] = 1;
    const pcrs = new Map([0, 1, 2].map((index) => [index, parseMeasurement(almost)]));
    expect(debugMode({ pcrs })).toBe(false);
  });

  it.each([0, 47, 49])("a measurement is not of %i bytes", (length) => {
    expect(codeOf(() => parseMeasurement(new Uint8Array(length)))).toBe("evidence/pcrs");
  });
});
