/** Signatures between certificates (RFC 5280 §6.1.3 (a)(1)): well formed, and not by the one above. */
import {
  bitStringSignature,
  type CertificateParts,
  generateSigner,
  integer,
  type Signer,
  signerAt,
  tlv,
} from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { refused } from "../document-case.ts";
import {
  AUTHORITY,
  certificateIn,
  labCertificate,
  labChain,
  labDocument,
  LEAF,
  usualChain,
} from "../lab.ts";
import { P384 } from "../p384.ts";

type Halves = readonly [r: Uint8Array, s: Uint8Array];

export async function linkCases(): Promise<readonly Case[]> {
  return (await Promise.all([signers(), values(), changes()])).flat();
}

function row(name: string, what: string, chain: Promise<readonly Uint8Array[]>): Promise<Case> {
  const document = chain.then((ders) => labDocument({ chain: ders }));
  return refused("chain/signature", name, what, "RFC 5280 §6.1.3 (a)(1)", document);
}

/** The usual chain with one certificate signed by somebody else. */
async function signedBy(
  index: number,
  issuer: Signer,
  parts: Partial<CertificateParts> = {},
): Promise<readonly Uint8Array[]> {
  const subject = await signerAt(index);
  const der = await labCertificate(index, LEAF + 1, parts, { subject, issuer });
  return (await labChain()).with(index, der);
}

async function signers(): Promise<readonly Case[]> {
  const [root, leaf, stranger] = [await signerAt(0), await signerAt(LEAF), await generateSigner()];
  return Promise.all([
    row("leaf-by-stranger", "leaf signed by a key of nobody's", signedBy(LEAF, stranger)),
    row(
      "authority-by-stranger",
      "authority signed by a key of nobody's",
      signedBy(AUTHORITY, stranger),
    ),
    row("leaf-by-root", "leaf signed by the root's key, below the authority", signedBy(LEAF, root)),
    row("leaf-by-itself", "leaf signed by its own key", signedBy(LEAF, leaf)),
    row(
      "other-key-of-the-same-name",
      "leaf below an authority of the right name that has another key",
      otherAuthority(stranger),
    ),
    row(
      "leaf-with-sha-256",
      "leaf signed with SHA-256 while it says SHA-384",
      signedBy(LEAF, await signerAt(AUTHORITY), { hash: "SHA-256" }),
    ),
  ]);
}

/** The root did sign it, but the leaf is by the lab's authority. */
async function otherAuthority(key: Signer): Promise<readonly Uint8Array[]> {
  const other = await labChain({ signers: { [AUTHORITY]: key } });
  return (await labChain()).with(AUTHORITY, certificateIn(other, AUTHORITY));
}

/** Values that no signature has, in the right encoding. */
async function values(): Promise<readonly Case[]> {
  const zero = new Uint8Array(48);
  const authority = await signerAt(AUTHORITY);
  const leaf = (name: string, what: string, make: (halves: Halves) => Halves): Promise<Case> => {
    const signature = (raw: Uint8Array): Uint8Array => {
      const [r, s] = make([raw.slice(0, 48), raw.slice(48)]);
      return tlv(0x03, Uint8Array.of(0), tlv(0x30, integer(r), integer(s)));
    };
    return row(
      `leaf-signature-${name}`,
      `leaf's signature with ${what}`,
      signedBy(LEAF, authority, { signature }),
    );
  };
  return Promise.all([
    leaf("r-0", "r = 0", ([, s]) => [zero, s]),
    leaf("s-0", "s = 0", ([r]) => [r, zero]),
    leaf("r-s-0", "r = s = 0", () => [zero, zero]),
    leaf("r-n", "r = n", ([, s]) => [P384.order, s]),
    leaf("s-n", "s = n", ([r]) => [r, P384.order]),
    leaf("r-s-1", "r = s = 1", () => [Uint8Array.of(1), Uint8Array.of(1)]),
    leaf("r-s-exchanged", "r and s in each other's place", ([r, s]) => [s, r]),
  ]);
}

async function changes(): Promise<readonly Case[]> {
  const chain = await labChain();
  const changed = (index: number): Promise<readonly Uint8Array[]> =>
    Promise.resolve(chain.with(index, serialFlipped(certificateIn(chain, index))));
  return Promise.all([
    row("leaf-changed", "a bit of the leaf's serial number flipped after signing", changed(LEAF)),
    row(
      "authority-changed",
      "a bit of the authority's serial number flipped after signing",
      changed(AUTHORITY),
    ),
    row(
      "authority-key-replaced",
      "another key in the authority, which signed the leaf; the authority's signature kept",
      keyReplaced(await generateSigner()),
    ),
    row("signatures-exchanged", "authority and leaf with each other's signature", exchanged()),
  ]);
}

/** Two SEQUENCE heads of four bytes, the version's five, the serial number's two. */
const SERIAL_AT = 15;

function serialFlipped(der: Uint8Array): Uint8Array {
  const copy = der.slice();
  copy[SERIAL_AT] = (copy[SERIAL_AT] ?? 0) ^ 0x10;
  return copy;
}

async function keyReplaced(key: Signer): Promise<readonly Uint8Array[]> {
  const [root, genuine] = await usualChain();
  const authority = genuine.slice();
  authority.set(key.point, Buffer.from(genuine).indexOf((await signerAt(AUTHORITY)).point));
  return [root, authority, certificateIn(await signedBy(LEAF, key), LEAF)];
}

async function exchanged(): Promise<readonly Uint8Array[]> {
  const [root, authority] = [await signerAt(0), await signerAt(AUTHORITY)];
  const raw: Record<"authority" | "leaf", Uint8Array> = {
    authority: new Uint8Array(),
    leaf: new Uint8Array(),
  };
  // Once to see the two signatures, once more with each in the other's place.
  await signedBy(AUTHORITY, root, {
    signature: (own) => bitStringSignature((raw.authority = own)),
  });
  await signedBy(LEAF, authority, { signature: (own) => bitStringSignature((raw.leaf = own)) });
  const above = await signedBy(AUTHORITY, root, { signature: () => bitStringSignature(raw.leaf) });
  const below = await signedBy(LEAF, authority, {
    signature: () => bitStringSignature(raw.authority),
  });
  return above.with(LEAF, certificateIn(below, LEAF));
}
