/** One line of a program that writes JSON, one object a line. */
export function objectOf(line: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(line);
  if (typeof value !== "object" || value === null) throw new TypeError(`no object: ${line}`);
  return Object.fromEntries(Object.entries(value));
}
