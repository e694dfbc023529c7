/** Mistakes about platforms: roots, certificates, measurements. PROTOCOL 9. */
import { AWS_NITRO_ROOT, encodeHex } from "@countersign/attestation";
import type { PolicyFile } from "../../fakes/attester.ts";
import { certificatePem } from "../../fakes/x509.ts";
import { measurement, otherVendor, platformOf, simulated } from "../node-policies.ts";
import { enclave, random } from "../node.ts";
import {
  DIGEST,
  inLab,
  LAB,
  MAX_ROOTS,
  type Mistake,
  REGISTER,
  set,
  ZERO,
} from "../policy-mistake.ts";

export function platformMistakes(): readonly Mistake[] {
  const entry = (file: PolicyFile): Record<string, unknown> => simulated(file);
  return [
    ["/platforms", "platforms-empty", "no platform", set("platforms", {})],
    ["/platforms", "platforms-of-list", "a list of platforms", set("platforms", ["simulated"])],
    ["/platforms", "platforms-null", "null for the platforms", set("platforms", null)],
    [
      "/platforms/aws-nitrotpm",
      "platform-nitrotpm",
      "a platform that this verifier does not know",
      (file) => {
        file.platforms["aws-nitrotpm"] = platformOf(otherVendor());
      },
    ],
    [
      "/platforms/intel-tdx",
      "platform-unknown-alone",
      "no other platform than an unknown one",
      (file) => {
        file.platforms = { "intel-tdx": entry(file) };
      },
    ],
    [
      "/platforms/AWS-NITRO",
      "platform-in-capitals",
      "a platform in capitals",
      (file) => {
        file.platforms["AWS-NITRO"] = platformOf(otherVendor());
      },
    ],
    [
      LAB,
      "platform-null",
      "null for a platform",
      (file) => Object.assign(file.platforms, { simulated: null }),
    ],
    [
      LAB,
      "platform-word",
      "a word for a platform",
      (file) => Object.assign(file.platforms, { simulated: "any" }),
    ],
    ...["roots", "measurements", "debug"].map((key): Mistake => [
      LAB,
      `platform-without-${key}`,
      `a platform without ${key}`,
      (file) => {
        Reflect.deleteProperty(entry(file), key);
      },
    ]),
    [
      `${LAB}/tcb`,
      "platform-unknown-key",
      "an unknown key of a platform",
      inLab("tcb", "unchecked"),
    ],
    [`${LAB}/debug`, "debug-of-text", "debug as text", inLab("debug", "false")],
    [`${LAB}/debug`, "debug-zero", "debug as a number", inLab("debug", 0)],
    [`${LAB}/debug`, "debug-null", "null for debug", inLab("debug", null)],
    [
      `${LAB}/debug`,
      "debug-unchecked",
      "a word for debug that others have",
      inLab("debug", "unchecked"),
    ],
  ];
}

export function rootMistakes(): readonly Mistake[] {
  const own = encodeHex(enclave().rootSha256);
  const aws = encodeHex(AWS_NITRO_ROOT.sha256);
  const at = (index: number): string => `${LAB}/roots/${index}`;
  const list = (pointer: string, name: string, what: string, value: unknown): Mistake => [
    pointer,
    `roots-${name}`,
    what,
    inLab("roots", value),
  ];
  return [
    list(`${LAB}/roots`, "empty", "no root", []),
    list(`${LAB}/roots`, "word", "a word for the roots", "any"),
    list(`${LAB}/roots`, "of-object", "an object for the roots", { 0: own }),
    list(
      `${LAB}/roots`,
      "17",
      "one root more than may be",
      Array.from({ length: MAX_ROOTS + 1 }, () => encodeHex(random(32))),
    ),
    list(at(0), "of-31-bytes", "a digest of 31 bytes", [own.slice(2)]),
    list(at(0), "of-33-bytes", "a digest of 33 bytes", [`${own}00`]),
    list(at(0), "of-48-bytes", "a digest as long as SHA-384", [REGISTER]),
    list(at(0), "of-63-digits", "half a byte missing", [own.slice(1)]),
    list(at(0), "of-other-letters", "letters that are no digits", [`${own.slice(0, -1)}g`]),
    list(at(0), "with-prefix", "0x before the digits", [`0x${own}`]),
    list(at(0), "with-colons", "colons between the bytes", [own.replaceAll(/..(?!$)/gu, "$&:")]),
    list(at(0), "null", "null for a digest", [null]),
    list(at(0), "empty-text", "no digits", [""]),
    list(at(0), "without-certificate", "a digest that nobody has a certificate for", [DIGEST]),
    list(at(1), "second-without-certificate", "a second digest that nobody has a certificate for", [
      own,
      DIGEST,
    ]),
    list(at(1), "twice", "the same digest twice", [own, own]),
    list(at(1), "twice-in-capitals", "the same digest twice, once in capitals", [
      own,
      own.toUpperCase(),
    ]),
    list(
      at(1),
      "aws-for-a-simulation",
      "AWS's root without its certificate, under a platform that it is not built in for",
      [own, aws],
    ),
    [
      at(0),
      "roots-under-two-platforms",
      "one root for two platforms: a simulation would pass for hardware",
      (file) => {
        file.platforms["aws-nitro"] = platformOf(enclave());
      },
    ],
    [
      at(1),
      "roots-second-under-two-platforms",
      "the second root of a platform for another platform, too",
      (file) => {
        file.platforms["aws-nitro"] = platformOf(otherVendor());
        const entry = simulated(file);
        entry["roots"] = [own, encodeHex(otherVendor().rootSha256).toUpperCase()];
        entry["rootCertificates"] = [enclave().rootPem, otherVendor().rootPem];
      },
    ],
  ];
}

export function certificateMistakes(): readonly Mistake[] {
  const { rootPem: pem, rootDer: der } = enclave();
  const at = (index: number): string => `${LAB}/rootCertificates/${index}`;
  const one = (name: string, what: string, value: unknown): Mistake => [
    at(0),
    `certificate-${name}`,
    what,
    inLab("rootCertificates", [value]),
  ];
  const lines = pem.split("\n");
  const [begin = "", first = ""] = lines;
  return [
    [
      `${LAB}/rootCertificates`,
      "certificates-empty",
      "an empty list of certificates",
      inLab("rootCertificates", []),
    ],
    [
      `${LAB}/rootCertificates`,
      "certificates-text",
      "a certificate instead of a list",
      inLab("rootCertificates", pem),
    ],
    [
      `${LAB}/rootCertificates/1`,
      "certificates-twice",
      "the same certificate twice",
      inLab("rootCertificates", [pem, pem]),
    ],
    [
      `${LAB}/rootCertificates`,
      "certificates-17",
      "one certificate more than may be",
      inLab("rootCertificates", Array<string>(17).fill(pem)),
    ],
    [
      `${LAB}/roots/0`,
      "certificates-none",
      "no certificates, of a root that is not built in",
      (file) => {
        Reflect.deleteProperty(simulated(file), "rootCertificates");
      },
    ],
    [
      at(1),
      "certificate-not-listed",
      "a certificate whose digest is not in roots",
      inLab("rootCertificates", [pem, otherVendor().rootPem]),
    ],
    one("null", "null for a certificate", null),
    one("empty", "no characters", ""),
    one("bare-base64", "the base64 without its lines around", Buffer.from(der).toString("base64")),
    one("path", "the path of a file", "root.pem"),
    one("two-in-one", "two certificates in one string", pem + otherVendor().rootPem),
    one("of-another-type", "a block of another type", pem.replaceAll("CERTIFICATE", "PUBLIC KEY")),
    one("with-text-before", "a line of text before the block", `subject: lab\n${pem}`),
    one("with-text-after", "a line of text after the block", `${pem}# lab\n`),
    one("without-end", "no last line", pem.slice(0, pem.indexOf("-----END"))),
    one(
      "in-one-line",
      "the base64 in one line",
      `${begin}\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`,
    ),
    one(
      "with-space",
      "a space within the base64",
      pem.replace(first, `${first.slice(0, 10)} ${first.slice(11)}`),
    ),
    one(
      "base64url",
      "the alphabet of URLs",
      certificatePem(der).replace(first, `-_${first.slice(2)}`),
    ),
    one("cut", "a certificate without its last byte", certificatePem(der.slice(0, -1))),
    one("extended", "a certificate and a byte more", certificatePem(new Uint8Array([...der, 0]))),
    one(
      "empty-sequence",
      "a DER sequence that is no certificate",
      certificatePem(Uint8Array.of(0x30, 0)),
    ),
    one("of-three-bytes", "bytes that are no DER", certificatePem(Uint8Array.of(1, 2, 3))),
  ];
}

export function measurementMistakes(): readonly Mistake[] {
  const at = (key: string): string => `${LAB}/measurements/0/${key}`;
  const own = measurement("a");
  const one = (key: string, name: string, what: string, value: unknown): Mistake => [
    at(key),
    `measurement-${name}`,
    what,
    inLab("measurements", [{ ...own, [key]: value }]),
  ];
  const lacking = (key: string): Record<string, unknown> =>
    Object.fromEntries(Object.entries(own).filter(([name]) => name !== key));
  return [
    [`${LAB}/measurements`, "measurements-empty", "no measurement", inLab("measurements", [])],
    [
      `${LAB}/measurements`,
      "measurements-any",
      "a word that models have",
      inLab("measurements", "any"),
    ],
    [
      `${LAB}/measurements`,
      "measurements-in-capitals",
      "the word in capitals",
      inLab("measurements", "UNCHECKED"),
    ],
    [
      `${LAB}/measurements`,
      "measurements-null",
      "null for the measurements",
      inLab("measurements", null),
    ],
    [
      `${LAB}/measurements`,
      "measurements-of-object",
      "one measurement instead of a list",
      inLab("measurements", own),
    ],
    [
      `${LAB}/measurements/0`,
      "measurements-of-words",
      "the word in a list",
      inLab("measurements", ["unchecked"]),
    ],
    ...["name", "pcr0", "pcr1", "pcr2"].map((key): Mistake => [
      `${LAB}/measurements/0`,
      `measurement-without-${key}`,
      `a measurement without ${key}`,
      inLab("measurements", [lacking(key)]),
    ]),
    one("pcr32", "pcr32", "a register that there is not", REGISTER),
    one("pcr00", "pcr00", "a register with a leading zero", REGISTER),
    one("PCR3", "in-capitals", "a register in capitals", REGISTER),
    one("pcr-1", "pcr-minus-1", "a register below zero", REGISTER),
    one("signer", "unknown-key", "an unknown key of a measurement", "lab"),
    one("pcr0", "of-32-bytes", "a register as long as SHA-256", DIGEST),
    one("pcr1", "of-49-bytes", "a register of 49 bytes", `${REGISTER}00`),
    one("pcr2", "of-95-digits", "half a byte missing", REGISTER.slice(1)),
    one("pcr2", "of-other-letters", "letters that are no digits", `${REGISTER.slice(0, -1)}z`),
    one("pcr0", "null", "null for a register", null),
    one("pcr8", "other-register-empty", "no digits for another register", ""),
    one("name", "name-empty", "no name", ""),
    one("name", "name-with-space", "a name with a space", "test build"),
    one("name", "name-of-129", "a name of 129 characters", "x".repeat(129)),
    one("name", "name-no-ascii", "a name beyond ASCII", "b\u00fcild"),
    one("name", "name-unchecked", "a name that is a word of the policy's own", "unchecked"),
    one("name", "name-of-number", "a number for a name", 1),
    [
      `${LAB}/measurements/1/name`,
      "measurements-one-name",
      "two measurements of one name",
      inLab("measurements", [own, { ...own, pcr0: REGISTER }]),
    ],
    [
      `${LAB}/measurements/1`,
      "measurements-alike",
      "the same registers under two names",
      inLab("measurements", [own, measurement("b")]),
    ],
    [
      `${LAB}/measurements/0`,
      "measurement-of-debug-enclave",
      "registers of zero, while debug is false",
      inLab("measurements", [{ ...own, pcr0: ZERO, pcr1: ZERO, pcr2: ZERO }]),
    ],
    [
      `${LAB}/measurements/1`,
      "measurement-with-one-zero",
      "one register of zero in the second measurement, while debug is false",
      inLab("measurements", [own, measurement("b", { pcr2: ZERO })]),
    ],
  ];
}
