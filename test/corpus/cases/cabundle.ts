/** Certificates as bytes (AWS Nitro Enclaves attestation process §3.2); what they say is elsewhere. */
import { concatBytes } from "@countersign/attestation";
import {
  basicConstraints,
  extension,
  extensions,
  hex,
  keyUsage,
  USAGE,
} from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { array, bstr, map } from "../cbor.ts";
import { accepted, refused } from "../document-case.ts";
import {
  AUTHORITY,
  certificateIn,
  type FieldChanges,
  labChain,
  labDocument,
  LEAF,
  register,
  registers,
  usualChain,
  withFields,
} from "../lab.ts";

const CLAUSE = "Nitro §3.2";

const field = (name: string, what: string, fields: FieldChanges): Promise<Case> =>
  refused("evidence/field", name, what, CLAUSE, withFields(fields));

export async function cabundleCases(): Promise<readonly Case[]> {
  const [root, authority, leaf] = await usualChain();
  const cabundle = (...ders: readonly Uint8Array[]): FieldChanges => ({
    cabundle: array(ders.map((der) => bstr(der))),
  });
  const long = concatBytes(leaf, new Uint8Array(1025 - leaf.length));
  return Promise.all([
    field("certificate-0", "certificate of no bytes", { certificate: bstr(new Uint8Array()) }),
    field("certificate-1025", "certificate of 1025 bytes", { certificate: bstr(long) }),
    refused(
      "chain/length",
      "cabundle-empty",
      "cabundle without certificates",
      "PROTOCOL 13",
      withFields(cabundle()),
      { check: "platform" },
    ),
    field(
      "cabundle-with-0",
      "certificate of no bytes in cabundle",
      cabundle(root, new Uint8Array()),
    ),
    field("cabundle-with-1025", "certificate of 1025 bytes in cabundle", cabundle(root, long)),
    accepted(
      "leaf-1024",
      "leaf of 1024 bytes",
      CLAUSE,
      labDocument({ chain: [root, authority, await padded(LEAF, 1024)] }),
    ),
    accepted(
      "largest",
      "every list and every field as long as it may be",
      "PROTOCOL 13",
      largest(),
    ),
  ]);
}

/** A certificate of the lab's usual chain, brought to a length by an extension that nobody knows. */
async function padded(
  index: number,
  bytes: number,
  length: number = LEAF + 1,
): Promise<Uint8Array> {
  const leaf = index === length - 1;
  const pathLength = leaf ? null : length - 2 - index;
  const write = async (filler: number): Promise<Uint8Array> => {
    const unknown = extension(hex("2a03"), false, new Uint8Array(filler));
    const constraints = basicConstraints(!leaf, pathLength);
    const usage = keyUsage(leaf ? USAGE.sign : USAGE.both);
    const changes = { [index]: { extensions: extensions(constraints, usage, unknown) } };
    return certificateIn(await labChain({ length, changes }), index);
  };
  let filler = bytes / 2;
  let certificate = await write(filler);
  // The integers of a signature vary in length: again, until it comes out right.
  while (certificate.length !== bytes) {
    filler += bytes - certificate.length;
    certificate = await write(filler);
  }
  return certificate;
}

async function largest(): Promise<Uint8Array> {
  const length = 8;
  const [root] = await usualChain();
  const others = await Promise.all(
    Array.from({ length: length - 1 }, (_, i) => padded(AUTHORITY + i, 1024, length)),
  );
  const fields = Array.from({ length: 29 }, (_, i) => [i + 3, register(0xff)] as const);
  return labDocument({
    chain: [root, ...others],
    fields: {
      pcrs: map(registers(Object.fromEntries(fields))),
      public_key: bstr(register(1, 1024)),
      user_data: bstr(register(2, 1024)),
      nonce: bstr(register(3, 1024)),
    },
  });
}
