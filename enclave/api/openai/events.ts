/** An answer as server-sent events (WHATWG HTML §9.2), one chunk of the stream each. */
import { encodeUtf8 } from "@countersign/attestation/attester";
import type { Clock } from "../../clock.ts";
import type { Delta } from "./choice.ts";
import { errorBody } from "./refusals.ts";
import type { Run } from "./run.ts";

/** What comes within a tick of a choice is one event: fewer, and none tells one token's time. */
const TICK_MS = 25;
/** What one event holds at most, so that it stays one content chunk of the ring. */
const MAX_EVENT_CHARACTERS = 2048;
const MAX_EVENT_TOKENS = 8;

/** The bodies of events, which differ between chats and completions. */
export interface EventBodies {
  /** @param first - whether the choice has said nothing before. */
  chunk(index: number, delta: Delta, first: boolean): object;
  /** The last of all, where the tokens are to be counted; else null. */
  usage(): object | null;
}

/**
 * The events of a run, made when they are asked for: a reader that is slow gets fewer and larger
 * ones, and misses nothing. One that leaves stops the run.
 */
export function eventStream(
  run: Run,
  bodies: EventBodies,
  clock: Clock,
): ReadableStream<Uint8Array> {
  const events = produceEvents(run, bodies, clock);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await events.next();
        if (done === true) controller.close();
        else controller.enqueue(encodeUtf8(`data: ${value}\n\n`));
      },
      cancel() {
        run.stop();
      },
    },
    // Nothing is made before it is asked for, and so nothing is lost with an error.
    { highWaterMark: 0 },
  );
}

/** @throws what ended the run before its time, after an event that says so. */
async function* produceEvents(
  run: Run,
  bodies: EventBodies,
  clock: Clock,
): AsyncGenerator<string, void, void> {
  const begun = new Set<number>();
  let lastMs = -Infinity;
  while (!run.ended || run.changed) {
    await run.next();
    const waitMs = lastMs + TICK_MS - clock.nowMs();
    // A clock that was set back is no reason to wait longer than a tick.
    if (waitMs > 0 && !run.ended) await delay(clock, Math.min(waitMs, TICK_MS));
    lastMs = clock.nowMs();
    for (const [index, choice] of run.choices.entries()) {
      if (!choice.changed) continue;
      for (const delta of pieces(choice.take())) {
        yield JSON.stringify(bodies.chunk(index, delta, !begun.has(index)));
        begun.add(index);
      }
    }
  }
  if (run.failure !== null) {
    yield JSON.stringify(errorBody(run.failure));
    // The ring drops what it has gathered when a stream fails: first, that event has to leave.
    await delay(clock, TICK_MS);
    throw run.failure;
  }
  const usage = bodies.usage();
  if (usage !== null) yield JSON.stringify(usage);
  yield "[DONE]";
}

/** Cuts what would be too large for one event. */
function* pieces({ content, tokens, calls, finish }: Delta): Generator<Delta, void, void> {
  let at = 0;
  for (let round = 0; ; round++) {
    const end = contentEnd(content, at);
    const nextToken = (round + 1) * MAX_EVENT_TOKENS;
    const last = end === content.length && nextToken >= tokens.length && round + 1 >= calls.length;
    yield {
      content: content.slice(at, end),
      tokens: tokens.slice(round * MAX_EVENT_TOKENS, nextToken),
      calls: calls.slice(round, round + 1),
      finish: last ? finish : null,
    };
    if (last) return;
    at = end;
  }
}

/** Where the piece of `content` ends that begins at `start`: not between halves of a surrogate pair. */
function contentEnd(content: string, start: number): number {
  const end = start + MAX_EVENT_CHARACTERS;
  if (content.length <= end) return content.length;
  const last = content.charCodeAt(end - 1);
  return last >= 0xd800 && last <= 0xdbff ? end - 1 : end;
}

function delay(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}
