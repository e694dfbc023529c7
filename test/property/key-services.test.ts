import { keyServiceFor, parseKeyServices, ProtocolError } from "@countersign/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const ROOT = "ab".repeat(32);
const ENVELOPE = { kind: "file", key: "0".repeat(32), wrapped: new Uint8Array(60) } as const;

function bytesOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** What a parser says of it: the value, or null where it is refused with our own error. */
function parsed(bytes: Uint8Array): ReturnType<typeof parseKeyServices> | null {
  try {
    return parseKeyServices(bytes);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === "key-services/structure") return null;
    throw error;
  }
}

function broker(endpoint: string): Uint8Array {
  const roots = endpoint.startsWith("https:") ? [ROOT] : [];
  const service = { kind: "broker", key: "*", endpoint, roots };
  return bytesOf({ version: 1, services: [service], rootCertificates: [] });
}

describe("a file of key services", () => {
  it("is read, or refused with our error, whatever it is", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          fc.json().map((text) => new TextEncoder().encode(text)),
        ),
        (bytes) => {
          parsed(bytes);
        },
      ),
    );
    const service = fc.record(
      {
        kind: fc.constantFrom<unknown>("aws-kms", "broker", 1),
        region: fc.constantFrom<unknown>("*", "eu-west-1", ""),
        key: fc.constantFrom<unknown>("*", "0".repeat(32), null),
        endpoint: fc.oneof(
          fc.webUrl(),
          fc.constantFrom("https://kms.{region}.{suffix}", "http://a"),
        ),
        roots: fc.constantFrom<unknown>([], [ROOT], [ROOT, ROOT], ROOT),
      },
      { requiredKeys: ["kind", "endpoint"] },
    );
    fc.assert(
      fc.property(fc.array(service, { maxLength: 3 }), (services) => {
        parsed(bytesOf({ version: 1, services, rootCertificates: [] }));
      }),
    );
  });

  it("names an endpoint that every reader of URLs takes for the same, or none", () => {
    const part = fc.string({
      unit: fc.constantFrom(..."az09-.x:/@#?%_[]\\ A{}".split("")),
      minLength: 1,
      maxLength: 12,
    });
    const host = fc.oneof(part, fc.domain(), fc.ipV4(), fc.ipV4Extended(), fc.ipV6());
    const port = fc.oneof(
      fc.constant(""),
      fc.integer({ min: -1, max: 70_000 }).map((n) => `:${n}`),
    );
    let accepted = 0;
    fc.assert(
      fc.property(fc.constantFrom("http", "https"), host, port, (scheme, name, end) => {
        const services = parsed(broker(`${scheme}://${name}${end}`));
        if (services === null) return;
        accepted++;
        const service = keyServiceFor(services, ENVELOPE);
        const url = new URL(service.url);
        expect(service.url).toBe(url.origin);
        expect(service.host).toBe(url.hostname);
        expect(service.port).toBe(url.port === "" ? (service.tls ? 443 : 80) : Number(url.port));
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
