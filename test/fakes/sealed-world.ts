/**
 * An owner, an operator and a client in one folder, each with programs of their own, and what an
 * operator looks for.
 */
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyCheckout } from "./checkout.ts";
import { objectOf } from "./json-lines.ts";
import {
  type Ended,
  type ProgramOptions,
  REPOSITORY,
  RunningProgram,
  runProgram,
} from "./programs.ts";

const RECORDER = new URL("record-sockets.ts", import.meta.url).href;
const HOST = join("host", "main.ts");
const SEVEN = join(REPOSITORY, "examples", "seven.png");
const ANY_PORT = "127.0.0.1:0";
const CACHE_MIB = "64";
/** The first node's; others have copies of its vendor's key, and so the same root. */
const STATE = "state";
const VENDOR_KEY = "simulated-vendor.pem";

/** What the operator is after: a small graph, and one of two segments. */
const FILES: ReadonlyMap<string, string> = new Map([
  ["digits", "model.onnx"],
  ["guide", join("onnx", "model.onnx")],
]);
export const MODELS: readonly string[] = [...FILES.keys()];
const WINDOWS = 4;
const WINDOW_BYTES = 48;
/** Of a window that could hardly come about by chance. */
const LEAST_DIFFERENT = 24;

export interface NodeOptions extends Partial<ProgramOptions> {
  readonly models: string;
  readonly keyServices: string;
  /** A folder of its own: one node runs in each. */
  readonly state?: string;
  readonly debug?: boolean;
  /** Where every byte through the host's sockets goes. */
  readonly record?: string;
}

/** A node whose enclave has opened its models. */
export interface OpenedNode {
  readonly url: string;
  /** Of the host. */
  readonly pid: number;
  readonly program: RunningProgram;
}

export class SealedWorld {
  readonly folder: string;
  /** In clear: what only the owner has. */
  readonly plain: string;
  /** The release that everybody runs: a copy, since code that is being worked on measures otherwise. */
  readonly checkout: string;
  readonly #programs: RunningProgram[] = [];

  static async make(): Promise<SealedWorld> {
    const world = new SealedWorld(await mkdtemp(join(tmpdir(), "sealed-")));
    await copyCheckout(world.checkout);
    for (const id of FILES.keys()) {
      const version = join(REPOSITORY, "models", id, "1");
      await cp(version, join(world.plain, id, "1"), { recursive: true });
    }
    return world;
  }

  private constructor(folder: string) {
    this.folder = folder;
    this.plain = join(folder, "owner");
    this.checkout = join(folder, "checkout");
  }

  get #here(): ProgramOptions {
    return { folder: this.folder, checkout: this.checkout };
  }

  path(...names: readonly string[]): string {
    return join(this.folder, ...names);
  }

  /** Pieces of the weights, by where they are. */
  async weights(): Promise<ReadonlyMap<string, Buffer>> {
    const pieces = new Map<string, Buffer>();
    for (const [id, file] of FILES) {
      const bytes = await readFile(join(this.plain, id, "1", file));
      for (let i = 1; i <= WINDOWS; i++) {
        const at = findWindow(bytes, Math.floor((i * bytes.length) / (WINDOWS + 1)));
        pieces.set(`${id} from ${at}`, bytes.subarray(at, at + WINDOW_BYTES));
      }
    }
    return pieces;
  }

  async run(words: readonly string[], options: Partial<ProgramOptions> = {}): Promise<Ended> {
    return await runProgram(words, { ...this.#here, ...options });
  }

  /** Runs a command that must not fail. Returns what it printed. */
  async must(words: readonly string[], options: Partial<ProgramOptions> = {}): Promise<string> {
    const { code, out, errors } = await this.run(words, options);
    if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}: ${errors}${out}`);
    return out;
  }

  /** A program that runs until it is stopped, or all is over. */
  start(words: readonly string[], options: Partial<ProgramOptions> = {}): RunningProgram {
    const program = new RunningProgram(words, { ...this.#here, ...options });
    this.#programs.push(program);
    return program;
  }

  /** Writes the policy of a client who trusts a node's enclave, and says where it is. */
  async measure(
    name: string,
    { models, keyServices, state, checkout }: NodeOptions,
  ): Promise<string> {
    const policy = this.path(name);
    const words = ["policy", "init", "--models", models, "--key-services", keyServices];
    words.push("--state", state ?? this.path(STATE), "--policy", policy);
    await this.must(words, checkout === undefined ? {} : { checkout });
    return policy;
  }

  /** A state of its own for one more node, whose module is of the same vendor. */
  async sameVendor(name: string): Promise<string> {
    const state = this.path(`${STATE}-${name}`);
    await mkdir(state, { mode: 0o700 });
    await cp(this.path(STATE, VENDOR_KEY), join(state, VENDOR_KEY));
    return state;
  }

  /** Waits until the node serves. @throws with the host's words where it does not. */
  async startNode(options: NodeOptions): Promise<OpenedNode> {
    const program = this.#startHost(options);
    const [line] = await program.says(/^.*"event":"listening".*$/mu);
    const { url, pid } = objectOf(line);
    if (typeof url !== "string" || typeof pid !== "number") throw new Error(`no node: ${line}`);
    return { url, pid, program };
  }

  /** Why an enclave ended at its boot: the code of its last words. */
  async refusalOf(options: NodeOptions): Promise<unknown> {
    const program = this.#startHost(options);
    const { code, out, errors } = await program.ended;
    const closed = /^.*"what":"closed".*$/mu.exec(out)?.[0];
    if (code === 0 || closed === undefined) throw new Error(`no refusal: ${out}${errors}`);
    return objectOf(closed)["code"];
  }

  /** One picture, read privately; the client's verdict and claims. */
  async ask(url: string, policy: string): Promise<Ended> {
    const words = ["infer", "digits", "--input", SEVEN, "--node", url, "--policy", policy];
    return await this.run([...words, "--proof", "seven.proof", "--json"]);
  }

  async close(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop()));
    await rm(this.folder, { recursive: true, force: true });
  }

  #startHost({
    models,
    keyServices,
    state,
    debug,
    record,
    ...options
  }: NodeOptions): RunningProgram {
    const words = ["--models", models, "--key-services", keyServices, "--listen", ANY_PORT];
    words.push("--cache-mib", CACHE_MIB, "--state", state ?? this.path(STATE));
    if (debug === true) words.push("--simulate-debug");
    const recorded =
      record === undefined
        ? {}
        : { NODE_OPTIONS: `--import ${RECORDER}`, COUNTERSIGN_RECORD: record };
    const environment = { ...options.environment, ...recorded };
    return this.start(words, { program: HOST, ...options, environment });
  }
}

/** The first place from `at` on with bytes that could hardly come about by chance. */
function findWindow(bytes: Buffer, at: number): number {
  for (let start = at; start + WINDOW_BYTES <= bytes.length; start++) {
    const window = bytes.subarray(start, start + WINDOW_BYTES);
    if (new Set(window).size >= LEAST_DIFFERENT) return start;
  }
  throw new TypeError("no such window");
}
