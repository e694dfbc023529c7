import {
  AWS_NITRO_ROOT,
  type AttestationErrorCode,
  debugMode,
  encodeHex,
  parseEvidence,
  verifyEvidence,
} from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { parseChain } from "../../../attestation/chain.ts";
import { listVectors, missing, readVector, readVectorJson } from "../../shared.ts";
import { codeOf, codeOfAsync } from "./refused.ts";

const TODAY_MS = Date.UTC(2026, 10, 21);
const ROOTS = [AWS_NITRO_ROOT.sha256];

/** Documents that verify at their own timestamp under the AWS root, and their mode. */
const ACCEPTED: Readonly<Record<string, "production" | "debug">> = {
  "prod-2021-minimal.cbor": "production",
  "prod-2021-rsa-pubkey.cbor": "production",
  "prod-2022-nonce256.cbor": "production",
  "prod-2024-base-pk65.cbor": "production",
  "prod-2024-emptystrings.cbor": "production",
  "prod-2024-nitroprover.cbor": "production",
  "prod-2025-pcr16.cbor": "production",
  "prod-2026-indefmap.cbor": "production",
  "debug-2021-minimal.cbor": "debug",
  "debug-2021-nonce16-ud64.cbor": "debug",
  "debug-2022-evervault.cbor": "debug",
  "debug-2024-all1024.cbor": "debug",
  "debug-2025-indefmap.cbor": "debug",
};

/** The others: with which code, and whether parseEvidence refuses already. */
const REFUSED: Readonly<Record<string, readonly [AttestationErrorCode, "parse" | "verify"]>> = {
  "bad-root-marlin-custom.cbor": ["chain/root", "verify"],
  "bad-selfsigned-nitrite.cbor": ["cose/unprotected", "parse"],
  "bad-tampered-certificate.cbor": ["certificate/der", "verify"],
  "bad-tampered-signature.cbor": ["cose/signature", "verify"],
  "nitrotpm-2026-a.cbor": ["evidence/platform", "parse"],
  "nitrotpm-2026-b.cbor": ["evidence/platform", "parse"],
};

async function verdict(
  bytes: Uint8Array,
  roots: readonly Uint8Array[],
  atMs: number | null,
): Promise<AttestationErrorCode | null> {
  return codeOfAsync(async () => {
    const evidence = parseEvidence(bytes);
    await verifyEvidence(bytes, { roots }, atMs ?? evidence.timestampMs);
  });
}

describe("AWS documents", () => {
  it.skipIf(missing("nitro"))("are all in the table", () => {
    const files = listVectors("nitro").filter((file) => file.endsWith(".cbor"));
    expect(files.toSorted()).toEqual(
      [...Object.keys(ACCEPTED), ...Object.keys(REFUSED)].toSorted(),
    );
  });

  describe.each(Object.entries(REFUSED))("%s", (file, [code, stage]) => {
    it.skipIf(missing("nitro"))(`is refused: ${code}`, async () => {
      const bytes = readVector(`nitro/${file}`);
      expect(await verdict(bytes, ROOTS, null)).toBe(code);
      expect(codeOf(() => parseEvidence(bytes))).toBe(stage === "parse" ? code : null);
    });
  });

  describe.each(Object.entries(ACCEPTED))("%s", (file, mode) => {
    it.skipIf(missing("nitro"))(`verifies at its time, in ${mode} mode`, async () => {
      const bytes = readVector(`nitro/${file}`);
      const evidence = parseEvidence(bytes);
      const verified = await verifyEvidence(bytes, { roots: ROOTS }, evidence.timestampMs);
      expect(debugMode(verified)).toBe(mode === "debug");
      expect(verified.rootDigest).toEqual(AWS_NITRO_ROOT.sha256);
      const { notBeforeMs, notAfterMs } = verified.leafValidity;
      expect(notAfterMs - notBeforeMs).toBeLessThanOrEqual(3 * 3_600_000 + 3000);
      expect(verified.chainValidity).toEqual(verified.leafValidity);
    });

    it.skipIf(missing("nitro"))("is refused today and outside its leaf's hours", async () => {
      const bytes = readVector(`nitro/${file}`);
      expect(await verdict(bytes, ROOTS, TODAY_MS)).toBe("chain/validity");
      const evidence = parseEvidence(bytes);
      const { leafValidity } = await verifyEvidence(bytes, { roots: ROOTS }, evidence.timestampMs);
      expect(await verdict(bytes, ROOTS, leafValidity.notAfterMs)).toBe(null);
      expect(await verdict(bytes, ROOTS, leafValidity.notAfterMs + 1)).toBe("chain/validity");
      expect(await verdict(bytes, ROOTS, leafValidity.notBeforeMs)).toBe(null);
      expect(await verdict(bytes, ROOTS, leafValidity.notBeforeMs - 1)).toBe("chain/validity");
    });

    it.skipIf(missing("nitro"))("is refused under another root, or none", async () => {
      const bytes = readVector(`nitro/${file}`);
      expect(await verdict(bytes, [new Uint8Array(32)], null)).toBe("chain/root");
      expect(await verdict(bytes, [], null)).toBe("chain/root");
    });
  });

  interface Indexed {
    readonly file: string;
    readonly module_id: string;
    readonly timestamp_ms: number;
    readonly pcrs: Readonly<Record<string, string>>;
    readonly public_key: unknown;
    readonly user_data: unknown;
    readonly nonce: unknown;
  }

  it.skipIf(missing("nitro"))("say what an independent reader found in them", () => {
    const index = readVectorJson<readonly Indexed[]>("nitro/index.json");
    let compared = 0;
    for (const row of index) {
      if (ACCEPTED[row.file] === undefined) continue;
      const evidence = parseEvidence(readVector(`nitro/${row.file}`));
      expect(evidence.moduleId).toBe(row.module_id);
      expect(evidence.timestampMs).toBe(row.timestamp_ms);
      const pcrs = [...evidence.pcrs].map(([at, value]) => [String(at), encodeHex(value)]);
      expect(Object.fromEntries(pcrs)).toEqual(row.pcrs);
      expect(evidence.publicKey === null).toBe(row.public_key === null);
      expect(evidence.userData === null).toBe(row.user_data === null);
      expect(evidence.nonce === null).toBe(row.nonce === null);
      compared++;
    }
    expect(compared).toBe(13);
  });

  it.skipIf(missing("nitro"))("keep zero length apart from null, and 1024 bytes whole", () => {
    const empty = parseEvidence(readVector("nitro/prod-2024-emptystrings.cbor"));
    expect([empty.userData, empty.nonce]).toEqual([new Uint8Array(), new Uint8Array()]);
    expect(empty.publicKey).toHaveLength(426);
    const minimal = parseEvidence(readVector("nitro/prod-2021-minimal.cbor"));
    expect([minimal.publicKey, minimal.userData, minimal.nonce]).toEqual([null, null, null]);
    const full = parseEvidence(readVector("nitro/debug-2024-all1024.cbor"));
    for (const field of [full.publicKey, full.userData, full.nonce])
      expect(field).toHaveLength(1024);
    const registers = parseEvidence(readVector("nitro/prod-2025-pcr16.cbor")).pcrs;
    expect(registers.size).toBe(17);
    expect(registers.get(16)).toHaveLength(48);
  });

  it.skipIf(missing("nitro"))(
    "of another maker fail in their own right, not only for their root",
    async () => {
      const { cabundle, certificate, timestampMs } = parseEvidence(
        readVector("nitro/bad-root-marlin-custom.cbor"),
      );
      const root = new Uint8Array(cabundle[0] ?? []);
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", root));
      const judged = codeOfAsync(() =>
        parseChain([...cabundle, certificate], [digest], timestampMs),
      );
      expect(await judged).toBe("chain/extension");
    },
  );
});

describe("one bit of a genuine document", () => {
  /** Everything outside the signed payload, each certificate's frame, and every 7th byte. */
  function positions(bytes: Uint8Array): ReadonlySet<number> {
    const { payload, cabundle, certificate } = parseEvidence(bytes);
    const wanted = new Set<number>();
    const range = (from: number, to: number): void => {
      for (let at = Math.max(0, from); at < Math.min(to, bytes.length); at++) wanted.add(at);
    };
    const body = Buffer.from(bytes).indexOf(payload);
    range(0, body + 24);
    range(body + payload.length - 48, bytes.length);
    for (const der of [...cabundle, certificate]) {
      const at = Buffer.from(bytes).indexOf(der);
      // The CBOR head, the certificate's and the TBS's heads, version; the signature's frame.
      range(at - 4, at + 16);
      range(at + der.length - 106, at + der.length - 100);
      range(at + der.length - 54, at + der.length - 48);
    }
    for (let at = 0; at < bytes.length; at += 7) wanted.add(at);
    return wanted;
  }

  const GENUINE = missing("nitro") ? [] : ["prod-2025-pcr16.cbor", "prod-2026-indefmap.cbor"];
  it.each(GENUINE)("of %s", async (file) => {
    const genuine = readVector(`nitro/${file}`);
    const { timestampMs } = parseEvidence(genuine);
    expect(await verdict(genuine, ROOTS, timestampMs)).toBe(null);
    const accepted: number[] = [];
    let bit = 0;
    for (const at of positions(genuine)) {
      const bytes = genuine.slice();
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit = (bit + 3) % 8));
      if ((await verdict(bytes, ROOTS, timestampMs)) === null) accepted.push(at);
    }
    expect(accepted).toEqual([]);
  });

  it.skipIf(missing("nitro"))(
    "of the envelope, every one of them, and no byte more or less",
    async () => {
      const genuine = readVector("nitro/prod-2025-pcr16.cbor");
      const { payload, timestampMs } = parseEvidence(genuine);
      const body = Buffer.from(genuine).indexOf(payload);
      const accepted: string[] = [];
      for (let at = 0; at < body; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const bytes = genuine.slice();
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          const code = await verdict(bytes, ROOTS, timestampMs);
          if (code === null) accepted.push(`byte ${at} bit ${bit}`);
        }
      }
      expect(accepted).toEqual([]);
      for (const bytes of [
        genuine.subarray(1),
        genuine.subarray(0, -1),
        Buffer.concat([genuine, Buffer.of(0)]),
      ]) {
        expect(await verdict(bytes, ROOTS, timestampMs)).not.toBe(null);
      }
    },
  );
});

describe("QEMU's emulated device", () => {
  it.skipIf(missing("qemu-nsm"))("does not sign, and is refused", async () => {
    const files = listVectors("qemu-nsm").filter((file) => file.startsWith("attestation-doc-"));
    expect(files).toHaveLength(5);
    for (const file of files) {
      const code = await verdict(readVector(`qemu-nsm/${file}`), ROOTS, null);
      expect([file, code]).toEqual([file, "cose/protected"]);
    }
  });

  it.skipIf(missing("qemu-nsm"))(
    "with a test authority behind it verifies under that root only",
    async () => {
      const files = listVectors("qemu-nsm").filter((file) =>
        file.startsWith("signed-test-ca-doc-"),
      );
      expect(files).toHaveLength(4);
      const root = readVector("qemu-nsm/signed-test-ca-root.der");
      const own = [new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(root)))];
      const measured = readVectorJson<unknown>("qemu-nsm/signed-test-ca-expected-pcrs.json");
      for (const file of files) {
        const bytes = readVector(`qemu-nsm/${file}`);
        expect([file, await verdict(bytes, own, null)]).toEqual([file, null]);
        expect(await verdict(bytes, ROOTS, null)).toBe("chain/root");
        const { pcrs, timestampMs } = parseEvidence(bytes);
        const image = [0, 1, 2].map((at) => [`PCR${at}`, encodeHex(pcrs.get(at) ?? bytes)]);
        expect(Object.fromEntries(image)).toEqual(measured);
        const nextDay = timestampMs + 24 * 3_600_000;
        expect(await verdict(bytes, own, nextDay)).toBe("chain/validity");
      }
    },
  );
});
