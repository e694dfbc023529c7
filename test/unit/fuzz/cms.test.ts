import { createPrivateKey } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { heldEnvelopes } from "../../fakes/openssl-envelopes.ts";
import {
  type EnvelopeParts,
  integer,
  kmsParts,
  oaep,
  octetString,
  oid,
  OIDS,
  recipientOf,
  sealTo,
  sequence,
  sha256,
  writeEnvelope,
} from "../../fakes/recipient-envelope.ts";
import { hex, tlv } from "../../fakes/nitro.ts";
import { requireOpened } from "../../fuzz/oracle/cms.ts";
import { superviseWorker } from "../../fuzz/supervisor.ts";
import { TARGETS } from "../../fuzz/targets.ts";
import { definite, readBer, writeBer } from "../../fuzz/tree/ber.ts";
import { breachOf } from "./subjects.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-fuzz-cms-"));
afterAll(() => rmSync(folder, { recursive: true }));

const held = heldEnvelopes();
const key = Buffer.from(held.privateKey, "base64");
const recipient = recipientOf(createPrivateKey({ key, format: "der", type: "pkcs8" }));
const dataKey = new Uint8Array(32).fill(9);
const sealed = sealTo(recipient.spki, dataKey);
const parts = kmsParts(recipient.identifier, sealed);

describe("the reader of key envelopes", () => {
  it("breaks no promise over ten thousand mutants", async () => {
    const { module, covered } = TARGETS.cms;
    const limits = { cpuMs: 120_000, executions: 10_000, findings: 10 };
    const journal = join(folder, "cms.journal");
    const job = { module, covered, seed: 11, ...limits, journal, replay: null };
    const { findings, figures, ended } = await superviseWorker(job, "cms");
    expect([findings, ended]).toEqual([[], true]);
    expect(figures?.executions).toBeGreaterThanOrEqual(10_000);
    // More than the six seeds: mutants that say the same, and mutants with another key.
    expect(figures?.accepted).toBeGreaterThan(100);
    expect(figures?.outcomes).toBe(2);
  });
});

describe("its oracle", () => {
  const breach = (bytes: Uint8Array, opened: Uint8Array = dataKey): string | null =>
    breachOf(() => {
      requireOpened(bytes, opened, recipient);
    });
  const [[, , , encryptedKey = hex("")] = []] = parts.recipients;
  const named = (at: number, part: Uint8Array): Partial<EnvelopeParts> => {
    const rid = tlv(0x80, recipient.identifier);
    return { recipients: [[integer(2), rid, oaep(), encryptedKey].with(at, part)] };
  };
  const sha1 = sequence(oid(OIDS.sha1), hex("0500"));

  it("holds nothing against what is right, in either form", () => {
    expect(breach(writeEnvelope(parts, "indefinite"))).toBeNull();
    expect(breach(writeEnvelope(parts, "definite"))).toBeNull();
  });

  it.each<[what: string, changes: Partial<EnvelopeParts>]>([
    ["another content type", { contentType: oid(OIDS.data) }],
    ["another version", { version: integer(0) }],
    ["an originator", { originator: hex("a000") }],
    ["unprotected attributes", { unprotected: hex("a100") }],
    ["a version of its own", named(0, integer(0))],
    ["SHA-1", named(2, oaep(sha1))],
    ["SHA-1 in the mask", named(2, oaep(sha256(), sequence(oid(OIDS.mgf1), sha1)))],
    ["another type", { type: oid(OIDS.envelopedData) }],
    ["another cipher", { cipher: sequence(oid(OIDS.aes128Cbc), octetString(sealed.iv)) }],
    ["something more", { content: Buffer.concat([parts.content, hex("0500")]) }],
  ])("finds %s", (_, changes) => {
    const bytes = writeEnvelope({ ...parts, ...changes }, "indefinite");
    expect(breach(bytes)).toMatch(/^took another structure/u);
  });

  it("finds another recipient, another key, and what is no BER", () => {
    const other = writeEnvelope(
      { ...parts, ...named(1, tlv(0x80, new Uint8Array(32))) },
      "definite",
    );
    expect(breach(other)).toBe("took another recipient's");
    const whole = writeEnvelope(parts, "indefinite");
    expect(breach(whole, new Uint8Array(32))).toBe("opened to something else");
    expect(breach(whole.subarray(0, -1))).toBe("took what is no BER");
  });
});

describe("BER as a tree", () => {
  it.each(Object.entries(held.envelopes))("is written as it was read: %s", (_, envelope) => {
    const bytes = new Uint8Array(Buffer.from(envelope, "base64"));
    const root = readBer(bytes);
    if (root === null) throw new TypeError("unreadable");
    expect(writeBer(root)).toEqual(bytes);
    // DER has no indefinite lengths: the same tree, read again, is the same.
    const der = writeBer(definite(root));
    expect(writeBer(readBer(der) ?? root)).toEqual(der);
    expect(der.length === bytes.length).toBe(bytes[1] !== 0x80);
  });

  it.each([
    "",
    "30",
    "3080",
    "308000",
    "30800000ff",
    "0480",
    "0401",
    "04850000000001ff",
    "3003040100ff",
  ])("is none: %s", (text) => {
    expect(readBer(hex(text))).toBeNull();
  });
});
