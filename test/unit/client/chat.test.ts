import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { chatCommand } from "../../../client/cli/commands/chat.ts";
import { inferCommand } from "../../../client/cli/commands/infer.ts";
import { verifyCommand } from "../../../client/cli/commands/verify.ts";
import { CommandError, UsageError } from "../../../client/cli/exit.ts";
import { NOW_MS } from "../../fakes/attester.ts";
import { type Schema, violation } from "../../fakes/json-schema.ts";
import { type ChatNode, createChatNode, delta, event, MODEL, says, sends } from "./chat-node.ts";
import { type Ran, runCommand } from "./command-line.ts";
import { rejection } from "./rejection.ts";

const schemaFile = new URL("../../../client/verdict.schema.json", import.meta.url);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own file
const SCHEMA = JSON.parse(readFileSync(schemaFile, "utf8")) as Schema;
/** Claims of an answer that was not given. */
const FORGED = { response: { leaves: 1, bytes: 1, root: new Uint8Array(32) } };
const LINE: Schema = { $ref: "#/$defs/inference" };

let chat: ChatNode;
let directory: string;

beforeEach(async () => {
  // The command judges by the clock, and the fake node was made at a time of its own.
  vi.useFakeTimers({ toFake: ["Date"], now: NOW_MS });
  chat = await createChatNode();
  vi.stubGlobal("fetch", chat.node.fetch);
  directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  await writeFile(join(directory, "policy.json"), chat.node.policyText);
});

afterEach(async () => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
  await rm(directory, { recursive: true });
});

async function ask(...words: readonly string[]): Promise<Ran> {
  const node = ["--node", "http://node.example", "--policy", join(directory, "policy.json")];
  return await runCommand(chatCommand, [MODEL, "hi", ...words, ...node]);
}

describe("chat, one message", () => {
  it("prints the answer, and the verdict where it does not get in the way", async () => {
    const { exit, lines, notes, written } = await ask("--seed", "42", "--system", "be short");
    expect([exit, written]).toEqual([0, "Hello."]);
    expect(lines).toEqual([""]);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(
      /^✓ verified \(platform simulated, .*\) digits 1 [0-9a-f]{16}…, 2 tokens.*, seed 42, index 0$/u,
    );
    expect(chat.asked).toEqual([
      {
        model: MODEL,
        stream: true,
        seed: 42,
        messages: [
          { role: "system", content: "be short" },
          { role: "user", content: "hi" },
        ],
      },
    ]);
    expect((await ask("--quiet")).notes).toEqual([]);
  });

  it("writes a proof that verify takes, and that says what was generated", async () => {
    const proof = join(directory, "a.proof");
    expect((await ask("--proof", proof)).exit).toBe(0);
    const policy = ["--policy", join(directory, "policy.json")];
    const { exit, lines } = await runCommand(verifyCommand, [proof, "--opening", ...policy]);
    expect(exit).toBe(0);
    const digest = "07".repeat(32);
    const said = `the text: 5 tokens read, 2 written, finish reason stop, seed 42, parameters ${digest}`;
    expect(lines).toContain(said);
    expect(lines.join("\n")).toContain('"content":"Hel"');
  });

  it("neutralises what a model writes", async () => {
    chat.reply = () => says("\u001b]0;owned\u0007", "\u202eabc");
    expect((await ask()).written).toBe("�]0;owned��abc");
  });

  it("says loudly that an answer is cut short, and keeps no proof of it", async () => {
    const proof = join(directory, "a.proof");
    chat.reply = () => {
      chat.node.misdeeds.breakAfter = 300;
      return says("Hel", "lo.");
    };
    const { exit, notes, written } = await ask("--proof", proof);
    expect([exit, written]).toEqual([1, ""]);
    expect(notes[0]).toMatch(/^✗ THERE IS NO ANSWER: rejected: truncated/u);
    expect(notes.at(-1)).toBe("  It does not stay in the conversation.");
    expect(await readdir(directory)).toEqual(["policy.json"]);
  });

  it("says loudly that an answer is rejected", async () => {
    chat.reply = () => {
      chat.node.misdeeds.claims = () => FORGED;
      return says("Hel", "lo.");
    };
    const { exit, notes } = await ask();
    expect(exit).toBe(1);
    expect(notes[0]).toContain("✗ THERE IS NO ANSWER: rejected: tampered");
  });

  it("says what the enclave refuses, and what to do about it", async () => {
    const error = { message: "70 tokens, and the context has 64", code: "prompt/too-long" };
    chat.reply = () => ({ status: 400, content: [JSON.stringify({ error })] });
    const { exit, notes } = await ask();
    expect(exit).toBe(2);
    expect(notes[0]).toContain("the enclave refused the message (400): 70 tokens, and the context");
    expect(notes[1]).toContain("/reset begins anew");
  });

  it("takes no stream without its end, or with an error in it, for an answer", async () => {
    chat.reply = () => sends(delta("a"));
    expect((await ask()).notes[0]).toContain("the enclave did not finish the answer");
    chat.reply = () => sends(delta("a"), event({ error: { message: "out of memory" } }));
    const { exit, notes } = await ask();
    expect([exit, notes[0]]).toEqual([2, expect.stringContaining("out of memory")]);
    chat.reply = () => sends("hello\n\n");
    expect((await ask()).notes[0]).toContain("is no stream of events");
  });

  it("names the models there are where the one asked for is not", async () => {
    const words = (model: string): readonly string[] => {
      const policy = join(directory, "policy.json");
      return [model, "hi", "--node", "http://node.example", "--policy", policy];
    };
    const run = async (model: string): Promise<CommandError> =>
      await rejection(runCommand(chatCommand, words(model)), CommandError);
    expect((await run("gpt")).fix).toBe("it has digits");
    // Said before a node is started for it.
    const mistaken = await rejection(runCommand(chatCommand, ["how are you"]), UsageError);
    expect(mistaken.fix).toContain("the model comes first");
    chat.models = [
      { id: "e5", kind: "embedding" },
      { id: "base", kind: "generation", chat: false },
    ];
    expect((await run(MODEL)).fix).toContain("countersign model add");
  });

  it("understands its own options only", async () => {
    const policy = ["--policy", join(directory, "policy.json")];
    const bad = [
      [MODEL, "hi", ...policy],
      [MODEL, "hi", "--node", "http://node.example", "--models", "x"],
      [MODEL, "hi", "--temperature", "2.1"],
      [MODEL, "hi", "--temperature", "1e0"],
      [MODEL, "hi", "--temperature", "-1"],
      [MODEL, "hi", "--seed", "1.5"],
      [MODEL, "hi", "--max-tokens", "0"],
    ];
    for (const words of bad) await rejection(runCommand(chatCommand, words), UsageError);
    const empty = runCommand(chatCommand, [MODEL, " "]);
    expect((await rejection(empty, CommandError)).message).toBe("there is no message");
  });
});

/** The one line, which must satisfy the schema, and the exit code. */
function lineOf({ exit, lines }: Ran): Readonly<Record<string, unknown>> {
  expect(lines).toHaveLength(1);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- judged in the next statement
  const line = JSON.parse(lines[0] ?? "") as Readonly<Record<string, unknown>>;
  expect(violation(line, LINE, SCHEMA)).toBeNull();
  return { exit, ...line };
}

describe("chat --json", () => {
  it("is one line of the schema, whatever comes", async () => {
    const proof = join(directory, "a.proof");
    const answered = lineOf(await ask("--json", "--proof", proof));
    const answer = { text: "Hello.", finishReason: "stop", completionTokens: 2, seed: 42 };
    expect(answered).toMatchObject({
      exit: 0,
      model: MODEL,
      proof,
      verdict: { result: "verified" },
    });
    expect(answered["answer"]).toMatchObject(answer);
    expect((await readFile(proof)).length).toBeGreaterThan(1000);

    const unwritten = lineOf(await ask("--json", "--proof", join(directory, "none", "a.proof")));
    expect(unwritten).toMatchObject({ exit: 2, proof: null });
    expect(unwritten["answer"]).toMatchObject(answer);

    chat.reply = () => ({
      status: 429,
      content: ['{"error":{"message":"busy","code":"queue/full"}}'],
    });
    const refused = lineOf(await ask("--json"));
    expect(refused).toMatchObject({ exit: 2, answer: null, verdict: { result: "verified" } });

    chat.reply = () => sends(delta("unfinished"));
    expect(lineOf(await ask("--json"))).toMatchObject({ exit: 2, answer: null, verdict: null });

    chat.reply = () => {
      chat.node.misdeeds.claims = () => FORGED;
      return says("x");
    };
    const rejected = lineOf(await ask("--json"));
    expect(rejected).toMatchObject({ exit: 1, answer: null, verdict: { result: "rejected" } });
  });
});

describe("chat --json, without an answer", () => {
  it("is one line of the schema for a node that is not there, or not what it should be", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("fetch failed")));
    const gone = lineOf(await ask("--json"));
    expect(gone).toMatchObject({ exit: 2, model: MODEL, answer: null, verdict: null });
    expect(JSON.stringify(gone["error"])).toContain("cannot be reached");
    vi.stubGlobal("fetch", chat.node.fetch);
    await chat.node.rotate();
    chat.node.misdeeds.bundle = Uint8Array.of(1, 2, 3);
    expect(lineOf(await ask("--json"))).toMatchObject({
      exit: 1,
      verdict: { result: "rejected", failure: "malformed" },
    });
    chat.node.misdeeds.bundle = null;
    chat.models = [];
    const none = lineOf(await ask("--json"));
    expect(JSON.stringify(none["error"])).toContain("no model to chat with");
  });
});

describe("infer", () => {
  it("says of a model of text that it is one to chat with", async () => {
    const input = join(directory, "input.json");
    await writeFile(input, "[[1]]");
    const node = ["--node", "http://node.example", "--policy", join(directory, "policy.json")];
    const words = (model: string): readonly string[] => [model, "--input", input, ...node];
    const error = await rejection(runCommand(inferCommand, words(MODEL)), CommandError);
    expect(error.message).toContain("(404): no such model");
    expect(error.fix).toBe('"digits" is a model of text: countersign chat digits');
    const other = await rejection(runCommand(inferCommand, words("none")), CommandError);
    expect(other.fix).toContain("metadata");
  });
});
