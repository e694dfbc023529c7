/**
 * The lab whose documents, bundles, receipts and proofs are mutated: all of it follows from the seed,
 * so that another process makes the same bytes, and all its keys are known, so that mutants of what
 * is signed can be signed again.
 */
import {
  assembleReceipt,
  type CborKey,
  type CborValue,
  encodeCbor,
  encodeHex,
  encodeProof,
  encodeReceiptClaims,
  receiptToBeSigned,
  sigStructure,
} from "@countersign/attestation";
import {
  type Attester,
  type FakeEpoch,
  makeEpoch,
  makeExchange,
  type PolicyFile,
  seededRandom,
  sha256,
} from "../fakes/attester.ts";
import {
  basicConstraints,
  defaultParts,
  documentFields,
  extension,
  extensions,
  FAKE_NOW_MS,
  hex,
  keyUsage,
  MODULE_ID,
  name,
  OID,
  tlv,
  USAGE,
  writeCertificate,
} from "../fakes/nitro.ts";
import { certificatePem } from "../fakes/x509.ts";
import { type LabKey, labKey, labScalar } from "./signer.ts";
import type { Stance } from "./target.ts";

/** Root and leaf, and the longest chain that is accepted. */
const CHAIN_LENGTHS = [2, 3, 8];
const USUAL_LENGTH = 3;
const HEADER = hex("a1013822");

export interface Lab {
  /** Every key, by the point in hexadecimal: who signs follows from the certificate above. */
  readonly keys: ReadonlyMap<string, LabKey>;
  /** Accepts the lab's code and models, and only these. */
  readonly strict: Stance;
  /** Switches off what the policy language lets one switch off, and takes debug mode. */
  readonly lax: Stance;
  /** The nonce that the second document and bundle answer, hexadecimal. */
  readonly challenge: string;
  readonly documents: readonly Uint8Array[];
  readonly bundles: readonly Uint8Array[];
  /** With the key that signed it. */
  readonly receipts: readonly { readonly bytes: Uint8Array; readonly point: Uint8Array }[];
  readonly proofs: readonly Uint8Array[];
  /** Chains, root first. */
  readonly chains: readonly (readonly Uint8Array[])[];
}

export async function makeLab(seed: number): Promise<Lab> {
  const random = seededRandom(`countersign fuzz ${seed}`);
  const keys = new Map<string, LabKey>();
  const add = (key: LabKey): LabKey => {
    keys.set(encodeHex(key.point), key);
    return key;
  };
  const signers = Array.from({ length: Math.max(...CHAIN_LENGTHS) }, () =>
    add(labKey("P-384", labScalar("P-384", random(64)))),
  );
  const chains: (readonly Uint8Array[])[] = [];
  for (const length of CHAIN_LENGTHS) chains.push(await chain(signers, length));
  const usual = chains[CHAIN_LENGTHS.indexOf(USUAL_LENGTH)] ?? [];
  const attester = attesterOf({ random, chain: usual, leaf: signers[USUAL_LENGTH - 1] });
  const challenge = random(32);
  const epochs = [
    await makeEpoch(attester),
    await makeEpoch(attester, {
      models: ["digits", "letters"].map((id) => ({ id, version: "2", digest: sha256(id) })),
      binding: { sequence: 1, previous: random(32) },
      nonce: challenge,
    }),
  ];
  for (const { receiptKey } of epochs) {
    const { d = "" } = receiptKey.privateKey.export({ format: "jwk" });
    add(labKey("P-256", BigInt(`0x${Buffer.from(d, "base64url").toString("hex")}`)));
  }
  const exchanges = await exchangesOf(epochs, keys);
  const { strict, lax } = stances(epochs);
  return {
    keys,
    strict,
    lax,
    challenge: encodeHex(challenge),
    documents: [
      ...epochs.map(({ parts }) => parts.evidence),
      ...chains.flatMap((ders, i) => variants(ders, signers[(CHAIN_LENGTHS[i] ?? 0) - 1])),
    ],
    bundles: epochs.map(({ bundle }) => bundle),
    receipts: exchanges.map(({ receipt, point }) => ({ bytes: receipt, point })),
    proofs: exchanges.flatMap(({ proofs }) => proofs),
    chains,
  };
}

/** As AWS writes them: with key identifiers, and the leaf's key usage not critical. */
async function chain(signers: readonly LabKey[], length: number): Promise<readonly Uint8Array[]> {
  const ders: Uint8Array[] = [];
  for (const [index, signer] of signers.slice(0, length).entries()) {
    const leaf = index === length - 1;
    const parts = defaultParts(index, length, signer.point);
    const subject = leaf ? name(`${MODULE_ID}.fuzz.countersign`) : parts.subject;
    const pathLength = index === 0 ? null : length - 2 - index;
    const id = tlv(0x04, sha256(signer.point).slice(0, 20));
    const distribution = tlv(0x30, tlv(0x30, tlv(0xa0, tlv(0xa0, tlv(0x86, hex("616263"))))));
    const list = extensions(
      basicConstraints(!leaf, leaf ? null : pathLength),
      keyUsage(leaf ? USAGE.sign : USAGE.both, !leaf),
      extension(OID.subjectKeyIdentifier, false, id),
      extension(OID.authorityKeyIdentifier, false, tlv(0x30, tlv(0x80, id.slice(2)))),
      extension(OID.crlDistributionPoints, false, distribution),
    );
    const issuer = signers[Math.max(0, index - 1)] ?? signer;
    ders.push(await writeCertificate({ ...parts, subject, extensions: list }, issuer));
  }
  return ders;
}

function attesterOf(of: {
  readonly random: Attester["random"];
  readonly chain: readonly Uint8Array[];
  readonly leaf: LabKey | undefined;
}): Attester {
  const { random, chain: ders, leaf } = of;
  const rootDer = ders[0] ?? new Uint8Array();
  return {
    random,
    nowMs: FAKE_NOW_MS,
    rootDer,
    rootPem: certificatePem(rootDer),
    rootSha256: sha256(rootDer),
    document({ timestampMs, pcrs, publicKey = null, userData, nonce }) {
      const fields = documentFields(ders);
      fields.set("timestamp", timestampMs);
      fields.set("pcrs", pcrs);
      fields.set("public_key", publicKey);
      fields.set("user_data", userData);
      fields.set("nonce", nonce);
      return signed(encodeCbor(fields), leaf);
    },
    sibling() {
      throw new TypeError("this lab has one enclave");
    },
  };
}

/** A document with nothing but what must be, in debug mode; one with everything, of each form. */
function variants(ders: readonly Uint8Array[], leaf: LabKey | undefined): readonly Uint8Array[] {
  const debug = documentFields(ders);
  for (const field of ["public_key", "user_data", "nonce"]) debug.delete(field);
  const zeros = [0, 1, 2].map((index): [CborKey, CborValue] => [index, new Uint8Array(48)]);
  debug.set("pcrs", new Map(zeros));
  const full = documentFields(ders);
  full.set("public_key", new Uint8Array(1024).fill(1));
  full.set("user_data", new Uint8Array(512).fill(2));
  full.set("nonce", new Uint8Array());
  const definite = encodeCbor(full);
  // RFC 8949 §3.2.2: the same map without its count, as AWS writes some.
  const indefinite = Uint8Array.of(0xbf, ...definite.subarray(1), 0xff);
  return [signed(encodeCbor(debug), leaf), signed(indefinite, leaf)];
}

function signed(payload: Uint8Array, leaf: LabKey | undefined): Uint8Array {
  if (leaf === undefined) throw new TypeError("a chain without a leaf");
  const signature = leaf.signNow(sigStructure("ES384", payload));
  return encodeCbor([HEADER, new Map<CborKey, CborValue>(), payload, signature]);
}

interface Exchange {
  readonly receipt: Uint8Array;
  readonly point: Uint8Array;
  /** With and without its opening. */
  readonly proofs: readonly Uint8Array[];
}

/** A plain answer, one of text, and a refusal, of each epoch. */
async function exchangesOf(
  epochs: readonly FakeEpoch[],
  keys: ReadonlyMap<string, LabKey>,
): Promise<readonly Exchange[]> {
  const exchanges: Exchange[] = [];
  for (const epoch of epochs) {
    const { point } = epoch.receiptKey;
    const refused = {
      claims: { model: null, index: 7, outcome: { status: 404 }, previous: sha256("before") },
      // RFC 9292 §3.5: known length, status 404.
      responseLeaves: [Uint8Array.of(1, 0x41, 0x94, 0)],
    };
    const told = {
      finishReason: "stop",
      promptTokens: 12,
      completionTokens: 345,
      seed: -1,
      parameters: sha256("parameters"),
    };
    const texts = { claims: { outcome: { status: 200, ...told } } };
    for (const options of [{}, texts, refused]) {
      const made = await makeExchange(epoch, options);
      const payload = encodeReceiptClaims(made.claims);
      const signature = keys.get(encodeHex(point))?.signNow(receiptToBeSigned(payload));
      if (signature === undefined) throw new TypeError("a receipt key that the lab has not");
      const receipt = assembleReceipt(payload, signature);
      const { kc, requestLeaves: request, responseLeaves: response } = made;
      const proofs = [null, { kc, request, response }].map((opening) =>
        encodeProof({ receipt, bundle: epoch.bundle, opening }),
      );
      exchanges.push({ receipt, point, proofs });
    }
  }
  return exchanges;
}

function stances(epochs: readonly FakeEpoch[]): { readonly strict: Stance; readonly lax: Stance } {
  const policy = structuredClone(epochs[0]?.policy);
  const platform = policy?.platforms["simulated"];
  if (policy === undefined || platform === undefined)
    throw new TypeError("an epoch without policy");
  platform["measurements"] = epochs.map(({ pcrs }, i) => ({
    name: `build-${i}`,
    ...Object.fromEntries([0, 1, 2].map((at) => [`pcr${at}`, encodeHex(pcrs.get(at) ?? hex(""))])),
  }));
  const lax: PolicyFile = {
    ...policy,
    platforms: { simulated: { ...platform, measurements: "unchecked", debug: true } },
    models: "any",
    freshness: "unchecked",
  };
  const stance = (file: PolicyFile): Stance => ({
    policy: JSON.stringify(file),
    mode: "live",
    nowMs: FAKE_NOW_MS,
    nonce: null,
  });
  return { strict: stance(policy), lax: stance(lax) };
}
