import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

import { CommandError } from "./exit.ts";

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process of ours, its lines, and its end. */
export interface ManagedProcess {
  readonly pid: number;
  readonly ended: Promise<ProcessEnd>;
  /** Asks it to end, and makes it where it does not within `graceMs`. */
  stop(signal: NodeJS.Signals, graceMs: number): Promise<ProcessEnd>;
}

/** Where its output goes, line by line. */
export interface LineSinks {
  readonly stdout: (line: string) => void;
  readonly stderr: (line: string) => void;
}

/**
 * Runs a program of this repository with this runtime.
 *
 * It gets a process group of its own, so that Ctrl-C reaches us alone and ends it in order. One that
 * is `tied` has a channel to us, and sees it close when we are gone, however that came about.
 */
export function startProgram(
  program: string,
  words: readonly string[],
  sinks: LineSinks,
  tied: "tied" | "untied" = "untied",
): ManagedProcess {
  const child = spawn(process.execPath, [program, ...words], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe", ...(tied === "tied" ? (["ipc"] as const) : [])],
  });
  readLines(child.stdout, sinks.stdout);
  readLines(child.stderr, sinks.stderr);
  const ended = endOf(child, program);
  // Whoever waits sees the failure; where nobody does, it must not end the process.
  ended.catch(() => undefined);
  return {
    pid: child.pid ?? -1,
    ended,
    async stop(signal, graceMs) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      try {
        return await ended;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** Runs a program to its end and returns its standard output. @throws CommandError */
export async function runProgram(program: string, words: readonly string[]): Promise<string> {
  const out: string[] = [];
  const errors: string[] = [];
  const child = startProgram(program, words, {
    stdout: (line) => out.push(line),
    stderr: (line) => errors.push(line),
  });
  const { code, signal } = await child.ended;
  if (code === 0) return out.join("\n");
  const said = [...errors, ...out].slice(0, 5).join("; ");
  throw new CommandError(`${program} ended with ${signal ?? `code ${code}`}: ${said}`);
}

function readLines(stream: Readable | null, sink: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream }).on("line", sink);
}

/** The end, once the output has been read as well. */
async function endOf(child: ChildProcess, program: string): Promise<ProcessEnd> {
  return await new Promise((resolve, reject) => {
    child.on("error", (error) => {
      reject(new CommandError(`cannot start ${program}: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      resolve({ code, signal });
    });
  });
}
