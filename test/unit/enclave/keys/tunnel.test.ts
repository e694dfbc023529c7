import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { openTunnel, secured } from "../../../../enclave/keys/tunnel.ts";
import type { Transport } from "../../../../enclave/transport.ts";
import {
  type Authority,
  createAuthority,
  issueServerCertificate,
} from "../../../../sealing/dev-kms/certificates.ts";
import { connectHost, type ConnectHost, type Relay, relayTo } from "../../../fakes/connect-host.ts";

const SERVICE = { host: "kms.example", port: 443, url: "https://kms.example" };
const DAY_MS = 86_400_000;
const closing: (() => unknown)[] = [];
let authority: Authority;
let other: Authority;

beforeAll(async () => {
  authority = await createAuthority(Date.now());
  other = await createAuthority(Date.now());
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function host(relay: Relay): Promise<ConnectHost> {
  const made = await connectHost(relay);
  closing.push(() => made.close());
  return made;
}

function never(): AbortSignal {
  return new AbortController().signal;
}

/** The code and message of what a promise rejects with; whoever looks into a cause may find no null. */
async function failure(promise: Promise<Duplex>): Promise<string> {
  return promise.then(
    (stream) => {
      stream.destroy();
      return "opened";
    },
    (error: unknown) => {
      if (!(error instanceof Error)) return "no error";
      return error.cause === null ? "null for a cause" : error.message;
    },
  );
}

/** A service that says hello in TLS, with a certificate for `names`. */
async function service(names: readonly string[], nowMs = Date.now()): Promise<number> {
  const { key, chain } = await issueServerCertificate(authority, names, nowMs);
  const server: TlsServer = createTlsServer(
    { key, cert: chain, ALPNProtocols: ["http/1.1"] },
    (socket) => {
      socket.on("error", () => undefined);
      socket.end(`hello ${String(socket.alpnProtocol)}`);
    },
  );
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has no other kind
  return (server.address() as AddressInfo).port;
}

async function throughTls(
  port: number,
  roots: readonly string[] = [authority.certificate],
  to: { readonly host: string; readonly url: string } = SERVICE,
): Promise<Duplex> {
  const { transport } = await host(relayTo(port));
  const tunnel = await openTunnel(transport, { ...to, port: 443 }, never());
  closing.push(() => tunnel.destroy());
  return secured(tunnel, to, roots, never());
}

describe("a tunnel", () => {
  it("asks the host for the service, and carries bytes both ways", async () => {
    const { transport, asked } = await host((_, client) => {
      client.write("HTTP/1.1 200 OK\r\n\r\nfirst ");
      client.once("data", (bytes) => client.end(`heard ${String(bytes)}`));
    });
    const tunnel = await openTunnel(transport, SERVICE, never());
    tunnel.write("us");
    expect(await text(tunnel)).toBe("first heard us");
    expect(asked).toEqual(["kms.example:443"]);
  });

  it.each([403, 502, 503, 404, 201, 100, 301])("is refused with status %i", async (status) => {
    const { transport } = await host((_, client) => {
      client.write(`HTTP/1.1 ${status} No\r\n\r\n`);
    });
    expect(await failure(openTunnel(transport, SERVICE, never()))).toBe(
      `key/unreachable: kms.example:443: the host answers ${status}`,
    );
  });

  it.each<[string, Relay]>([
    ["hangs up", (_, client) => client.destroy()],
    ["ends", (_, client) => client.end()],
    ["speaks something else", (_, client) => client.end("SSH-2.0-OpenSSH_9.2\r\n")],
    [
      "goes over to another protocol",
      (_, client) => client.end("HTTP/1.1 101 No\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ],
    [
      "never ends its headers",
      (_, client) => client.write(`HTTP/1.1 200 OK\r\n${"x-a: aaaaaaaaaaaaaa\r\n".repeat(4096)}`),
    ],
  ])("is refused where the host %s", async (_, relay) => {
    const { transport } = await host(relay);
    expect(await failure(openTunnel(transport, SERVICE, never()))).toMatch(/^key\/unreachable: /u);
  });

  it("is refused where there is no host", async () => {
    const transport: Transport = {
      listen: () => Promise.reject(new Error("nobody listens")),
      dial: () => connect({ path: "/nonexistent/host" }),
    };
    expect(await failure(openTunnel(transport, SERVICE, never()))).toMatch(/^key\/unreachable: /u);
  });

  it("is given up by its signal, before and while it is opened, and not after", async () => {
    const dialled: Duplex[] = [];
    const silent = await host(() => undefined);
    const transport: Transport = {
      ...silent.transport,
      dial() {
        const connection = silent.transport.dial();
        dialled.push(connection);
        return connection;
      },
    };
    expect(await failure(openTunnel(transport, SERVICE, AbortSignal.abort()))).toBe(
      "key/unreachable: kms.example:443: given up",
    );
    const stop = new AbortController();
    const opening = failure(openTunnel(transport, SERVICE, stop.signal));
    await expect.poll(() => silent.asked.length).toBe(1);
    stop.abort();
    expect(await opening).toBe("key/unreachable: kms.example:443: given up");
    await expect.poll(() => dialled.every(({ destroyed }) => destroyed)).toBe(true);

    const open = await host((_, client) => client.write("HTTP/1.1 200 OK\r\n\r\n"));
    const late = new AbortController();
    const tunnel = await openTunnel(open.transport, SERVICE, late.signal);
    late.abort();
    expect(tunnel.destroyed).toBe(false);
    tunnel.destroy();
  });

  it("that breaks off while nobody uses it ends nothing else", async () => {
    let relayed: Duplex | null = null;
    const { transport } = await host((_, client) => {
      relayed = client;
      client.write("HTTP/1.1 200 OK\r\n\r\n");
    });
    const tunnel = await openTunnel(transport, SERVICE, never());
    tunnel.destroy(new Error("cut"));
    await expect.poll(() => tunnel.closed).toBe(true);
    expect(relayed).not.toBe(null);
  });
});

describe("TLS through a tunnel", () => {
  it("ends at a service that a pinned root vouches for", async () => {
    const port = await service(["kms.example"]);
    expect(await text(await throughTls(port))).toBe("hello http/1.1");
  });

  it("ends at an address, too", async () => {
    const port = await service(["127.0.0.1"]);
    const to = { host: "127.0.0.1", url: "https://127.0.0.1" };
    expect(await text(await throughTls(port, [authority.certificate], to))).toBe("hello http/1.1");
  });

  it("goes through a stream that is no socket of Node's, as vsock's is", async () => {
    const port = await service(["kms.example"]);
    const { transport } = await host(relayTo(port));
    const dial = (): Duplex => {
      const [near, far] = duplexPair();
      const socket = transport.dial();
      far.pipe(socket).pipe(far);
      closing.push(() => socket.destroy());
      return near;
    };
    const tunnel = await openTunnel({ ...transport, dial }, SERVICE, never());
    const connection = await secured(tunnel, SERVICE, [authority.certificate], never());
    expect(await text(connection)).toBe("hello http/1.1");
    connection.destroy();
    await expect.poll(() => tunnel.destroyed).toBe(true);
  });

  it("takes one of several roots", async () => {
    const port = await service(["kms.example"]);
    const roots = [other.certificate, authority.certificate];
    expect(await text(await throughTls(port, roots))).toBe("hello http/1.1");
  });

  it.each<[string, string, () => readonly string[]]>([
    ["another root", "kms.example", () => [other.certificate]],
    ["no root at all", "kms.example", () => []],
    ["another name", "kms.example.org", () => [authority.certificate]],
    ["an address for a name", "127.0.0.1", () => [authority.certificate]],
  ])("is refused with %s", async (_, name, roots) => {
    const port = await service([name]);
    expect(await failure(throughTls(port, roots()))).toBe(
      "key/unreachable: https://kms.example: no TLS",
    );
  });

  it("is refused with another root whatever the environment says", async () => {
    const port = await service(["kms.example"]);
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      expect(await failure(throughTls(port, [other.certificate]))).toMatch(/^key\/unreachable: /u);
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    }
  });

  it.each([
    ["expired", Date.now() - 500 * DAY_MS],
    ["not yet valid", Date.now() + 30 * DAY_MS],
  ])("is refused with a certificate that is %s", async (_, nowMs) => {
    const port = await service(["kms.example"], nowMs);
    expect(await failure(throughTls(port))).toBe("key/unreachable: https://kms.example: no TLS");
  });

  it("is refused below TLS 1.2, and by what is no TLS", async () => {
    const { key, chain } = await issueServerCertificate(authority, ["kms.example"], Date.now());
    const old = createTlsServer({
      key,
      cert: chain,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    old.on("tlsClientError", () => undefined);
    old.listen(0, "127.0.0.1");
    await once(old, "listening");
    closing.push(() => old.close());
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has no other kind
    expect(await failure(throughTls((old.address() as AddressInfo).port))).toMatch(
      /^key\/unreachable: /u,
    );
    const { transport } = await host((_, client) => {
      client.end("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n");
    });
    const tunnel = await openTunnel(transport, SERVICE, never());
    expect(await failure(secured(tunnel, SERVICE, [authority.certificate], never()))).toMatch(
      /^key\/unreachable: /u,
    );
    expect(tunnel.destroyed).toBe(true);
  });

  it("is given up by its signal while the service is silent", async () => {
    const { transport } = await host((_, client) => client.write("HTTP/1.1 200 OK\r\n\r\n"));
    for (const aborted of [false, true]) {
      const tunnel = await openTunnel(transport, SERVICE, never());
      const stop = new AbortController();
      if (aborted) stop.abort();
      const opening = failure(secured(tunnel, SERVICE, [authority.certificate], stop.signal));
      stop.abort();
      expect(await opening).toBe("key/unreachable: https://kms.example: given up");
      expect(tunnel.destroyed).toBe(true);
    }
  });

  it("that is destroyed takes the tunnel with it", async () => {
    const port = await service(["kms.example"]);
    const { transport } = await host(relayTo(port));
    const tunnel = await openTunnel(transport, SERVICE, never());
    const connection = await secured(tunnel, SERVICE, [authority.certificate], never());
    connection.destroy();
    await expect.poll(() => tunnel.destroyed).toBe(true);
  });
});
