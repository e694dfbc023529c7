import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EventCutter } from "../../../enclave/event-cutter.ts";
import { EnclaveError } from "../../../enclave/errors.ts";
import { utf8 } from "../../fakes/ring.ts";

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The events of `pieces`, and what is left. */
function cut(...pieces: readonly string[]): readonly string[] {
  const cutter = new EventCutter();
  const events = pieces.flatMap((piece) => cutter.push(utf8(piece)));
  return [...events, cutter.end()].map(textOf);
}

describe("an event stream is cut", () => {
  it.each<[string, readonly string[], readonly string[]]>([
    ["after each empty line", ["data: 1\n\ndata: 2\n\n"], ["data: 1\n\n", "data: 2\n\n", ""]],
    ["not after a line", ["data: 1\ndata: 2\n\n"], ["data: 1\ndata: 2\n\n", ""]],
    ["where an event comes in pieces", ["da", "ta: 1\n", "\nd"], ["data: 1\n\n", "d"]],
    ["with CR LF", ["data: 1\r\n\r\ndata"], ["data: 1\r\n\r\n", "data"]],
    ["with CR", ["data: 1\r\rdata"], ["data: 1\r\r", "data"]],
    [
      "with one of each",
      ["data: 1\r\n\ndata: 2\n\r\ndata"],
      ["data: 1\r\n\n", "data: 2\n\r\n", "data"],
    ],
    ["at an empty line alone", ["\n\ndata: 1\n\n"], ["\n", "\n", "data: 1\n\n", ""]],
    [
      "between the halves of a line's end",
      ["data: 1\r\n\r", "\ndata: 2\n\n"],
      ["data: 1\r\n\r", "\ndata: 2\n\n", ""],
    ],
    [
      "never inside a line with a CR LF in two pieces",
      ["data: 1\r", "\ndata: 2\n\n"],
      ["data: 1\r\ndata: 2\n\n", ""],
    ],
    ["nowhere where nothing is", [""], [""]],
  ])("%s", (_what, pieces, events) => {
    expect(cut(...pieces)).toEqual(events);
  });

  it("into what gives the same bytes, the same lines and no event more, however it comes", () => {
    const line = fc.constantFrom("data: a", "data: b", "", "", ": c", "id: 1");
    const end = fc.constantFrom("\n", "\r\n", "\r");
    const stream = fc.array(
      fc.tuple(line, end).map(([text, eol]) => text + eol),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(stream, fc.array(fc.nat(40), { maxLength: 6 }), (lines, at) => {
        const whole = lines.join("");
        const places = [...at].toSorted((a, b) => a - b);
        const pieces = [0, ...places].map((from, i) =>
          whole.slice(from, places[i] ?? whole.length),
        );
        const chunks = cut(...pieces);
        expect(chunks.join("")).toBe(whole);
        // A comment between any two chunks changes nothing of what a parser dispatches.
        expect(dispatched(chunks.join(": x\n\n"))).toEqual(dispatched(whole));
      }),
      { numRuns: 2000 },
    );
  });

  it("into pieces where an event is longer than a content chunk, between which nothing may stand", () => {
    const cutter = new EventCutter();
    const long = "x".repeat(524_288);
    expect(cutter.push(utf8(long))).toEqual([]);
    expect(cutter.push(utf8("y")).length).toBe(1);
    expect(cutter.between).toBe(false);
    expect(cutter.push(utf8("z\n\n")).map(textOf)).toEqual(["z\n\n"]);
    expect(cutter.between).toBe(true);
  });
});

/** The data of each event: HTML §9.2.6, the two fields that it takes. */
function dispatched(stream: string): readonly string[] {
  const events: string[] = [];
  let data: string[] = [];
  const lines = stream.split(/\r\n|\n|\r/u);
  for (const line of lines.slice(0, -1)) {
    if (line === "") {
      if (data.length > 0) events.push(data.join("\n"));
      data = [];
    } else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return events;
}

describe("a line that begins as the ring's own", () => {
  it.each([
    [": countersign-receipt :AAAA:\n\n"],
    [": countersign-receipt \n\n"],
    ["data: 1\n: countersign-receipt x\n\n"],
    ["data: 1\r: countersign-receipt x\n\n"],
  ])("is refused: %j", (text) => {
    expect(() => cut(text)).toThrow(EnclaveError);
    const pieces = text.split("");
    expect(() => cut(...pieces)).toThrow(EnclaveError);
  });

  it.each([
    ["data: : countersign-receipt :AAAA:\n\n"],
    [": countersign-receipts\n\n"],
    [":countersign-receipt :AAAA:\n\n"],
    [" : countersign-receipt :AAAA:\n\n"],
  ])("is another: %j", (text) => {
    expect(cut(text)).toEqual([text, ""]);
  });
});
