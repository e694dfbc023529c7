import { createServer, request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { EnclaveAddress } from "../../../host/enclave-address.ts";
import { systemCode } from "../../../host/errors.ts";
import { ask, openUpstream } from "../../../host/upstream.ts";
import { startFakeEnclave } from "../../fakes/fake-enclave.ts";
import { type HybridVsock, type Leading, startHybridVsock } from "../../fakes/hybrid-vsock.ts";
import { onTestEnd, refusalOf, scratch, sendBy, until } from "./support.ts";

const STATUS = {
  method: "GET",
  path: "/status",
  body: null,
  maxBytes: 4096,
  timeoutMs: 20_000,
} as const;

interface Monitor {
  readonly address: EnclaveAddress;
  readonly monitor: HybridVsock;
}

async function monitorOf(lead: (port: number) => Leading | null): Promise<Monitor> {
  const path = join(scratch(), "vm.sock");
  const monitor = await startHybridVsock(path, lead);
  onTestEnd(() => monitor.close());
  return { monitor, address: { kind: "vsock-uds", path, port: 5000 } };
}

describe("an enclave behind a machine monitor's socket", () => {
  it("is asked over a connection of its own each time", async () => {
    const inner = join(scratch(), "e.sock");
    const enclave = await startFakeEnclave(inner);
    onTestEnd(() => enclave.close());
    const { address, monitor } = await monitorOf((port) => (port === 5000 ? { to: inner } : null));
    for (let i = 0; i < 3; i++) {
      const answer = await ask(address, STATUS);
      expect(Buffer.from(answer.bytes).toString()).toContain('"phase":"serving"');
    }
    expect(monitor.lines).toEqual(Array(3).fill("CONNECT 5000\n"));
  });

  it("is relayed to over connections that are kept", async () => {
    const inner = join(scratch(), "e.sock");
    const enclave = await startFakeEnclave(inner);
    onTestEnd(() => enclave.close());
    const { address, monitor } = await monitorOf(() => ({ to: inner }));
    const { agent } = openUpstream(address, 8);
    onTestEnd(() => {
      agent.destroy();
    });
    for (let i = 0; i < 10; i++) {
      const body = Buffer.alloc(100_000, i);
      const reply = await sendBy(agent, "POST", "/gateway", body);
      expect(reply.body.equals(body)).toBe(true);
    }
    expect(monitor.lines).toHaveLength(1);
    await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const body = Buffer.alloc(300_000, i);
        expect((await sendBy(agent, "POST", "/gateway", body)).body.equals(body)).toBe(true);
      }),
    );
    expect(monitor.lines.length).toBeGreaterThan(1);
    expect(monitor.lines.length).toBeLessThanOrEqual(8);
  });

  it("is not dialled without bound for requests that were given up", async () => {
    const { address, monitor } = await monitorOf(() => ({ silent: true }));
    const { agent } = openUpstream(address, 8);
    onTestEnd(() => {
      agent.destroy();
    });
    for (let i = 0; i < 20; i++) {
      const sent = request({ agent, host: "enclave", path: "/gateway" });
      sent.on("error", () => undefined).end();
      await delay(5);
      sent.destroy();
    }
    await until("they are dialled", () => monitor.lines.length >= 8);
    await delay(50);
    expect(monitor.lines).toHaveLength(8);
  });

  it("may begin its answer in the same packet as the monitor's", async () => {
    const { address } = await monitorOf(() => ({
      say: "OK 1\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    }));
    expect(Buffer.from((await ask(address, STATUS)).bytes).toString()).toBe("hi");
  });

  it("is unreachable where nobody listens at its port", async () => {
    const { address } = await monitorOf(() => null);
    const refusal = await refusalOf(() => ask(address, STATUS));
    expect(refusal.code).toBe("enclave/unreachable");
    expect(refusal.message).toContain("nothing listens at port 5000");
  });

  it.each(["HTTP/1.1 400 Bad Request\r\n", "OK\n", "OK 1 \n", "OK 12345678901\n", "x".repeat(64)])(
    "is unreachable behind what does not speak so: %j",
    async (say) => {
      const { address } = await monitorOf(() => ({ say }));
      const refusal = await refusalOf(() => ask(address, STATUS));
      expect(refusal.code).toBe("enclave/unreachable");
      expect(refusal.message).toContain("does not speak hybrid vsock");
    },
  );

  it("is given up where the monitor does not answer in time", async () => {
    const { address } = await monitorOf(() => ({ silent: true }));
    const refusal = await refusalOf(() => ask(address, { ...STATUS, timeoutMs: 200 }));
    expect(refusal.code).toBe("enclave/timeout");
  });

  it("is unreachable where there is no monitor", async () => {
    const address = { kind: "vsock-uds", path: join(scratch(), "no.sock"), port: 1 } as const;
    const refusal = await refusalOf(() => ask(address, STATUS));
    expect(refusal.code).toBe("enclave/unreachable");
    expect(refusal.message).toContain("GET /status: ENOENT");
    expect(systemCode(refusal.cause)).toBe("ENOENT");
  });
});

describe("an enclave on vsock", () => {
  it("is unreachable where there is none, whatever this machine has of vsock", async () => {
    // This machine itself, at a port that nobody has reason to take.
    const address = { kind: "vsock", cid: 1, port: 0x7fff_1234 } as const;
    const refusal = await refusalOf(() => ask(address, { ...STATUS, timeoutMs: 500 }));
    // Some machines answer for themselves at once; one without loopback does not answer.
    expect(refusal.message).toMatch(
      /^enclave\/(?:unreachable: GET \/status: vsock\/|timeout: no answer)/u,
    );
  });
});

describe("an enclave that is a socket", () => {
  it("gets a Host field that names nobody", async () => {
    const path = join(scratch(), "e.sock");
    const seen: (string | undefined)[] = [];
    const server = createServer((incoming, outgoing) => {
      seen.push(incoming.headers.host);
      outgoing.end("x");
    });
    await new Promise<void>((resolve) => {
      server.listen(path, resolve);
    });
    onTestEnd(() => {
      server.close();
    });
    await ask({ kind: "unix", path }, STATUS);
    expect(seen).toEqual(["enclave"]);
  });
});
