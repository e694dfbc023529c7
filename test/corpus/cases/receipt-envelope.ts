/** Receipts as COSE_Sign1: who signed, what, and in which form. PROTOCOL 7, RFC 9052 §4.2. */
import {
  type AttestationErrorCode,
  concatBytes,
  encodeReceiptClaims,
  encodeUtf8,
  parseReceipt,
} from "@countersign/attestation";
import { makeExchange } from "../../fakes/attester.ts";
import { integer, tlv } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { array, bstr, head, indefinite, map, NULL, tag, uint } from "../cbor.ts";
import { type Honest, resigned, rewritten, withReceipt } from "../held.ts";
import { refused } from "../node-case.ts";
import { neighbourEpoch, nextEpoch, random } from "../node.ts";
import { highS, order, PROTECTED, type Sign1Form } from "../sign1.ts";

const MAX_RECEIPT = 4096;

/** Who signed, what, and in which form. */
export async function receiptSignatures(honest: Honest): Promise<readonly Case[]> {
  const { epoch, exchange } = honest;
  const signed = (form: Sign1Form): Uint8Array => rewritten(epoch, exchange, (same) => same, form);
  const withSignature = (change: (signature: Uint8Array) => Uint8Array): Uint8Array =>
    signed({ signature: change });
  const halves = (r: Uint8Array | null, s: Uint8Array | null): Uint8Array =>
    withSignature((given) => concatBytes(r ?? given.slice(0, 32), s ?? given.slice(32)));
  const [next, neighbour] = [await nextEpoch(), await neighbourEpoch()];
  const other = parseReceipt((await makeExchange(epoch)).receipt).signature;
  const zero = new Uint8Array(32);
  const low = "PROTOCOL 7";
  const form = "RFC 9053 §2.1";
  const covers = "RFC 9052 §4.4";
  const rows: readonly (readonly [
    code: AttestationErrorCode,
    name: string,
    what: string,
    clause: string,
    receipt: Uint8Array,
  ])[] = [
    [
      "receipt/signature",
      "signature-high-s",
      "the same signature with n - s",
      low,
      withSignature(highS),
    ],
    [
      "receipt/signature",
      "signature-by-next-epoch",
      "all claims of this epoch, signed by the next one's key",
      low,
      resigned(next, exchange, {}),
    ],
    [
      "receipt/signature",
      "signature-by-neighbour",
      "all claims of this epoch, signed by another enclave's key",
      low,
      resigned(neighbour, exchange, {}),
    ],
    [
      "receipt/signature",
      "signature-of-another-receipt",
      "a signature that this key made of another receipt",
      low,
      withSignature(() => other),
    ],
    [
      "receipt/signature",
      "signature-bit-changed",
      "one bit of r",
      low,
      withSignature((given) => given.with(5, (given[5] ?? 0) ^ 1)),
    ],
    ["receipt/signature", "signature-s-of-one", "1 for s", low, halves(null, zero.with(31, 1))],
    [
      "receipt/signature",
      "signature-over-other-context",
      "signed as a COSE_Sign, not a COSE_Sign1",
      covers,
      signed({ context: "Signature" }),
    ],
    [
      "receipt/signature",
      "signature-over-external-data",
      "signed with external data that nobody sends",
      covers,
      signed({ external: encodeUtf8("countersign") }),
    ],
    [
      "cose/signature-format",
      "signature-empty",
      "no signature",
      form,
      withSignature(() => new Uint8Array()),
    ],
    [
      "cose/signature-format",
      "signature-of-63",
      "a signature of 63 bytes",
      form,
      withSignature((given) => given.slice(0, 63)),
    ],
    [
      "cose/signature-format",
      "signature-of-65",
      "a signature of 65 bytes",
      form,
      withSignature((given) => concatBytes(given, Uint8Array.of(0))),
    ],
    [
      "cose/signature-format",
      "signature-of-96",
      "a signature as long as one of ES384",
      form,
      withSignature((given) => concatBytes(given, zero)),
    ],
    [
      "cose/signature-format",
      "signature-in-der",
      "the signature as a DER sequence",
      form,
      withSignature(derSignature),
    ],
    ["cose/signature-format", "signature-r-zero", "zero for r", form, halves(zero, null)],
    ["cose/signature-format", "signature-s-zero", "zero for s", form, halves(null, zero)],
    ["cose/signature-format", "signature-r-order", "n for r", form, halves(order(), null)],
    ["cose/signature-format", "signature-s-order", "n for s", form, halves(null, order())],
  ];
  return rows.map(([code, name, what, clause, receipt]) =>
    badReceipt(honest, code, `receipt-${name}`, what, clause, receipt),
  );
}

/** COSE_Sign1 in other forms, each signed as it says. */
export function receiptEnvelopes(honest: Honest): readonly Case[] {
  const { epoch, exchange } = honest;
  const signed = (form: Sign1Form): Uint8Array => rewritten(epoch, exchange, (same) => same, form);
  /** The envelope with another number in the array's head; null is the fifth item. */
  const items = (count: 3 | 5): Uint8Array =>
    signed({
      whole: (four) => {
        const five = count === 5 ? concatBytes(four, NULL) : four;
        return tag(18, concatBytes(head(4, count), five.subarray(1)));
      },
    });
  const { receipt } = exchange;
  const payload = encodeReceiptClaims(exchange.claims);
  const padding = bstr(new Uint8Array(MAX_RECEIPT - receipt.length), 2);
  const rows: readonly (readonly [
    AttestationErrorCode,
    name: string,
    what: string,
    clause: string,
    receipt: Uint8Array,
  ])[] = [
    ["cose/structure", "without-tag", "no tag 18", "PROTOCOL 7", signed({ whole: (four) => four })],
    [
      "cose/structure",
      "tag-of-cose-sign",
      "tag 98",
      "RFC 9052 §2",
      signed({ whole: (four) => tag(98, four) }),
    ],
    ["cose/structure", "tag-of-cwt", "tag 61 around it", "RFC 8392 §6", tag(61, receipt)],
    ["cose/structure", "tagged-twice", "tag 18 twice", "RFC 9052 §2", tag(18, receipt)],
    [
      "cbor/non-minimal",
      "tag-non-minimal",
      "tag 18 in three bytes",
      "RFC 8949 §4.2.1",
      signed({ whole: (four) => tag(18, four, 2) }),
    ],
    ["cose/structure", "of-five", "an array of five", "RFC 9052 §4.2", items(5)],
    [
      "cbor/truncated",
      "of-three-announced",
      "four announced, three there",
      "RFC 8949 §3",
      tag(
        18,
        concatBytes(
          Uint8Array.of(0x84),
          array([bstr(PROTECTED.ES256), map([]), bstr(payload)]).subarray(1),
        ),
      ),
    ],
    [
      "cose/structure",
      "of-three",
      "an array of three, without signature",
      "RFC 9052 §4.2",
      tag(18, array([bstr(PROTECTED.ES256), map([]), bstr(payload)])),
    ],
    ["cbor/trailing", "count-too-small", "three announced, four there", "RFC 8949 §5.1", items(3)],
    [
      "cbor/indefinite",
      "indefinite-array",
      "the array has indefinite length",
      "PROTOCOL 2",
      signed({
        whole: (four) =>
          tag(18, concatBytes(Uint8Array.of(0x9f), four.subarray(1), Uint8Array.of(0xff))),
      }),
    ],
    [
      "cose/protected",
      "header-es384",
      "ES384 in the protected header, signed so by the epoch's key",
      "PROTOCOL 7",
      signed({ header: PROTECTED.ES384 }),
    ],
    [
      "cose/protected",
      "header-empty",
      "an empty protected header",
      "PROTOCOL 7",
      signed({ header: new Uint8Array() }),
    ],
    [
      "cose/protected",
      "header-empty-map",
      "an encoded empty map for protected header",
      "PROTOCOL 7",
      signed({ header: map([]) }),
    ],
    [
      "cose/protected",
      "header-with-key-id",
      "a key id in the protected header",
      "PROTOCOL 7",
      signed({
        header: map([
          [uint(1), Uint8Array.of(0x26)],
          [uint(4), bstr(random(8))],
        ]),
      }),
    ],
    [
      "cose/protected",
      "header-non-minimal",
      "ES256 in two bytes",
      "PROTOCOL 7",
      signed({ header: Uint8Array.of(0xa1, 0x01, 0x38, 0x06) }),
    ],
    [
      "cose/protected",
      "header-of-map",
      "the protected header as a map, not its bytes",
      "RFC 9052 §3",
      signed({ headerItem: map([[uint(1), Uint8Array.of(0x26)]]) }),
    ],
    [
      "cose/unprotected",
      "unprotected-key-id",
      "a key id in the unprotected header",
      "PROTOCOL 7",
      signed({ unprotected: map([[uint(4), bstr(random(8))]]) }),
    ],
    [
      "cose/unprotected",
      "unprotected-null",
      "null for the unprotected header",
      "RFC 9052 §3",
      signed({ unprotected: NULL }),
    ],
    [
      "cbor/indefinite",
      "unprotected-indefinite",
      "an unprotected header of indefinite length",
      "PROTOCOL 2",
      signed({ unprotected: indefinite(5, []) }),
    ],
    [
      "cose/structure",
      "payload-detached",
      "null for the payload, which is sent apart",
      "RFC 9052 §4.1",
      signed({ payloadItem: NULL }),
    ],
    [
      "cose/structure",
      "payload-of-map",
      "the claims as a map, not their bytes",
      "RFC 9052 §4.2",
      signed({ payloadItem: payload }),
    ],
    [
      "cbor/indefinite",
      "payload-in-chunks",
      "the payload in chunks",
      "PROTOCOL 2",
      signed({ payloadItem: indefinite(2, [bstr(payload)]) }),
    ],
    [
      "cbor/non-minimal",
      "payload-length-non-minimal",
      "the payload's length in eight bytes",
      "PROTOCOL 2",
      signed({ payloadItem: bstr(payload, 8) }),
    ],
    ["cbor/truncated", "empty", "no bytes at all", "RFC 8949 §3", new Uint8Array()],
    [
      "cbor/truncated",
      "cut",
      "the receipt without its last byte",
      "RFC 8949 §3",
      receipt.slice(0, -1),
    ],
    [
      "cbor/trailing",
      "extended",
      "a byte after the receipt",
      "RFC 8949 §5.1",
      concatBytes(receipt, Uint8Array.of(0)),
    ],
    ["cose/structure", "of-map", "a map instead of a receipt", "RFC 9052 §4.2", map([])],
    [
      "cbor/trailing",
      "of-4096-bytes-and-more-inside",
      "a receipt filled up to 4096 bytes behind its end",
      "PROTOCOL 13",
      concatBytes(receipt, padding).subarray(0, MAX_RECEIPT),
    ],
    [
      "cbor/too-large",
      "of-4097-bytes",
      "one byte more than a receipt may have",
      "PROTOCOL 13",
      concatBytes(receipt, new Uint8Array(MAX_RECEIPT + 1 - receipt.length)),
    ],
  ];
  return rows.map(([code, name, what, clause, bytes]) =>
    badReceipt(honest, code, `receipt-${name}`, what, clause, bytes),
  );
}

/** Refused by the check "receipt", which reads it and verifies its signature. */
export function badReceipt(
  honest: Honest,
  code: AttestationErrorCode,
  name: string,
  what: string,
  clause: string,
  receipt: Uint8Array,
): Case {
  return refused("receipt", code, name, what, clause, withReceipt(honest, receipt));
}

function derSignature(signature: Uint8Array): Uint8Array {
  return tlv(0x30, integer(signature.subarray(0, 32)), integer(signature.subarray(32)));
}
