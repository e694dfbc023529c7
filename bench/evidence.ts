/** Verifying attestation documents beside the bare signature verifications that it cannot do without. */
import { existsSync, readFileSync } from "node:fs";
import {
  AWS_NITRO_ROOT,
  EvidenceCache,
  importPoint,
  parseEvidence,
  type SignedDocument,
  sigStructure,
  type VerificationKey,
  verifyEvidence,
  webHashes,
} from "@countersign/attestation";
import { memoryOf } from "../attestation/cache.ts";
import { type Certificate, parseCertificate } from "../attestation/certificate.ts";
import { SimulatedNsm } from "../enclave/simulation/nsm.ts";
import { createVendor, rootDigest } from "../enclave/simulation/vendor.ts";
import type { Settings } from "./settings.ts";
import { median, paired } from "./statistics.ts";
import { asRatio, asUs, bounded, type Findings, type Row } from "./table.ts";
import { ratioOf, takeTurns, type Times } from "./turns.ts";

/** Lies beside a checkout, or not. */
const GENUINE = new URL("../../shared/vectors/nitro/prod-2025-pcr16.cbor", import.meta.url);
const MAX_COLD = 1.3;
const MAX_WARM = 2.5;
const MAX_AGAIN_US = 20;

const CURVE = { name: "ECDSA", namedCurve: "P-384" } as const;
const ALGORITHM = { name: "ECDSA", hash: "SHA-384" } as const;

interface Document {
  readonly bytes: Uint8Array;
  readonly roots: readonly Uint8Array[];
  readonly about: string;
}

/** One signature of the chain or of the document, ready for WebCrypto. */
interface Link {
  readonly point: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
  readonly message: Uint8Array<ArrayBuffer>;
}

export async function measureEvidence({ rounds, calls }: Settings): Promise<Findings> {
  const { bytes, roots, about } = readDocument();
  const { timestampMs: atMs, ...evidence } = parseEvidence(bytes);
  const ders = [...evidence.cabundle, evidence.certificate];
  const chain = ders.map(parseCertificate);
  const links = linksOf(chain, evidence);
  const keys = await Promise.all(links.map(importKey));
  const bare = async (): Promise<void> => {
    requireAll(await Promise.all(links.map((link, i) => verify(keys[i], link))));
  };
  const known = new EvidenceCache();
  await verifyEvidence(bytes, { roots }, atMs, known);
  const timesOf = await takeTurns(
    {
      cold: () => verifyEvidence(bytes, { roots }, atMs),
      bare,
      // As verification does it: each key from its certificate, each signature while the next key
      // is imported.
      imported: async () => {
        const pending: Promise<boolean>[] = [];
        for (const link of links.slice(1)) pending.push(verify(await importKey(link), link));
        requireAll(await Promise.all(pending));
      },
      warm: async () => verifyEvidence(bytes, { roots }, atMs, await knowingIssuers(ders, chain)),
      // What the row above spends on a memory of its own for each call.
      memory: () => knowingIssuers(ders, chain),
      one: () => verify(keys[0], links[0]),
    },
    { rounds: 2 * rounds, calls },
  );
  const again = await takeTurns(
    { again: () => verifyEvidence(bytes, { roots }, atMs, known) },
    { rounds: 2 * rounds, calls: 20 * calls },
  );
  return findingsOf(links.length, about, (name) =>
    name === "again" ? again(name) : timesOf(name),
  );
}

type Turn = "cold" | "bare" | "imported" | "warm" | "memory" | "one" | "again";

function findingsOf(count: number, about: string, timesOf: (name: Turn) => Times): Findings {
  const cpu = (name: Turn): readonly number[] => timesOf(name).cpuUs;
  const [cold, bare, imported] = [cpu("cold"), cpu("bare"), cpu("imported")];
  const warm = paired(cpu("warm"), cpu("memory"), (whole, memory) => whole - memory);
  const again = median(timesOf("again").wallUs);
  const wall = ratioOf(timesOf("cold").wallUs, timesOf("bare").wallUs);
  const all = `${count} P-384 verifications`;
  const row = (what: string, ratio: number, bound: number): Row =>
    bounded(`${what}, CPU time`, ratio, "≤", bound, asRatio);
  return {
    rows: [
      row(`a document, nothing known before ÷ its ${all} alone`, ratioOf(cold, bare), MAX_COLD),
      row(
        `the same ÷ the ${count - 1} that it makes, with their key imports`,
        ratioOf(cold, imported),
        MAX_COLD,
      ),
      row("a document under known issuers ÷ one verification", ratioOf(warm, cpu("one")), MAX_WARM),
      bounded("the same document again, wall", again, "≤", MAX_AGAIN_US, asUs),
    ],
    parts: [
      about,
      `Evidence, CPU time: cold ${asUs(median(cold))}; ${all} alone ${asUs(median(bare))} (the root's ` +
        `own signature is one, which the verifier leaves out: the root is pinned); ${count - 1} with ` +
        `key imports ${asUs(median(imported))}; under known issuers ${asUs(median(warm))}; one ` +
        `verification ${asUs(median(cpu("one")))}.`,
      `Evidence, wall, on as many threads as there are: cold ÷ ${all} ${asRatio(wall)}.`,
    ],
  };
}

/** A memory of the chain but its leaf, as a Relying Party has it that saw another enclave there. */
async function knowingIssuers(
  ders: readonly Uint8Array[],
  chain: readonly Certificate[],
): Promise<EvidenceCache> {
  const cache = new EvidenceCache();
  const memory = memoryOf(cache);
  for (const [index, der] of ders.slice(0, -1).entries()) {
    const [certificate, issuer] = [chain[index], chain[index - 1]];
    if (certificate === undefined) continue;
    if (issuer === undefined) memory.addRoot({ der, sha256: await rootDigestOf(der) });
    else memory.addCertificate(der, certificate, issuer, await knownKey(certificate));
  }
  return cache;
}

/** Reckoned before the clock starts: these are what a cache remembers. */
const knownDigests = new Map<Uint8Array, Promise<Uint8Array>>();
const knownKeys = new Map<Certificate, Promise<VerificationKey>>();

function knownKey(certificate: Certificate): Promise<VerificationKey> {
  const known = knownKeys.get(certificate);
  if (known !== undefined) return known;
  const key = importPoint("P-384", certificate.publicKey);
  knownKeys.set(certificate, key);
  return key;
}

function rootDigestOf(der: Uint8Array): Promise<Uint8Array> {
  const known = knownDigests.get(der);
  if (known !== undefined) return known;
  const digest = Promise.resolve(webHashes.sha256(der));
  knownDigests.set(der, digest);
  return digest;
}

function readDocument(): Document {
  if (existsSync(GENUINE)) {
    const about = "Evidence: a genuine AWS Nitro document, five certificates, 17 registers.";
    return { bytes: new Uint8Array(readFileSync(GENUINE)), roots: [AWS_NITRO_ROOT.sha256], about };
  }
  const nowMs = Date.now();
  const vendor = createVendor(nowMs);
  const register = new Uint8Array(48).fill(1);
  const image = { pcr0: register, pcr1: register, pcr2: register };
  const nsm = new SimulatedNsm(vendor, image, () => nowMs);
  const bytes = nsm.attest({ userData: new Uint8Array(200), nonce: null, publicKey: null });
  const about =
    "Evidence: **no genuine document beside this checkout**; a simulated one, three certificates.";
  return { bytes, roots: [new Uint8Array(Buffer.from(rootDigest(vendor), "hex"))], about };
}

/** Every certificate by the one before it, the root by itself, and the document by the last. */
function linksOf(chain: readonly Certificate[], document: SignedDocument): readonly Link[] {
  const { signature, payload } = document;
  const last = { signature, signed: sigStructure("ES384", payload) };
  return [...chain, last].map((signed, i) => {
    const issuer = chain[Math.max(0, i - 1)];
    if (issuer === undefined) throw new TypeError("a chain without certificates");
    return {
      point: new Uint8Array(issuer.publicKey),
      signature: new Uint8Array(signed.signature),
      message: new Uint8Array(signed.signed),
    };
  });
}

type Key = Awaited<ReturnType<typeof importKey>>;

function importKey({ point }: Link): ReturnType<typeof crypto.subtle.importKey> {
  return crypto.subtle.importKey("raw", point, CURVE, false, ["verify"]);
}

function verify(key: Key | undefined, link: Link | undefined): Promise<boolean> {
  if (key === undefined || link === undefined) throw new TypeError("a signature without a key");
  return crypto.subtle.verify(ALGORITHM, key, link.signature, link.message);
}

function requireAll(results: readonly boolean[]): void {
  if (results.includes(false)) throw new TypeError("a genuine signature does not verify");
}
