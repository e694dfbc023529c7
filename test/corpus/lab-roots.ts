/**
 * Other roots of the lab's key and name: what a Relying Party pins although something is wrong with
 * it, or what it does not pin although it looks right.
 */
import {
  basicConstraints,
  bitStringSignature,
  type CertificateParts,
  extensions,
  integer,
  keyUsage,
  name,
  signerAt,
  tlv,
  USAGE,
  utcTime,
} from "../fakes/nitro.ts";
import { labCertificate } from "./lab.ts";

const ROOTS = {
  expired: { validity: tlv(0x30, utcTime("200101000000Z"), utcTime("210101000000Z")) },
  future: { validity: tlv(0x30, utcTime("350101000000Z"), utcTime("360101000000Z")) },
  noAuthority: { extensions: extensions(basicConstraints(false, null), keyUsage(USAGE.sign)) },
  shortPath: { extensions: extensions(basicConstraints(true, 0), keyUsage(USAGE.both)) },
  otherIssuer: { issuer: name("authority 9") },
  // RFC 5280 §6.1: a trust anchor is a name and a key; nobody verifies its own signature.
  unsigned: { signature: (): Uint8Array => bitStringSignature(new Uint8Array(96).fill(1)) },
  // Everything the lab's root says, in other bytes: a serial number of its own.
  unpinned: { serial: integer(Uint8Array.of(99)) },
} as const satisfies Record<string, Partial<CertificateParts>>;

export type RootName = keyof typeof ROOTS;
export const PINNED_ROOTS = [
  "expired",
  "future",
  "noAuthority",
  "shortPath",
  "otherIssuer",
  "unsigned",
] as const satisfies readonly RootName[];

const written = new Map<RootName, Promise<Uint8Array>>();

/** The DER of one of them, the same throughout a run. */
export function labRoot(name: RootName): Promise<Uint8Array> {
  const known = written.get(name) ?? write(name);
  written.set(name, known);
  return known;
}

async function write(name: RootName): Promise<Uint8Array> {
  const key = await signerAt(0);
  return labCertificate(0, 3, ROOTS[name], { subject: key, issuer: key });
}
