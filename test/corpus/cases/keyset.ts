/** Keysets: the receipt key, and the Key Configuration with its suite. PROTOCOL 4, RFC 9458 §3. */
import { type AttestationErrorCode, concatBytes } from "@countersign/attestation";
import { type FakeEpoch, writeBundle } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { map } from "../cbor.ts";
import { accepted, bundleInput, type Input, refused, revoking } from "../node-case.ts";
import { epochWith, random } from "../node.ts";
import { smallPoint } from "../p256.ts";
import { type Change, entriesOf, mapOf, recode } from "../recode.ts";

/** Keysets that the binding names, and that are none. */
export async function keysetStructures({ parts, binding }: FakeEpoch): Promise<readonly Case[]> {
  const { keyset } = parts;
  const wrong = async (
    name: string,
    what: string,
    bytes: Uint8Array,
    clause = "PROTOCOL 4",
    code: AttestationErrorCode = "keyset/structure",
  ): Promise<Case> => {
    const { bundle } = await epochWith({ preimages: { keyset: bytes } });
    return refused("keyset", code, name, what, clause, bundleInput(bundle));
  };
  const key = bytesAt(keyset, 3);
  const withKey = (...changes: readonly Change[]): Uint8Array =>
    recode(keyset, [3, recode(key, ...changes)]);
  const [x, y] = [bytesAt(key, -2), bytesAt(key, -3)];
  const small = smallPoint();
  const cose = "RFC 9053 §7.1.1";
  const changes: readonly (readonly [name: string, what: string, change: Change])[] = [
    ...[1, 2, 3].map(
      (at) => [`keyset-without-${at}`, `key ${at} is missing`, [at, undefined]] as const,
    ),
    ["keyset-with-4", "an unknown key", [4, 0]],
    ["keyset-v2", "the tag of another version", [1, "countersign/keyset/v2"]],
    ["keyset-key-config-of-8", "a Key Configuration of 8 bytes", [2, random(8)]],
    ["keyset-key-config-of-4097", "a Key Configuration of 4097 bytes", [2, random(4097)]],
    ["keyset-key-config-of-text", "a Key Configuration as text", [2, "MLKEM768-X25519"]],
    ["keyset-receipt-key-of-map", "the receipt key as a map instead of its bytes", [3, mapOf(key)]],
    ["keyset-receipt-key-of-257", "a receipt key of 257 bytes", [3, random(257)]],
  ];
  const keyChanges: readonly (readonly [
    name: string,
    what: string,
    ...changes: readonly Change[],
  ])[] = [
    ["receipt-key-okp", "a key type that is no curve point's", [1, 1]],
    ["receipt-key-es384", "another algorithm", [3, -35]],
    ["receipt-key-p-384", "another curve", [-1, 2]],
    ["receipt-key-without-algorithm", "no algorithm", [3, undefined]],
    ["receipt-key-without-y", "no y coordinate", [-3, undefined]],
    ["receipt-key-compressed", "y as a sign, a compressed point", [-3, true]],
    ["receipt-key-x-of-31", "an x coordinate of 31 bytes", [-2, x.slice(1)]],
    [
      "receipt-key-x-of-33",
      "an x coordinate with a zero in front",
      [-2, concatBytes(Uint8Array.of(0), x)],
    ],
    ["receipt-key-with-key-id", "a key id, which this key does not have", [2, random(8)]],
    ["receipt-key-private", "the private key in it", [-4, random(32)]],
    ["receipt-key-off-curve", "a point that is not on P-256", [-3, y.with(31, (y[31] ?? 0) ^ 1)]],
    [
      "receipt-key-infinity",
      "zeros for both coordinates",
      [-2, new Uint8Array(32)],
      [-3, new Uint8Array(32)],
    ],
    [
      "receipt-key-coordinate-beyond-the-field",
      "x + p for x: the same point in another form",
      [-2, small.xBeyondField],
      [-3, small.y],
    ],
  ];
  const unsorted = map(entriesOf(key).toReversed());
  return Promise.all([
    ...changes.map(([name, what, change]) => wrong(name, what, recode(keyset, change))),
    ...keyChanges.map(([name, what, ...change]) => wrong(name, what, withKey(...change), cose)),
    wrong(
      "keyset-keys-reversed",
      "all keys backwards",
      map(entriesOf(keyset).toReversed()),
      "PROTOCOL 2",
      "cbor/key-order",
    ),
    wrong(
      "receipt-key-unsorted",
      "the receipt key's members backwards",
      recode(keyset, [3, unsorted]),
      "PROTOCOL 2",
      "cbor/key-order",
    ),
    wrong(
      "receipt-key-with-surplus-byte",
      "a byte after the receipt key",
      recode(keyset, [3, concatBytes(key, Uint8Array.of(0))]),
      "PROTOCOL 2",
      "cbor/trailing",
    ),
    wrong(
      "keyset-with-surplus-byte",
      "a byte after the keyset",
      concatBytes(keyset, Uint8Array.of(0)),
      "PROTOCOL 2",
      "cbor/trailing",
    ),
    refused(
      "keyset",
      "policy/revoked",
      "keyset-revoked",
      "a keyset that the policy revokes",
      "PROTOCOL 9",
      bundleInput(writeBundle(parts)),
      revoking("keysets", binding.keysetDigest),
    ),
    accepted(
      "keyset-not-the-revoked-one",
      "the policy revokes another keyset",
      "PROTOCOL 9",
      bundleInput(writeBundle(parts)),
      revoking("keysets", random(32)),
    ),
  ]);
}

/** Key Configurations of other algorithms, or none. RFC 9458 §3. */
export async function keysetSuites({ parts }: FakeEpoch): Promise<readonly Case[]> {
  const config = bytesAt(parts.keyset, 2);
  const keyBytes = 1216;
  const publicKey = config.slice(3, 3 + keyBytes);
  const symmetric = Uint8Array.of(0, 4, 0, 1, 0, 2);
  const written = (kem: number, key: Uint8Array, suite = symmetric): Uint8Array =>
    concatBytes(Uint8Array.of(1, kem >> 8, kem & 0xff), key, suite);
  const bundleOf = async (keyConfig: Uint8Array): Promise<Input> => {
    const keyset = recode(parts.keyset, [2, keyConfig]);
    return bundleInput((await epochWith({ preimages: { keyset } })).bundle);
  };
  const xwing = (...suite: readonly number[]): Uint8Array =>
    written(0x647a, publicKey, Uint8Array.from(suite));
  const rows: readonly (readonly [
    code: "policy/suite" | "keyset/structure",
    name: string,
    what: string,
    keyConfig: Uint8Array,
  ])[] = [
    [
      "policy/suite",
      "suite-x25519-not-allowed",
      "X25519 without ML-KEM, which the policy does not name",
      written(0x0020, random(32)),
    ],
    [
      "policy/suite",
      "suite-kem-p-256",
      "DHKEM(P-256), which we do not have",
      written(0x0010, random(65)),
    ],
    ["policy/suite", "suite-kem-unknown", "a KEM that nobody knows", written(0xffff, random(32))],
    ["policy/suite", "suite-kdf-sha512", "HKDF-SHA512", xwing(0, 4, 0, 3, 0, 2)],
    ["policy/suite", "suite-aead-aes-128", "AES-128-GCM", xwing(0, 4, 0, 1, 0, 1)],
    ["policy/suite", "suite-aead-chacha20", "ChaCha20-Poly1305", xwing(0, 4, 0, 1, 0, 3)],
    [
      "policy/suite",
      "suite-aead-export-only",
      "the AEAD that encrypts nothing",
      xwing(0, 4, 0, 1, 0xff, 0xff),
    ],
    [
      "policy/suite",
      "suite-length-of-8",
      "a length of two suites before one",
      xwing(0, 8, 0, 1, 0, 2),
    ],
    [
      "keyset/structure",
      "suite-two-of-them",
      "two symmetric suites",
      xwing(0, 8, 0, 1, 0, 2, 0, 1, 0, 3),
    ],
    ["keyset/structure", "suite-none", "no symmetric suite", xwing(0, 0)],
    [
      "keyset/structure",
      "suite-key-cut",
      "a public key without its last byte",
      written(0x647a, publicKey.slice(0, -1)),
    ],
    [
      "keyset/structure",
      "suite-key-extended",
      "a public key and a byte more",
      written(0x647a, concatBytes(publicKey, Uint8Array.of(0))),
    ],
    [
      "keyset/structure",
      "suite-key-of-x25519",
      "a key of X25519 under the id of X-Wing",
      written(0x647a, random(32)),
    ],
    [
      "keyset/structure",
      "suite-with-surplus-byte",
      "a byte after the suite",
      concatBytes(config, Uint8Array.of(0)),
    ],
    ["keyset/structure", "suite-twice", "two Key Configurations", concatBytes(config, config)],
  ];
  const x25519 = await bundleOf(written(0x0020, random(32)));
  return [
    ...(await Promise.all(
      rows.map(async ([code, name, what, keyConfig]) =>
        refused("suite", code, name, what, "RFC 9458 §3", await bundleOf(keyConfig)),
      ),
    )),
    accepted(
      "suite-x25519-allowed",
      "X25519 without ML-KEM, which the policy names",
      "PROTOCOL 5",
      x25519,
      { policy: "node-x25519" },
    ),
    accepted(
      "suite-key-id-of-255",
      "the greatest key id",
      "PROTOCOL 4",
      await bundleOf(config.with(0, 255)),
    ),
  ];
}

function bytesAt(structure: Uint8Array, key: number): Uint8Array {
  const value = mapOf(structure).get(key);
  if (!(value instanceof Uint8Array)) throw new TypeError(`no bytes at key ${key}`);
  return value;
}
