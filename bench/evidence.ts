/** Verifying one attestation document beside the signature verifications that it cannot do without. */
import { existsSync, readFileSync } from "node:fs";
import {
  AWS_NITRO_ROOT,
  type Evidence,
  parseEvidence,
  sigStructure,
  verifyEvidence,
} from "@countersign/attestation";
import { parseCertificate } from "../attestation/certificate.ts";
import { SimulatedNsm } from "../enclave/simulation/nsm.ts";
import { createVendor, rootDigest } from "../enclave/simulation/vendor.ts";
import type { Settings } from "./settings.ts";
import { median } from "./statistics.ts";
import { asRatio, asUs, bounded, type Findings } from "./table.ts";
import { ratioOf, takeTurns } from "./turns.ts";

/** Lies beside a checkout, or not. */
const GENUINE = new URL("../../shared/vectors/nitro/prod-2025-pcr16.cbor", import.meta.url);
const MAX_RATIO = 1.3;

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
  const evidence = parseEvidence(bytes);
  const links = linksOf(evidence);
  const keys = await Promise.all(links.map(importKey));
  const { timestampMs } = evidence;
  const timesOf = await takeTurns(
    {
      verification: () => verifyEvidence(bytes, { roots }, timestampMs),
      // As verification does it: each key from its certificate, each signature while the next key
      // is imported.
      imported: async () => {
        const pending: Promise<boolean>[] = [];
        for (const link of links) pending.push(verify(await importKey(link), link));
        requireAll(await Promise.all(pending));
      },
      bare: async () => {
        requireAll(await Promise.all(links.map((link, i) => verify(keys[i], link))));
      },
    },
    { rounds: 2 * rounds, calls },
  );
  const [verification, imported, bare] = [
    timesOf("verification"),
    timesOf("imported"),
    timesOf("bare"),
  ];
  const count = `${links.length} P-384 verifications`;
  return {
    rows: [
      bounded(
        `evidence verification ÷ its ${count} with their key imports, CPU time`,
        ratioOf(verification.cpuUs, imported.cpuUs),
        "≤",
        MAX_RATIO,
        asRatio,
      ),
      bounded(
        `evidence verification ÷ its ${count} alone, CPU time`,
        ratioOf(verification.cpuUs, bare.cpuUs),
        "≤",
        MAX_RATIO,
        asRatio,
      ),
      bounded(
        `evidence verification ÷ its ${count} with their key imports, wall`,
        ratioOf(verification.wallUs, imported.wallUs),
        "≤",
        MAX_RATIO,
        asRatio,
      ),
    ],
    parts: [
      about,
      `Evidence, CPU time: verification ${asUs(median(verification.cpuUs))}, ${count} with imports ` +
        `${asUs(median(imported.cpuUs))}, without ${asUs(median(bare.cpuUs))}.`,
      `Evidence, wall, on as many threads as there are: verification ` +
        `${asUs(median(verification.wallUs))}, ${count} with imports ` +
        `${asUs(median(imported.wallUs))}, without ${asUs(median(bare.wallUs))}.`,
    ],
  };
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

/** Every certificate but the root by the one before it, and the document by the last. */
function linksOf(evidence: Evidence): readonly Link[] {
  const chain = [...evidence.cabundle, evidence.certificate].map(parseCertificate);
  return chain.map(({ publicKey }, i) => {
    const next = chain[i + 1];
    const document = {
      signature: evidence.signature,
      signed: sigStructure("ES384", evidence.payload),
    };
    const { signature, signed } = next ?? document;
    return {
      point: new Uint8Array(publicKey),
      signature: new Uint8Array(signature),
      message: new Uint8Array(signed),
    };
  });
}

type Key = Awaited<ReturnType<typeof importKey>>;

function importKey({ point }: Link): ReturnType<typeof crypto.subtle.importKey> {
  return crypto.subtle.importKey("raw", point, CURVE, false, ["verify"]);
}

function verify(key: Key | undefined, { signature, message }: Link): Promise<boolean> {
  if (key === undefined) throw new TypeError("a signature without a key");
  return crypto.subtle.verify(ALGORITHM, key, signature, message);
}

function requireAll(results: readonly boolean[]): void {
  if (results.includes(false)) throw new TypeError("a genuine signature does not verify");
}
