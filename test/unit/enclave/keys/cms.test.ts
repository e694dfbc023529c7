import { createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { EnclaveError } from "../../../../enclave/errors.ts";
import { openRecipientEnvelope, parseRecipientEnvelope } from "../../../../enclave/keys/cms.ts";
import { makeRecipientKey } from "../../../../enclave/keys/recipient.ts";
import { hex, tlv } from "../../../fakes/nitro.ts";
import { heldEnvelopes, makeEnvelopes, OPENSSL } from "../../../fakes/openssl-envelopes.ts";
import {
  type EnvelopeParts,
  indefinite,
  integer,
  kmsParts,
  label,
  oaep,
  octetString,
  oid,
  OIDS,
  recipientOf,
  sealTo,
  sequence,
  sha256,
  writeEnvelope,
} from "../../../fakes/recipient-envelope.ts";
import { missing, readVector, readVectorJson } from "../../../shared.ts";

const recipient = await makeRecipientKey();
const dataKey = new Uint8Array(randomBytes(32));
const sealed = sealTo(recipient.spki, dataKey);
const sealedHex = Buffer.from(sealed.encryptedKey).toString("hex");
/** As a number it is the same without its first byte, and OpenSSL takes it so. One in 256 is like this. */
const zeroFirst = sealedZeroFirst();
const genuine = kmsParts(recipient.identifier, sealed);
const [[, rid, algorithm, encryptedKey] = []] = genuine.recipients;
const TRANSPORT = [integer(2), rid, algorithm, encryptedKey].map((part) => part ?? hex(""));

function sealedZeroFirst(): ReturnType<typeof sealTo> {
  for (;;) {
    const found = sealTo(recipient.spki, dataKey);
    if (found.encryptedKey[0] === 0) return found;
  }
}

/** The key, or all that one hears of a fault. */
function outcome(ber: Uint8Array): string {
  try {
    return Buffer.from(openRecipientEnvelope(ber, recipient)).toString("hex");
  } catch (error) {
    if (!(error instanceof EnclaveError)) throw error;
    return `${error.message}, ${error.cause === undefined ? "without" : "with"} a cause`;
  }
}

const REFUSED = "key/envelope: the key service's envelope does not open, without a cause";
const OPENED = Buffer.from(dataKey).toString("hex");

function changed(changes: Partial<EnvelopeParts>): Uint8Array {
  return writeEnvelope({ ...genuine, ...changes }, "indefinite");
}

/** With element `at` of the one recipient replaced. */
function transport(at: number, part: Uint8Array): Partial<EnvelopeParts> {
  return { recipients: [TRANSPORT.with(at, part)] };
}

describe("what AWS KMS answered", () => {
  it.skipIf(missing("kms-cms"))("is opened with the published test key", () => {
    const key = createPrivateKey(
      Buffer.from(readVector("kms-cms/edgebit.public-test-key.pem")).toString("utf8"),
    );
    const ber = readVector("kms-cms/edgebit.ciphertext-for-recipient.ber");
    expect(openRecipientEnvelope(ber, recipientOf(key))).toEqual(
      readVector("kms-cms/edgebit.plaintext.bin"),
    );
  });

  it.skipIf(missing("kms-cms"))("is taken apart as AWS's own SDK for enclaves does", () => {
    const vector = readVectorJson<Readonly<Record<string, string>>>(
      "kms-cms/aws-sdk-c.parse-vectors.json",
    );
    const ber = hex(vector["input_ber"] ?? "");
    // Its recipient's key is not published; the identifier follows the tag and the length.
    const identifier = ber.subarray(33, 65);
    const parsed = parseRecipientEnvelope(ber, identifier);
    expect(Buffer.from(parsed.encryptedKey).toString("hex")).toBe(vector["encrypted_key"]);
    expect(Buffer.from(parsed.iv).toString("hex")).toBe(vector["iv"]);
    expect(Buffer.from(parsed.ciphertext).toString("hex")).toBe(vector["ciphertext"]);
  });
});

describe("what OpenSSL makes", () => {
  const held = heldEnvelopes();
  const pkcs8 = Buffer.from(held.privateKey, "base64");
  const theirs = recipientOf(createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" }));

  it.each(Object.entries(held.envelopes))("is opened: %s", (_, envelope) => {
    const opened = openRecipientEnvelope(Buffer.from(envelope, "base64"), theirs);
    expect(Buffer.from(opened).toString("base64")).toBe(held.dataKey);
  });

  it.skipIf(!OPENSSL)("is opened where it was made just now, in all four shapes", () => {
    const fresh = makeEnvelopes(pkcs8, dataKey);
    const opened = Object.values(fresh.envelopes).map((envelope) =>
      openRecipientEnvelope(Buffer.from(envelope, "base64"), theirs),
    );
    expect(opened).toEqual([dataKey, dataKey, dataKey, dataKey]);
  });

  const keyopt = (...options: readonly string[]): readonly string[] =>
    options.flatMap((option) => ["-keyopt", option]);
  const OAEP = "rsa_padding_mode:oaep";
  it.skipIf(!OPENSSL).each([
    ["PKCS #1 v1.5", ["-aes256"]],
    ["OAEP with SHA-1", ["-aes256", ...keyopt(OAEP)]],
    ["SHA-1 in the mask", ["-aes256", ...keyopt(OAEP, "rsa_oaep_md:sha256", "rsa_mgf1_md:sha1")]],
    ["AES-128", ["-aes128", ...keyopt(OAEP, "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256")]],
    ["triple DES", ["-des3", ...keyopt(OAEP, "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256")]],
    ["AES-256-GCM", ["-aes-256-gcm", ...keyopt(OAEP, "rsa_oaep_md:sha256")]],
  ])("is refused: %s", (_, words) => {
    for (const envelope of Object.values(makeEnvelopes(pkcs8, dataKey, words).envelopes)) {
      expect(() => openRecipientEnvelope(Buffer.from(envelope, "base64"), theirs)).toThrow(
        expect.objectContaining({ code: "key/envelope" }),
      );
    }
  });

  it.skipIf(!OPENSSL).each([0, 16, 31, 33, 48])("is refused: a key of %i bytes", (bytes) => {
    const { envelopes } = makeEnvelopes(pkcs8, new Uint8Array(bytes));
    for (const envelope of Object.values(envelopes)) {
      expect(() => openRecipientEnvelope(Buffer.from(envelope, "base64"), theirs)).toThrow(
        expect.objectContaining({ code: "key/envelope" }),
      );
    }
  });
});

const issuer = sequence(tlv(0x31, sequence(oid(hex("550403")), tlv(0x0c, hex("41")))));
const byCertificate = [
  integer(0),
  sequence(issuer, integer(7)),
  ...TRANSPORT.slice(2),
] satisfies Uint8Array[];
const { ciphertext, iv } = sealed;
const pieces = [ciphertext.subarray(0, 5), ciphertext.subarray(5, 5), ciphertext.subarray(5)];

describe("opened", () => {
  it.each<[what: string, ber: Uint8Array]>([
    ["as KMS sends it", changed({})],
    ["with lengths", writeEnvelope(genuine, "definite")],
    ["without lengths, the recipients too", writeEnvelope(genuine, "indefinite")],
    ["in pieces", changed({ content: indefinite(0xa0, ...pieces.map(octetString)) })],
    ["in pieces, with a length", changed({ content: tlv(0xa0, ...pieces.map(octetString)) })],
    ["in one piece", changed({ content: tlv(0x80, ciphertext) })],
    ["the hashes without parameters", changed(transport(2, oaepWithout()))],
    [
      "the empty label spelled out",
      changed(transport(2, oaep(undefined, undefined, label(hex(""))))),
    ],
    ["named by a certificate", changed({ version: integer(0), recipients: [byCertificate] })],
  ])("%s", (_, ber) => {
    expect(outcome(ber)).toBe(OPENED);
  });
});

function oaepWithout(): Uint8Array {
  const hash = sequence(oid(OIDS.sha256));
  return oaep(hash, sequence(oid(OIDS.mgf1), hash));
}

const sha1 = sequence(oid(OIDS.sha1), hex("0500"));
const mask = (hash: Uint8Array): Uint8Array => sequence(oid(OIDS.mgf1), hash);
const another = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey;
const otherSpki = new Uint8Array(another.export({ format: "der", type: "spki" }));
const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
  new Uint8Array(bytes).with(at, (bytes[at] ?? 0) ^ 1);

const FAULTS: Readonly<Record<string, Partial<EnvelopeParts>>> = {
  "another content type": { contentType: oid(OIDS.data) },
  "version 0 with a key identifier": { version: integer(0) },
  "version 3": { version: integer(3) },
  "a version of two bytes": { version: tlv(0x02, hex("0002")) },
  "an empty version": { version: hex("0200") },
  "an originator": { originator: hex("a000") },
  "unprotected attributes": { unprotected: hex("a100") },
  "no recipient": { recipients: [] },
  "two recipients": { recipients: [TRANSPORT, TRANSPORT] },
  "a recipient of version 0": transport(0, integer(0)),
  "another key identifier": transport(1, tlv(0x80, flipped(recipient.identifier, 31))),
  "a cut key identifier": transport(1, tlv(0x80, recipient.identifier.subarray(0, 31))),
  "an empty key identifier": transport(1, hex("8000")),
  "a recipient of another kind": transport(1, tlv(0x81, recipient.identifier)),
  "a certificate with version 2": transport(1, sequence(issuer, integer(7))),
  "a certificate without a serial number": {
    version: integer(0),
    recipients: [byCertificate.with(1, sequence(issuer, hex("0200")))],
  },
  "PKCS #1 v1.5": transport(2, sequence(oid(OIDS.rsaEncryption), hex("0500"))),
  "OAEP with its defaults": transport(2, sequence(oid(OIDS.rsaesOaep), sequence())),
  "OAEP without parameters": transport(2, sequence(oid(OIDS.rsaesOaep))),
  "OAEP without the mask": transport(
    2,
    sequence(oid(OIDS.rsaesOaep), sequence(tlv(0xa0, sha256()))),
  ),
  "OAEP with SHA-1": transport(2, oaep(sha1)),
  "OAEP with SHA-384": transport(2, oaep(sequence(oid(OIDS.sha384), hex("0500")))),
  "SHA-1 in the mask": transport(2, oaep(sha256(), mask(sha1))),
  "another mask": transport(2, oaep(sha256(), sequence(oid(OIDS.rsaesOaep), sha256()))),
  "a label": transport(2, oaep(undefined, undefined, label(hex("00")))),
  "another source of the label": transport(
    2,
    oaep(undefined, undefined, label(hex(""), OIDS.data)),
  ),
  "more after the label": transport(2, oaep(undefined, undefined, label(hex("")), hex("a300"))),
  "a hash with parameters": transport(2, oaep(sha256(hex("3000")))),
  "a hash with full NULL": transport(2, oaep(sha256(hex("050100")))),
  "a hash with more": transport(2, oaep(sequence(oid(OIDS.sha256), hex("0500"), hex("0500")))),
  "an element more in the recipient": { recipients: [[...TRANSPORT, hex("0500")]] },
  "an encrypted key without its first byte": kmsParts(recipient.identifier, {
    ...zeroFirst,
    encryptedKey: zeroFirst.encryptedKey.subarray(1),
  }),
  "an encrypted key with a zero in front": transport(3, octetString(hex(`00${sealedHex}`))),
  "an encrypted key that was changed": transport(3, octetString(flipped(sealed.encryptedKey, 9))),
  "a key for somebody else": transport(3, octetString(sealTo(otherSpki, dataKey).encryptedKey)),
  "a key under SHA-1": {
    ...kmsParts(recipient.identifier, sealTo(recipient.spki, dataKey, { hash: "sha1" })),
  },
  "a key for AES-128": {
    ...kmsParts(recipient.identifier, sealTo(recipient.spki, dataKey, { keyBytes: 16 })),
  },
  "another type of content": { type: oid(OIDS.envelopedData) },
  "AES-128-CBC": { cipher: sequence(oid(OIDS.aes128Cbc), octetString(iv)) },
  "AES-256-GCM": { cipher: sequence(oid(OIDS.aes256Gcm), octetString(iv)) },
  "no initialization vector": { cipher: sequence(oid(OIDS.aes256Cbc)) },
  "a short initialization vector": {
    cipher: sequence(oid(OIDS.aes256Cbc), octetString(iv.subarray(1))),
  },
  "no content": { content: hex("") },
  "empty content": { content: tlv(0x80) },
  "a block less": { content: tlv(0x80, ciphertext.subarray(0, 32)) },
  "a block more": { content: tlv(0x80, ciphertext, iv) },
  "padding that was changed": { content: tlv(0x80, flipped(ciphertext, 31)) },
  "pieces of another kind": { content: tlv(0xa0, tlv(0x80, ciphertext)) },
  "pieces in pieces": { content: tlv(0xa0, tlv(0x24, octetString(ciphertext))) },
  "content of another kind": { content: octetString(ciphertext) },
};

describe("refused, each in the same words", () => {
  it.each(Object.entries(FAULTS))("%s", (_, changes) => {
    expect(outcome(changed(changes))).toBe(REFUSED);
    expect(outcome(writeEnvelope({ ...genuine, ...changes }, "definite"))).toBe(REFUSED);
  });

  it.each([0, 1, 16, 31, 33, 47, 48])("a data key of %i bytes", (bytes) => {
    const parts = kmsParts(recipient.identifier, sealTo(recipient.spki, new Uint8Array(bytes)));
    expect(outcome(writeEnvelope(parts, "indefinite"))).toBe(REFUSED);
  });

  it("every envelope that is cut, or goes on", () => {
    for (const form of ["indefinite", "definite"] as const) {
      const whole = writeEnvelope(genuine, form);
      for (let end = 0; end < whole.length; end++) {
        expect(outcome(whole.subarray(0, end))).toBe(REFUSED);
      }
      expect(outcome(Uint8Array.of(...whole, 0))).toBe(REFUSED);
      expect(outcome(Uint8Array.of(...whole, 0, 0))).toBe(REFUSED);
    }
  });

  it("one that is too long, and not one that just fits", () => {
    const most = 6144;
    const empty = octetString(hex(""));
    const room = most - changed({ content: tlv(0xa0, octetString(ciphertext)) }).length;
    const fill = (bytes: number): Uint8Array =>
      tlv(0xa0, octetString(ciphertext), ...Array.from({ length: bytes / 2 }, () => empty));
    // The head of what is longer than 255 bytes has two bytes more.
    const even = room - 2 - (room % 2);
    const fits = changed({ content: fill(even) });
    expect([fits.length <= most, fits.length > most - 2]).toEqual([true, true]);
    expect(outcome(fits)).toBe(OPENED);
    expect(outcome(changed({ content: fill(even + 2) }))).toBe(REFUSED);
  });

  it("one that is deeper than any", () => {
    let deep = hex("0500");
    for (let depth = 0; depth < 1000; depth++) deep = indefinite(0x30, deep);
    expect(outcome(deep)).toBe(REFUSED);
    expect(outcome(changed({ type: deep }))).toBe(REFUSED);
  });
});

describe("what is not authenticated", () => {
  it("a changed initialization vector changes the key, which nobody sees here", () => {
    const cipher = sequence(oid(OIDS.aes256Cbc), octetString(flipped(iv, 0)));
    const wrong = Buffer.from(flipped(dataKey, 0)).toString("hex");
    expect(outcome(changed({ cipher }))).toBe(wrong);
  });
});
