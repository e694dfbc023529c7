/** OpenAI's API over fakes, asked by the official client and by hand. */
import { OpenAI } from "openai";
import { createApp } from "../../enclave/api/app.ts";
import { type Clock, systemClock } from "../../enclave/clock.ts";
import type { ExchangeRecord } from "../../enclave/exchange-record.ts";
import type { EmbeddingModel, TextModel } from "../../enclave/text/model.ts";
import { appFetch } from "./served.ts";
import { serveFakes } from "./text-model.ts";

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

export interface OpenAiApp {
  readonly client: OpenAI;
  readonly fetch: ReturnType<typeof appFetch>;
  /** Of the last request. */
  readonly exchange: () => ExchangeRecord;
  /** Posts a body, JSON unless it is text already. */
  post(path: string, body: unknown): Promise<Answered>;
}

export function openAiApp(
  models: readonly (TextModel | EmbeddingModel)[],
  clock: Clock = systemClock,
): OpenAiApp {
  let last: ExchangeRecord = { model: null, outcome: {} };
  const fetch = appFetch(createApp(serveFakes(models), clock), ({ exchange }) => {
    last = exchange;
  });
  return {
    fetch,
    exchange: () => last,
    client: new OpenAI({
      baseURL: "http://countersign/v1",
      apiKey: "unused",
      maxRetries: 0,
      fetch: (url, init) => {
        const { pathname } = new URL(url instanceof Request ? url.url : url);
        return fetch(pathname, init);
      },
    }),
    async post(path, body) {
      const response = await fetch(path, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
      });
      return { status: response.status, headers: response.headers, body: await response.json() };
    },
  };
}

/** The data of each event, and what ended the stream if not its end. */
export async function readEvents(
  response: Response,
): Promise<{ readonly chunks: readonly string[]; readonly failure: unknown }> {
  const chunks: string[] = [];
  try {
    for await (const chunk of response.body ?? []) chunks.push(new TextDecoder().decode(chunk));
  } catch (failure) {
    return { chunks, failure };
  }
  return { chunks, failure: null };
}
