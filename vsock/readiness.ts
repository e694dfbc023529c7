/**
 * Waits until descriptors can be read or written, without libuv, which offers that for no foreign
 * descriptor.
 *
 * One timer asks poll(2) about all of them at once. It asks often while things move, and every
 * {@link MAX_DELAY_MS} while nothing does. A connect under way uses it, and the fallback's streams; the
 * ordinary streams do not.
 */
import { readyOf, type Waiting } from "./libc.ts";

/** What an idle stream of the fallback waits at most for a byte that has come. */
const MAX_DELAY_MS = 10;

/** Somebody who waits. */
export interface Watch {
  /** The callback is not called any more. */
  cancel(): void;
  /** Whether the process stays alive for it. */
  hold(held: boolean): void;
}

interface Entry extends Waiting {
  readonly ready: () => void;
  held: boolean;
}

/** Who waits. Changed by {@link whenReady}, its watches and {@link ask} only. */
const entries = new Set<Entry>();
/** When poll(2) is asked next: at the loop's next turn, or after a while. At most one is set. */
let soon: NodeJS.Immediate | null = null;
let later: NodeJS.Timeout | null = null;
let delayMs = 0;

/** Calls `ready` once, in a later turn of the loop, when `fd` has one of `events`, or an error. */
export function whenReady(fd: number, events: number, held: boolean, ready: () => void): Watch {
  const entry: Entry = { fd, events, held, ready };
  entries.add(entry);
  delayMs = 0;
  schedule();
  return {
    cancel() {
      entries.delete(entry);
      if (entries.size === 0) stop();
      else hold();
    },
    hold(held) {
      entry.held = held;
      hold();
    },
  };
}

function schedule(): void {
  if (soon !== null) return;
  if (delayMs === 0) {
    stop();
    soon = setImmediate(ask);
  } else {
    later ??= setTimeout(ask, delayMs);
  }
  hold();
}

function stop(): void {
  if (soon !== null) clearImmediate(soon);
  if (later !== null) clearTimeout(later);
  soon = null;
  later = null;
}

/** The process ends where nobody who waits would keep it. */
function hold(): void {
  const held = [...entries].some((entry) => entry.held);
  for (const timer of [soon, later]) {
    if (held) timer?.ref();
    else timer?.unref();
  }
}

function ask(): void {
  stop();
  const ready = readyOf([...entries]);
  delayMs = ready.length > 0 ? 0 : Math.min(MAX_DELAY_MS, Math.max(1, delayMs * 2));
  for (const entry of ready) {
    // One that was cancelled by the callback of another is not called.
    if (entries.delete(entry)) entry.ready();
  }
  if (entries.size > 0) schedule();
}
