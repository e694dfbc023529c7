/** The ordinary command line, as a process of its own. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { REPOSITORY } from "./image.ts";

const PROGRAM = join(REPOSITORY, "client", "bin", "countersign.js");

export interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

export async function countersign(cwd: string, ...words: readonly string[]): Promise<Finished> {
  const child = spawn(process.execPath, [PROGRAM, ...words], { cwd, env: { NO_COLOR: "1" } });
  let [out, errors] = ["", ""];
  child.stdout.on("data", (part: Buffer) => (out += part.toString()));
  child.stderr.on("data", (part: Buffer) => (errors += part.toString()));
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ code, out, errors });
    });
  });
}
