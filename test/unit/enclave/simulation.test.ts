import {
  decodeHex,
  encodeHex,
  encodeUtf8,
  modelsRegister,
  parseEvidence,
  verifyEvidence,
} from "@countersign/attestation";
import { createHash, X509Certificate } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SimulatedNsm } from "../../../enclave/simulation/nsm.ts";
import { certificatePem, loadVendor, rootDigest } from "../../../enclave/simulation/vendor.ts";
import { IMAGE, newVendor, TestClock } from "../../fakes/ring.ts";

const NOW = Date.UTC(2026, 10, 21, 12);
const NOTHING = { userData: null, nonce: null, publicKey: null };
const vendor = newVendor();
const root = decodeHex(rootDigest(vendor)) ?? new Uint8Array(0);

function module(clock = new TestClock(Date.now())): SimulatedNsm {
  return new SimulatedNsm(vendor, IMAGE, clock.nowMs);
}

describe("documents", () => {
  it("verify as AWS's do, with the simulation's root pinned", async () => {
    const nsm = module();
    const [userData, nonce] = [encodeUtf8("binding"), encodeUtf8("nonce")];
    const document = nsm.attest({ userData, nonce, publicKey: null });
    expect(parseEvidence(document)).toMatchObject({
      moduleId: nsm.moduleId,
      userData,
      nonce,
      publicKey: null,
    });
    const verified = await verifyEvidence(document, { roots: [root] }, Date.now());
    expect(encodeHex(verified.rootDigest)).toBe(rootDigest(vendor));
    expect(nsm.moduleId).toMatch(/^i-[0-9a-f]{17}-enc[0-9a-f]{16}$/u);
  });

  it("are refused under any other root", async () => {
    const document = module().attest(NOTHING);
    const other = decodeHex(rootDigest(newVendor())) ?? new Uint8Array(0);
    await expect(verifyEvidence(document, { roots: [other] }, Date.now())).rejects.toThrow(
      "chain/root",
    );
  });

  it("list the locked registers, and no other", async () => {
    const nsm = module();
    const listed = (): number[] => [...parseEvidence(nsm.attest(NOTHING)).pcrs.keys()];
    expect(listed()).toEqual(Array.from({ length: 16 }, (_, index) => index));
    const digest = new Uint8Array(32).fill(4);
    nsm.extendPcr(16, digest);
    expect(listed()).not.toContain(16);
    nsm.lockPcr(16);
    const { pcrs } = parseEvidence(nsm.attest(NOTHING));
    expect(pcrs.get(16)).toEqual(await modelsRegister(digest));
    expect([pcrs.get(0), pcrs.get(1), pcrs.get(2)]).toEqual(Object.values(IMAGE));
  });

  it("are valid for two hours and fifty minutes at least, days after the start", async () => {
    const clock = new TestClock(Date.now());
    const nsm = module(clock);
    for (const minutes of [0, 9, 11, 60, 719, 721, 3000]) {
      await clock.advance(minutes * 60_000);
      const document = nsm.attest(NOTHING);
      expect(parseEvidence(document).timestampMs).toBe(clock.nowMs());
      for (const later of [0, 170 * 60_000]) {
        await verifyEvidence(document, { roots: [root] }, clock.nowMs() + later);
      }
      await expect(
        verifyEvidence(document, { roots: [root] }, clock.nowMs() + 181 * 60_000),
      ).rejects.toThrow("chain/validity");
    }
  });
});

describe("registers", () => {
  it("refuse what the device refuses", () => {
    const nsm = module();
    expect(() => nsm.describePcr(32)).toThrow("InvalidIndex");
    expect(() => nsm.extendPcr(0, new Uint8Array(1))).toThrow("ReadOnlyIndex");
    expect(() => nsm.lockPcr(15)).toThrow("ReadOnlyIndex");
    expect(() => nsm.extendPcr(16, new Uint8Array(513))).toThrow("InputTooLarge");
    nsm.lockPcr(31);
    expect(() => nsm.extendPcr(31, new Uint8Array(1))).toThrow("ReadOnlyIndex");
    expect(() => nsm.attest({ ...NOTHING, nonce: new Uint8Array(513) })).toThrow("nsm/refused");
  });

  it("extend as the device does, and hand out copies", () => {
    const nsm = module();
    const value = nsm.extendPcr(16, encodeUtf8("hello"));
    // The value that QEMU's module gave for the same extension.
    expect(encodeHex(value).slice(0, 32)).toBe("30e84b2d7eeffe6d90a475797b35e59a");
    value.fill(0);
    expect(encodeHex(nsm.describePcr(16).value).slice(0, 8)).toBe("30e84b2d");
    expect(nsm.describePcr(16).locked).toBe(false);
    expect(nsm.random().length).toBe(256);
  });

  it("are computed as QEMU computes them from an instance's id", () => {
    const digest = createHash("sha384").update(new Uint8Array(48)).update("i-0123456789abcdef0");
    // PCR4 of the shared vectors.
    expect(digest.digest("hex").slice(0, 32)).toBe("d6432900ac1c343cb40286898792c55e");
  });

  it("hold the instance's id in PCR4 as the device does", () => {
    const nsm = module();
    const id = nsm.moduleId.slice(0, nsm.moduleId.indexOf("-enc"));
    const wanted = createHash("sha384").update(new Uint8Array(48)).update(id).digest();
    expect(encodeHex(nsm.describePcr(4).value)).toBe(wanted.toString("hex"));
  });
});

describe("the vendor's file", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "vendor-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("is made once, for its owner only, and keeps its root", async () => {
    const path = join(folder, "state", "vendor.pem");
    const made = await Promise.all([1, 2, 3, 4].map(() => loadVendor(path, NOW)));
    expect(new Set(made.map(rootDigest)).size).toBe(1);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(rootDigest(await loadVendor(path, NOW + 1e9))).toBe(rootDigest(made[0] ?? vendor));
    const certificate = new X509Certificate(certificatePem((made[0] ?? vendor).certificate));
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(Date.parse(certificate.validTo)).toBe(Date.UTC(2049, 11, 31, 23, 59, 59));
  });

  it("is refused where it is open to others, broken, or of two keys", async () => {
    const path = join(folder, "vendor.pem");
    await loadVendor(path, NOW);
    await chmod(path, 0o640);
    await expect(loadVendor(path, NOW)).rejects.toThrow("simulation/vendor-key");
    await chmod(path, 0o600);
    const pem = await readFile(path, "utf8");
    const key = pem.slice(0, pem.indexOf("-----BEGIN CERT"));
    for (const text of ["", "nothing", key, `${key}${certificatePem(vendor.certificate)}`]) {
      await writeFile(path, text);
      await expect(loadVendor(path, NOW)).rejects.toThrow("simulation/vendor-key");
    }
  });
});
