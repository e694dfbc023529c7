import type { AttestationErrorCode } from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { chainValidity, MAX_CHAIN_CERTIFICATES, parseChain } from "../../../attestation/chain.ts";
import {
  basicConstraints,
  type Changes,
  extensions,
  FAKE_NOW_MS,
  keyUsage,
  name,
  rootOf,
  tlv,
  USAGE,
  utcTime,
  writeChain,
} from "../../fakes/nitro.ts";
import { codeOfAsync } from "./refused.ts";

async function judge(
  length: number,
  changes: Changes = {},
  atMs: number = FAKE_NOW_MS,
): Promise<AttestationErrorCode | null> {
  const chain = await writeChain(length, changes);
  const roots = [await rootOf(chain)];
  return codeOfAsync(() => parseChain(chain, roots, atMs));
}

const between = (notBefore: string, notAfter: string): { readonly validity: Uint8Array } => ({
  validity: tlv(0x30, utcTime(notBefore), utcTime(notAfter)),
});
const role = (
  authority: boolean,
  pathLength: number | null,
  usage: string,
): { readonly extensions: Uint8Array } => ({
  extensions: extensions(basicConstraints(authority, pathLength), keyUsage(usage)),
});

describe("length", () => {
  it.each([2, 3, 5, MAX_CHAIN_CERTIFICATES])("%i certificates", async (length) => {
    expect(await judge(length)).toBe(null);
  });

  it("fewer than two or more than eight", async () => {
    expect(await judge(1)).toBe("chain/length");
    expect(await judge(MAX_CHAIN_CERTIFICATES + 1)).toBe("chain/length");
    expect(await codeOfAsync(() => parseChain([], [], FAKE_NOW_MS))).toBe("chain/length");
  });
});

describe("root", () => {
  it("is pinned by its digest, among several", async () => {
    const chain = await writeChain(3);
    const root = await rootOf(chain);
    const other = new Uint8Array(32).fill(7);
    const parsed = await parseChain(chain, [other, root], FAKE_NOW_MS);
    expect(parsed.rootDigest).toEqual(root);
    expect(parsed.certificates).toHaveLength(3);
    expect(parsed.leaf).toBe(parsed.certificates[2]);
    const refused = async (roots: readonly Uint8Array[]): Promise<AttestationErrorCode | null> =>
      codeOfAsync(() => parseChain(chain, roots, FAKE_NOW_MS));
    expect(await refused([])).toBe("chain/root");
    expect(await refused([other])).toBe("chain/root");
    expect(await refused([root.subarray(0, 31)])).toBe("chain/root");
    expect(await refused([new Uint8Array()])).toBe("chain/root");
  });

  it("comes before anything that the other certificates say", async () => {
    const chain = await writeChain(3);
    const roots = [new Uint8Array(32)];
    const garbled = [chain[0] ?? new Uint8Array(), new Uint8Array(5), new Uint8Array()];
    expect(await codeOfAsync(() => parseChain(garbled, roots, FAKE_NOW_MS))).toBe("chain/root");
    const first = [await rootOf(chain)];
    expect(await codeOfAsync(() => parseChain(garbled, first, FAKE_NOW_MS))).toBe(
      "certificate/der",
    );
  });

  it("is first: no order but the chain's own", async () => {
    const [root, middle, leaf] = await writeChain(3);
    const empty = new Uint8Array();
    const chain = [middle ?? empty, root ?? empty, leaf ?? empty];
    const roots = [await rootOf([root ?? empty])];
    expect(await codeOfAsync(() => parseChain(chain, roots, FAKE_NOW_MS))).toBe("chain/root");
  });

  it("must be self-issued", async () => {
    expect(await judge(3, { 0: { issuer: name("another") } })).toBe("chain/name");
  });
});

describe("names", () => {
  it("chain byte for byte", async () => {
    expect(await judge(4, { 2: { issuer: name("authority 0") } })).toBe("chain/name");
    expect(await judge(4, { 1: { subject: name("Authority 1") } })).toBe("chain/name");
    // The same text as PrintableString is another name.
    const printable = name("authority 1").map((byte) => (byte === 0x0c ? 0x13 : byte));
    expect(await judge(4, { 2: { issuer: printable } })).toBe("chain/name");
    expect(await judge(3, { 2: { issuer: tlv(0x30) } })).toBe("certificate/profile");
  });
});

describe("validity", () => {
  const START = Date.UTC(2026, 0);
  const END = Date.UTC(2028, 0);

  it("both ends are included, to the millisecond", async () => {
    expect(await judge(3, {}, START)).toBe(null);
    expect(await judge(3, {}, END)).toBe(null);
    expect(await judge(3, {}, START - 1)).toBe("chain/validity");
    expect(await judge(3, {}, END + 1)).toBe("chain/validity");
    expect(await judge(3, {}, Number.NaN)).toBe("chain/validity");
    expect(await judge(3, {}, Number.POSITIVE_INFINITY)).toBe("chain/validity");
  });

  it.each([0, 1, 2, 3])("certificate %i alone is enough to fail", async (index) => {
    const early = between("250101000000Z", "260601000000Z");
    const late = between("270601000000Z", "290101000000Z");
    expect(await judge(4, { [index]: early })).toBe("chain/validity");
    expect(await judge(4, { [index]: late })).toBe("chain/validity");
  });

  it("of a chain is what all have in common", async () => {
    const chain = await writeChain(3, {
      1: between("260301000000Z", "270901000000Z"),
      2: between("260201000000Z", "270801000000Z"),
    });
    const { certificates } = await parseChain(chain, [await rootOf(chain)], Date.UTC(2027, 0));
    expect(chainValidity(certificates)).toEqual({
      notBeforeMs: Date.UTC(2026, 2),
      notAfterMs: Date.UTC(2027, 7),
    });
  });
});

describe("constraints", () => {
  it.each([0, 1, 2])("issuer %i must be an authority that signs certificates", async (index) => {
    expect(await judge(4, { [index]: role(false, null, USAGE.both) })).toBe("chain/constraints");
    expect(await judge(4, { [index]: role(true, null, USAGE.sign) })).toBe("chain/constraints");
    expect(await judge(4, { [index]: role(true, null, USAGE.certSign) })).toBe(null);
  });

  it("the leaf signs documents and nothing else", async () => {
    expect(await judge(3, { 2: role(true, null, USAGE.sign) })).toBe("chain/constraints");
    expect(await judge(3, { 2: role(false, null, USAGE.certSign) })).toBe("chain/constraints");
    expect(await judge(3, { 2: role(false, null, USAGE.both) })).toBe("chain/constraints");
    // Non-repudiation beside it, as AWS sets.
    expect(await judge(3, { 2: role(false, null, "06c0") })).toBe(null);
  });

  it("path lengths count the authorities that follow", async () => {
    expect(await judge(5, { 0: role(true, 3, USAGE.both) })).toBe(null);
    expect(await judge(5, { 0: role(true, 2, USAGE.both) })).toBe("chain/constraints");
    expect(await judge(5, { 1: role(true, 1, USAGE.both) })).toBe("chain/constraints");
    expect(await judge(5, { 2: role(true, 0, USAGE.both) })).toBe("chain/constraints");
    expect(await judge(5, { 3: role(true, 0, USAGE.both) })).toBe(null);
    expect(await judge(2, { 0: role(true, 0, USAGE.both) })).toBe(null);
  });
});
