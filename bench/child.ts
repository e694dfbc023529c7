/** A program of ours as a child process that answers one message at a time. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

export interface Child<Request extends object, Answer> {
  ask(request: Request): Promise<Answer>;
  stop(): Promise<void>;
}

/** Resolves once the program has said that it is ready. */
export async function startChild<Request extends object, Answer>(
  program: string,
  words: readonly string[],
): Promise<Child<Request, Answer>> {
  const child = fork(program, words);
  if ((await message(child, program)) !== "ready") throw new TypeError(`${program} is not ready`);
  return {
    async ask(request) {
      const answered = message(child, program);
      child.send(request);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own program's only answer
      return (await answered) as Answer;
    },
    async stop() {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Its next message; rejects where it ends first. */
function message(child: ChildProcess, program: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => {
      reject(new Error(`${program} ended with ${code ?? "a signal"}`));
    };
    child.once("exit", ended);
    child.once("message", (value) => {
      child.off("exit", ended);
      resolve(value);
    });
  });
}
