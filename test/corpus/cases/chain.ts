/** Certification paths (RFC 5280 §6.1): which certificates, in which order, by whom, for what. */
import { concatBytes } from "@countersign/attestation";
import {
  attribute,
  basicConstraints,
  type Changes,
  extensions,
  generateSigner,
  keyUsage,
  MODULE_ID,
  name as nameOf,
  OID,
  type Signer,
  signerAt,
  tlv,
  USAGE,
} from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { accepted, refused } from "../document-case.ts";
import {
  AUTHORITY,
  certificateIn,
  type ChainOptions,
  labCertificate,
  labChain,
  labDocument,
  LEAF,
  usualChain,
} from "../lab.ts";
import { labRoot, type RootName } from "../lab-roots.ts";

export async function chainCases(): Promise<readonly Case[]> {
  const lists = [roots, lengths, order, names];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

type Chain = readonly Uint8Array[];

const over = (chain: Chain, signer?: Signer): Promise<Uint8Array> =>
  labDocument(signer === undefined ? { chain } : { chain, signer });
const overLab = async (options: ChainOptions): Promise<Uint8Array> => over(await labChain(options));

/** The usual chain below another root of the same name and key. */
async function below(name: RootName, length: number = LEAF + 1): Promise<Uint8Array> {
  const [, ...others] = await labChain({ length });
  return over([await labRoot(name), ...others]);
}

async function roots(): Promise<readonly Case[]> {
  const [root, authority, leaf] = await usualChain();
  const stranger = await generateSigner();
  const foreign = await labChain({ signers: { 0: stranger } });
  const unpinned = (name: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("chain/root", name, what, "RFC 5280 §6.1.1 (d)", document);
  const leafKey = await signerAt(LEAF);
  const selfSigned = await labCertificate(
    LEAF,
    LEAF + 1,
    { issuer: nameOf(`${MODULE_ID}.fake-1.aws`) },
    {
      subject: leafKey,
      issuer: leafKey,
    },
  );
  return Promise.all([
    unpinned("reversed", "cabundle with the root last", over([authority, root, leaf])),
    unpinned(
      "without-root",
      "cabundle that begins below the root",
      over([authority, leaf], leafKey),
    ),
    unpinned(
      "foreign-root",
      "a whole chain below a root of the same name and another key",
      over(foreign),
    ),
    unpinned(
      "same-key",
      "a root of the same name and key with another serial number",
      below("unpinned"),
    ),
    unpinned(
      "self-signed-leaf",
      "a leaf that signed itself, in cabundle too",
      over([selfSigned, selfSigned], leafKey),
    ),
    unpinned(
      "root-twice-foreign-first",
      "a foreign root before the pinned one",
      over([certificateIn(foreign, 0), root, authority, leaf], leafKey),
    ),
    unpinned(
      "byte-after-root",
      "a zero byte after the root",
      over([concatBytes(root, Uint8Array.of(0)), authority, leaf]),
    ),
    refused(
      "chain/root",
      "policy-of-another-vendor",
      "a chain to the lab's root, judged by a policy for AWS",
      "PROTOCOL 3",
      labDocument(),
      { policy: "aws" },
    ),
    accepted(
      "root-with-wrong-signature",
      "a pinned root whose own signature is wrong: its digest is what makes it a root",
      "RFC 5280 §6.1",
      below("unsigned"),
      { policy: "roots" },
    ),
    refused(
      "chain/constraints",
      "pinned-root-no-authority",
      "a pinned root that is no authority",
      "RFC 5280 §6.1.4 (k)",
      below("noAuthority"),
      { policy: "roots" },
    ),
    refused(
      "chain/constraints",
      "pinned-root-path-length",
      "a pinned root with pathLen 0 above two certificates",
      "RFC 5280 §6.1.4 (l)",
      below("shortPath"),
      { policy: "roots" },
    ),
    refused(
      "chain/name",
      "pinned-root-other-issuer",
      "a pinned root that another issued",
      "PROTOCOL 3",
      below("otherIssuer"),
      { policy: "roots" },
    ),
  ]);
}

async function lengths(): Promise<readonly Case[]> {
  const [root, authority, leaf] = await usualChain();
  const fourteen = Array.from({ length: 14 }, () => authority);
  const taken = (length: number, what: string): Promise<Case> =>
    accepted(`chain-of-${length}`, what, "PROTOCOL 13", overLab({ length }));
  const long = (name: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("chain/length", name, what, "PROTOCOL 13", document);
  return Promise.all([
    taken(2, "2 certificates: the root issued the leaf"),
    taken(5, "5 certificates, as AWS writes it"),
    taken(8, "8 certificates"),
    long(
      "nine-certificates",
      "9 certificates, each signed by the one before",
      overLab({ length: 9 }),
    ),
    long(
      "sixteen-certificates",
      "16 certificates, the one above the leaf fourteen times",
      over([root, ...fourteen, leaf], await signerAt(LEAF)),
    ),
  ]);
}

async function order(): Promise<readonly Case[]> {
  const [root, authority, leaf] = await usualChain();
  const leafKey = await signerAt(LEAF);
  const four = await labChain({ length: 4 });
  const [upper, lower] = [certificateIn(four, AUTHORITY), certificateIn(four, AUTHORITY + 1)];
  const last = certificateIn(four, 3);
  const noPathLength = extensions(basicConstraints(true, null), keyUsage(USAGE.both));
  const changes = { [AUTHORITY]: { extensions: noPathLength } };
  const unlimited = certificateIn(await labChain({ changes }), AUTHORITY);
  const name = (id: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("chain/name", id, what, "RFC 5280 §6.1.3 (a)(4)", document);
  const constraint = (id: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("chain/constraints", id, what, "RFC 5280 §6.1.4 (k)", document);
  return Promise.all([
    constraint(
      "leaf-in-cabundle",
      "the leaf at the end of cabundle too",
      over([root, unlimited, leaf, leaf], leafKey),
    ),
    name(
      "without-intermediate",
      "no certificate between root and leaf, where there was one",
      over([root, leaf], leafKey),
    ),
    name(
      "intermediate-twice",
      "the certificate above the leaf twice",
      over([root, unlimited, unlimited, leaf], leafKey),
    ),
    name(
      "intermediate-missing",
      "one of two certificates between root and leaf missing",
      over([root, lower, last], await signerAt(3)),
    ),
    name(
      "intermediates-exchanged",
      "two certificates between root and leaf in each other's place",
      over([root, lower, upper, last], await signerAt(3)),
    ),
    constraint(
      "root-as-leaf",
      "the root for a leaf, whose key signed the document",
      over([root, root], await signerAt(0)),
    ),
    constraint(
      "authority-as-leaf",
      "the authority for a leaf, whose key signed the document",
      over([root, authority], await signerAt(AUTHORITY)),
    ),
  ]);
}

async function names(): Promise<readonly Case[]> {
  const issuer = (id: string, what: string, value: Uint8Array): Promise<Case> =>
    refused(
      "chain/name",
      `issuer-${id}`,
      `leaf's issuer ${what}`,
      "RFC 5280 §6.1.3 (a)(4)",
      overLab({ changes: { [LEAF]: { issuer: value } } }),
    );
  const organization = attribute(OID.organization, "Fake");
  const commonName = attribute(OID.commonName, "authority 1");
  const named = (changes: Changes): Promise<Uint8Array> => overLab({ changes });
  const empty = tlv(0x30);
  const teletex = tlv(0x30, attribute(OID.commonName, "authority 1", 0x14));
  return Promise.all([
    issuer("one-byte", "with one byte changed", nameOf("authority 2")),
    issuer("other-case", "in upper case", nameOf("AUTHORITY 1")),
    issuer("with-space", "with a space more", nameOf("authority  1")),
    issuer(
      "other-string-type",
      "as a PrintableString",
      tlv(0x30, organization, attribute(OID.commonName, "authority 1", 0x13)),
    ),
    issuer(
      "parts-exchanged",
      "with its parts in another order",
      tlv(0x30, commonName, organization),
    ),
    issuer("part-missing", "without its organization", tlv(0x30, commonName)),
    issuer("part-more", "with one part more", tlv(0x30, organization, commonName, organization)),
    issuer("name-of-the-root", "of the root, whose key did not sign it", nameOf("authority 0")),
    refused(
      "chain/name",
      "authority-issuer",
      "authority's issuer is another than the root",
      "RFC 5280 §6.1.3 (a)(4)",
      named({ [AUTHORITY]: { issuer: nameOf("authority 7") } }),
    ),
    refused(
      "certificate/profile",
      "authority-without-name",
      "authority with an empty name, and a leaf whose issuer is empty, too",
      "RFC 5280 §4.1.2.6",
      named({ [AUTHORITY]: { subject: empty }, [LEAF]: { issuer: empty } }),
    ),
    refused(
      "certificate/profile",
      "authority-teletex-string",
      "authority's name with a TeletexString, and the same in the leaf's issuer",
      "RFC 5280 §4.1.2.4",
      named({ [AUTHORITY]: { subject: teletex }, [LEAF]: { issuer: teletex } }),
    ),
    accepted(
      "authority-printable-string",
      "authority's name as a PrintableString in both places",
      "RFC 5280 §4.1.2.4",
      named({
        [AUTHORITY]: { subject: tlv(0x30, attribute(OID.commonName, "a", 0x13)) },
        [LEAF]: { issuer: tlv(0x30, attribute(OID.commonName, "a", 0x13)) },
      }),
    ),
  ]);
}
