/** `countersign proxy` as a process, before a node. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { RealNode } from "./real-node.ts";

const PROGRAM = fileURLToPath(new URL("../../client/bin/countersign.js", import.meta.url));
const START_TIMEOUT_MS = 60_000;

export interface ProxyProcess {
  readonly url: string;
  /** What became of each exchange, as it prints them: one JSON object a line. */
  lines(): readonly string[];
  stop(): Promise<void>;
}

export async function startProxy(node: RealNode): Promise<ProxyProcess> {
  const words = ["proxy", "--json", "--listen", "127.0.0.1:0"];
  const child = spawn(
    process.execPath,
    [PROGRAM, ...words, "--node", node.url, "--policy", node.policyPath],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let out = "";
  let errors = "";
  const ended = new Promise<void>((resolve) => {
    child.on("close", () => {
      resolve();
    });
  });
  child.stderr.on("data", (part: Buffer) => (errors += part.toString()));
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(reject, START_TIMEOUT_MS, new TypeError("the proxy is slow"));
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
      const found = /"url":"(http:[^"]+)"/u.exec(out)?.[1];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found);
    });
    void ended.then(() => {
      clearTimeout(timer);
      reject(new TypeError(`the proxy ended: ${errors}`));
    });
  });
  return {
    url,
    lines: () => out.trimEnd().split("\n"),
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
