import { describe, expect, it } from "vitest";

import { createProgress, progressLine, showBytes } from "../../../client/cli/add/progress.ts";
import { PassingError, withRetries } from "../../../client/cli/add/retries.ts";
import { CommandError } from "../../../client/cli/exit.ts";
import { rejection } from "./rejection.ts";

function stream(isTTY: boolean, columns = 80) {
  const written: string[] = [];
  return { isTTY, columns, written, write: (text: string) => written.push(text) };
}

describe("progress", () => {
  it("shows share, bytes, rate and file", () => {
    const line = progressLine({ file: "onnx/m", done: 6e6, total: 24e6, rate: 1500 });
    expect(line).toBe(
      `${"█".repeat(6)}${"░".repeat(18)}  25 %  6.0 MB of 24.0 MB  1.5 kB/s  onnx/m`,
    );
    expect(progressLine({ file: "a\u001b[2J", done: 9, total: null, rate: 0 })).toBe("9 B  a�[2J");
    // A listing that lies about sizes makes no bar longer than its place.
    expect(progressLine({ file: "a", done: 9, total: 3, rate: 0 })).toContain("100 %");
    expect(["0 B", "999 B", "1.0 kB", "64.0 GB"]).toEqual([0, 999, 1000, 64e9].map(showBytes));
  });

  it("is drawn ten times a second on a terminal, in one line, and never in a pipe", () => {
    const terminal = stream(true, 40);
    let now = 0;
    const progress = createProgress(terminal, () => now);
    progress.begin(1000);
    for (let bytes = 1; bytes <= 999; bytes++) {
      now += 1;
      progress.at("file", bytes);
    }
    expect(terminal.written).toHaveLength(10);
    progress.at("file", 1000);
    expect(terminal.written.at(-1)).toContain("100 %");
    for (const text of terminal.written) {
      expect(text.replace("\r", "").replace("\u001b[K", "").length).toBeLessThan(40);
    }
    progress.clear();
    expect(terminal.written.at(-1)).toBe("\r\u001b[K");
    const pipe = stream(false);
    createProgress(pipe, () => now).at("file", 5);
    expect(pipe.written).toEqual([]);
  });

  it("takes what is fetched anew for no rate", () => {
    const terminal = stream(true, 120);
    let now = 0;
    const progress = createProgress(terminal, () => now);
    progress.begin(10_000);
    progress.at("a", 5000);
    now = 1000;
    progress.at("a", 0);
    expect(terminal.written.at(-1)).not.toContain("/s");
    now = 2000;
    progress.at("a", 9000);
    expect(terminal.written.at(-1)).toContain("2.0 kB/s");
  });
});

describe("withRetries", () => {
  const quiet = { note: () => undefined, signal: new AbortController().signal };

  it("waits longer each time, spread, and for no longer than half a minute", async () => {
    const waits: number[] = [];
    const sleep = async (ms: number): Promise<void> => {
      waits.push(ms);
      await Promise.resolve();
    };
    let gained = 0;
    const attempt = async (): Promise<void> => {
      if (waits.length < 5) gained = 1;
      await Promise.reject(new PassingError("gone"));
    };
    const failing = withRetries({ ...quiet, sleep, random: () => 0 }, attempt, () => gained);
    const error = await rejection(failing, CommandError);
    expect(error.message).toBe("gone, after 6 attempts");
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000]);
  });

  it("is patient with progress, but not without end", async () => {
    let attempts = 0;
    const attempt = async (): Promise<void> => {
      attempts += 1;
      await Promise.reject(new PassingError("cut"));
    };
    const sleep = async (): Promise<void> => await Promise.resolve();
    const failing = withRetries({ ...quiet, sleep, random: () => 0 }, attempt, () => attempts);
    await rejection(failing, CommandError);
    expect(attempts).toBe(200);
  });

  it("does not sit out what a server asks for where that is too long", async () => {
    const attempt = async (): Promise<void> => {
      await Promise.reject(new PassingError("busy", { waitMs: 3_600_000 }));
    };
    const sleep = async (): Promise<void> => await Promise.reject(new Error("slept"));
    const failing = withRetries({ ...quiet, sleep, random: () => 0 }, attempt);
    expect((await rejection(failing, CommandError)).message).toContain("3600 s of patience");
  });
});
