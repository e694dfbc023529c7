/** What the enclave reads of its host at boot, whole and in little memory. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../../enclave/clock.ts";
import { provisioner } from "../../../enclave/provision.ts";
import { unixTransport } from "../../../enclave/transport.ts";

/** Many reads of a socket, and none of them the last byte's. */
const CONTENT = Uint8Array.from({ length: 3_000_001 }, (_, i) => (i * 7) ^ (i >> 8));

const server = createServer((request, response) => {
  if (request.url === "/models/m/1/chunked") {
    for (let at = 0; at < CONTENT.length; at += 50_021) {
      response.write(CONTENT.subarray(at, at + 50_021));
    }
    response.end();
    return;
  }
  response.writeHead(200, { "content-length": CONTENT.length }).end(CONTENT);
});
let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "cs-answer-"));
  await new Promise<void>((resolve) => {
    server.listen(join(directory, "host.sock"), resolve);
  });
});
afterAll(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

function pieces(path: string): AsyncIterable<Uint8Array> {
  const transport = unixTransport("", join(directory, "host.sock"));
  const host = provisioner({ transport, clock: systemClock, patienceMs: 0 });
  return host.fetchModelFile("m", "1", path, CONTENT.length);
}

describe.each(["whole", "chunked"])("a file that comes %s", (path) => {
  it("is what was sent, to whoever takes each piece as it comes", async () => {
    const found = new Uint8Array(CONTENT.length);
    let length = 0;
    for await (const piece of pieces(path)) {
      found.set(piece, length);
      length += piece.length;
    }
    expect(length).toBe(CONTENT.length);
    expect(Buffer.compare(found, CONTENT)).toBe(0);
  });

  it("leaves nothing much behind for the garbage collector", async () => {
    let last: Uint8Array | null = null;
    let held = 0;
    let count = 0;
    for await (const piece of pieces(path)) {
      held += last?.length ?? 0;
      last = piece;
      count++;
    }
    // Small pieces share their memory with others, and it is not theirs to give back.
    expect(count).toBeGreaterThan(10);
    expect(held + (last?.length ?? 0)).toBeLessThan(CONTENT.length / 10);
  });
});
