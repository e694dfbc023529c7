/** What mutation begins with, beside the lab's own: genuine documents and the vectors. */
import { AWS_NITRO_ROOT, encodeHex } from "@countersign/attestation";
import { readCorpus } from "../corpus/files.ts";
import type { Subject, Vector } from "../corpus/vector.ts";
import { listVectors, missing, readVector } from "../shared.ts";
import { marksIn } from "./oracle/document.ts";
import type { Seed, Stance } from "./target.ts";

/** 2026-11-21, after the last of the documents. */
const NOW_MS = Date.UTC(2026, 10, 21);

/** Takes every document that AWS signed: debug mode too, whatever the code. */
export const AWS_STANCE: Stance = {
  policy: JSON.stringify({
    version: 1,
    expires: "2027-11-21T00:00:00Z",
    platforms: {
      "aws-nitro": {
        roots: [encodeHex(AWS_NITRO_ROOT.sha256)],
        measurements: "unchecked",
        debug: true,
      },
    },
    models: "any",
    freshness: "unchecked",
    suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
    revoked: { measurements: [], models: [], keysets: [] },
  }),
  mode: "archive",
  nowMs: NOW_MS,
  nonce: null,
};

/** The documents that AWS made, and those that look like it; none where they do not lie here. */
export function awsDocuments(): readonly Seed[] {
  if (missing("nitro")) return [];
  return listVectors("nitro")
    .filter((file) => file.endsWith(".cbor"))
    .map((file) => {
      const bytes = readVector(`nitro/${file}`);
      const genuine = /^(?:prod|debug)-/u.test(file);
      return { bytes, stance: AWS_STANCE, signed: marksIn(bytes), genuine };
    });
}

/** The vectors of one kind, each in the file of that name. */
export function vectors(subject: Subject, file: string): readonly Seed[] {
  return readCorpus()
    .filter(({ expected }) => expected.subject === subject)
    .flatMap((vector) => {
      const bytes = vector.files.get(file);
      const stance = stanceOf(vector);
      if (bytes === undefined || stance === null) return [];
      const genuine = vector.expected.outcome.result === "verified";
      return [{ bytes, stance, signed: marksIn(bytes), genuine }];
    });
}

/** Texts of all policies of the vectors, well-formed or not. */
export function policyTexts(): readonly Uint8Array[] {
  const texts = readCorpus().flatMap(({ expected: { policy }, files }) =>
    [files.get("policy.json"), files.get(policy ?? "")].filter((text) => text !== undefined),
  );
  return [...new Map(texts.map((text) => [Buffer.from(text).toString("base64"), text])).values()];
}

function stanceOf({ expected, files }: Vector): Stance | null {
  const { policy, mode, nowMs, nonce } = expected;
  const text = policy === null ? undefined : files.get(policy);
  if (text === undefined) return null;
  return { policy: Buffer.from(text).toString("utf8"), mode, nowMs, nonce };
}
