/** Depth, bytes and items of a document (PROTOCOL 13), each at its limit and beyond. */
import { concatBytes } from "@countersign/attestation";
import { hex } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { array, bstr, map, NULL, tag, uint } from "../cbor.ts";
import { refused } from "../document-case.ts";
import { labEnvelope, register, usualChain, withFields } from "../lab.ts";

export async function limitCases(): Promise<readonly Case[]> {
  const lists = [depths, sizes];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

async function depths(): Promise<readonly Case[]> {
  const [root, authority] = await usualChain();
  const lists = (count: number): Uint8Array => new Uint8Array(count).fill(0x81);
  const nested = (count: number, item: Uint8Array): Uint8Array => concatBytes(lists(count), item);
  const deep = (name: string, what: string, document: Uint8Array | Promise<Uint8Array>) =>
    refused("cbor/too-deep", name, what, "PROTOCOL 13", document);
  return Promise.all([
    deep(
      "list-in-cabundle",
      "a certificate within a list in cabundle: depth 3",
      withFields({ cabundle: array([array([bstr(root)]), bstr(authority)]) }),
    ),
    refused(
      "evidence/field",
      "empty-list-in-cabundle",
      "an empty list in cabundle: depth 2, which CBOR's limit still takes",
      "PROTOCOL 13",
      withFields({ cabundle: array([array([]), bstr(authority)]) }),
    ),
    deep(
      "tagged-register",
      "a tag around a register: depth 3",
      withFields({ pcrs: map([[uint(0), tag(1, bstr(register(1)))]]) }),
    ),
    deep(
      "unprotected-header",
      "lists in the unprotected header: depth 5",
      labEnvelope({ unprotected: map([[uint(4), nested(2, array([NULL]))]]) }),
    ),
    refused(
      "cose/unprotected",
      "lists-at-the-limit",
      "lists in the unprotected header: depth 4, which CBOR's limit still takes",
      "PROTOCOL 13",
      labEnvelope({ unprotected: map([[uint(4), nested(1, array([NULL]))]]) }),
    ),
    deep("lists-16000", "16,000 lists, one in the other", lists(16_000)),
    deep("tags-16000", "16,000 tags, one on the other", new Uint8Array(16_000).fill(0xc1)),
    deep(
      "maps-in-payload",
      "maps in the payload, 500 deep",
      withFields({ nonce: concatBytes(...Array.from({ length: 500 }, () => hex("a100"))) }),
    ),
  ]);
}

/** Both sides of 16,384 bytes, 128 items of the payload, 64 items of the envelope. */
async function sizes(): Promise<readonly Case[]> {
  const padded = async (length: number): Promise<Uint8Array> => {
    const least = await withFields({ padding: bstr(register(0, 10_000)) });
    return withFields({ padding: bstr(register(0, 10_000 + length - least.length)) });
  };
  // The map, eighteen keys and values, three registers with two items each.
  const others = 1 + 18 + 6;
  const [root] = await usualChain();
  const items = (count: number): Promise<Uint8Array> => {
    const more = Array.from({ length: count - others - 1 }, () => bstr(hex("00")));
    return withFields({ cabundle: array([bstr(root), ...more]) });
  };
  // The array and its four, the map itself among them.
  const headers = (count: number): Promise<Uint8Array> =>
    labEnvelope({
      unprotected: map([[uint(4), array(Array.from({ length: count - 7 }, () => NULL))]]),
    });
  const large = (name: string, what: string, document: Promise<Uint8Array>): Promise<Case> =>
    refused("cbor/too-large", name, what, "PROTOCOL 13", document);
  return Promise.all([
    large("bytes-16385", "16,385 bytes", padded(16_385)),
    refused(
      "evidence/structure",
      "bytes-16384",
      "16,384 bytes, which the limit takes, by a field that is unknown",
      "PROTOCOL 13",
      padded(16_384),
    ),
    large("items-129", "payload of 129 items", items(129)),
    refused(
      "chain/length",
      "items-128",
      "payload of 128 items, which the limit takes: far too many certificates",
      "PROTOCOL 13",
      items(128),
    ),
    large("envelope-items-65", "envelope of 65 items", headers(65)),
    refused(
      "cose/unprotected",
      "envelope-items-64",
      "envelope of 64 items, which CBOR's limit takes",
      "PROTOCOL 13",
      headers(64),
    ),
  ]);
}
