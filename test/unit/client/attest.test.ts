import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { BUNDLE_PATH } from "@countersign/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { parseArguments, SHARED_OPTIONS } from "../../../client/cli/arguments.ts";
import { attestCommand } from "../../../client/cli/commands/attest.ts";
import type { Terminal } from "../../../client/cli/terminal.ts";
import { createAttester, makeEpoch, NOW_MS, seededRandom } from "../../fakes/attester.ts";
import { createFakeNode, type FakeNode } from "./fake-gateway.ts";

let node: FakeNode;
let directory: string;
let server: Server;
let url: string;
let served: Uint8Array;
let printed: string[];

beforeEach(async () => {
  node = await createFakeNode("attest");
  served = node.epoch.bundle;
  printed = [];
  directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  await writeFile(join(directory, "policy.json"), node.policyText);
  server = createServer((request, response) => {
    response.statusCode = request.url === BUNDLE_PATH ? 200 : 404;
    response.end(served);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

async function attest(...words: readonly string[]): Promise<number> {
  return await attestWith([...words, "--at", String(NOW_MS)]);
}

async function attestWith(words: readonly string[]): Promise<number> {
  const same = (text: string): string => text;
  const terminal: Terminal = {
    paint: { good: same, bad: same, warn: same, dim: same, bold: same },
    print: (line) => printed.push(line),
    note: (line) => printed.push(line),
    write: () => undefined,
  };
  const all = [...words, "--policy", join(directory, "policy.json")];
  const args = parseArguments(
    all,
    [...attestCommand.options, ...SHARED_OPTIONS],
    attestCommand.operands,
  );
  return await attestCommand.run({ args, terminal, json: args.flag("json"), quiet: false });
}

describe("attest", () => {
  it("verifies a node", async () => {
    expect(await attest(url)).toBe(0);
    expect(printed[0]).toContain("verified");
  });

  it("does not take a bare document for a node: it would hide keys and models", async () => {
    served = node.epoch.parts.evidence;
    expect(await attest(url)).toBe(1);
    expect(printed[0]).toContain("malformed");
  });

  it("takes a bare document in a file, and says what it does not show", async () => {
    const path = join(directory, "document");
    await writeFile(path, node.epoch.parts.evidence);
    expect(await attest(path)).toBe(0);
    expect(printed.join("\n")).toContain("carries no preimages");
  });

  it("says when it judged, where that is not now", async () => {
    await attest(url);
    expect(printed.join("\n")).toContain("judged as of 2026");
  });

  it("judges a file at its document's own time only with --archive, and no node so", async () => {
    const path = join(directory, "bundle");
    const lastMonth = (Math.floor(Date.now() / 1000) - 30 * 86_400) * 1000;
    const attester = createAttester({ random: seededRandom("attest"), nowMs: lastMonth });
    const old = await makeEpoch(attester);
    await writeFile(path, old.bundle);
    await writeFile(join(directory, "policy.json"), old.policyText);
    expect(await attestWith([path])).toBe(1);
    printed = [];
    expect(await attestWith([path, "--archive"])).toBe(0);
    expect(printed.join("\n")).toContain("judged at the document's own time");
    await expect(attestWith([url, "--archive"])).rejects.toThrow("--archive, and a node");
    await expect(attest(path, "--archive")).rejects.toThrow("--archive and --at");
  });

  it("does not pass over a challenge that it cannot send", async () => {
    const path = join(directory, "bundle");
    await writeFile(path, served);
    expect(await attest(path)).toBe(0);
    await expect(attest(path, "--challenge")).rejects.toThrow("is a file");
    const nonce = "00".repeat(32);
    await expect(attest(url, "--challenge", "--nonce", nonce)).rejects.toThrow("--nonce");
  });

  it("has the exit code of the worst", async () => {
    expect(await attest(url, join(directory, "none"))).toBe(2);
    served = new Uint8Array(3);
    expect(await attest(join(directory, "none"), url)).toBe(1);
  });
});
