import type { HostEvent } from "./node-process.ts";
import { jsonLine, type Paint, printable } from "./terminal.ts";

/** Members of an event that its line shows elsewhere, or not at all. */
const SHOWN_APART: ReadonlySet<string> = new Set(["event", "at", "code", "what"]);
/** Events that tell of something wrong. */
const TROUBLE = /^(?:error|failed|fatal|closed|refused|crashed)$/u;

/** One event of a host as a line for a person: time, what happened, and its numbers. */
export function renderEvent(event: HostEvent, paint: Paint): string {
  const at = typeof event["at"] === "number" ? new Date(event["at"]) : null;
  const time = at === null ? "" : `${paint.dim(at.toTimeString().slice(0, 8))}  `;
  const fields = Object.entries(event)
    .filter(([name]) => !SHOWN_APART.has(name))
    .map(([name, value]) => `${printable(name)} ${showField(value)}`);
  // The host passes on what its enclave logs as "enclave", with the enclave's own word beside it.
  const own = typeof event["what"] === "string" ? ` ${event["what"]}` : "";
  const word = printable(`${event.event}${own}`);
  const isTrouble = TROUBLE.test(word) || typeof event["code"] === "string";
  const code = typeof event["code"] === "string" ? `code ${printable(event["code"])}` : "";
  const parts = [code, fields.join(", ")].filter((part) => part !== "");
  return `${time}${isTrouble ? paint.bad(word) : word}  ${parts.join("  ")}`.trimEnd();
}

function showField(value: unknown): string {
  return typeof value === "string" ? printable(value) : jsonLine(value);
}
