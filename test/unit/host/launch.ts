/** The host's program as the process that it is. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestEnd, plant, scratch, until } from "./support.ts";

const FAKE_NODE = fileURLToPath(new URL("../../fakes/fake-node.ts", import.meta.url));
/** The real one, with a real enclave. */
export const MAIN: string = fileURLToPath(new URL("../../../host/main.ts", import.meta.url));

export interface Running {
  readonly child: ChildProcess;
  readonly events: () => Readonly<Record<string, unknown>>[];
  readonly stderr: () => string;
  readonly exit: Promise<number | string>;
}

export interface Launch {
  readonly env?: Readonly<Record<string, string>>;
  readonly program?: string;
  readonly ipc?: boolean;
}

/** A node as a process of its own. */
export function launch(
  argv: readonly string[],
  { env = {}, program = FAKE_NODE, ipc = false }: Launch = {},
): Running {
  const options = { env: { ...process.env, ...env } };
  const child = ipc
    ? fork(program, [...argv], { ...options, execArgv: [], silent: true })
    : spawn(process.execPath, [program, ...argv], options);
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk: Uint8Array) => {
    out += Buffer.from(chunk).toString();
  });
  child.stderr?.on("data", (chunk: Uint8Array) => {
    err += Buffer.from(chunk).toString();
  });
  const exit = new Promise<number | string>((resolve) => {
    child.on("exit", (code, signal) => {
      const done = (): void => {
        resolve(code ?? signal ?? "unknown");
      };
      // With a channel that was closed by hand, "close" does not come.
      if (ipc) done();
      else child.on("close", done);
    });
  });
  onTestEnd(async () => {
    child.kill("SIGTERM");
    await exit;
  });
  const events = (): Readonly<Record<string, unknown>>[] =>
    out
      .split("\n")
      .slice(0, -1)
      .map((line) => {
        const value: unknown = JSON.parse(line);
        return new Map(Object.entries(value ?? {}));
      })
      .map((entries) => Object.fromEntries(entries));
  return { child, events, stderr: () => err, exit };
}

/** A repository of one model. */
export async function models(): Promise<string> {
  const directory = scratch();
  await plant(directory, { "digits/1/model.onnx": "graph" });
  return directory;
}

export interface Node extends Running {
  readonly url: string;
  readonly state: string;
}

/** A node that serves. */
export async function startNode(more: readonly string[] = [], how: Launch = {}): Promise<Node> {
  const state = join(scratch(), "state");
  const argv = ["--models", await models(), "--state", state, "--listen", "127.0.0.1:0"];
  const running = launch([...argv, ...more], how);
  const listening = (): Readonly<Record<string, unknown>> | undefined =>
    running.events().find(({ event }) => event === "listening");
  let ended = false;
  void running.exit.then(() => {
    ended = true;
  });
  await until("it listens", () => ended || listening() !== undefined);
  const url = listening()?.["url"];
  if (typeof url !== "string") throw new Error(`it does not listen: ${running.stderr()}`);
  return { ...running, url, state };
}
