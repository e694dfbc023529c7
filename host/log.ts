/** What one log line may carry: codes, sizes, times. Never content, keys or header values. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** Writes one event. `event` is a word of ours. */
export type Log = (event: string, fields?: LogFields) => void;

/** One JSON object a line, each with its time in Unix milliseconds. */
export function jsonLog(write: (line: string) => void, nowMs: () => number): Log {
  return (event, fields) => {
    write(`${JSON.stringify({ event, at: nowMs(), ...fields })}\n`);
  };
}

/** How much a node says: nothing, what happens to it, or every request besides. */
export type LogLevel = "none" | "events" | "json";

/** Events that come with requests: as many as the clients like. */
const PER_REQUEST: readonly string[] = ["request", "enclave-exchange"];

/** `log` with the events of `level`. */
export function logAt(level: LogLevel, log: Log): Log {
  switch (level) {
    case "json":
      return log;
    case "events":
      return (event, fields) => {
        if (!PER_REQUEST.includes(event)) log(event, fields);
      };
    case "none":
      return () => undefined;
    default:
      return level satisfies never;
  }
}
