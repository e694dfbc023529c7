import { encodeProvisioning } from "@countersign/protocol";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../enclave/clock.ts";
import { BOOT_MODEL, BootHost } from "../../fakes/boot-host.ts";
import { newVendor, TestClock } from "../../fakes/ring.ts";
import { provisioningOf } from "../../fakes/served.ts";

const vendor = newVendor();
const PROVISIONING = encodeProvisioning(provisioningOf([BOOT_MODEL]));
const MODEL = BOOT_MODEL.files["model.onnx"] ?? new Uint8Array(0);
let host: BootHost;
let stop = false;
beforeEach(async () => {
  host = await BootHost.make(vendor);
  stop = false;
});
afterEach(async () => {
  stop = true;
  await host.close();
});

/** Lets time pass in steps, with a moment for the sockets in each, until `ended`. */
async function pass(clock: TestClock, stepMs: number, ended: Promise<unknown>): Promise<number> {
  let passedMs = 0;
  let done = false;
  const settled = ended.then(
    () => (done = true),
    () => (done = true),
  );
  await sleep(50);
  while (!done && passedMs < 600_000) {
    await clock.advance(stepMs);
    passedMs += stepMs;
    await sleep(20);
  }
  await settled;
  return passedMs;
}

/** The clock goes in steps, and a busy machine lets a few more pass before it notices. */
function expectAbout(tookMs: number, limitMs: number): void {
  expect(tookMs).toBeGreaterThanOrEqual(limitMs);
  expect(tookMs).toBeLessThanOrEqual(limitMs + 50_000);
}

describe("a parent that", () => {
  it.each([
    ["ends its provisioning early", "/provisioning", PROVISIONING],
    ["ends a model early", "/models/echo/1/model.onnx", MODEL],
  ])("%s is one that cannot be reached", async (_, path, bytes) => {
    await host.listen((request, response) => {
      if (request.url !== path) return false;
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 9), () => response.destroy());
      return true;
    });
    await expect(host.boot()).rejects.toThrow("provision/unreachable");
    expect(host.phases.at(-1)).toBe("closed");
  });

  it("speaks something else is one that cannot be reached", async () => {
    await host.listenRaw((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n"));
    await expect(host.boot()).rejects.toThrow("provision/unreachable");
  });

  it.each([
    ["and stays", "hello"],
    ["and leaves", null],
  ])("goes over to another protocol %s is one that cannot be reached", async (_, more) => {
    await host.listenRaw((socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
      if (more === null) socket.end();
      else socket.write(more);
    });
    await expect(host.boot()).rejects.toThrow("provision/unreachable");
    expect(host.phases.at(-1)).toBe("closed");
  });

  it("never stops talking in headers is cut off", async () => {
    await host.listenRaw((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = (): void => {
        while (!stop && !socket.destroyed && socket.write("x-a: aaaaaaaaaaaaaaaaaaaaaaa\r\n"));
      };
      socket.on("drain", more);
      more();
    });
    await expect(host.boot()).rejects.toThrow("provision/unreachable");
  });

  it.each([
    ["provisioning", "/provisioning", "provision/too-large"],
    ["a model", "/models/echo/1/model.onnx", "model/size"],
  ])("floods with %s is cut off at the limit", async (_, path, code) => {
    let sent = 0;
    await host.listen((request, response) => {
      if (request.url !== path) return false;
      response.writeHead(200);
      flood(response, (bytes) => (sent += bytes));
      return true;
    });
    await expect(host.boot()).rejects.toThrow(code);
    // The limit, and what sockets and streams hold between the two.
    expect(sent).toBeLessThan(16_777_216 + 8_388_608);
    expect(host.phases.at(-1)).toBe("closed");
  });

  it("says nothing is given up after a minute", async () => {
    const clock = new TestClock(Date.now());
    await host.listen(() => true);
    const boot = host.boot({ clock });
    const passed = pass(clock, 10_000, boot);
    await expect(boot).rejects.toThrow("provision/slow");
    expectAbout(await passed, 60_000);
  });

  it("says something now and then is given up all the same", async () => {
    const clock = new TestClock(Date.now());
    await host.listen((_, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write("a"), 5);
      response.on("close", () => {
        clearInterval(drip);
      });
      return true;
    });
    const boot = host.boot({ clock });
    const passed = pass(clock, 10_000, boot);
    await expect(boot).rejects.toThrow("provision/slow");
    // 60 s, and 16 MiB at 1 MiB a second.
    expectAbout(await passed, 76_384);
  });

  it("drips a model has the time that its bytes take, and no more", async () => {
    const clock = new TestClock(Date.now());
    const asked = Promise.withResolvers<void>();
    await host.listen((request, response) => {
      if (request.url === "/provisioning") return false;
      asked.resolve();
      response.writeHead(200, { "content-length": MODEL.length });
      let sent = 0;
      const drip = setInterval(() => {
        if (sent < MODEL.length - 1) response.write(MODEL.subarray(sent, ++sent));
      }, 20);
      response.on("close", () => {
        clearInterval(drip);
      });
      return true;
    });
    const boot = host.boot({ clock });
    // Not before: the clock would go on between the question and the host that hears it.
    await Promise.race([asked.promise, boot]);
    const passed = pass(clock, 10_000, boot);
    await expect(boot).rejects.toThrow("provision/slow");
    // One more millisecond for a file of less than 1 KiB.
    expectAbout(await passed, 60_001);
  });

  it("starts after us is waited for", async () => {
    const boot = host.boot({ hostPatienceMs: 10_000 });
    await sleep(700);
    await host.listen();
    await boot;
    expect(host.phases.at(-1)).toBe("serving");
    expect(host.asked).toEqual(["/provisioning", "/models/echo/1/model.onnx"]);
  });

  it("never starts is waited for as long as we were told", async () => {
    const clock = new TestClock(Date.now());
    const boot = host.boot({ clock, hostPatienceMs: 60_000 });
    const passed = pass(clock, 500, boot);
    await expect(boot).rejects.toThrow("provision/unreachable");
    expectAbout(await passed, 60_000);
  });

  it("is there and refuses is not asked again", async () => {
    await host.listen((_, response) => {
      response.writeHead(503).end();
      return true;
    });
    await expect(host.boot({ hostPatienceMs: 60_000 })).rejects.toThrow("provision/status");
    expect(host.asked.length).toBe(1);
  });
});

describe("a clock that jumps", () => {
  it.each([-5_001, 5_001])("by %i ms closes an enclave that serves", async (jumpMs) => {
    const clock = new TestClock(Date.now());
    await host.listen();
    const enclave = await host.boot({ clock });
    clock.jump(jumpMs);
    // The timers of this clock go by its time: a jump back delays them.
    await clock.advance(20_000);
    expect((await enclave.failure).code).toBe("clock/jumped");
    expect(host.phases.at(-1)).toBe("closed");
  });

  it("is told where a connection does not end, and the keys are gone", async () => {
    const clock = new TestClock(Date.now());
    await host.listen();
    const never = { close: () => new Promise<void>(() => undefined) };
    const enclave = await host.boot({
      clock,
      transport: { dial: () => connect(host.path), listen: () => Promise.resolve(never) },
    });
    clock.jump(60_000);
    await clock.advance(20_000);
    expect((await enclave.failure).code).toBe("clock/jumped");
    expect(host.lines.map(({ event }) => event)).toContain("epoch-ended");
    host.forget();
  });

  it("by less goes on", async () => {
    const clock = new TestClock(Date.now());
    await host.listen();
    await host.boot({ clock });
    for (const jumpMs of [4_999, -4_999, 4_999]) {
      clock.jump(jumpMs);
      await clock.advance(15_000);
    }
    expect(host.phases.at(-1)).toBe("serving");
  });

  it("while the models load closes it as soon as it would serve", async () => {
    const clock = new TestClock(Date.now());
    await host.listen((request) => {
      if (request.url !== "/provisioning") clock.jump(-60_000);
      return false;
    });
    const enclave = await host.boot({ clock });
    await clock.advance(80_000);
    expect((await enclave.failure).code).toBe("clock/jumped");
  });

  it("the system's own two clocks go alike", async () => {
    const wallMs = systemClock.nowMs();
    const steadyMs = systemClock.monotonicMs();
    await sleep(30);
    const jumpedMs = systemClock.nowMs() - wallMs - (systemClock.monotonicMs() - steadyMs);
    expect(Math.abs(jumpedMs)).toBeLessThan(1_000);
  });
});

function flood(response: ServerResponse, count: (bytes: number) => void): void {
  const piece = Buffer.alloc(65_536, 1);
  const more = (): void => {
    while (!stop && !response.destroyed) {
      count(piece.length);
      if (!response.write(piece)) return;
    }
  };
  response.on("drain", more);
  more();
}
