/**
 * Chains made in memory: every change of certificate-changes.ts at the root, at intermediates and
 * at the leaf, and chains of good certificates wrongly put together.
 */
import { encodeUtf8 } from "@countersign/attestation";
import {
  basicConstraints,
  type Changes,
  extension,
  extensions,
  hex,
  keyUsage,
  name,
  OID,
  signerAt,
  tlv,
  USAGE,
  writeChain,
} from "../fakes/nitro.ts";
import { CHANGES } from "./certificate-changes.ts";

export interface MadeChain {
  readonly name: string;
  /** Root first. */
  readonly chain: readonly Uint8Array[];
  /** The one certificate that is trusted. */
  readonly anchor: Uint8Array;
}

const PLACES = ["root", "intermediate", "issuer", "leaf"] as const;
/** Between intermediates only the room that the path has left differs. */
const AT_BOTH = /role|path length|constraints|key usage/u;
const LENGTHS = [2, 3, 4, 5, 6, 7, 8, 9] as const;

export async function makeChains(): Promise<readonly MadeChain[]> {
  const lengths = LENGTHS.map((length) => anchored(`length ${length}`, length));
  return [
    ...(await Promise.all(lengths)),
    ...(await changedChains()),
    ...(await arrangedChains()),
    ...(await namedChains()),
  ];
}

/** A chain whose own first certificate is the anchor. */
async function anchored(what: string, length: number, changes: Changes = {}): Promise<MadeChain> {
  const chain = await writeChain(length, changes);
  return { name: what, chain, anchor: chain[0] ?? new Uint8Array() };
}

async function changedChains(): Promise<readonly MadeChain[]> {
  const good = await writeChain(PLACES.length);
  const made: MadeChain[] = [];
  for (const [index, place] of PLACES.entries()) {
    const { point } = await signerAt(index);
    for (const [what, change] of Object.entries(CHANGES)) {
      if (place === "issuer" && !AT_BOTH.test(what)) continue;
      const parts = change({ leaf: place === "leaf", index, point });
      const issuer = parts.subject === undefined ? {} : { issuer: parts.subject };
      // A root is its own issuer.
      const own = index === 0 ? { ...parts, ...issuer } : parts;
      const changes = { [index + 1]: issuer, [index]: own };
      const changed = await writeChain(PLACES.length, changes);
      // What is above is as it was, so that an oracle is asked about many leaves at once.
      const chain = [...good.slice(0, index), ...changed.slice(index)];
      made.push({ name: `${place}: ${what}`, chain, anchor: chain[0] ?? new Uint8Array() });
    }
  }
  return made;
}

async function arrangedChains(): Promise<readonly MadeChain[]> {
  const good = await writeChain(PLACES.length);
  const [root, intermediate, issuer, leaf] = good;
  // The same name and key as the root; and another child of the root's.
  const [twin] = await writeChain(1, { 0: { serial: hex("020177") } });
  const [, stranger] = await writeChain(2, { 1: { subject: name("stranger") } });
  const garbage = hex("300100");
  const arranged = (what: string, ...chain: readonly (Uint8Array | undefined)[]): MadeChain => ({
    name: `arranged: ${what}`,
    chain: chain.filter((der) => der !== undefined),
    anchor: root ?? garbage,
  });
  return [
    arranged("in order", root, intermediate, issuer, leaf),
    arranged("intermediates reversed", root, issuer, intermediate, leaf),
    arranged("root in the middle", root, intermediate, root, issuer, leaf),
    arranged("intermediate missing", root, issuer, leaf),
    arranged("issuer missing", root, intermediate, leaf),
    arranged("intermediate twice", root, intermediate, intermediate, issuer, leaf),
    arranged("leaf in the bundle", root, intermediate, issuer, leaf, leaf),
    arranged("stranger in the bundle", root, stranger, intermediate, issuer, leaf),
    arranged("garbage in the bundle", root, garbage, intermediate, issuer, leaf),
    arranged("root missing", intermediate, issuer, leaf),
    arranged("root's twin of another serial", twin, intermediate, issuer, leaf),
    arranged("issuer as leaf", root, intermediate, issuer),
    arranged("root as leaf", root, root),
  ];
}

/** Names that RFC 5280 §7.1 calls the same, names that it does not, and one that issued itself. */
async function namedChains(): Promise<readonly MadeChain[]> {
  const part = (oid: string, text: string): Uint8Array =>
    tlv(0x31, tlv(0x30, tlv(0x06, hex(oid)), tlv(0x13, encodeUtf8(text))));
  const printable = tlv(0x30, part("55040a", "Fake"), part("550403", "authority 1"));
  const same = name("authority 1");
  const identified = (authority: boolean, oid: Uint8Array, value: Uint8Array): Uint8Array =>
    extensions(
      basicConstraints(authority, null),
      keyUsage(authority ? USAGE.both : USAGE.sign),
      extension(oid, false, value),
    );
  const short = extensions(basicConstraints(true, 0), keyUsage(USAGE.both));
  return [
    await anchored("names: issuer in capitals", 4, { 2: { issuer: name("AUTHORITY 1") } }),
    await anchored("names: issuer with more spaces", 4, { 2: { issuer: name("authority  1 ") } }),
    await anchored("names: issuer in PrintableString", 4, { 2: { issuer: printable } }),
    await anchored("names: issuer of another name", 4, { 2: { issuer: name("authority 7") } }),
    await anchored("names: root of another issuer", 4, { 0: { issuer: name("authority 7") } }),
    await anchored("identifiers: of another key than the authority's", 4, {
      2: { extensions: identified(true, OID.subjectKeyIdentifier, hex("04020001")) },
      3: { extensions: identified(false, OID.authorityKeyIdentifier, hex("300480020002")) },
    }),
    await anchored("identifiers: of the authority's key", 4, {
      2: { extensions: identified(true, OID.subjectKeyIdentifier, hex("04020001")) },
      3: { extensions: identified(false, OID.authorityKeyIdentifier, hex("300480020001")) },
    }),
    await anchored("names: self-issued intermediate of another key", 3, {
      1: { subject: name("authority 0") },
      2: { issuer: name("authority 0") },
    }),
    await anchored("names: self-issued intermediate, path length 0", 4, {
      1: { extensions: short },
      2: { issuer: same, subject: same },
      3: { issuer: same },
    }),
  ];
}
