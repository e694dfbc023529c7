/** Programs of a checkout as processes, each with the environment that its user would give it. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const REPOSITORY: string = fileURLToPath(new URL("../..", import.meta.url));
const COMMAND_LINE = join("client", "bin", "countersign.js");
const PATIENCE_MS = 60_000;
const POLL_MS = 25;

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

export interface ProgramOptions {
  /** Where it runs. */
  readonly folder: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The checkout that it is of. */
  readonly checkout?: string;
  /** In the checkout; without one, the command line. */
  readonly program?: string;
}

/** A program that goes on, and what it has said so far. */
export class RunningProgram {
  readonly child: ChildProcess;
  out = "";
  errors = "";
  readonly ended: Promise<Ended>;

  constructor(words: readonly string[], options: ProgramOptions) {
    const { folder, environment, checkout = REPOSITORY, program = COMMAND_LINE } = options;
    // Nothing of this machine's: no credentials, no profile, no region.
    const env = { NO_COLOR: "1", HOME: folder, AWS_EC2_METADATA_DISABLED: "true", ...environment };
    this.child = spawn(process.execPath, [join(checkout, program), ...words], {
      cwd: folder,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout?.on("data", (part: Buffer) => (this.out += part.toString()));
    this.child.stderr?.on("data", (part: Buffer) => (this.errors += part.toString()));
    this.ended = new Promise((resolve) => {
      this.child.on("close", (code) => {
        resolve({ code, out: this.out, errors: this.errors });
      });
    });
  }

  get runs(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits until it has said, on either output, what `pattern` matches. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const startedMs = performance.now();
    for (;;) {
      const { runs } = this;
      const found = pattern.exec(this.out) ?? pattern.exec(this.errors);
      if (found !== null) return found;
      if (!runs || performance.now() - startedMs > PATIENCE_MS) {
        throw new Error(`it never said ${String(pattern)}: ${this.out}${this.errors}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async stop(): Promise<Ended> {
    if (this.runs) this.child.kill("SIGINT");
    return await this.ended;
  }
}

/** Runs the command line, or another program, to its end. */
export async function runProgram(
  words: readonly string[],
  options: ProgramOptions,
): Promise<Ended> {
  return await new RunningProgram(words, options).ended;
}
