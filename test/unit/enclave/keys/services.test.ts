import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import type { KeyServices } from "@countersign/protocol";
import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  KEY_SERVICES_FILE,
  pinnedRoots,
  readKeyServices,
  requireKeyServices,
} from "../../../../enclave/keys/services.ts";
import { keyServiceFor } from "@countersign/protocol";
import { type Authority, createAuthority } from "../../../../sealing/dev-kms/certificates.ts";

const EVERYWHERE = {
  kind: "aws-kms",
  key: "arn:aws:kms:eu-west-1:000000000000:key/01234567-89ab-cdef-0123-456789abcdef",
  wrapped: new Uint8Array(1),
} as const;
let authority: Authority;
let folder = "";

beforeAll(async () => {
  authority = await createAuthority(Date.now());
  folder = mkdtempSync(join(tmpdir(), "services-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function digestOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

function fileWith(roots: readonly string[], certificates: readonly string[]): Uint8Array {
  const service = { kind: "aws-kms", region: "*", endpoint: "https://kms.example", roots };
  return new TextEncoder().encode(
    JSON.stringify({ version: 1, services: [service], rootCertificates: certificates }),
  );
}

function rootsOf(services: KeyServices): readonly string[] {
  return pinnedRoots(services, keyServiceFor(services, EVERYWHERE));
}

describe("the key services of the image", () => {
  it("are AWS's, under Amazon's own roots and no other of Node's", () => {
    const services = requireKeyServices(readKeyServices(KEY_SERVICES_FILE));
    const subjects = rootsOf(services).map((pem) =>
      new X509Certificate(pem).subject.split("\n").at(-1),
    );
    expect(subjects).toEqual([
      "CN=Amazon Root CA 1",
      "CN=Amazon Root CA 2",
      "CN=Amazon Root CA 3",
      "CN=Amazon Root CA 4",
      "CN=Starfield Services Root Certificate Authority - G2",
    ]);
  });

  it("have the roots that they pin, of the file or of Node, and no other of either", () => {
    const pem = rootCertificates[7] ?? "";
    const pins = [digestOf(authority.certificate), digestOf(pem)];
    const services = requireKeyServices(fileWith(pins, [authority.certificate]));
    expect(rootsOf(services)).toEqual([authority.certificate, pem]);
    const one = requireKeyServices(fileWith([digestOf(pem)], [authority.certificate]));
    expect(rootsOf(one)).toEqual([pem]);
  });

  it.each<[string, string, () => Uint8Array]>([
    ["a root that is nowhere", "key/services", () => fileWith(["ab".repeat(32)], [])],
    [
      "a root that is nowhere, beside one that is",
      "key/services",
      () => fileWith([digestOf(rootCertificates[0] ?? ""), "ab".repeat(32)], []),
    ],
    [
      "a certificate that is none",
      "key/services",
      () =>
        fileWith(
          [digestOf(rootCertificates[0] ?? "")],
          ["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"],
        ),
    ],
    ["a mistake", "key-services/structure", () => new TextEncoder().encode("{}")],
  ])("are refused with %s", (_, code, bytes) => {
    expect(() => requireKeyServices(bytes())).toThrow(expect.objectContaining({ code }));
  });

  it("are a file that can be read", () => {
    const path = join(folder, "services.json");
    writeFileSync(path, "{}");
    expect(new TextDecoder().decode(readKeyServices(path))).toBe("{}");
    for (const missing of [join(folder, "missing.json"), folder]) {
      expect(() => readKeyServices(missing)).toThrow(
        expect.objectContaining({ code: "key/services" }),
      );
    }
  });
});
