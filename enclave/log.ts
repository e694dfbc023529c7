/** What one log line may carry: codes, sizes, times. Never content, keys, headers or error texts. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** Writes one event. `event` is a word of ours. */
export type Log = (event: string, fields?: LogFields) => void;

/** One JSON object a line, each with its time in Unix milliseconds. */
export function jsonLog(write: (line: string) => void, nowMs: () => number): Log {
  return (event, fields) => {
    write(`${JSON.stringify({ event, at: nowMs(), ...fields })}\n`);
  };
}
