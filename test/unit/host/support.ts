import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { type Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach } from "vitest";
import { HostError } from "../../../host/errors.ts";
import type { Log, LogFields } from "../../../host/log.ts";
import { type KeyAccess, keyAccess, type ProvisioningChoice } from "../../../host/provision.ts";
import { scanModels, type StoredModel } from "../../../host/store.ts";

/** Undone after each test, latest first. */
const undo: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
});

export function onTestEnd(step: () => void | Promise<void>): void {
  undo.push(step);
}

/** A directory that goes with the test; short, because sockets lie in it. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "cs-"));
  onTestEnd(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** Writes `files` below `directory`. */
export async function plant(
  directory: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    const file = join(directory, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}

/** A repository of one model, scanned. The host does not look into it. */
export async function oneModel(): Promise<readonly StoredModel[]> {
  const directory = scratch();
  await plant(directory, { "digits/1/model.onnx": "graph" });
  return (await scanModels(directory)).models;
}

/** What the command line decides, where a test does not care. */
export const CHOICE: ProvisioningChoice = {
  epochSeconds: 60,
  maxBodyBytes: 4096,
  cacheBytes: 1 << 24,
  maxSequences: 4,
  cpus: 1,
};

/** Of a node without sealed models. */
export const NO_KEYS: KeyAccess = keyAccess(
  [],
  () => Promise.reject(new Error("nobody asks")),
  () => undefined,
);

/** The HostError that `action` ends with. */
export async function refusalOf(action: () => unknown): Promise<HostError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof HostError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

export interface Recorded {
  readonly event: string;
  readonly fields: LogFields;
}

/** A log that remembers. */
export function memoryLog(): { readonly log: Log; readonly lines: Recorded[] } {
  const lines: Recorded[] = [];
  return {
    lines,
    log: (event, fields = {}) => {
      lines.push({ event, fields });
    },
  };
}

/** Waits until `fact` holds. */
export async function until(
  what: string,
  fact: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await fact())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(10);
  }
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export interface Sending {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** One request on a connection of its own; rejects when the answer breaks off. */
export function send(url: string, sending: Sending = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = open(url, sending);
    sent.on("error", reject);
    sent.on("response", (incoming) => {
      collect(incoming, resolve, reject);
    });
    sent.end(sending.body);
  });
}

/** One request by an agent of the host's; rejects when the answer breaks off. */
export function sendBy(
  agent: Agent,
  method: string,
  path: string,
  body: Uint8Array | string = "",
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ agent, host: "enclave", method, path });
    sent.on("error", reject);
    sent.on("response", (incoming) => {
      collect(incoming, resolve, reject);
    });
    sent.end(body);
  });
}

function collect(
  incoming: IncomingMessage,
  resolve: (reply: Reply) => void,
  reject: (error: Error) => void,
): void {
  const chunks: Uint8Array[] = [];
  incoming.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  incoming.on("error", reject);
  incoming.on("end", () => {
    const { statusCode = 0, headers } = incoming;
    resolve({ status: statusCode, headers, body: Buffer.concat(chunks) });
  });
}

/** A request that the caller drives. */
export function open(url: string, { method = "GET", headers = {} }: Sending = {}): ClientRequest {
  return request(url, { method, headers, agent: false });
}
