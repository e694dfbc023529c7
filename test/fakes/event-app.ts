/** An app whose answers are streams of events that a test writes one by one. */
import type { App } from "../../enclave/gateway.ts";
import { MODEL, utf8 } from "./ring.ts";

/** One stream as its handler sees it. */
export interface WrittenStream {
  /** Writes text as one chunk. */
  write(text: string): void;
  /** The end of the stream; with a reason, its failure. */
  end(error?: Error): void;
  /** Resolves when the ring wants no more. */
  readonly cancelled: Promise<void>;
  readonly request: Request;
}

export interface EventApp extends App {
  /** The next stream that is asked for. */
  next(): Promise<WrittenStream>;
}

/** @param headers - in place of those of an event stream. */
export function eventApp(headers: Record<string, string> = {}): EventApp {
  const waiting: ((stream: WrittenStream) => void)[] = [];
  const begun: WrittenStream[] = [];
  return {
    fetch(request, { exchange }) {
      exchange.model = MODEL;
      exchange.outcome = { seed: 7 };
      const cancelled = Promise.withResolvers<void>();
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          const stream: WrittenStream = {
            write: (text) => {
              controller.enqueue(utf8(text));
            },
            end: (error) => {
              if (error === undefined) controller.close();
              else controller.error(error);
            },
            cancelled: cancelled.promise,
            request,
          };
          const first = waiting.shift();
          if (first === undefined) begun.push(stream);
          else first(stream);
        },
        cancel() {
          cancelled.resolve();
        },
      });
      return new Response(body, { headers: { "content-type": "text/event-stream", ...headers } });
    },
    next: () =>
      new Promise((resolve) => {
        const stream = begun.shift();
        if (stream === undefined) waiting.push(resolve);
        else resolve(stream);
      }),
  };
}
