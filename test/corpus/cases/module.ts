/** Whose certificate it is: the document's module and the leaf's common name (PROTOCOL 3). */
import { attribute, MODULE_ID, name as nameOf, OID, tlv } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { tstr } from "../cbor.ts";
import { accepted, refused } from "../document-case.ts";
import { type FieldChanges, labChain, labDocument, LEAF, withFields } from "../lab.ts";

export async function moduleCases(): Promise<readonly Case[]> {
  const lists = [moduleIds, platforms];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

/** A document whose leaf has this subject. */
async function namedLeaf(subject: Uint8Array, fields: FieldChanges = {}): Promise<Uint8Array> {
  const chain = await labChain({ changes: { [LEAF]: { subject } } });
  return labDocument({ chain, fields });
}

async function moduleIds(): Promise<readonly Case[]> {
  const id = (name: string, what: string, value: string): Promise<Case> =>
    refused(
      "evidence/field",
      `module-id-${name}`,
      `module_id ${what}`,
      "PROTOCOL 3",
      namedLeaf(nameOf(`${value}.fake-1.aws`), { module_id: tstr(value) }),
    );
  const leaf = (name: string, what: string, commonName: string): Promise<Case> =>
    refused(
      "evidence/module-id",
      name,
      `leaf's common name ${what}`,
      "PROTOCOL 3",
      namedLeaf(nameOf(commonName)),
    );
  const named = (name: string, what: string, subject: Uint8Array): Promise<Case> =>
    refused("evidence/module-id", name, what, "PROTOCOL 3", namedLeaf(subject));
  const commonName = attribute(OID.commonName, `${MODULE_ID}.fake-1.aws`);
  const organization = attribute(OID.organization, `${MODULE_ID}.fake-1.aws`);
  const longest = "i".padEnd(64, "0");
  const pair = [MODULE_ID.slice(0, 19), MODULE_ID.slice(20)] as const;
  return Promise.all([
    id("empty", "of no characters", ""),
    id("65", "of 65 characters", `${longest}0`),
    id("with-dot", "with a dot", "i-0.enc0"),
    id("with-space", "with a space", "i-0 enc0"),
    id("with-line-feed", "with a line feed at its end", `${MODULE_ID}\n`),
    id("with-nul", "with a NUL at its end", `${MODULE_ID}\0`),
    id("not-ascii", "with a letter beyond ASCII", "i-0é"),
    id("full-width", "with a full-width digit", "i-０"),
    id("underscore", "with an underscore", "i-0_enc0"),
    accepted(
      "module-id-64",
      "module_id of 64 characters",
      "PROTOCOL 3",
      namedLeaf(nameOf(`${longest}.fake-1.aws`), { module_id: tstr(longest) }),
    ),
    accepted(
      "module-id-1",
      "module_id of one character",
      "PROTOCOL 3",
      namedLeaf(nameOf("i.a.aws"), { module_id: tstr("i") }),
    ),
    refused(
      "evidence/module-id",
      "document-of-another-module",
      "module_id of another enclave than the leaf's",
      "PROTOCOL 3",
      withFields({ module_id: tstr("i-0123456789abcdef0-enc0123456789abcdee") }),
    ),
    refused(
      "evidence/module-id",
      "prefix-of-the-leaf",
      "module_id that the leaf's name begins with, but for the last digit",
      "PROTOCOL 3",
      withFields({ module_id: tstr(MODULE_ID.slice(0, -1)) }),
    ),
    refused(
      "evidence/module-id",
      "instance-of-the-leaf",
      "module_id of the leaf's instance, without its enclave",
      "PROTOCOL 3",
      withFields({ module_id: tstr(pair[0]) }),
    ),
    refused(
      "evidence/module-id",
      "other-case",
      "module_id in upper case",
      "PROTOCOL 3",
      withFields({ module_id: tstr(MODULE_ID.toUpperCase()) }),
    ),
    leaf("leaf-without-region", "without a region", `${MODULE_ID}.aws`),
    leaf("leaf-with-empty-region", "with an empty region", `${MODULE_ID}..aws`),
    leaf("leaf-region-upper-case", "with a region in upper case", `${MODULE_ID}.FAKE-1.aws`),
    leaf("leaf-with-two-regions", "with two labels for a region", `${MODULE_ID}.fake-1.b.aws`),
    leaf("leaf-region-underscore", "with an underscore in its region", `${MODULE_ID}.fake_1.aws`),
    leaf("leaf-region-33", "with a region of 33 letters", `${MODULE_ID}.${"r".repeat(33)}.aws`),
    leaf("leaf-last-label-upper-case", "that ends in AWS", `${MODULE_ID}.fake-1.AWS`),
    leaf("leaf-with-line-feed", "with a line feed at its end", `${MODULE_ID}.fake-1.aws\n`),
    leaf("leaf-with-nul", "cut by a NUL", `${MODULE_ID}\0.fake-1.aws`),
    leaf("leaf-id-alone", "of the module alone", MODULE_ID),
    leaf("leaf-with-something-before", "with a label before the module", `a.${MODULE_ID}.b.aws`),
    leaf("leaf-module-longer", "of a module with one digit more", `${MODULE_ID}0.fake-1.aws`),
    accepted(
      "leaf-region-32",
      "leaf's common name with a region of 32 letters",
      "PROTOCOL 3",
      namedLeaf(nameOf(`${MODULE_ID}.${"r".repeat(32)}.aws`)),
    ),
    named("leaf-without-common-name", "leaf without a common name", tlv(0x30, organization)),
    refused(
      "certificate/profile",
      "leaf-empty-common-name",
      "leaf's common name of no characters",
      "PROTOCOL 3",
      namedLeaf(nameOf("")),
    ),
    refused(
      "certificate/profile",
      "leaf-without-name",
      "leaf with an empty name",
      "PROTOCOL 3",
      namedLeaf(tlv(0x30)),
    ),
    named(
      "leaf-with-two-common-names",
      "leaf with the right common name twice",
      tlv(0x30, commonName, commonName),
    ),
    named(
      "leaf-with-another-common-name",
      "leaf with the right common name, then another",
      tlv(0x30, commonName, attribute(OID.commonName, "i-0.fake-1.aws")),
    ),
    named(
      "leaf-with-another-common-name-first",
      "leaf with another common name, then the right one",
      tlv(0x30, attribute(OID.commonName, "i-0.fake-1.aws"), commonName),
    ),
    accepted(
      "leaf-printable-string",
      "leaf's common name as a PrintableString",
      "RFC 5280 §4.1.2.4",
      namedLeaf(tlv(0x30, attribute(OID.commonName, `${MODULE_ID}.fake-1.aws`, 0x13))),
    ),
    accepted(
      "leaf-common-name-first",
      "leaf's common name before its organization",
      "PROTOCOL 3",
      namedLeaf(tlv(0x30, commonName, organization)),
    ),
  ]);
}

/** The leaf's name tells the kind of enclave, the policy which kind its root may vouch for. */
async function platforms(): Promise<readonly Case[]> {
  const other = (name: string, what: string, domain: string): Promise<Case> =>
    refused(
      "evidence/platform",
      name,
      `leaf's common name ${what}, below a root of AWS's`,
      "PROTOCOL 3",
      namedLeaf(nameOf(`${MODULE_ID}.${domain}`)),
      { check: "chain" },
    );
  return Promise.all([
    other("leaf-of-a-simulation", "with a domain of its own", "test-lab.example"),
    other("leaf-without-aws", "without its last label", "fake-1"),
    other("leaf-with-more", "with a label after aws", "fake-1.aws.example"),
    other("leaf-last-label-longer", "that ends in awsx", "fake-1.awsx"),
    other("leaf-with-last-dot", "with a dot at its end", "fake-1.aws."),
    refused(
      "evidence/platform",
      "leaf-of-aws-in-a-simulation",
      "leaf's common name of AWS's form, below a root for simulations",
      "PROTOCOL 3",
      labDocument(),
      { check: "chain", policy: "simulated" },
    ),
    accepted(
      "simulation",
      "leaf's common name with a domain of its own, below a root for simulations",
      "PROTOCOL 3",
      namedLeaf(nameOf(`${MODULE_ID}.test-lab.example`)),
      { policy: "simulated" },
    ),
  ]);
}
