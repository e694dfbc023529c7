import { CommandError } from "./exit.ts";
import { HOST_PROGRAM } from "./paths.ts";
import { type LineSinks, type ProcessEnd, startProgram } from "./process.ts";

/** One event of the host's log: a word, and codes, sizes and times. */
export type HostEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** A host and its enclave, running. */
export interface RunningNode {
  readonly url: string;
  readonly ended: Promise<ProcessEnd>;
  stop(signal?: NodeJS.Signals): Promise<ProcessEnd>;
}

/** Where a node's events go, and its standard error once it serves. */
export interface NodeSinks {
  readonly event: (event: HostEvent) => void;
  readonly error: (line: string) => void;
}

/**
 * The host gives its exchanges five seconds, its enclave three or the enclave's runner six, and two to the
 * last words of either; then it is made to end.
 */
const STOP_GRACE_MS = 15_000;

/**
 * Starts a node and waits until it serves.
 *
 * @throws CommandError with the host's own words and exit code where it does not start.
 */
export async function startNode(words: readonly string[], sinks: NodeSinks): Promise<RunningNode> {
  const { promise: listening, resolve } = Promise.withResolvers<string>();
  const said: string[] = [];
  let serves = false;
  const lines: LineSinks = {
    stdout(line) {
      const event = parseEvent(line);
      if (event === null) return;
      sinks.event(event);
      if (event.event !== "listening" || typeof event["url"] !== "string") return;
      serves = true;
      resolve(event["url"]);
    },
    stderr(line) {
      // Until it serves, what it says is why it does not: that comes with the error.
      if (serves) sinks.error(line);
      else said.push(line.replace(/^countersign: /u, ""));
    },
  };
  const child = startProgram(HOST_PROGRAM, words, lines, "tied");
  const url = await Promise.race([listening, child.ended]);
  if (typeof url !== "string") {
    const how = url.signal === null ? `exit code ${url.code}` : url.signal;
    const reason = said.length === 0 ? `it ended with ${how}` : said.slice(-5).join("\n  ");
    throw new NodeStartError(reason, url.code);
  }
  return {
    url,
    ended: child.ended,
    stop: (signal = "SIGINT") => child.stop(signal, STOP_GRACE_MS),
  };
}

/** A node that did not start. Its host has already said why. */
export class NodeStartError extends CommandError {
  constructor(reason: string, code: number | null) {
    super(`the node did not start: ${reason}`, null, code === null || code === 0 ? 1 : code);
  }
}

/** The event on a line of the host's log, or null where it is something else. */
export function parseEvent(line: string): HostEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("event" in value)) return null;
  const { event } = value;
  if (typeof event !== "string") return null;
  return { ...Object.fromEntries(Object.entries(value)), event };
}

/**
 * Stops a node on Ctrl-C or a request to end, and on the terminal's closing.
 *
 * A signal often comes twice, from the terminal and from npm: only one that comes a second later
 * is a second wish. Returns what takes the handlers away again.
 */
export function stopOnSignals(node: RunningNode, onStop: () => void): () => void {
  let firstAtMs: number | null = null;
  const handle = (signal: NodeJS.Signals): void => {
    const nowMs = performance.now();
    if (firstAtMs === null) {
      firstAtMs = nowMs;
      onStop();
      void node.stop(signal === "SIGHUP" ? "SIGTERM" : signal);
    } else if (nowMs - firstAtMs > SECOND_WISH_MS) {
      void node.stop("SIGTERM");
    }
  };
  for (const signal of STOP_SIGNALS) process.on(signal, handle);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, handle);
  };
}

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const SECOND_WISH_MS = 1000;
