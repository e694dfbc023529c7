/**
 * Signatures: WebCrypto on what our parsers took out of certificates and documents, and node:crypto
 * on what OpenSSL and cborg did.
 *
 * Both end in one implementation of ECDSA, Node's. What differs is everything before: who cuts out
 * what is signed, the point and the two numbers, who encodes the Sig_structure, and who says which
 * numbers are in range.
 */
import { createPublicKey, type KeyObject, verify, X509Certificate } from "node:crypto";
import {
  AttestationError,
  concatBytes,
  importPoint,
  parseCoseSign1,
  sigStructure,
  verifyEcdsa,
} from "@countersign/attestation";
import { encode } from "cborg";
import { describe, expect, it } from "vitest";
import { type Certificate, parseCertificate } from "../../attestation/certificate.ts";
import { hex } from "../fakes/nitro.ts";
import { missing, readVectorJson } from "../shared.ts";
import { chainsOf, corpusDocuments, genuineDocuments, ownDocuments } from "./documents.ts";
import { ACCEPTS, Ledger, type Opinion, refuses } from "./ledger.ts";

/** One signature: as we took it apart, and as the oracle may. */
interface Signed {
  readonly name: string;
  /** Uncompressed point. */
  readonly point: Uint8Array;
  readonly message: Uint8Array;
  /** `r ‖ s`. */
  readonly signature: Uint8Array;
  /** @throws what it does not accept. */
  readonly oracle: () => boolean;
  /** As the oracle reads it; for mutants. */
  readonly key: () => KeyObject;
}

/** One signature in so many is mutated. */
const MUTATED = 16;
const ES384 = hex("a1013822");
const ENVELOPE = { algorithm: "ES384", tag: "optional", maxBytes: 16_384 } as const;

/** Every different link and document signature of all subjects whose certificates we can parse. */
async function signatures(): Promise<readonly Signed[]> {
  const found = new Map<string, Signed>();
  const add = (bytes: readonly Uint8Array[], signed: Signed): void => {
    const key = bytes.map((part) => Buffer.from(part).toString("base64")).join(",");
    if (!found.has(key)) found.set(key, signed);
  };
  const own = await ownDocuments();
  for (const subject of chainsOf([...own, ...genuineDocuments(), ...corpusDocuments()])) {
    const { chain, document, name } = subject;
    const parsed = chain.map(parsedOrNull);
    for (const [index, der] of chain.entries()) {
      // The root's own signature is nothing that we verify.
      const [certificate, next] = [parsed[index] ?? null, parsed[index + 1] ?? null];
      const nextDer = chain[index + 1];
      if (certificate === null) continue;
      if (nextDer === undefined) add([document], ofDocument(name, document, der, certificate));
      else if (next !== null) add([der, nextDer], ofLink(`${name}, link ${index}`, der, nextDer));
    }
  }
  return [...found.values()];
}

function ofLink(name: string, issuerDer: Uint8Array, der: Uint8Array): Signed {
  const [issuer, certificate] = [parseCertificate(issuerDer), parseCertificate(der)];
  const key = (): KeyObject => new X509Certificate(issuerDer).publicKey;
  return {
    name,
    point: issuer.publicKey,
    message: certificate.signed,
    signature: certificate.signature,
    oracle: () => new X509Certificate(der).verify(key()),
    key,
  };
}

function ofDocument(
  name: string,
  document: Uint8Array,
  leafDer: Uint8Array,
  leaf: Certificate,
): Signed {
  const { payload, signature } = parseCoseSign1(document, ENVELOPE);
  const key = (): KeyObject => new X509Certificate(leafDer).publicKey;
  // RFC 9052 §4.4, by another encoder.
  const toBeSigned = encode(["Signature1", ES384, new Uint8Array(), payload]);
  return {
    name: `${name}, document`,
    point: leaf.publicKey,
    message: sigStructure("ES384", payload),
    signature,
    oracle: () => verifyRaw(key(), toBeSigned, signature),
    key,
  };
}

function parsedOrNull(der: Uint8Array): Certificate | null {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof AttestationError) return null;
    throw error;
  }
}

function verifyRaw(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  return verify("sha384", message, { key, dsaEncoding: "ieee-p1363" }, signature);
}

async function ourOpinion(
  point: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<Opinion> {
  try {
    const key = await importPoint("P-384", point);
    return (await verifyEcdsa(key, signature, message)) ? ACCEPTS : refuses("does not verify");
  } catch (error) {
    if (error instanceof AttestationError) return refuses(error.message);
    throw error;
  }
}

function theirOpinion(run: () => boolean): Opinion {
  try {
    return run() ? ACCEPTS : refuses("does not verify");
  } catch (error) {
    return refuses(error instanceof Error ? error.message : "no error");
  }
}

/** FIPS 186-5: the order of P-384's base point. */
const ORDER = BigInt(
  "0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
);

function scalar(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function scalarBytes(value: bigint): Uint8Array {
  return hex(value.toString(16).padStart(96, "0"));
}

/** What a signature may be changed into. Those with n − s verify, and no others. */
function mutants(signature: Uint8Array): Readonly<Record<string, Uint8Array>> {
  const [r, s] = [signature.subarray(0, 48), signature.subarray(48)];
  const zero = new Uint8Array(48);
  const flipped = signature.slice();
  flipped[95] = (flipped[95] ?? 0) ^ 1;
  return {
    "n - s": concatBytes(r, scalarBytes(ORDER - scalar(s))),
    "n - r": concatBytes(scalarBytes(ORDER - scalar(r)), s),
    "r and s exchanged": concatBytes(s, r),
    "r = 0": concatBytes(zero, s),
    "s = 0": concatBytes(r, zero),
    "both 0": new Uint8Array(96),
    "r = n": concatBytes(scalarBytes(ORDER), s),
    "s = n": concatBytes(r, scalarBytes(ORDER)),
    "s of ones": concatBytes(r, new Uint8Array(48).fill(255)),
    "one bit": flipped,
    "95 bytes": signature.subarray(1),
    "97 bytes": concatBytes(Uint8Array.of(0), signature),
    "98 bytes": concatBytes(Uint8Array.of(0), r, Uint8Array.of(0), s),
    "of no bytes": new Uint8Array(),
  };
}

describe("signatures", () => {
  it("of certificates and documents verify with us and with node:crypto, or with neither", async () => {
    const ledger = new Ledger(`node:crypto, OpenSSL ${process.versions.openssl}`, []);
    let [genuineOnes, twins] = [0, 0];
    for (const [index, signed] of (await signatures()).entries()) {
      const { name, point, message, signature } = signed;
      const genuine = await ourOpinion(point, message, signature);
      ledger.enter(name, genuine, theirOpinion(signed.oracle));
      if (genuine.accepts) genuineOnes++;
      // Mutants of every one would take too long.
      if (!genuine.accepts || index % MUTATED !== 0) continue;
      const other = message.slice();
      other[other.length >> 1] = (other[other.length >> 1] ?? 0) ^ 1;
      const oracle = (text: Uint8Array, raw: Uint8Array) => (): boolean =>
        verifyRaw(signed.key(), text, raw);
      ledger.enter(
        `${name}, another message`,
        await ourOpinion(point, other, signature),
        theirOpinion(oracle(other, signature)),
      );
      for (const [what, mutant] of Object.entries(mutants(signature))) {
        const ours = await ourOpinion(point, message, mutant);
        ledger.enter(`${name}, ${what}`, ours, theirOpinion(oracle(message, mutant)));
        if (ours.accepts) twins++;
      }
    }
    console.log(ledger.report());
    expect(ledger.unexplained).toEqual([]);
    expect(genuineOnes).toBeGreaterThan(500);
    // Of each mutated one, its twin verifies too (PROTOCOL 3: a high s is normal), and nothing else.
    expect(twins).toBeGreaterThan(genuineOnes / MUTATED / 2);
    expect(ledger.agreed.accepted).toBe(genuineOnes + twins);
    expect(ledger.agreed.refused).toBeGreaterThan(10 * twins);
  });

  interface Suite {
    readonly testGroups: readonly {
      readonly publicKey: { readonly uncompressed: string };
      readonly publicKeyDer: string;
      readonly tests: readonly {
        readonly tcId: number;
        readonly msg: string;
        readonly sig: string;
      }[];
    }[];
  }

  it.skipIf(missing("wycheproof"))("of Wycheproof too", async () => {
    const suite = readVectorJson<Suite>("wycheproof/ecdsa_secp384r1_sha384_p1363_test.json");
    const ledger = new Ledger(`node:crypto on Wycheproof's ES384`, []);
    for (const { publicKey, publicKeyDer, tests } of suite.testGroups) {
      const key = createPublicKey({
        key: Buffer.from(hex(publicKeyDer)),
        format: "der",
        type: "spki",
      });
      for (const { tcId, msg, sig } of tests) {
        const [message, signature] = [hex(msg), hex(sig)];
        const ours = await ourOpinion(hex(publicKey.uncompressed), message, signature);
        ledger.enter(
          `${tcId}`,
          ours,
          theirOpinion(() => verifyRaw(key, message, signature)),
        );
      }
    }
    console.log(ledger.report());
    expect(ledger.unexplained).toEqual([]);
    expect(ledger.agreed.accepted).toBeGreaterThan(100);
    expect(ledger.agreed.refused).toBeGreaterThan(50);
  });
});
