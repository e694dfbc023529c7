import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encodeProof, encodeUtf8 } from "@countersign/attestation";
import { encodeRequestPreamble, encodeResponsePreamble } from "@countersign/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { verifyCommand } from "../../../client/cli/commands/verify.ts";
import { PolicyError } from "../../../client/cli/policies.ts";
import {
  createAttester,
  type FakeEpoch,
  makeEpoch,
  makeExchange,
  seededRandom,
} from "../../fakes/attester.ts";
import { type Ran, runCommand } from "./command-line.ts";
import { rejection } from "./rejection.ts";

/** `verify` judges by the clock. */
const NOW_MS = Math.floor(Date.now() / 1000) * 1000;
const REQUEST = { method: "POST", scheme: "https", authority: "", path: "/v2", headers: [] };

let directory: string;
let epoch: FakeEpoch;
let opened: string;
let unopened: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  epoch = await makeEpoch(createAttester({ random: seededRandom("verify"), nowMs: NOW_MS }));
  await file("policy.json", epoch.policyText);
  const { receipt, kc, requestLeaves, responseLeaves } = await makeExchange(epoch, {
    requestLeaves: [encodeRequestPreamble(REQUEST), encodeUtf8("a question")],
    responseLeaves: [encodeResponsePreamble(200, []), encodeUtf8("an answer")],
  });
  const { bundle } = epoch;
  const opening = { kc, request: requestLeaves, response: responseLeaves };
  opened = await file("opened.proof", encodeProof({ receipt, bundle, opening }));
  unopened = await file("unopened.proof", encodeProof({ receipt, bundle, opening: null }));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function file(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

async function verify(...words: readonly string[]): Promise<Ran> {
  return await runCommand(verifyCommand, [...words, "--policy", join(directory, "policy.json")]);
}

describe("verify", () => {
  it("says what a proof shows, and that it was judged at its own time", async () => {
    const { exit, lines } = await verify(opened);
    expect(exit).toBe(0);
    expect(lines[0]).toMatch(/: verified \(.*at the document's own time\)$/u);
    expect(lines[1]).toMatch(/^ {2}Judged at the document's own time, not now/u);
    expect(lines.at(-1)).toMatch(/^the receipt: digits 1, status 200, /u);
    expect(lines.join("\n")).not.toContain("a question");
  });

  it("shows request and answer where it is asked to", async () => {
    const { exit, lines } = await verify(opened, "--opening");
    expect(exit).toBe(0);
    expect(lines).toEqual(
      expect.arrayContaining(["request  POST /v2", "a question", "answer  200", "an answer"]),
    );
  });

  it("says what a proof without an opening does not show", async () => {
    for (const words of [[unopened], [unopened, "--opening"]]) {
      const { exit, lines } = await verify(...words);
      expect(exit).toBe(0);
      expect(lines.join("\n")).toContain("not what was said");
    }
  });

  it("prints one line where it is to be quiet", async () => {
    expect((await verify(opened, "--opening", "--quiet")).lines).toHaveLength(1);
    const damaged = await file("damaged", Uint8Array.of(0xa0));
    const { exit, lines } = await verify(damaged, "--quiet");
    expect([exit, lines.length]).toEqual([1, 1]);
    expect(lines[0]).toMatch(/rejected: malformed .*, check bundle$/u);
  });

  it("says what a file is instead of a proof, where it can be told", async () => {
    const cases = [
      [epoch.bundle, "This is evidence"],
      [epoch.parts.evidence, "This is evidence"],
      [Buffer.from(epoch.bundle).toString("hex"), "This is text."],
    ] as const;
    for (const [content, said] of cases) {
      const { exit, lines } = await verify(await file("instead", content));
      expect([exit, lines.join("\n")]).toEqual([1, expect.stringContaining(said)]);
    }
  });

  it("could not check what it cannot read, the policy too", async () => {
    const { exit, lines } = await verify(join(directory, "none"));
    expect([exit, lines.length]).toEqual([2, 3]);
    expect(lines[0]).toMatch(/none: incomplete: unreachable$/u);
    const policy = await file("bad.json", "{}");
    const judged = runCommand(verifyCommand, [opened, "--policy", policy]);
    expect((await rejection(judged, PolicyError)).exitCode).toBe(2);
  });
});
