import { readFileSync } from "node:fs";
import {
  type Envelope,
  keyServiceFor,
  type KeyServices,
  parseKeyServices,
  ProtocolError,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";

const ROOT = "ab".repeat(32);
const OTHER = "cd".repeat(32);
const PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY_ID = "00112233445566778899aabbccddeeff";
const KMS = {
  kind: "aws-kms",
  region: "*",
  endpoint: "https://kms.{region}.{suffix}",
  roots: [ROOT],
};
const BROKER = { kind: "broker", key: "*", endpoint: "http://broker.example:7480", roots: [] };

function parsed(text: string): KeyServices {
  return parseKeyServices(new TextEncoder().encode(text));
}

function file(services: readonly unknown[], rest: Record<string, unknown> = {}): string {
  return JSON.stringify({ version: 1, services, rootCertificates: [], ...rest });
}

function codeOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return error.code;
  }
  return "accepted";
}

function kmsKey(region: string, partition = "aws"): Envelope {
  const key = `arn:${partition}:kms:${region}:000000000000:key/01234567-89ab-cdef-0123-456789abcdef`;
  return { kind: "aws-kms", key, wrapped: new Uint8Array(1) };
}

function fileKey(key = KEY_ID): Envelope {
  return { kind: "file", key, wrapped: new Uint8Array(60) };
}

describe("the file of key services", () => {
  it("is refused in its own words, not in those of policies", () => {
    for (const text of ["{}", "[", '{"version": 2}']) {
      expect(() => parsed(text)).toThrow(/^key-services\/structure: (?!policy)/u);
    }
  });

  it("is the committed one: AWS KMS in every region, and nothing else", () => {
    const url = new URL("../../../enclave/key-services.json", import.meta.url);
    const services = parseKeyServices(readFileSync(url));
    expect(services.services.map(({ kind, endpoint }) => [kind, endpoint])).toEqual([
      ["aws-kms", "https://kms.{region}.{suffix}"],
    ]);
    expect(services.rootCertificates).toEqual([]);
    expect(keyServiceFor(services, kmsKey("eu-central-1"))).toMatchObject({
      kind: "aws-kms",
      url: "https://kms.eu-central-1.amazonaws.com",
      host: "kms.eu-central-1.amazonaws.com",
      port: 443,
      tls: true,
      region: "eu-central-1",
    });
    const china = keyServiceFor(services, kmsKey("cn-north-1", "aws-cn"));
    expect(china.host).toBe("kms.cn-north-1.amazonaws.com.cn");
    const gov = keyServiceFor(services, kmsKey("us-gov-west-1", "aws-us-gov"));
    expect(gov.host).toBe("kms.us-gov-west-1.amazonaws.com");
    expect(codeOf(() => keyServiceFor(services, fileKey()))).toBe("key-services/none");
  });

  it("may name none", () => {
    const none = parsed(file([]));
    expect(none).toEqual({ services: [], rootCertificates: [] });
    expect(codeOf(() => keyServiceFor(none, kmsKey("eu-west-1")))).toBe("key-services/none");
    expect(codeOf(() => keyServiceFor(none, fileKey()))).toBe("key-services/none");
  });

  it("gives the first entry that fits, and no other", () => {
    const services = parsed(
      file([
        { ...KMS, region: "dev-local-1", endpoint: "https://localhost:8443", roots: [OTHER] },
        { ...BROKER, key: KEY_ID },
        KMS,
        { ...KMS, region: "eu-west-1", endpoint: "https://never.example" },
        { ...BROKER, endpoint: "https://second.example", roots: [ROOT] },
      ]),
    );
    expect(keyServiceFor(services, kmsKey("dev-local-1"))).toEqual({
      kind: "aws-kms",
      url: "https://localhost:8443",
      host: "localhost",
      port: 8443,
      tls: true,
      region: "dev-local-1",
      roots: [OTHER],
    });
    expect(keyServiceFor(services, kmsKey("eu-west-1")).host).toBe("kms.eu-west-1.amazonaws.com");
    expect(keyServiceFor(services, fileKey())).toEqual({
      kind: "broker",
      url: "http://broker.example:7480",
      host: "broker.example",
      port: 7480,
      tls: false,
      region: null,
      roots: [],
    });
    expect(keyServiceFor(services, fileKey("ff".repeat(16)))).toMatchObject({
      url: "https://second.example",
      port: 443,
      tls: true,
      roots: [ROOT],
    });
  });

  it("leaves a scheme's own port out of the URL", () => {
    const url = (endpoint: string, roots: readonly string[]): string =>
      keyServiceFor(parsed(file([{ ...BROKER, endpoint, roots }])), fileKey()).url;
    expect(url("http://broker:80", [])).toBe("http://broker");
    expect(url("https://broker:443", [ROOT])).toBe("https://broker");
    expect(url("https://broker:80", [ROOT])).toBe("https://broker:80");
    expect(url("http://127.0.0.1:65535", [])).toBe("http://127.0.0.1:65535");
  });

  it("takes certificates, each whole and in PEM", () => {
    expect(
      parsed(file([KMS], { rootCertificates: [PEM, PEM.trimEnd()] })).rootCertificates,
    ).toEqual([PEM, PEM.trimEnd()]);
  });

  it("fails where a placeholder makes no name", () => {
    const endpoint = `https://${"a.".repeat(120)}{region}.{suffix}`;
    const services = parsed(file([{ ...KMS, endpoint }]));
    expect(codeOf(() => keyServiceFor(services, kmsKey("eu-west-1")))).toBe("key-services/none");
  });

  it("refuses an ARN that is none, before it becomes part of a name", () => {
    const services = parsed(file([KMS]));
    const key = "arn:aws:kms:evil.example/#:000000000000:key/01234567-89ab-cdef-0123-456789abcdef";
    expect(codeOf(() => keyServiceFor(services, { ...kmsKey("x"), key }))).toBe("seal/envelope");
  });
});

describe("a file of key services is refused", () => {
  it.each<[string, string]>([
    ["that is not JSON", "{"],
    ["that is no object", "[]"],
    ["with another version", file([KMS], { version: 2 })],
    ["without a version", JSON.stringify({ services: [], rootCertificates: [] })],
    ["without services", JSON.stringify({ version: 1, rootCertificates: [] })],
    ["without certificates", JSON.stringify({ version: 1, services: [] })],
    ["with an unknown member", file([KMS], { proxy: "http://proxy" })],
    ["with a member twice", '{"version":1,"services":[],"services":[],"rootCertificates":[]}'],
    ["with 65 services", file(Array.from({ length: 65 }, () => KMS))],
    ["with 65 certificates", file([], { rootCertificates: Array.from({ length: 65 }, () => PEM) })],
    ["with a certificate that is none", file([], { rootCertificates: ["MIIB"] })],
    ["with two certificates in one", file([], { rootCertificates: [PEM + PEM] })],
    [
      "with a long certificate",
      file([], { rootCertificates: [PEM.replace("MIIB", "MIIB\n".repeat(4000).trimEnd())] }),
    ],
    ["of more than 256 KiB", `${file([])}${" ".repeat(262_144)}`],
  ])("%s", (_, text) => {
    expect(codeOf(() => parsed(text))).toBe("key-services/structure");
  });

  it("that is no UTF-8", () => {
    expect(codeOf(() => parseKeyServices(Uint8Array.of(0x7b, 0xff)))).toBe(
      "key-services/structure",
    );
  });

  it.each<[string, Record<string, unknown>]>([
    ["of no kind", { ...KMS, kind: undefined }],
    ["of another kind", { ...KMS, kind: "gcp-kms" }],
    ["with an unknown member", { ...KMS, key: "*" }],
    ["without a region", { ...KMS, region: undefined }],
    ["with an empty region", { ...KMS, region: "" }],
    ["with half a pattern for a region", { ...KMS, region: "eu-*" }],
    ["with a region in capitals", { ...KMS, region: "EU-WEST-1" }],
    ["without TLS, of AWS KMS", { ...KMS, endpoint: "http://kms.example", roots: [] }],
    ["in TLS without roots", { ...KMS, roots: [] }],
    ["with roots without TLS", { ...BROKER, roots: [ROOT] }],
    ["with a root twice", { ...KMS, roots: [ROOT, ROOT] }],
    [
      "with 17 roots",
      {
        ...KMS,
        roots: Array.from(
          { length: 17 },
          (_, i) => `${String(i).padStart(2, "0")}${ROOT.slice(2)}`,
        ),
      },
    ],
    ["with a root in capitals", { ...KMS, roots: [ROOT.toUpperCase()] }],
    ["with a root too short", { ...KMS, roots: [ROOT.slice(2)] }],
    ["with a root that is no text", { ...KMS, roots: [1] }],
    ["with a key id of 31 digits", { ...BROKER, key: KEY_ID.slice(1) }],
    ["with a key id in capitals", { ...BROKER, key: KEY_ID.toUpperCase() }],
    ["with a placeholder, of a broker", { ...BROKER, endpoint: "http://{region}" }],
    ["with another placeholder", { ...KMS, endpoint: "https://kms.{account}.example" }],
    ["with another scheme", { ...BROKER, endpoint: "ftp://broker" }],
    ["without a scheme", { ...BROKER, endpoint: "broker:7480" }],
    ["with a path", { ...BROKER, endpoint: "http://broker/" }],
    ["with a query", { ...BROKER, endpoint: "http://broker?x" }],
    ["with a fragment", { ...BROKER, endpoint: "http://broker#x" }],
    ["with a user", { ...BROKER, endpoint: "http://user@broker" }],
    ["with a host in capitals", { ...BROKER, endpoint: "http://Broker" }],
    ["with an empty label", { ...BROKER, endpoint: "http://a..b" }],
    ["with a host that ends in a dot", { ...BROKER, endpoint: "http://broker." }],
    ["with an underscore", { ...BROKER, endpoint: "http://a_b" }],
    ["with a label of 64", { ...BROKER, endpoint: `http://${"a".repeat(64)}` }],
    ["with an IPv6 address", { ...BROKER, endpoint: "http://[::1]:7480" }],
    ["with half an IPv4 address", { ...BROKER, endpoint: "http://127.1" }],
    ["with five fifths of one", { ...BROKER, endpoint: "http://127.0.0.0.1" }],
    ["with one in octal", { ...BROKER, endpoint: "http://0177.0.0.1" }],
    ["with one in hexadecimal", { ...BROKER, endpoint: "http://127.0.0.0x1" }],
    ["with one over 255", { ...BROKER, endpoint: "http://127.0.0.256" }],
    ["with a number for a name", { ...BROKER, endpoint: "http://a.1" }],
    ["with port 0", { ...BROKER, endpoint: "http://broker:0" }],
    ["with port 65536", { ...BROKER, endpoint: "http://broker:65536" }],
    ["with an empty port", { ...BROKER, endpoint: "http://broker:" }],
    ["with a line end", { ...BROKER, endpoint: "http://broker\r\n" }],
    ["with a host without end", { ...BROKER, endpoint: `http://${"a.".repeat(300)}a` }],
  ])("for a service %s", (_, service) => {
    expect(codeOf(() => parsed(file([service])))).toBe("key-services/structure");
  });
});
