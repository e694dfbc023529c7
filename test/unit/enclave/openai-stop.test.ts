import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopMatcher } from "../../../enclave/api/openai/stop.ts";
import { openAiApp } from "../../fakes/openai-app.ts";
import { createFakeText } from "../../fakes/text-model.ts";

function run(
  stops: readonly string[],
  pieces: readonly string[],
): { text: string; found: boolean } {
  const matcher = new StopMatcher(stops);
  let text = "";
  for (const piece of pieces) text += matcher.push(piece);
  if (!matcher.found) text += matcher.end();
  return { text, found: matcher.found };
}

describe("stop strings", () => {
  it("are found across pieces, and hold back no more than they must", () => {
    const matcher = new StopMatcher(["END"]);
    expect(matcher.push("text E")).toBe("text ");
    expect(matcher.push("N")).toBe("");
    expect(matcher.push("E")).toBe("EN");
    expect(matcher.push("ND more")).toBe("");
    expect(matcher.found).toBe(true);
    expect(matcher.push("even more")).toBe("");
  });

  it("are released when the text ends in half of one", () => {
    expect(run(["END"], ["the EN"])).toEqual({ text: "the EN", found: false });
  });

  it("do not depend on how the text was cut into pieces", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 30 });
    const stop = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(letters, { maxLength: 6 }),
        fc.array(stop, { minLength: 1, maxLength: 4 }),
        (pieces, stops) => {
          const byLetter = run(stops, pieces.join("").split(""));
          expect(run(stops, pieces)).toEqual(byLetter);
          for (const each of stops) expect(byLetter.text).not.toContain(each);
          expect(byLetter.found).toBe(stops.some((each) => pieces.join("").includes(each)));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("end a choice and not its neighbour, and what comes after is not counted", async () => {
    const fake = createFakeText({
      words: ["one ", "ST", "OP", " two"],
      script: () => [
        { pieces: ["one ", "ST", "OP", " two", " two", " two"] },
        { pieces: ["one ", "ST", " two", "!"] },
      ],
    });
    const app = openAiApp([fake.model]);
    const answer = await app.client.chat.completions.create({
      model: "fake",
      messages: [{ role: "user", content: "?" }],
      n: 2,
      stop: ["STOP", "never"],
    });
    expect(answer.choices.map(({ message }) => message.content)).toEqual(["one ", "one ST two!"]);
    expect(answer.choices.map((choice) => choice.finish_reason)).toEqual(["stop", "stop"]);
    expect(answer.usage?.completion_tokens).toBe(3 + 4);
    expect(fake.stopped).toEqual([0]);
  });

  it("stop the engine where every choice has ended by one", async () => {
    const fake = createFakeText({ script: () => [{ pieces: ["a.", "word ".repeat(50)] }] });
    const app = openAiApp([fake.model]);
    await app.client.chat.completions.create({
      model: "fake",
      messages: [{ role: "user", content: "?" }],
      stop: ".",
    });
    expect(fake.steps).toBe(2);
  });
});
