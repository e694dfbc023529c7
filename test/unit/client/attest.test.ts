import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encodeProof } from "@countersign/attestation";
import { BUNDLE_PATH } from "@countersign/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { attestCommand } from "../../../client/cli/commands/attest.ts";
import { UsageError } from "../../../client/cli/exit.ts";
import { PolicyError } from "../../../client/cli/policies.ts";
import { createAttester, makeEpoch, NOW_MS, seededRandom } from "../../fakes/attester.ts";
import { runCommand } from "./command-line.ts";
import { createFakeNode, type FakeNode } from "./fake-gateway.ts";
import { rejection } from "./rejection.ts";

let node: FakeNode;
let directory: string;
let server: Server;
let url: string;
let served: Uint8Array;
let printed: readonly string[];

beforeEach(async () => {
  node = await createFakeNode("attest");
  served = node.epoch.bundle;
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
  const policy = ["--policy", join(directory, "policy.json")];
  const ran = await runCommand(attestCommand, [...words, ...policy]);
  printed = ran.lines;
  return ran.exit;
}

async function file(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
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
    expect(printed.join("\n")).toContain(
      "Judged as of 2026-11-21T12:00:00Z, as --at says, not now.",
    );
  });

  it("judges a file at its document's own time only with --archive, and no node so", async () => {
    const path = join(directory, "bundle");
    const lastMonth = (Math.floor(Date.now() / 1000) - 30 * 86_400) * 1000;
    const attester = createAttester({ random: seededRandom("attest"), nowMs: lastMonth });
    const old = await makeEpoch(attester);
    await writeFile(path, old.bundle);
    await writeFile(join(directory, "policy.json"), old.policyText);
    expect(await attestWith([path])).toBe(1);
    expect(await attestWith([path, "--archive"])).toBe(0);
    expect(printed[0]).toContain("at the document's own time");
    expect(printed[1]).toContain("That does not show that it is recent");
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

  it("has the exit code of the worst, and counts", async () => {
    const none = join(directory, "none");
    expect(await attest(url, none)).toBe(2);
    expect(printed.at(-1)).toBe("2 subjects: 1 verified, 0 rejected, 1 could not be checked");
    served = new Uint8Array(3);
    expect(await attest(none, url)).toBe(1);
    expect(await attest(url, none)).toBe(1);
    expect(printed.at(-1)).toBe("2 subjects: 0 verified, 1 rejected, 1 could not be checked");
    expect(await attest(none)).toBe(2);
  });

  it("says the class of a failure first, and of the failed check all four things", async () => {
    const tampered = node.epoch.bundle.slice();
    const { keyset } = node.epoch.parts;
    const at = Buffer.from(tampered).indexOf(keyset) + keyset.length - 1;
    tampered[at] = (tampered[at] ?? 0) ^ 1;
    expect(await attest(await file("tampered", tampered))).toBe(1);
    expect(printed[0]).toMatch(/: rejected: tampered \(platform simulated/u);
    expect(printed[1]).toBe("  Its parts do not belong together, or not to what was signed.");
    // After the headline, what it means, that the TEE is simulated, when, and nine checks of two lines.
    const failed = printed.findIndex((line) => /^ {2}✗ keyset +[0-9a-f]{64}$/u.test(line));
    const labels = printed.slice(failed + 1, failed + 4).map((line) => line.trim().split(/ +/u)[0]);
    expect([failed, ...labels]).toEqual([22, "wanted", "why", "fix"]);
    expect(printed.at(-1)).toBe(
      "  – not reached: modelset, config, register, models, suite, freshness",
    );
  });

  it("says of every check what was wanted, and where it is asked to, what it shows", async () => {
    const count = (label: string): number =>
      printed.filter((line) => line.startsWith(`      ${label}  `)).length;
    await attest(url);
    expect([count("wanted"), count("shows ")]).toEqual([16, 0]);
    expect(await attest(url, "--verbose")).toBe(0);
    expect([count("wanted"), count("shows ")]).toEqual([16, 16]);
  });

  it("prints one line a subject where it is to be quiet", async () => {
    const none = join(directory, "none");
    const rubbish = await file("rubbish", Uint8Array.of(1, 2, 3));
    expect(await attest(url, rubbish, none, "--quiet")).toBe(1);
    expect(printed).toEqual([
      `${url}: verified (platform simulated, code "test-build")`,
      `${rubbish}: rejected: malformed, check bundle`,
      `${none}: incomplete: unreachable, cannot read the evidence ${none}: there is no such file`,
    ]);
  });

  it("does not say verified without what the policy leaves unchecked", async () => {
    const policy: unknown = JSON.parse(node.policyText);
    const lax = Object.assign({}, policy, { models: "any", freshness: "unchecked" });
    await file("policy.json", JSON.stringify(lax));
    expect(await attest(url, "--quiet")).toBe(0);
    expect(printed[0]).toContain("not checked, by your policy: models, freshness");
  });

  it("says what a file is instead, where it can be told", async () => {
    const proof = encodeProof({ receipt: Uint8Array.of(1), bundle: served, opening: null });
    const cases = [
      [await file("proof", proof), "This is a proof"],
      [await file("text", Buffer.from(served).toString("base64")), "This is text."],
      [directory, "name the files in it"],
      ["localhost:8480", "http://localhost:8480"],
    ] as const;
    for (const [path, said] of cases) {
      expect(await attest(path), said).not.toBe(0);
      expect(printed.join("\n")).toContain(said);
    }
    expect(await attest(await file("other", Uint8Array.of(1, 2)))).toBe(1);
    expect(printed.join("\n")).not.toContain("This is");
  });

  it("cannot judge by a policy that is missing or has a mistake", async () => {
    await file("policy.json", '{\n  "version": 2\n}');
    const error = await rejection(attest(url), PolicyError);
    expect([error.exitCode, error.failure]).toEqual([2, "malformed"]);
    expect(error.message).toContain("policy.json:2:3: /version: want 1");
    expect(await attest(url, "also", "--json")).toBe(2);
    const lines = printed.map((line): unknown => JSON.parse(line));
    expect(lines).toMatchObject([
      { subject: url, result: "incomplete", failure: "malformed" },
      { subject: "also", result: "incomplete", failure: "malformed" },
    ]);
    await rm(join(directory, "policy.json"));
    expect((await rejection(attest(url), PolicyError)).exitCode).toBe(2);
    expect(await attest(url, "--json")).toBe(2);
    expect(JSON.parse(printed[0] ?? "")).toMatchObject({ failure: "unreachable" });
  });

  it("takes times until the year 9999", async () => {
    const end = Date.UTC(9999, 11, 31, 23, 59, 59);
    expect(await attestWith([url, "--at", String(end)])).toBe(1);
    await rejection(attestWith([url, "--at", String(end + 1)]), UsageError);
    await rejection(attestWith([url, "--at", "9999-12-31T23:59:59.001Z"]), UsageError);
  });
});
