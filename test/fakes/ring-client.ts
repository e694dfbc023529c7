/** A real client of a ring in this process: its `fetch` goes to the ring's socket, without a host. */
import { encodeHex, parsePolicy, type Policy } from "@countersign/attestation";
import { connect, type Connection, type ConnectOptions, type Fetch } from "@countersign/client";
import { BUNDLE_PATH, GATEWAY_PATH, MEDIA_BUNDLE, MEDIA_RESPONSE } from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { Readable } from "node:stream";
import { certificatePem, rootDigest, type Vendor } from "../../enclave/simulation/vendor.ts";
import { IMAGE, MODEL, type Ring, send } from "./ring.ts";

/** Accepts the fakes' image and model, on the simulation of `vendor`. */
export function ringPolicy(vendor: Vendor, changes: object = {}): Policy {
  const [pcr0, pcr1, pcr2] = [IMAGE.pcr0, IMAGE.pcr1, IMAGE.pcr2].map(encodeHex);
  return parsePolicy(
    JSON.stringify({
      version: 1,
      expires: "2099-01-01T00:00:00Z",
      platforms: {
        simulated: {
          roots: [rootDigest(vendor)],
          rootCertificates: [certificatePem(vendor.certificate)],
          measurements: [{ name: "test", pcr0, pcr1, pcr2 }],
          debug: false,
        },
      },
      models: [{ id: MODEL.id, digest: encodeHex(MODEL.digest) }],
      freshness: { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "optional" },
      suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
      revoked: { measurements: [], models: [], keysets: [] },
      ...changes,
    }),
  );
}

/** What lies between a client and the ring. */
export interface Wire {
  /** Gives the answer's bytes on, as they come; it may end early, or throw. */
  (answer: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
}

/** A `fetch` that reaches the ring. */
export function ringFetch(ring: Ring, wire: Wire = (answer) => answer): Fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const { pathname } = new URL(request.url);
    if (pathname.endsWith(BUNDLE_PATH)) {
      const { body } = await send(ring, "GET", "/bundle");
      return new Response(body.slice(), { headers: { "content-type": MEDIA_BUNDLE } });
    }
    if (!pathname.endsWith(GATEWAY_PATH)) return new Response(null, { status: 404 });
    const incoming = await post(ring, new Uint8Array(await request.arrayBuffer()), request.signal);
    const headers = { "content-type": incoming.headers["content-type"] ?? MEDIA_RESPONSE };
    const body = Readable.toWeb(Readable.from(wire(incoming as AsyncIterable<Uint8Array>)));
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Node's own type of the same thing
    return new Response(body as ReadableStream<Uint8Array>, {
      status: incoming.statusCode ?? 500,
      headers,
    });
  };
}

function post(ring: Ring, body: Uint8Array, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { socketPath } = ring;
    const options = { socketPath, agent: false, method: "POST", path: "/gateway", signal } as const;
    httpRequest(options, resolve).on("error", reject).end(body);
  });
}

/** A connection to the ring. */
export function connectRing(
  ring: Ring,
  vendor: Vendor,
  options: Partial<ConnectOptions> & { readonly wire?: Wire } = {},
): Promise<Connection> {
  const { wire, ...rest } = options;
  return connect("http://ring.test", {
    policy: ringPolicy(vendor),
    fetch: ringFetch(ring, wire),
    primitives: nativePrimitives,
    ...rest,
  });
}
