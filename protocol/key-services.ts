/**
 * Which key services an enclave may ask for the keys of sealed models: a JSON file of the measured
 * image, so that no host can name one. Hosts read their own copy of it for what they relay to.
 */
import {
  AttestationError,
  decodeUtf8,
  JsonNode,
  type JsonObject,
  parseJson,
} from "@countersign/attestation/attester";
import { parseKmsKeyArn } from "./arn.ts";
import { ProtocolError } from "./errors.ts";
import type { Envelope } from "./seal.ts";

/** What may answer with the key of an envelope, and who vouches for its name. */
export interface KeyService {
  readonly kind: "aws-kms" | "broker";
  /** Scheme, host and port, without a path. */
  readonly url: string;
  /** A DNS name or an IPv4 address. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Of an AWS KMS. */
  readonly region: string | null;
  /** SHA-256 of each root's DER, 64 hex digits: no other root vouches for this service. */
  readonly roots: readonly string[];
}

/** One entry of the file. */
export type KeyServiceRule =
  | {
      readonly kind: "aws-kms";
      /** "*" for every one. */
      readonly region: string;
      /** Where {region} and {suffix} stand for the key's own. */
      readonly endpoint: string;
      readonly roots: readonly string[];
    }
  | {
      readonly kind: "broker";
      /** Id of the key that it holds, "*" for every one. */
      readonly key: string;
      readonly endpoint: string;
      readonly roots: readonly string[];
    };

export interface KeyServices {
  /** The first that fits an envelope is asked, and no other. */
  readonly services: readonly KeyServiceRule[];
  /** PEM of roots that Node does not bring. Only those that an entry pins count. */
  readonly rootCertificates: readonly string[];
}

/** PROTOCOL.md, "Limits". */
const MAX_FILE_BYTES = 262_144;
const MAX_SERVICES = 64;
const MAX_ROOTS = 16;
const MAX_CERTIFICATES = 64;
const MAX_CERTIFICATE_CHARACTERS = 16_384;
const MAX_ENDPOINT_CHARACTERS = 512;
const MAX_HOST_CHARACTERS = 253;
const MAX_PORT = 65_535;
const HTTP_PORT = 80;
const HTTPS_PORT = 443;

const REGION = /^(?:\*|[a-z0-9]+(?:-[a-z0-9]+){0,7})$/u;
const KEY_ID = /^(?:\*|[0-9a-f]{32})$/u;
const ROOT = /^[0-9a-f]{64}$/u;
const CERTIFICATE =
  /^-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n?$/u;
/** An origin: no user, path, query or fragment. */
const ORIGIN = /^(https?):\/\/([^/:?#@\\]+)(?::([1-9][0-9]{0,4}))?$/u;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;
/** Whoever reads a URL takes such a host for an IPv4 address, however it is written (WHATWG URL §3.5). */
const ENDS_IN_NUMBER = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/u;
const IPV4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/u;
/** What the endpoints of a partition's regions end in. AWS General Reference, "Service endpoints". */
const SUFFIX = {
  aws: "amazonaws.com",
  "aws-cn": "amazonaws.com.cn",
  "aws-us-gov": "amazonaws.com",
} as const;
/** Shows whether an endpoint is one, whatever it will stand for. */
const SAMPLE = { region: "region", suffix: "suffix" };

/** @throws {@link ProtocolError} `key-services/structure`. */
export function parseKeyServices(bytes: Uint8Array): KeyServices {
  if (bytes.length > MAX_FILE_BYTES) {
    throw new ProtocolError("key-services/structure", `${bytes.length} bytes`);
  }
  try {
    const root = new JsonNode("", parseJson(decodeUtf8(bytes)));
    const file = root.object(["version", "services", "rootCertificates"]);
    file.get("version").integer(1, 1);
    return {
      services: file.get("services").items(0, MAX_SERVICES).map(parseRule),
      rootCertificates: file.get("rootCertificates").items(0, MAX_CERTIFICATES).map(parsePem),
    };
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause;
    throw new ProtocolError("key-services/structure", wordsOf(cause), { cause });
  }
}

/** Without the reader's own code, which speaks of policies. */
function wordsOf(cause: unknown): string {
  if (!(cause instanceof AttestationError)) return "not UTF-8";
  return cause.message.slice(cause.code.length + 2);
}

/**
 * The service that may open `envelope`: that of the first entry that fits.
 *
 * @throws {@link ProtocolError} `key-services/none`, `seal/envelope`.
 */
export function keyServiceFor(services: KeyServices, envelope: Envelope): KeyService {
  switch (envelope.kind) {
    case "aws-kms": {
      const { region, partition } = parseKmsKeyArn(envelope.key);
      for (const rule of services.services) {
        if (rule.kind !== "aws-kms" || !fits(rule.region, region)) continue;
        return serviceOf(rule, { region, suffix: SUFFIX[partition] });
      }
      throw new ProtocolError("key-services/none", `no AWS KMS for region ${region}`);
    }
    case "file": {
      for (const rule of services.services) {
        if (rule.kind === "broker" && fits(rule.key, envelope.key)) return serviceOf(rule, null);
      }
      throw new ProtocolError("key-services/none", `no broker for key ${envelope.key}`);
    }
    default:
      return envelope.kind satisfies never;
  }
}

interface Placeholders {
  readonly region: string;
  readonly suffix: string;
}

function fits(pattern: string, value: string): boolean {
  return pattern === "*" || pattern === value;
}

/** @throws {@link ProtocolError} `key-services/none` where a placeholder makes no host name. */
function serviceOf(rule: KeyServiceRule, values: Placeholders | null): KeyService {
  const origin = parseOrigin(filled(rule.endpoint, values));
  if (origin === null) throw new ProtocolError("key-services/none", "the endpoint is no origin");
  return { kind: rule.kind, ...origin, region: values?.region ?? null, roots: rule.roots };
}

function filled(endpoint: string, values: Placeholders | null): string {
  if (values === null) return endpoint;
  return endpoint.replaceAll("{region}", values.region).replaceAll("{suffix}", values.suffix);
}

type Origin = Pick<KeyService, "url" | "host" | "port" | "tls">;

function parseOrigin(text: string): Origin | null {
  const [, scheme, host, portText] = ORIGIN.exec(text) ?? [];
  if (scheme === undefined || host === undefined || host.length > MAX_HOST_CHARACTERS) return null;
  if (!host.split(".").every((label) => LABEL.test(label))) return null;
  if (ENDS_IN_NUMBER.test(host) && !IPV4.test(host)) return null;
  const tls = scheme === "https";
  const fallback = tls ? HTTPS_PORT : HTTP_PORT;
  const port = portText === undefined ? fallback : Number(portText);
  if (port > MAX_PORT) return null;
  // The default port is left out, as everywhere (WHATWG URL, "host serializing").
  return { url: `${scheme}://${host}${port === fallback ? "" : `:${port}`}`, host, port, tls };
}

function parseRule(node: JsonNode): KeyServiceRule {
  const kind = (node.members().get("kind") ?? node).oneOf(["aws-kms", "broker"]);
  switch (kind) {
    case "aws-kms": {
      const rule = node.object(["kind", "region", "endpoint", "roots"]);
      const region = matching(rule.get("region"), REGION, 'want a region or "*"');
      const { endpoint, tls } = endpointOf(rule, SAMPLE);
      if (!tls) throw rule.get("endpoint").refusal("want https: KMS answers in TLS only");
      return { kind, region, endpoint, roots: rootsOf(rule, tls) };
    }
    case "broker": {
      const rule = node.object(["kind", "key", "endpoint", "roots"]);
      const key = matching(rule.get("key"), KEY_ID, 'want 32 hex digits or "*"');
      const { endpoint, tls } = endpointOf(rule, null);
      return { kind, key, endpoint, roots: rootsOf(rule, tls) };
    }
    default:
      return kind satisfies never;
  }
}

function endpointOf(
  rule: JsonObject,
  values: Placeholders | null,
): { readonly endpoint: string; readonly tls: boolean } {
  const node = rule.get("endpoint");
  const endpoint = node.text();
  const origin =
    endpoint.length > MAX_ENDPOINT_CHARACTERS ? null : parseOrigin(filled(endpoint, values));
  if (origin === null) throw node.refusal("want scheme, host in lower case, and port: no more");
  return { endpoint, tls: origin.tls };
}

/** TLS without a pinned root would trust whomever Node trusts; roots without TLS would trust nobody. */
function rootsOf(rule: JsonObject, tls: boolean): readonly string[] {
  const node = rule.get("roots");
  const roots = node
    .items(tls ? 1 : 0, tls ? MAX_ROOTS : 0)
    .map((root) => matching(root, ROOT, "want the SHA-256 of a root, 64 hex digits"));
  if (new Set(roots).size !== roots.length) throw node.refusal("a root twice");
  return roots;
}

function parsePem(node: JsonNode): string {
  const pem = node.text();
  if (pem.length > MAX_CERTIFICATE_CHARACTERS || !CERTIFICATE.test(pem)) {
    throw node.refusal("want one certificate in PEM");
  }
  return pem;
}

function matching(node: JsonNode, pattern: RegExp, wanted: string): string {
  const text = node.text();
  if (!pattern.test(text)) throw node.refusal(wanted);
  return text;
}
