/** AWS's own documents, and forgeries of them, as vectors of a policy that trusts AWS alone. */
import { AWS_NITRO_ROOT, encodeHex, encodeUtf8 } from "@countersign/attestation";
import type { Vector } from "../corpus/vector.ts";
import { listVectors, readVector } from "../shared.ts";

/** 2026-11-21: every document's certificates have long expired. */
const NOW_MS = Date.UTC(2026, 10, 21);

/** Each document twice over: now and at its own time, with and without debug mode. */
export function genuineVectors(): readonly Vector[] {
  return listVectors("nitro")
    .filter((file) => file.endsWith(".cbor"))
    .flatMap((file) =>
      (["archive", "live"] as const).flatMap((mode) =>
        [true, false].map((debug) => genuineVector(file, mode, debug)),
      ),
    );
}

function genuineVector(file: string, mode: "live" | "archive", debug: boolean): Vector {
  const verified =
    mode === "archive" && (file.startsWith("prod-") || (debug && file.startsWith("debug-")));
  return {
    id: `genuine/${file}, ${mode}, debug ${debug}`,
    expected: {
      what: file,
      clause: "Nitro §3.2",
      subject: "document",
      policy: "policy.json",
      mode,
      nowMs: NOW_MS,
      nonce: null,
      outcome: {
        result: verified ? "verified" : "rejected",
        code: null,
        check: null,
        failure: null,
        skipped: [],
        pointer: null,
      },
    },
    files: new Map([
      ["document.cbor", readVector(`nitro/${file}`)],
      ["policy.json", encodeUtf8(policyText(debug))],
    ]),
  };
}

function policyText(debug: boolean): string {
  const roots = [encodeHex(AWS_NITRO_ROOT.sha256)];
  return JSON.stringify({
    version: 1,
    expires: "2030-01-01T00:00:00Z",
    platforms: { "aws-nitro": { roots, measurements: "unchecked", debug } },
    models: "any",
    freshness: { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "optional" },
    suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
    revoked: { measurements: [], models: [], keysets: [] },
  });
}
