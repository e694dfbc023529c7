/** What an enclave says of itself: lines of JSON, of which the host passes on words and numbers only. */
import { TokenBucket } from "./bucket.ts";
import {
  LOG_BURST_LINES,
  LOG_BURST_NOTICES,
  LOG_LINES_PER_SECOND,
  LOG_NOTICES_PER_SECOND,
  MAX_LOG_LINE_BYTES,
} from "./limits.ts";
import { splitLines } from "./lines.ts";
import type { Log } from "./log.ts";

/** A line, parsed; nothing of it is believed. */
export type EnclaveLine = ReadonlyMap<string, unknown>;

/**
 * Fields that the host writes to its own log, when they hold a number, a boolean or a short word. It
 * writes nothing else: the log is no way out for content.
 */
const FORWARDED: readonly string[] = [
  "phase",
  "code",
  "id",
  "version",
  "bytes",
  "models",
  "sequence",
  "notBefore",
  "notAfter",
  "exchanges",
  "index",
  "status",
  // Of a key that a service released, and of one that it did not.
  "kind",
  "ms",
  "attempt",
  // Of a boot that finds too little memory; of lines that the enclave had no room for; of its module.
  "needBytes",
  "haveBytes",
  "lines",
  "pcr0",
  "pcr1",
  "pcr2",
  // Of a runner.
  "cid",
  "cpus",
  "memoryMib",
];
/** The longest is a register's 48 bytes in hexadecimal. */
const WORD = /^[A-Za-z0-9._:/-]{1,96}$/u;
/** Of an aborted exchange: nobody else has its receipt, and the epoch's indices have no gaps. */
const RECEIPT = /^[A-Za-z0-9+/]{1,2048}={0,2}$/u;

/** A short word, or null. */
export function word(value: unknown): string | null {
  return typeof value === "string" && WORD.test(value) ? value : null;
}

/**
 * Reads lines, writes them to `log` under the name `event`, and gives each to `read`.
 *
 * Lines beyond what a well-behaved enclave writes are dropped unread and counted: its host's disk is not
 * its to fill.
 */
export class EnclaveLogReader {
  readonly #event: string;
  readonly #log: Log;
  readonly #read: (line: EnclaveLine) => void;
  readonly #nowMs: () => number;
  readonly #bucket: TokenBucket;
  /** A stream ends as often as its writer likes, and each end would be told. */
  readonly #notices: TokenBucket;
  #dropped = 0;
  #flooded = false;

  constructor(
    event: string,
    log: Log,
    read: (line: EnclaveLine) => void,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#event = event;
    this.#log = log;
    this.#read = read;
    this.#nowMs = nowMs;
    this.#bucket = new TokenBucket(LOG_LINES_PER_SECOND, LOG_BURST_LINES, nowMs());
    this.#notices = new TokenBucket(LOG_NOTICES_PER_SECOND, LOG_BURST_NOTICES, nowMs());
  }

  /** Takes the bytes of one stream, from its beginning. */
  stream(): (chunk: Uint8Array) => void {
    const readLine = (text: string): void => {
      if (!this.#take()) return;
      const line = parseLine(text);
      if (line === null) return;
      this.#read(line);
      forward(this.#event, line, this.#log);
    };
    const tooLong = (): void => {
      if (this.#take()) this.#log("enclave-line-dropped");
    };
    return splitLines(MAX_LOG_LINE_BYTES, readLine, tooLong);
  }

  /** Whether lines were dropped since it was last asked. */
  flooded(): boolean {
    const flooded = this.#flooded;
    this.#flooded = false;
    return flooded;
  }

  /** Says how many lines were dropped, if any were. Call it at the end of a stream. */
  flush(): void {
    if (this.#dropped === 0 || this.#notices.take(this.#nowMs()) > 0) return;
    this.#log("enclave-lines-dropped", { lines: this.#dropped });
    this.#dropped = 0;
  }

  #take(): boolean {
    if (this.#bucket.take(this.#nowMs()) > 0) {
      this.#dropped += 1;
      this.#flooded = true;
      return false;
    }
    this.flush();
    return true;
  }
}

/** What an enclave's models need of memory, and what there is. */
export interface MemoryNeed {
  readonly needBytes: number;
  readonly haveBytes: number;
}

/** What one enclave has told of its life. */
export class EnclaveAccount {
  readonly #serving = Promise.withResolvers<void>();
  #reason: string | null = null;
  #model: string | null = null;
  #memory: MemoryNeed | null = null;

  /** Resolves once it said that it serves. */
  get serving(): Promise<void> {
    return this.#serving.promise;
  }

  /** Why it closed, such as `manifest/digest`. */
  get reason(): string | null {
    return this.#reason;
  }

  /** The model that it refused, as `id/version`. */
  get model(): string | null {
    return this.#model;
  }

  /** What it found before it loaded its models. */
  get memory(): MemoryNeed | null {
    return this.#memory;
  }

  read(line: EnclaveLine): void {
    const event = line.get("event");
    if (event === "phase" && line.get("phase") === "serving") this.#serving.resolve();
    if (event === "closed") this.#reason = word(line.get("code")) ?? this.#reason;
    const [needBytes, haveBytes] = [line.get("needBytes"), line.get("haveBytes")];
    if (event === "memory" && isCount(needBytes) && isCount(haveBytes)) {
      this.#memory = { needBytes, haveBytes };
    }
    if (event === "model-refused") {
      this.#model = `${word(line.get("id")) ?? ""}/${word(line.get("version")) ?? ""}`;
    }
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function parseLine(text: string): EnclaveLine | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : null;
}

/** An event of one exchange is told apart, so that the log's level can leave it out. */
function forward(event: string, line: EnclaveLine, log: Log): void {
  const what = word(line.get("event"));
  if (what === null) return;
  const fields: Record<string, string | number | boolean> = { what };
  for (const name of FORWARDED) {
    const value = line.get(name);
    if (typeof value === "number" || typeof value === "boolean") fields[name] = value;
    const text = word(value);
    if (text !== null) fields[name] = text;
  }
  const receipt = line.get("receipt");
  if (typeof receipt === "string" && RECEIPT.test(receipt)) fields["receipt"] = receipt;
  log(line.has("index") ? `${event}-exchange` : event, fields);
}
