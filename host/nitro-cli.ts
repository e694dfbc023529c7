/** AWS's `nitro-cli`: three of its commands, and their output read strictly. */
import { spawn } from "node:child_process";
import { whenEnded } from "./ended.ts";
import { MAX_NITRO_OUTPUT_BYTES, NITRO_CLI_TIMEOUT_MS } from "./limits.ts";

/** An enclave of this machine. */
export interface NitroEnclave {
  readonly id: string;
  /** Version 1.2 and later tell it. */
  readonly name: string | null;
  readonly cid: number;
  readonly state: string;
}

export interface NitroLaunch {
  readonly image: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly cid: number;
  readonly name: string;
}

/** `nitro-cli` failed, or printed what it should not. The message is for a person. */
export class NitroCliError extends Error {
  override readonly name = "NitroCliError";
  /** Its own code, such as `E27`, if it gave one. */
  readonly code: string | null;

  constructor(message: string, code: string | null = null) {
    super(message);
    this.code = code;
  }
}

/** Starts an enclave, and returns its id. */
export async function runEnclave(launch: NitroLaunch): Promise<string> {
  const output = await call([
    "run-enclave",
    "--eif-path",
    launch.image,
    "--cpu-count",
    `${launch.cpus}`,
    "--memory",
    `${launch.memoryMib}`,
    "--enclave-cid",
    `${launch.cid}`,
    "--enclave-name",
    launch.name,
  ]);
  const started = members(parseJson("run-enclave", output));
  const id = enclaveId(started?.get("EnclaveID"));
  if (id === null || started?.get("EnclaveCID") !== launch.cid) {
    throw unreadable("run-enclave", `an enclave with context id ${launch.cid}`);
  }
  return id;
}

/** Every enclave that this user may see. `givenUp` ends the call, with an error. */
export async function describeEnclaves(givenUp?: AbortSignal): Promise<readonly NitroEnclave[]> {
  const listed = parseJson("describe-enclaves", await call(["describe-enclaves"], givenUp));
  if (!Array.isArray(listed)) throw unreadable("describe-enclaves", "a list");
  return listed.map((entry: unknown) => {
    const described = members(entry);
    const id = enclaveId(described?.get("EnclaveID"));
    const cid = described?.get("EnclaveCID");
    const state = described?.get("State");
    const name = described?.get("EnclaveName") ?? null;
    if (id === null || !isCid(cid) || typeof state !== "string") {
      throw unreadable("describe-enclaves", "EnclaveID, EnclaveCID and State");
    }
    return { id, cid, state, name: typeof name === "string" ? name : null };
  });
}

/** Ends an enclave. */
export async function terminateEnclave(id: string): Promise<void> {
  const output = await call(["terminate-enclave", "--enclave-id", id]);
  const ended = members(parseJson("terminate-enclave", output));
  if (ended?.get("EnclaveID") !== id || ended.get("Terminated") !== true) {
    throw unreadable("terminate-enclave", `that ${id} was terminated`);
  }
}

/** Runs it to its end, and returns its standard output. */
function call(args: readonly string[], givenUp?: AbortSignal): Promise<string> {
  const [command = ""] = args;
  return new Promise((resolve, reject) => {
    const child = spawn("nitro-cli", args, { stdio: ["ignore", "pipe", "pipe"] });
    const out: Uint8Array[] = [];
    let outBytes = 0;
    let said = Buffer.alloc(0);
    const kill = (): void => void child.kill("SIGKILL");
    const timer = setTimeout(kill, NITRO_CLI_TIMEOUT_MS);
    givenUp?.addEventListener("abort", kill);
    const settle = (): void => {
      clearTimeout(timer);
      givenUp?.removeEventListener("abort", kill);
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
    };
    child.stdout.on("data", (chunk: Uint8Array) => {
      outBytes += chunk.length;
      if (outBytes > MAX_NITRO_OUTPUT_BYTES) kill();
      else out.push(chunk);
    });
    child.stderr.on("data", (chunk: Uint8Array) => {
      said = Buffer.concat([said, chunk]).subarray(-MAX_NITRO_OUTPUT_BYTES);
    });
    child.on("error", (error) => {
      settle();
      const advice = "install aws-nitro-enclaves-cli, or name another program with --runner";
      reject(new NitroCliError(`cannot run nitro-cli: ${error.message}: ${advice}`));
    });
    whenEnded(child, (code, signal) => {
      settle();
      if (code === 0 && outBytes <= MAX_NITRO_OUTPUT_BYTES) {
        resolve(Buffer.concat(out).toString("utf8"));
        return;
      }
      const how = signal === null ? `status ${code ?? "unknown"}` : signal;
      reject(failure(`nitro-cli ${command} ended with ${how}`, said.toString()));
    });
  });
}

const MEMORY =
  "raise memory_mib in /etc/nitro_enclaves/allocator.yaml and restart nitro-enclaves-allocator, or give " +
  "less with --memory";
const CPUS =
  "raise cpu_count in /etc/nitro_enclaves/allocator.yaml and restart nitro-enclaves-allocator, or give " +
  "less with --cpus";
/** By the codes of AWS's page "Nitro Enclaves CLI error codes". */
const ADVICE: ReadonlyMap<string, string> = new Map([
  ["E19", "this user must be in the group ne, and the instance launched with enclaves enabled"],
  ["E20", "give whole cores: an even number with --cpus where a core has two threads"],
  ["E21", CPUS],
  ["E22", CPUS],
  ["E26", "an enclave takes at least four times its image's size: give more with --memory"],
  ["E27", MEMORY],
  ["E31", MEMORY],
  ["E35", "the image is damaged: countersign measure says where"],
]);

/** Its own last lines, without its pages of help, then what to do. */
function failure(what: string, stderr: string): NitroCliError {
  const said = stderr
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !BOILERPLATE.test(line));
  const causes = said.filter((line) => !CONSEQUENCE.test(line));
  const lines = (causes.length === 0 ? said : causes).slice(-MAX_LINES);
  const code = lines.map(errorCode).find((found) => found !== null) ?? null;
  const advice = code === null ? undefined : ADVICE.get(code);
  const end = advice === undefined ? [] : [`What to do: ${advice}`];
  return new NitroCliError([`${what}:`, ...lines, ...end].join("\n"), code);
}

/** More would be cut off where it is shown. */
const MAX_LINES = 3;
const BOILERPLATE =
  /^(?:For more details, please visit|Start allocating memory|If you open a support ticket)/u;
/** That the process which was to hold the enclave is gone: said after the error that ended it. */
const CONSEQUENCE = /^(?:\[ E39 \]|Failed connections:)/u;

function errorCode(line: string): string | null {
  return /^\[ (E\d{2}) \]/u.exec(line)?.[1] ?? null;
}

function parseJson(command: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable(command, "JSON");
  }
}

function unreadable(command: string, wanted: string): NitroCliError {
  return new NitroCliError(`nitro-cli ${command} did not print what we know: want ${wanted}`);
}

function members(value: unknown): ReadonlyMap<string, unknown> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? new Map<string, unknown>(Object.entries(value))
    : null;
}

/** `i-<instance>-enc<number>`. It becomes an argument of the next call. */
function enclaveId(value: unknown): string | null {
  return typeof value === "string" && /^i-[0-9A-Za-z]{1,64}-enc[0-9A-Za-z]{1,64}$/u.test(value)
    ? value
    : null;
}

function isCid(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
