/** Programs of the unpacked tree as processes that die with this one. */
import { type ChildProcess, spawn } from "node:child_process";
import type { ProgramCommand } from "./packages.ts";

/** At most so much of what a program complained about goes into the account of its end. */
const MAX_COMPLAINT_BYTES = 2000;

export interface Child {
  /** How it ended, null where it was well. */
  readonly ended: Promise<string | null>;
  kill(): void;
}

/** @param name - in the account of its end. */
export function startChild(
  name: string,
  { file, args, env }: ProgramCommand,
  output: (chunk: Uint8Array) => void = () => undefined,
): Child {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", file, ...args], {
    env: { ...env, PATH: process.env["PATH"] },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.on("data", output);
  return {
    ended: endOf(name, child),
    kill: () => {
      child.kill("SIGKILL");
    },
  };
}

async function endOf(name: string, child: ChildProcess): Promise<string | null> {
  let complaint = "";
  child.stderr?.on("data", (chunk: Uint8Array) => {
    complaint = (complaint + Buffer.from(chunk).toString("utf8")).slice(-MAX_COMPLAINT_BYTES);
  });
  return await new Promise((resolve) => {
    child.on("error", (error) => {
      resolve(`${name} did not start: ${error.message}`);
    });
    child.on("close", (code, signal) => {
      const how = signal === null ? `with status ${code ?? "unknown"}` : `by ${signal}`;
      resolve(code === 0 ? null : `${name} ended ${how}. ${complaint}`.trim());
    });
  });
}
