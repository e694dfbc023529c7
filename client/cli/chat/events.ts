import { CommandError } from "../exit.ts";

/** One event is one token or a few; the largest is an answer's last, with its usage. */
const MAX_EVENT_CHARACTERS = 1 << 20;

/**
 * The data of each server-sent event of `chunks`, as the enclave writes them: lines of `data:`, ended by
 * an empty one. Comments, such as checkpoint receipts and padding, are passed over; a field that we do
 * not know is an error, as is an end inside an event.
 *
 * @throws CommandError, and whatever `chunks` throws.
 */
export async function* eventData(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let rest = "";
  let event: string | null = null;
  for await (const chunk of chunks) {
    rest += decode(decoder, chunk);
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (event !== null) yield event;
        event = null;
        continue;
      }
      const data = dataOf(line);
      if (data !== null) event = event === null ? data : `${event}\n${data}`;
      requireBounded(event ?? "");
    }
    requireBounded(rest);
  }
  if (rest !== "" || event !== null) throw malformed("it ends inside an event");
}

function decode(decoder: TextDecoder, chunk: Uint8Array): string {
  try {
    return decoder.decode(chunk, { stream: true });
  } catch {
    throw malformed("it is not UTF-8");
  }
}

/** What a line adds to its event; null for a comment. */
function dataOf(line: string): string | null {
  if (line.startsWith(":")) return null;
  if (!line.startsWith("data:")) throw malformed("it has a field that is not known");
  return line.slice("data:".length).replace(/^ /u, "");
}

function requireBounded(text: string): void {
  if (text.length > MAX_EVENT_CHARACTERS) {
    throw malformed(`an event is longer than ${MAX_EVENT_CHARACTERS} characters`);
  }
}

function malformed(what: string): CommandError {
  return new CommandError(`the answer is no stream of events: ${what}`);
}
