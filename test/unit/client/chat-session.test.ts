import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { proofFiles } from "../../../client/cli/chat/proof-files.ts";
import { createPrompt, type Input, type Prompt } from "../../../client/cli/chat/prompt.ts";
import { converse } from "../../../client/cli/chat/session.ts";
import type { Terminal } from "../../../client/cli/terminal.ts";
import { type ChatNode, createChatNode, MODEL, says } from "./chat-node.ts";
import { PAINT } from "./command-line.ts";

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";

let chat: ChatNode;
let directory: string;
let notes: string[];
let written: string;

beforeEach(async () => {
  chat = await createChatNode();
  directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  notes = [];
  written = "";
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const terminal: Terminal = {
  paint: PAINT,
  print: (line) => {
    written += `${line}\n`;
  },
  note: (line) => notes.push(line),
  write: (bytes) => {
    written += Buffer.from(bytes).toString();
  },
};

/** A person who types these, one after the other. */
function typing(...inputs: readonly (string | Input)[]): Prompt {
  const left = [...inputs];
  return {
    next: async () => {
      const input = left.shift() ?? { kind: "end" };
      return await Promise.resolve(
        typeof input === "string" ? { kind: "line", text: input } : input,
      );
    },
    onInterrupt: () => undefined,
    close: () => undefined,
  };
}

async function talk(prompt: Prompt, system: string | null = null, proof?: string): Promise<number> {
  const settings = { model: MODEL, temperature: null, topP: null, maxTokens: null, seed: null };
  const proofs = proof === undefined ? null : proofFiles(proof);
  let now = 0;
  const nowMs = (): number => (now += 500);
  const node = chat.connection;
  const context = { node, settings, terminal, quiet: false, live: true, proofs, nowMs };
  return await converse(context, prompt, system);
}

function asked(index: number): unknown {
  return chat.asked[index]?.messages;
}

describe("a chat", () => {
  it("goes on from what was said, and says a rate", async () => {
    const exit = await talk(typing("hi", "  ", "and then?"));
    expect(exit).toBe(0);
    expect(written).toBe("Hello.\nHello.\n");
    // Two tokens, of which the second came half a second after the first.
    expect(notes[0]).toContain("2 tokens at 2.0/s, seed 42, index 0");
    expect(asked(1)).toEqual([
      { role: "user", content: "hi" },
      { role: "assistant", content: "Hello." },
      { role: "user", content: "and then?" },
    ]);
  });

  it("forgets what was not verified, and ends with 1 where something was rejected", async () => {
    chat.reply = () => {
      chat.node.misdeeds.receipt = "missing";
      return says("lies");
    };
    const first = typing("hi", "/verdict");
    expect(await talk(first)).toBe(1);
    expect(notes.join("\n")).toContain("✗ DO NOT USE THIS ANSWER: rejected");
    expect(notes.join("\n")).toContain("there is no verified answer yet");
    chat.node.misdeeds.receipt = "sent";
    chat.reply = () => says("truth");
    await talk(typing("hi", "again"));
    expect(written).toContain("truth");
    expect(asked(1)).toEqual([{ role: "user", content: "hi" }]);
  });

  it("keeps instructions through a reset, and changes them", async () => {
    await talk(typing("hi", "/reset", "anew", "/system be brief", "then"), "be kind");
    const kind = { role: "system", content: "be kind" };
    expect(asked(0)).toEqual([kind, { role: "user", content: "hi" }]);
    expect(asked(1)).toEqual([kind, { role: "user", content: "anew" }]);
    expect(asked(2)).toMatchObject([{ role: "system", content: "be brief" }, {}, {}, {}]);
  });

  it("writes conversation and proofs for their owner alone", async () => {
    const [saved, one, first] = ["saved.json", "one.proof", "all.proof"].map((name) =>
      join(directory, name),
    );
    const lines = ["hi", `/proof ${one}`, "more", `/save ${saved}`, `/save ${saved}`];
    await talk(typing(...lines), null, first);
    const names = (await readdir(directory)).toSorted();
    expect(names).toEqual(["all-2.proof", "all.proof", "one.proof", "saved.json"]);
    for (const name of names) expect((await stat(join(directory, name))).mode & 0o077).toBe(0);
    const proof = await readFile(one ?? "");
    expect(Buffer.compare(proof, await readFile(first ?? ""))).toBe(0);
    expect(notes.join("\n")).toContain("cannot write the conversation");
    const conversation: unknown = JSON.parse(await readFile(saved ?? "", "utf8"));
    expect(conversation).toMatchObject({
      version: 1,
      system: null,
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", model: "digits@1", seed: 42 },
        { role: "user", content: "more" },
        { role: "assistant" },
      ],
    });
    expect(JSON.stringify(conversation).match(/"exchange":"[0-9a-f]{32}"/gu)).toHaveLength(2);
  });

  it("has commands, and says so of what is none", async () => {
    const exit = await talk(
      typing("/help", "/resett", "/nothing", "/save", "hi", "/verdict", "/exit", "no"),
    );
    const said = notes.join("\n");
    expect(exit).toBe(0);
    expect(said).toContain("/save FILE");
    expect(said).toContain("did you mean /reset?");
    expect(said).toContain("there is no command /nothing");
    expect(said).toContain("/save needs the name of a file");
    expect(said).toMatch(/✓ complete/u);
    expect(chat.asked).toHaveLength(1);
  });

  it("is left by a second Ctrl-C in a row", async () => {
    const interrupt = { kind: "interrupt" } as const;
    await talk(typing(interrupt, "hi", interrupt, interrupt, "never"));
    expect(chat.asked).toHaveLength(1);
  });
});

describe("the prompt", () => {
  function open(): { readonly keys: PassThrough; readonly prompt: Prompt } {
    const keys = new PassThrough();
    return { keys, prompt: createPrompt(keys, new PassThrough()) };
  }

  it("gives lines, Ctrl-C and Ctrl-D, in order, and those typed ahead", async () => {
    const { keys, prompt } = open();
    keys.write("one\ntwo\n");
    expect(await prompt.next()).toEqual({ kind: "line", text: "one" });
    expect(await prompt.next()).toEqual({ kind: "line", text: "two" });
    const next = prompt.next();
    keys.write(CTRL_C);
    expect(await next).toEqual({ kind: "interrupt" });
    keys.write(CTRL_D);
    expect(await prompt.next()).toEqual({ kind: "end" });
  });

  it("lets Ctrl-C stop an answer on its way, which is then no part of the conversation", async () => {
    const { keys, prompt } = open();
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    chat.reply = () => ({ ...says("Hel", "lo."), gate });
    keys.write("hi\n");
    const talking = talk(prompt);
    await vi.waitFor(() => {
      expect(written).toContain("Hel");
    });
    keys.write(CTRL_C);
    await vi.waitFor(() => {
      expect(notes.join("\n")).toContain("stopped: neither question nor answer stays");
    });
    release();
    chat.reply = () => says("fine");
    keys.write("again\n");
    await vi.waitFor(() => {
      expect(written).toContain("fine");
    });
    keys.write(CTRL_D);
    expect(await talking).toBe(0);
    expect(asked(1)).toEqual([{ role: "user", content: "again" }]);
  });
});
