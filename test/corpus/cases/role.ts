/** What a certificate may be used for, by its place in the chain (RFC 5280 §6.1.4 (k) to (n)). */
import {
  basicConstraints,
  extensions,
  keyUsage,
  name as nameOf,
  USAGE,
} from "../../fakes/nitro.ts";
import type { CertificateParts } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { accepted, refused } from "../document-case.ts";
import { AUTHORITY, type ChainOptions, labChain, labDocument, LEAF } from "../lab.ts";

export async function roleCases(): Promise<readonly Case[]> {
  return (await Promise.all([roles(), pathLengths(), selfIssued()])).flat();
}

/** Bits of a key usage: count of unused bits, then the bits (RFC 5280 §4.2.1.3). */
const BITS = {
  keyEncipherment: "0520",
  keyCertSign: "0204",
  cRLSign: "0102",
  nonRepudiation: "0640",
  signAndCrl: "0182",
} as const;

const role = (
  authority: boolean,
  pathLength: number | null,
  bits: string,
): Partial<CertificateParts> => ({
  extensions: extensions(basicConstraints(authority, pathLength), keyUsage(bits)),
});

const over = async (options: ChainOptions): Promise<Uint8Array> =>
  labDocument({ chain: await labChain(options) });

function at(index: number, parts: Partial<CertificateParts>): Promise<Uint8Array> {
  return over({ changes: { [index]: parts } });
}

async function roles(): Promise<readonly Case[]> {
  const row = (name: string, what: string, clause: string, document: Promise<Uint8Array>) =>
    refused("chain/constraints", name, what, clause, document);
  const [usage, basic] = ["RFC 5280 §4.2.1.3", "RFC 5280 §4.2.1.9"];
  return Promise.all([
    row("leaf-authority", "leaf with cA", basic, at(LEAF, role(true, null, USAGE.sign))),
    row(
      "leaf-authority-path-length",
      "leaf with cA and pathLen 0, which may not sign certificates",
      basic,
      at(LEAF, role(true, 0, USAGE.sign)),
    ),
    row(
      "leaf-may-sign-certificates",
      "leaf with keyCertSign beside digitalSignature",
      usage,
      at(LEAF, role(false, null, USAGE.both)),
    ),
    row(
      "leaf-may-not-sign",
      "leaf with keyEncipherment alone",
      usage,
      at(LEAF, role(false, null, BITS.keyEncipherment)),
    ),
    row(
      "leaf-non-repudiation-alone",
      "leaf with nonRepudiation alone",
      usage,
      at(LEAF, role(false, null, BITS.nonRepudiation)),
    ),
    row(
      "intermediate-no-authority",
      "certificate above the leaf without cA",
      basic,
      at(AUTHORITY, role(false, null, USAGE.both)),
    ),
    row(
      "intermediate-may-not-sign",
      "certificate above the leaf without keyCertSign",
      usage,
      at(AUTHORITY, role(true, 0, USAGE.sign)),
    ),
    row(
      "intermediate-crl-only",
      "certificate above the leaf with digitalSignature and cRLSign",
      usage,
      at(AUTHORITY, role(true, 0, BITS.signAndCrl)),
    ),
    accepted(
      "intermediate-key-cert-sign-alone",
      "certificate above the leaf with keyCertSign alone, as AWS writes it",
      usage,
      at(AUTHORITY, role(true, 0, BITS.keyCertSign)),
    ),
  ]);
}

/** Certificates in the chain, and how many may follow the first before the leaf. */
async function pathLengths(): Promise<readonly Case[]> {
  const clause = "RFC 5280 §6.1.4 (l)";
  const first = (length: number, pathLength: number | null): Promise<Uint8Array> =>
    over({ length, changes: { [AUTHORITY]: role(true, pathLength, USAGE.both) } });
  return Promise.all([
    refused(
      "chain/constraints",
      "path-length-0-above-two",
      "pathLen 0 with one more authority below",
      clause,
      first(4, 0),
    ),
    refused(
      "chain/constraints",
      "path-length-1-above-three",
      "pathLen 1 with two more authorities below",
      clause,
      first(5, 1),
    ),
    accepted("path-length-exact", "pathLen 1 with one more authority below", clause, first(4, 1)),
    accepted("path-length-more", "pathLen 5 with one more authority below", clause, first(4, 5)),
    accepted(
      "path-length-absent",
      "no pathLen with one more authority below",
      clause,
      first(4, null),
    ),
    accepted(
      "path-length-widened",
      "pathLen 7 below an authority with pathLen 1",
      clause,
      widened(),
    ),
  ]);
}

/** The one below may not grant more than it has, and need not say less: only the chain counts. */
function widened(): Promise<Uint8Array> {
  return over({ length: 4, changes: { [AUTHORITY + 1]: role(true, 7, USAGE.both) } });
}

/** RFC 5280 §6.1: a certificate whose issuer has its own name. */
async function selfIssued(): Promise<readonly Case[]> {
  const own = nameOf("authority 1");
  const chain = (pathLength: number | null): Promise<Uint8Array> =>
    over({
      length: 4,
      changes: {
        [AUTHORITY]: role(true, pathLength, USAGE.both),
        [AUTHORITY + 1]: { issuer: own, subject: own },
        [AUTHORITY + 2]: { issuer: own },
      },
    });
  return Promise.all([
    accepted(
      "self-issued",
      "an authority that issued a certificate to its own name",
      "RFC 5280 §6.1",
      chain(null),
    ),
    refused(
      "chain/constraints",
      "self-issued-beyond-path-length",
      "a certificate to its authority's own name below pathLen 0: RFC 5280 would not count it, this profile does",
      "PROTOCOL 3",
      chain(0),
    ),
  ]);
}
