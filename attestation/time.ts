/**
 * Calendar times as numbers: the proleptic Gregorian calendar in UTC.
 *
 * `Date` is used for its arithmetic alone, as a pure function of what it is given; nothing here reads a clock.
 */

/** RFC 3339 §5.6 in UTC, to the millisecond at most. */
const TIMESTAMP = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?Z$/u;
/** Characters of a time to the second, without its zone. */
const SECONDS = 19;
/** 9999-12-31T23:59:59.999Z: years have four digits. */
const LATEST_MS = 253_402_300_799_999;

/** Unix milliseconds of an RFC 3339 time in UTC, or null where `text` is none. */
export function parseTimestamp(text: string): number | null {
  if (!TIMESTAMP.test(text)) return null;
  const seconds = text.slice(0, SECONDS);
  // oxlint-disable-next-line no-restricted-globals -- of a full time in UTC, no clock
  const ms = Date.parse(`${seconds}Z`);
  // Some days and hours that do not exist are taken for others.
  if (!(ms >= -LATEST_MS) || isoTime(ms).slice(0, SECONDS) !== seconds) return null;
  return ms + Number(text.slice(SECONDS + 1, -1).padEnd(3, "0"));
}

/** RFC 3339 in UTC, to the second, for messages; the number itself where it is no such time. */
export function formatTime(unixMs: number): string {
  if (!(unixMs >= 0 && unixMs <= LATEST_MS)) return `${unixMs} ms`;
  return `${isoTime(unixMs).slice(0, SECONDS)}Z`;
}

function isoTime(unixMs: number): string {
  // oxlint-disable-next-line no-restricted-globals -- of a given time, no clock
  return new Date(unixMs).toISOString();
}
