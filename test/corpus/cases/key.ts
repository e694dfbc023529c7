/** Public keys: the named curve P-384, an uncompressed point on it (RFC 5480 §2, SEC 1 §2.3). */
import { concatBytes } from "@countersign/attestation";
import {
  generateSigner,
  hex,
  integer,
  publicKeyInfo,
  type Signer,
  signerAt,
  tlv,
} from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { refused } from "../document-case.ts";
import { AUTHORITY, labChain, labDocument, LEAF } from "../lab.ts";
import { P384, smallPoint } from "../p384.ts";

/** Contents of object identifiers (RFC 5480 §2.1). */
const EC_PUBLIC_KEY = tlv(0x06, hex("2a8648ce3d0201"));
const EC_DH = tlv(0x06, hex("2b81040112"));
const CURVE = {
  p256: tlv(0x06, hex("2a8648ce3d030107")),
  p384: tlv(0x06, hex("2b81040022")),
  secp256k1: tlv(0x06, hex("2b8104000a")),
} as const;

export async function keyCases(): Promise<readonly Case[]> {
  return (await Promise.all([algorithms(), points()])).flat();
}

/** SubjectPublicKeyInfo with a BIT STRING of whole bytes. */
function keyInfo(algorithm: readonly Uint8Array[], point: Uint8Array): Uint8Array {
  return tlv(0x30, tlv(0x30, ...algorithm), tlv(0x03, hex("00"), point));
}

const ODD = { leaf: LEAF, authority: AUTHORITY } as const;

/** A document over a chain in which one certificate has this key. */
async function keyed(index: number, publicKey: Uint8Array): Promise<Uint8Array> {
  return labDocument({ chain: await labChain({ changes: { [index]: { publicKey } } }) });
}

async function algorithms(): Promise<readonly Case[]> {
  const clause = "RFC 5480 §2";
  const { point } = await signerAt(LEAF);
  const authority = await signerAt(AUTHORITY);
  const row = (name: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("certificate/key", name, what, clause, document);
  const leaf = (name: string, what: string, publicKey: Uint8Array): Promise<Case> =>
    row(`leaf-${name}`, `leaf: ${what}`, keyed(ODD.leaf, publicKey));
  return Promise.all([
    row("authority-p-256", "authority with a key on P-256, which signed the leaf", p256Authority()),
    leaf(
      "p-256",
      "a key on P-256",
      keyInfo([EC_PUBLIC_KEY, CURVE.p256], (await generateSigner("P-256")).point),
    ),
    leaf(
      "p-256-said-of-p-384",
      "the key's curve called P-256",
      keyInfo([EC_PUBLIC_KEY, CURVE.p256], point),
    ),
    leaf(
      "secp256k1",
      "the key's curve called secp256k1",
      keyInfo([EC_PUBLIC_KEY, CURVE.secp256k1], point),
    ),
    row(
      "leaf-explicit-parameters",
      "leaf: P-384 by its parameters, not by its name",
      keyed(ODD.leaf, keyInfo([EC_PUBLIC_KEY, explicitParameters(P384.generator)], point)),
    ),
    row(
      "authority-own-base-point",
      "authority: parameters with its own key for a base point, so that anybody knows a private key (CVE-2020-0601)",
      keyed(
        ODD.authority,
        keyInfo([EC_PUBLIC_KEY, explicitParameters(authority.point)], authority.point),
      ),
    ),
    leaf("implicit-curve", "parameters of NULL", keyInfo([EC_PUBLIC_KEY, hex("0500")], point)),
    leaf("no-curve", "no parameters", keyInfo([EC_PUBLIC_KEY], point)),
    leaf("ecdh", "a key for ECDH only", keyInfo([EC_DH, CURVE.p384], point)),
    leaf(
      "ed25519",
      "a key of Ed25519",
      keyInfo([tlv(0x06, hex("2b6570"))], new Uint8Array(32).fill(9)),
    ),
    leaf("rsa", "a key of RSA", rsaKey()),
    leaf(
      "unused-bits",
      "point in a BIT STRING with an unused bit",
      tlv(0x30, tlv(0x30, EC_PUBLIC_KEY, CURVE.p384), tlv(0x03, hex("01"), point)),
    ),
    leaf(
      "null-after-point",
      "a NULL after the point",
      tlv(0x30, tlv(0x30, EC_PUBLIC_KEY, CURVE.p384), tlv(0x03, hex("00"), point), hex("0500")),
    ),
  ]);
}

/** The leaf is truly signed: ecdsa-with-SHA384 by a key on P-256. */
async function p256Authority(): Promise<Uint8Array> {
  const signer: Signer = await generateSigner("P-256");
  const publicKey = keyInfo([EC_PUBLIC_KEY, CURVE.p256], signer.point);
  const chain = await labChain({
    signers: { [AUTHORITY]: signer },
    changes: { [AUTHORITY]: { publicKey } },
  });
  return labDocument({ chain });
}

/** RFC 3279 §2.3.5: ECParameters of P-384, spelt out. */
function explicitParameters(generator: Uint8Array): Uint8Array {
  const primeField = tlv(0x06, hex("2a8648ce3d0101"));
  return tlv(
    0x30,
    integer(Uint8Array.of(1)),
    tlv(0x30, primeField, integer(P384.prime)),
    tlv(0x30, tlv(0x04, P384.a), tlv(0x04, P384.b)),
    tlv(0x04, generator),
    integer(P384.order),
    integer(Uint8Array.of(1)),
  );
}

function rsaKey(): Uint8Array {
  const modulus = new Uint8Array(256).fill(0xc5);
  const key = tlv(0x30, integer(modulus), integer(hex("010001")));
  const algorithm = tlv(0x30, tlv(0x06, hex("2a864886f70d010101")), hex("0500"));
  return tlv(0x30, algorithm, tlv(0x03, hex("00"), key));
}

async function points(): Promise<readonly Case[]> {
  const clause = "SEC 1 §3.2.2.1";
  const { point } = await signerAt(LEAF);
  const odd = (point[96] ?? 0) & 1;
  const [x, y] = [point.slice(1, 49), point.slice(49)];
  const named = (encoded: Uint8Array): Uint8Array => keyInfo([EC_PUBLIC_KEY, CURVE.p384], encoded);
  const off = point.slice();
  off[96] = (off[96] ?? 0) ^ 1;
  const { unreduced } = smallPoint();
  const rows = [
    ["compressed", "the point compressed", named(concatBytes(Uint8Array.of(2 + odd), x))],
    ["hybrid", "the point in hybrid form", named(concatBytes(Uint8Array.of(6 + odd), x, y))],
    ["without-form", "the point without the byte that says its form", named(concatBytes(x, y))],
    ["off-curve", "a point beside the curve", publicKeyInfo(off)],
    ["x-y-exchanged", "x and y in each other's place", publicKeyInfo(concatBytes(hex("04"), y, x))],
    ["infinity", "the point at infinity", named(hex("00"))],
    ["zero", "x = y = 0", publicKeyInfo(concatBytes(hex("04"), new Uint8Array(96)))],
    ["x-above-p", "a point on the curve with p added to its x", publicKeyInfo(unreduced)],
    [
      "max",
      "x = y = 2^384 - 1",
      publicKeyInfo(concatBytes(hex("04"), new Uint8Array(96).fill(0xff))),
    ],
    ["one-byte-short", "a point of 96 bytes", named(point.slice(0, 96))],
    ["one-byte-long", "a point of 98 bytes", named(concatBytes(point, hex("00")))],
    ["empty", "a point of no bytes", named(new Uint8Array())],
  ] as const;
  return Promise.all(
    rows.flatMap(([id, what, publicKey]) =>
      (id === "off-curve" || id === "x-above-p"
        ? (["leaf", "authority"] as const)
        : (["leaf"] as const)
      ).map((place) =>
        refused(
          "certificate/key",
          `${place}-${id}`,
          `${place}: ${what}`,
          clause,
          keyed(ODD[place], publicKey),
        ),
      ),
    ),
  );
}
