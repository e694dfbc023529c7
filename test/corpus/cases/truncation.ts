/** Bytes that end too early, lengths that claim too much, and what follows the end (RFC 8949 §5.3.1, §10). */
import { refused } from "../document-case.ts";
import { hex, MODULE_ID } from "../../fakes/nitro.ts";
import { concatBytes, encodeUtf8 } from "@countersign/attestation";
import type { Case } from "../case.ts";
import { bstr, type Entry, head, indefinite, map, NULL } from "../cbor.ts";
import {
  documentEntries,
  envelope,
  labDocument,
  registers,
  usualChain,
  withFields,
  withPayload,
} from "../lab.ts";

export async function truncationCases(): Promise<readonly Case[]> {
  const lists = [truncated, claims, trailing];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

async function truncated(): Promise<readonly Case[]> {
  const whole = await labDocument();
  const payloadLength = map(documentEntries(await usualChain())).length;
  // 84, 44 and four bytes, a0, then the payload's head of three bytes.
  const payloadAt = 10;
  const signatureAt = payloadAt + payloadLength;
  const cut = (name: string, what: string, length: number): Promise<Case> =>
    refused("cbor/truncated", name, what, "RFC 8949 §5.3.1", whole.slice(0, length));
  const short = (payload: (entries: readonly Entry[]) => Uint8Array): Promise<Uint8Array> =>
    withPayload(payload);
  return Promise.all([
    cut("empty-file", "no bytes at all", 0),
    cut("head-of-the-array-only", "ends after the head of the array", 1),
    cut("ends-in-protected-header", "ends within the protected header", 4),
    cut("ends-before-payload", "ends after the unprotected header", 7),
    cut("ends-in-head-of-payload", "ends within the head of the payload", 9),
    cut("ends-in-payload", "ends within the payload", payloadAt + 1000),
    cut("ends-before-signature", "ends after the payload", signatureAt),
    cut("ends-in-head-of-signature", "ends within the head of the signature", signatureAt + 1),
    cut("one-byte-short", "ends one byte early", whole.length - 1),
    refused(
      "cbor/truncated",
      "payload-empty",
      "payload of no bytes, signed",
      "RFC 8949 §5.3.1",
      short(() => new Uint8Array()),
    ),
    refused(
      "cbor/truncated",
      "payload-one-byte-short",
      "payload one byte short, signed",
      "RFC 8949 §5.3.1",
      short((entries) => map(entries).slice(0, -1)),
    ),
    refused(
      "cbor/truncated",
      "payload-map-claims-one-more",
      "payload's map claims one more entry than it has",
      "RFC 8949 §5.3.1",
      short((entries) => concatBytes(head(5, entries.length + 1), ...entries.flat())),
    ),
    refused(
      "cbor/truncated",
      "indefinite-payload-without-break",
      "payload's map of indefinite length without its break",
      "RFC 8949 §3.2.2",
      short((entries) => indefinite(5, entries.flat()).slice(0, -1)),
    ),
  ]);
}

/** Lengths beyond all that follows: nothing may be allocated for them. */
async function claims(): Promise<readonly Case[]> {
  const clause = "RFC 8949 §10";
  const huge = 2n ** 63n;
  const [root, authority, leaf] = await usualChain();
  const authorities = [bstr(root), bstr(authority)];
  const payload = (length: number | bigint): Promise<Uint8Array> =>
    labDocument({
      envelope: (parts) =>
        envelope(parts, { payload: concatBytes(head(2, length), parts.payload) }),
    });
  const certificate = (length: number | bigint): Promise<Uint8Array> =>
    withFields({ certificate: concatBytes(head(2, length), leaf) });
  const rows: readonly (readonly [string, string, Promise<Uint8Array>])[] = [
    ["payload-claims-2-32", "payload claims 2^32 bytes", payload(2 ** 32)],
    ["payload-claims-2-63", "payload claims 2^63 bytes", payload(huge)],
    ["payload-claims-2-64-1", "payload claims 2^64 - 1 bytes", payload(2n * huge - 1n)],
    [
      "envelope-claims-2-32-items",
      "envelope claims 2^32 items",
      labDocument({ envelope: (parts) => concatBytes(head(4, 2 ** 32), envelope(parts).slice(1)) }),
    ],
    ["certificate-claims-2-32", "certificate claims 2^32 bytes", certificate(2 ** 32)],
    ["certificate-claims-2-53", "certificate claims 2^53 bytes", certificate(2 ** 53)],
    [
      "cabundle-claims-2-63-items",
      "cabundle claims 2^63 items",
      withFields({ cabundle: concatBytes(head(4, huge), ...authorities) }),
    ],
    [
      "pcrs-claim-2-32-entries",
      "pcrs claim 2^32 entries",
      withFields({ pcrs: concatBytes(head(5, 2 ** 32), ...registers().flat()) }),
    ],
    [
      "payload-claims-2-31-entries",
      "payload's map claims 2^31 entries",
      withPayload((entries) => concatBytes(head(5, 2 ** 31), ...entries.flat())),
    ],
    [
      "module-id-claims-2-53",
      "module_id claims 2^53 bytes",
      withFields({ module_id: concatBytes(head(3, 2 ** 53), encodeUtf8(MODULE_ID)) }),
    ],
  ];
  return Promise.all(
    rows.map(([name, what, document]) => refused("cbor/truncated", name, what, clause, document)),
  );
}

async function trailing(): Promise<readonly Case[]> {
  const whole = await labDocument();
  const clause = "RFC 8949 §5.3.1";
  const row = (name: string, what: string, document: Uint8Array | Promise<Uint8Array>) =>
    refused("cbor/trailing", name, what, clause, document);
  return Promise.all([
    row("zero-after-document", "a zero byte after the document", concatBytes(whole, hex("00"))),
    row("null-after-document", "null after the document", concatBytes(whole, NULL)),
    row("document-twice", "the document twice", concatBytes(whole, whole)),
    row("break-after-document", "a break after the document", concatBytes(whole, hex("ff"))),
    row(
      "byte-after-payload-map",
      "a zero byte after the payload's map, signed",
      withPayload((entries) => concatBytes(map(entries), hex("00"))),
    ),
    row(
      "break-after-payload-map",
      "a break after the payload's map of definite length, signed",
      withPayload((entries) => concatBytes(map(entries), hex("ff"))),
    ),
    row(
      "map-after-payload-map",
      "a second map after the payload's, signed",
      withPayload((entries) => concatBytes(map(entries), map(entries.slice(0, 1)))),
    ),
  ]);
}
