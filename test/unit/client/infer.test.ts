import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { inferCommand } from "../../../client/cli/commands/infer.ts";
import { CommandError } from "../../../client/cli/exit.ts";
import { NOW_MS } from "../../fakes/attester.ts";
import { type Schema, violation } from "../../fakes/json-schema.ts";
import { type Ran, runCommand } from "./command-line.ts";
import { createFakeNode, type FakeNode } from "./fake-gateway.ts";
import { rejection } from "./rejection.ts";

const schemaFile = new URL("../../../client/verdict.schema.json", import.meta.url);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own file
const SCHEMA = JSON.parse(readFileSync(schemaFile, "utf8")) as Schema;
const LINE: Schema = { $ref: "#/$defs/inference" };

const METADATA = {
  name: "digits",
  versions: ["1"],
  inputs: [{ name: "image", datatype: "FP32", shape: [-1, 2] }],
  outputs: [{ name: "label" }],
};
const ANSWER = {
  model_name: "digits",
  model_version: "1",
  outputs: [{ name: "label", datatype: "INT64", shape: [1], data: [7] }],
};

let node: FakeNode;
let directory: string;
let words: readonly string[];

beforeEach(async () => {
  // The command judges by the clock, and the fake node was made at a time of its own.
  vi.useFakeTimers({ toFake: ["Date"], now: NOW_MS });
  node = await createFakeNode("infer");
  node.handler = ({ path }) => ({
    content: [JSON.stringify(path.endsWith("/infer") ? ANSWER : METADATA)],
  });
  vi.stubGlobal("fetch", node.fetch);
  directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  const [policy, input] = [join(directory, "policy.json"), join(directory, "input.json")];
  await writeFile(policy, node.policyText);
  await writeFile(input, "[[1, 2]]");
  words = ["digits", "--input", input, "--node", "http://node.example", "--policy", policy];
});

afterEach(async () => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
  await rm(directory, { recursive: true });
});

/** The one line of `--json`, which must satisfy the schema, and the exit code. */
function lineOf({ exit, lines }: Ran): Readonly<Record<string, unknown>> {
  expect(lines).toHaveLength(1);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- judged in the next statement
  const line = JSON.parse(lines[0] ?? "") as Readonly<Record<string, unknown>>;
  expect(violation(line, LINE, SCHEMA)).toBeNull();
  return { exit, ...line };
}

describe("infer --json", () => {
  it("is of the schema with an answer, and names the proof's file", async () => {
    const line = lineOf(await runCommand(inferCommand, [...words, "--json"]));
    const verdict = { result: "verified", mode: "live" };
    expect(line).toMatchObject({ exit: 0, model: "digits", answer: ANSWER, verdict, proof: null });
    const proof = join(directory, "a.proof");
    const kept = lineOf(await runCommand(inferCommand, [...words, "--proof", proof, "--json"]));
    expect(kept["proof"]).toBe(proof);
    expect(readFileSync(proof).length).toBeGreaterThan(1000);
  });

  it("keeps the answer where its proof cannot be written", async () => {
    const nowhere = join(directory, "none", "a.proof");
    const line = lineOf(await runCommand(inferCommand, [...words, "--proof", nowhere, "--json"]));
    expect(line).toMatchObject({
      exit: 2,
      answer: ANSWER,
      verdict: { result: "verified" },
      proof: null,
    });
    expect(JSON.stringify(line["error"])).toContain("cannot write the proof");
  });

  it("is of the schema where the answer is rejected, and has no answer then", async () => {
    node.misdeeds.claims = () => ({ model: { id: "b", version: "1", digest: new Uint8Array(32) } });
    const line = lineOf(await runCommand(inferCommand, [...words, "--json"]));
    const verdict = { result: "rejected", failure: "tampered" };
    expect(line).toMatchObject({ exit: 1, answer: null, verdict, error: null });
  });

  it("is of the schema where the enclave refuses, which is verified but no answer", async () => {
    node.handler = () => ({ status: 404, content: ['{"error": "no such model"}'], model: null });
    const line = lineOf(await runCommand(inferCommand, [...words, "--json"]));
    expect(line).toMatchObject({ exit: 2, answer: null, verdict: { result: "verified" } });
    expect(JSON.stringify(line["error"])).toContain("(404): no such model");
    expect(line["exchange"]).toMatch(/^[0-9a-f]{32}$/u);
    const error = await rejection(runCommand(inferCommand, words), CommandError);
    expect([error.exitCode, error.fix]).toEqual([2, expect.stringContaining("metadata")]);
  });

  it("is of the schema where the node cannot be reached", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("fetch failed")));
    const line = lineOf(await runCommand(inferCommand, [...words, "--json"]));
    expect(line).toMatchObject({ exit: 2, answer: null, verdict: null, exchange: null });
    expect(JSON.stringify(line["error"])).toContain("cannot be reached");
  });

  it("is of the schema where the policy, or the input, cannot be read", async () => {
    for (const option of ["--policy", "--input"]) {
      const none = join(directory, "none");
      const changed = words.map((word, i) => (words[i - 1] === option ? none : word));
      const ran = await runCommand(inferCommand, [...changed, "--json"]);
      const line = lineOf(ran);
      expect(line).toMatchObject({ exit: 2, answer: null, verdict: null });
      expect(ran.notes.join("\n")).toContain("there is no such file");
      expect(JSON.stringify(line["error"])).toContain("there is no such file");
    }
  });
});
