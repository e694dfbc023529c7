/** A fake node that talks: what it answers next, and what it was asked. */
import { connect, type Connection, type Fetch } from "@countersign/client";
import { nativePrimitives } from "@countersign/protocol/native";

import { createFakeNode, type FakeNode, type InnerAnswer } from "./fake-gateway.ts";

export const MODEL = "digits";
const EVENTS = [["content-type", "text/event-stream"]] as const;

export interface ChatNode {
  readonly node: FakeNode;
  readonly connection: Connection;
  /** Bodies of the requests for answers. */
  readonly asked: { messages: unknown; model: string; stream: boolean }[];
  models: readonly object[];
  reply: () => InnerAnswer;
}

export async function createChatNode(): Promise<ChatNode> {
  const node = await createFakeNode("chat");
  const { policy } = node;
  const fetch: Fetch = async (input, init) => abortable(await node.fetch(input, init), init);
  const now = (): number => node.nowMs;
  const primitives = nativePrimitives;
  const connection = await connect("http://node.example", { policy, fetch, now, primitives });
  const chat: ChatNode = {
    node,
    connection,
    asked: [],
    models: [{ id: MODEL, kind: "generation", chat: true, context_length: 64 }],
    reply: () => says("Hel", "lo."),
  };
  node.misdeeds.claims = ({ outcome }) => ({
    outcome: {
      ...outcome,
      finishReason: "stop",
      promptTokens: 5,
      completionTokens: 2,
      seed: 42,
      parameters: new Uint8Array(32).fill(7),
    },
  });
  node.handler = ({ path, content }) => {
    if (path === "/v1/models") {
      return { model: null, content: [JSON.stringify({ object: "list", data: chat.models })] };
    }
    if (path.startsWith("/v2/")) {
      return { model: null, status: 404, content: ['{"error":"no such model"}'] };
    }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what our own client sent
    chat.asked.push(JSON.parse(Buffer.from(content).toString()) as ChatNode["asked"][number]);
    return chat.reply();
  };
  return chat;
}

export function event(value: unknown): string {
  return `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;
}

export function delta(content: string, finish: string | null = null): string {
  return event({ choices: [{ index: 0, delta: { content }, finish_reason: finish }] });
}

/** A whole answer in these pieces. */
export function says(...pieces: readonly string[]): InnerAnswer {
  const content = [...pieces.map((piece) => delta(piece)), delta("", "stop"), event("[DONE]")];
  return { headers: EVENTS, content };
}

/** An answer of these events, whatever they are. */
export function sends(...content: readonly string[]): InnerAnswer {
  return { headers: EVENTS, content };
}

/** A response whose body ends with the caller's signal, as that of the platform's `fetch` does. */
function abortable(response: Response, init: RequestInit | undefined): Response {
  const signal = init?.signal ?? null;
  if (signal === null || response.body === null) return response;
  const body = response.body.pipeThrough(new TransformStream(), { signal });
  const { status, headers } = response;
  return new Response(body, { status, headers });
}
