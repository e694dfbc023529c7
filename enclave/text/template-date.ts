/**
 * `strftime_now` for templates that cannot do without it.
 *
 * There is no clock in here: a prompt that changed overnight would break "same seed, same input, same
 * text", and the enclave's clock is the host's word. Most templates ask `strftime_now is defined` and
 * have a date of their own, Llama 3's "26 Jul 2024"; the others are told that same day. Whoever wants
 * the model to know the date says it in a message.
 */
const FIELDS: ReadonlyMap<string, string> = new Map([
  ["%a", "Fri"],
  ["%A", "Friday"],
  ["%b", "Jul"],
  ["%B", "July"],
  ["%d", "26"],
  ["%H", "00"],
  ["%m", "07"],
  ["%M", "00"],
  ["%S", "00"],
  ["%y", "24"],
  ["%Y", "2024"],
  ["%%", "%"],
]);

/** Throws Error for a field that the table lacks. */
export function strftimeWithoutClock(format: unknown): string {
  return String(format).replaceAll(/%./gsu, (field) => {
    const text = FIELDS.get(field);
    if (text === undefined) throw new Error("a field of strftime_now that is not known");
    return text;
  });
}
