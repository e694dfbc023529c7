/** The envelope (RFC 9052 §4.2), and who signed it. */
import { compareBytes, concatBytes, encodeUtf8, isLowS, lowS } from "@countersign/attestation";
import { generateSigner, hex, integer, type Signer, signerAt, tlv } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { array, bstr, indefinite, map, NULL, tag, tstr, uint } from "../cbor.ts";
import { accepted, refused } from "../document-case.ts";
import {
  AUTHORITY,
  documentEntries,
  type Envelope,
  envelope,
  ES384,
  labDocument,
  labEnvelope,
  LEAF,
  register,
  toBeSigned,
  usualChain,
} from "../lab.ts";
import { otherS, P384 } from "../p384.ts";

export async function coseCases(): Promise<readonly Case[]> {
  const lists = [structure, protectedHeader, unprotectedHeader, signatureFormat, signatures];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

type Row = readonly [name: string, what: string, document: Promise<Uint8Array>];

const shaped = (shape: (parts: Envelope) => Uint8Array): Promise<Uint8Array> =>
  labDocument({ envelope: shape });

async function structure(): Promise<readonly Case[]> {
  const encoded = ({ header, payload, signature }: Envelope): Uint8Array[] => [
    bstr(header),
    map([]),
    bstr(payload),
    bstr(signature),
  ];
  const rows: readonly Row[] = [
    ["tag-17", "tag 17, COSE_Mac0", shaped((parts) => tag(17, envelope(parts)))],
    ["tag-98", "tag 98, COSE_Sign", shaped((parts) => tag(98, envelope(parts)))],
    ["tag-18-twice", "tag 18 twice", shaped((parts) => tag(18, tag(18, envelope(parts))))],
    ["tag-61", "tag 61 around tag 18, a CWT", shaped((parts) => tag(61, tag(18, envelope(parts))))],
    [
      "tag-55799",
      "tag 55799 around it, which says that it is CBOR",
      shaped((parts) => tag(55_799, envelope(parts))),
    ],
    [
      "three-parts",
      "no signature: an array of three",
      shaped((parts) => array(encoded(parts).slice(0, 3))),
    ],
    ["five-parts", "a fifth part", shaped((parts) => array([...encoded(parts), NULL]))],
    ["no-parts", "an array of nothing", shaped(() => array([]))],
    [
      "map",
      "a map in place of the array",
      shaped((parts) => map(encoded(parts).map((part, index) => [uint(index), part]))),
    ],
    ["in-a-byte-string", "the whole in a byte string", shaped((parts) => bstr(envelope(parts)))],
    ["payload-nil", "payload nil: detached", labEnvelope({ payload: NULL })],
    [
      "payload-map",
      "payload as the map itself, not in a byte string",
      labDocument({
        // In the order of deterministic CBOR, so that nothing else is wrong with the map.
        payload: (entries) => map(entries.toSorted(([a], [b]) => compareBytes(a, b))),
        envelope: (parts) => envelope(parts, { payload: parts.payload }),
      }),
    ],
    [
      "payload-text",
      "payload as text",
      labDocument({
        payload: () => encodeUtf8("{}"),
        envelope: (parts) => envelope(parts, { payload: tstr("{}") }),
      }),
    ],
    ["payload-array", "payload as a list", labEnvelope({ payload: array([]) })],
  ];
  return Promise.all([
    ...rows.map(([name, what, document]) =>
      refused("cose/structure", name, what, "RFC 9052 §4.2", document),
    ),
    accepted(
      "untagged",
      "no tag, as AWS writes it: the document that all others differ from",
      "PROTOCOL 3",
      labDocument(),
    ),
    accepted(
      "tag-18",
      "tag 18",
      "RFC 9052 §2",
      shaped((parts) => tag(18, envelope(parts))),
    ),
    refused(
      "evidence/structure",
      "payload-no-map",
      "payload is a list",
      "Nitro §3.2",
      labDocument({ payload: (entries) => array(entries.flat()) }),
    ),
    refused(
      "evidence/structure",
      "payload-in-a-byte-string",
      "payload is the document in a byte string once more",
      "Nitro §3.2",
      labDocument({ payload: (entries) => bstr(map(entries)) }),
    ),
    refused(
      "evidence/structure",
      "payload-tagged",
      "payload is the document as an encoded item, tag 24",
      "Nitro §3.2",
      labDocument({ payload: (entries) => tag(24, bstr(map(entries))) }),
    ),
  ]);
}

async function protectedHeader(): Promise<readonly Case[]> {
  /** Signed together with the payload: only the header itself is wrong. */
  const header = (content: string): Promise<Uint8Array> => labDocument({ header: hex(content) });
  const clause = "RFC 9052 §3, RFC 9053 §2.1";
  const rows: readonly Row[] = [
    ["empty", "no protected header", header("")],
    ["empty-map", "protected header of an empty map", header("a0")],
    ["es256", "ES256", header("a10126")],
    ["es512", "ES512", header("a1013823")],
    ["ps384", "PS384", header("a1013825")],
    ["eddsa", "EdDSA", header("a10127")],
    ["esp384", "ESP384, the fully specified name of the same (RFC 9864)", header("a1013832")],
    ["hs384", "HMAC 384/384", header("a10106")],
    ["text-name", 'the text "ES384" in place of -35', header("a101654553333834")],
    ["key-id", "a key id beside the algorithm", header("a2013822044101")],
    ["critical", "a critical header beside the algorithm", header("a201382202811863")],
    ["content-type", "a content type beside the algorithm", header("a201382203183c")],
    ["algorithm-twice", "the algorithm twice", header("a2013822013822")],
    ["long-algorithm", "-35 in three bytes", header("a101390022")],
    ["long-label", "label 1 in two bytes", header("a118013822")],
    ["long-map", "head of the map in two bytes", header("b801013822")],
    ["indefinite-map", "map of indefinite length", header("bf013822ff")],
    ["trailing-byte", "a zero byte after the map", header("a101382200")],
    ["cut", "map without its value", header("a101")],
    ["as-map", "the map itself, not in a byte string", labEnvelope({ header: ES384 })],
    ["nil", "protected header nil", labEnvelope({ header: NULL })],
    ["text", "protected header as text", labEnvelope({ header: tstr("ES384") })],
  ];
  return Promise.all(
    rows.map(([name, what, document]) =>
      refused("cose/protected", `protected-${name}`, what, clause, document),
    ),
  );
}

async function unprotectedHeader(): Promise<readonly Case[]> {
  const [root] = await usualChain();
  const rows = [
    ["key-id", "a key id", map([[uint(4), bstr(hex("01"))]])],
    ["algorithm", "the same algorithm, outside the signature", ES384],
    ["other-algorithm", "ES256, outside the signature", hex("a10126")],
    ["certificates", "a certificate chain (x5chain) of its own", map([[uint(33), bstr(root)]])],
    ["critical", "a critical header, which may not be here", hex("a102811863")],
    ["nil", "nil", NULL],
    ["list", "an empty list", array([])],
    ["byte-string", "an empty byte string", bstr(new Uint8Array())],
    ["map-in-a-byte-string", "an empty map in a byte string", bstr(map([]))],
  ] as const;
  return Promise.all(
    rows.map(([name, what, unprotected]) =>
      refused(
        "cose/unprotected",
        `unprotected-${name}`,
        `unprotected header: ${what}`,
        "PROTOCOL 3",
        labEnvelope({ unprotected }),
      ),
    ),
  );
}

async function signatureFormat(): Promise<readonly Case[]> {
  const signed = (change: (signature: Uint8Array) => Uint8Array): Promise<Uint8Array> =>
    shaped((parts) => envelope(parts, { signature: change(parts.signature) }));
  const half = (value: Uint8Array, at: 0 | 48): Promise<Uint8Array> =>
    signed((signature) => {
      const changed = signature.slice();
      changed.set(value, at);
      return bstr(changed);
    });
  const der = (raw: Uint8Array): Uint8Array =>
    tlv(0x30, integer(raw.slice(0, 48)), integer(raw.slice(48)));
  const [zero, most] = [new Uint8Array(48), new Uint8Array(48).fill(0xff)];
  const rows: readonly Row[] = [
    ["no-bytes", "signature of 0 bytes", signed(() => bstr(new Uint8Array()))],
    ["64-bytes", "signature of 64 bytes, cut", signed((raw) => bstr(raw.slice(0, 64)))],
    ["95-bytes", "signature of 95 bytes, cut", signed((raw) => bstr(raw.slice(0, 95)))],
    [
      "97-bytes-after",
      "a zero byte after the signature",
      signed((raw) => bstr(concatBytes(raw, hex("00")))),
    ],
    [
      "97-bytes-before",
      "a zero byte before the signature",
      signed((raw) => bstr(concatBytes(hex("00"), raw))),
    ],
    [
      "98-bytes",
      "a zero byte before r and before s",
      signed((raw) => bstr(concatBytes(hex("00"), raw.slice(0, 48), hex("00"), raw.slice(48)))),
    ],
    ["der", "the same signature in DER", signed((raw) => bstr(der(raw)))],
    ["nil", "signature nil", signed(() => NULL)],
    [
      "list",
      "signature as a list of r and s",
      signed((raw) => array([bstr(raw.slice(0, 48)), bstr(raw.slice(48))])),
    ],
    ["r-0", "r = 0", half(zero, 0)],
    ["s-0", "s = 0", half(zero, 48)],
    ["r-s-0", "r = s = 0", signed(() => bstr(new Uint8Array(96)))],
    ["r-n", "r = n", half(P384.order, 0)],
    ["s-n", "s = n", half(P384.order, 48)],
    ["r-max", "r = 2^384 - 1", half(most, 0)],
    ["s-max", "s = 2^384 - 1", half(most, 48)],
  ];
  return Promise.all(
    rows.map(([name, what, document]) =>
      refused(
        "cose/signature-format",
        `signature-${name}`,
        what,
        "RFC 9053 §2.1, FIPS 186-5 §6.4.2",
        document,
      ),
    ),
  );
}

async function signatures(): Promise<readonly Case[]> {
  const [leaf, authority, other] = [
    await signerAt(LEAF),
    await signerAt(AUTHORITY),
    await generateSigner(),
  ];
  const payload = map(documentEntries(await usualChain()));
  /** Signed by the leaf, but over something else. */
  const over = async (message: Uint8Array, hash?: "SHA-256"): Promise<Uint8Array> =>
    envelope({ header: ES384, payload, signature: await leaf.sign(message, hash) });
  const changed = (change: (signature: Uint8Array) => Uint8Array): Promise<Uint8Array> =>
    shaped((parts) => envelope({ ...parts, signature: change(parts.signature) }));
  const by = (signer: Signer): Promise<Uint8Array> => labDocument({ signer });
  const minusOne = P384.order.slice();
  minusOne[47] = (minusOne[47] ?? 0) - 1;
  const detached = toBeSigned(ES384, payload);
  const rows: readonly Row[] = [
    ["by-authority", "signed by the authority that issued the leaf", by(authority)],
    ["by-stranger", "signed by a key of nobody's", by(other)],
    [
      "of-another-document",
      "signature of another document by the same leaf",
      over(toBeSigned(ES384, map(documentEntries(await usualChain(), { nonce: bstr(hex("01")) })))),
    ],
    [
      "bit-flipped-in-payload",
      "a bit of register 0 flipped after signing",
      shaped((parts) => {
        const at = Buffer.from(parts.payload).indexOf(register(1));
        return envelope({ ...parts, payload: flipped(parts.payload, at) });
      }),
    ],
    ["bit-flipped-in-r", "a bit of r flipped", changed((raw) => flipped(raw, 20))],
    ["bit-flipped-in-s", "a bit of s flipped", changed((raw) => flipped(raw, 70))],
    [
      "r-and-s-exchanged",
      "r and s in each other's place",
      changed((raw) => concatBytes(raw.slice(48), raw.slice(0, 48))),
    ],
    [
      "little-endian",
      "r and s with their least significant bytes first",
      changed((raw) => concatBytes(raw.slice(0, 48).toReversed(), raw.slice(48).toReversed())),
    ],
    [
      "r-n-1",
      "r = n - 1, which is in range",
      changed((raw) => concatBytes(minusOne, raw.slice(48))),
    ],
    [
      "s-n-1",
      "s = n - 1, which is in range",
      changed((raw) => concatBytes(raw.slice(0, 48), minusOne)),
    ],
    ["over-payload-alone", "signature over the payload, not over Sig_structure", over(payload)],
    [
      "context-signature",
      'signature with the context "Signature", of COSE_Sign',
      over(toBeSigned(ES384, payload, "Signature")),
    ],
    [
      "context-counter-signature",
      'signature with the context "CounterSignature"',
      over(toBeSigned(ES384, payload, "CounterSignature")),
    ],
    [
      "external-data",
      "signature with external data",
      over(toBeSigned(ES384, payload, "Signature1", hex("00"))),
    ],
    [
      "other-header",
      "signature over an empty protected header",
      over(toBeSigned(new Uint8Array(), payload)),
    ],
    [
      "indefinite-sig-structure",
      "signature over a Sig_structure of indefinite length",
      over(indefinite(4, [detached.slice(1)])),
    ],
    ["sha-256", "signature with SHA-256", over(detached, "SHA-256")],
  ];
  return Promise.all([
    ...rows.map(([name, what, document]) =>
      refused("cose/signature", name, what, "RFC 9052 §4.4", document),
    ),
    accepted(
      "low-s",
      "signature with s below half of n",
      "FIPS 186-5 §6.4.2",
      changed((raw) => lowS("P-384", raw)),
    ),
    accepted(
      "high-s",
      "signature with s above half of n",
      "PROTOCOL 3",
      changed((raw) => (isLowS("P-384", raw) ? otherS(raw) : raw)),
    ),
  ]);
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
