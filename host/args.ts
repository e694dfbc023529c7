import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { HostError } from "./errors.ts";
import { parseCount, requireText } from "./flags.ts";
import {
  DEFAULT_CACHE_SHARE,
  DEFAULT_CID,
  DEFAULT_CPUS,
  DEFAULT_ENCLAVE_PORT,
  DEFAULT_EPOCH_SECONDS,
  DEFAULT_MAX_BODY_BYTES,
  DEFAULT_MAX_IN_FLIGHT,
  DEFAULT_MAX_SEQUENCES,
  DEFAULT_MEMORY_MIB,
  DEFAULT_SERVICES_PORT,
  MAX_BODY_BYTES,
  MAX_CACHE_MIB,
  MAX_EPOCH_SECONDS,
  MAX_IN_FLIGHT,
  MAX_SEQUENCES,
  MIB,
  MIN_BODY_BYTES,
  MIN_CACHE_MIB,
} from "./limits.ts";
import type { LogLevel } from "./log.ts";
import { parseTee, type Tee } from "./tee.ts";

/** Where the node listens: a TCP address, or the path of a Unix socket. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** What the command line asks for. Paths are absolute. */
export interface NodeOptions {
  readonly models: string;
  readonly listen: ListenAddress;
  readonly state: string;
  readonly epochSeconds: number;
  readonly maxBodyBytes: number;
  readonly maxInFlight: number;
  /** For the keys and values of texts that are being generated. */
  readonly cacheBytes: number;
  /** Texts generated at a time. */
  readonly maxSequences: number;
  readonly log: LogLevel;
  /** Null: the committed file. */
  readonly keyServices: string | null;
  readonly tee: Tee;
}

/** A run of the node, or a wish to read how. */
export type Invocation =
  { readonly kind: "run"; readonly options: NodeOptions } | { readonly kind: "help" };

export const USAGE: string = `usage: countersign node [options]

  --models DIR          model repository, DIR/<id>/<version>/model.onnx   (default models)
  --listen ADDRESS      HOST:PORT, [IPV6]:PORT or the path of a socket    (default 127.0.0.1:8480)
  --tee PLATFORM        simulated or nitro                                (default simulated)
  --state DIR           keys of the simulation, lock, sockets             (default .countersign)
  --epoch-seconds N     lifetime of the enclave's keys, 1 to ${MAX_EPOCH_SECONDS}          (default ${DEFAULT_EPOCH_SECONDS})
  --max-body BYTES      largest encrypted request                         (default ${DEFAULT_MAX_BODY_BYTES})
  --max-inflight N      requests relayed at once                          (default ${DEFAULT_MAX_IN_FLIGHT})
  --cache-mib N         memory for texts being generated, in MiB          (default a quarter of the enclave's)
  --batch N             texts generated at once, 1 to ${MAX_SEQUENCES}                   (default ${DEFAULT_MAX_SEQUENCES})
  --log LEVEL           events, json (every request besides) or none      (default events)
  --key-services FILE   which key services open sealed models; the simulation measures it, an image
                        is built with its own                             (default enclave/key-services.json)
  --simulate-debug      a debug enclave, PCR0 to PCR2 zero: to see clients refuse it
  --help                this text

with --tee nitro:
  --image FILE          enclave image (.eif)
  --cpus N              processors of the enclave                         (default ${DEFAULT_CPUS})
  --memory MIB          memory of the enclave                             (default ${DEFAULT_MEMORY_MIB})
  --cid N               its context id                                    (default ${DEFAULT_CID})
  --enclave ADDRESS     where it listens: vsock:CID:PORT, unix:PATH or
                        vsock-uds:PATH:PORT                               (default vsock:CID:${DEFAULT_ENCLAVE_PORT})
  --services ADDRESS    where it finds this host: vsock::PORT or
                        unix:PATH                                         (default vsock::${DEFAULT_SERVICES_PORT})
  --runner FILE         a program of yours that takes --image, --cpus, --memory and --cid, and lives in the
                        foreground for as long as its enclave             (default one that drives nitro-cli)
  --attach              somebody else runs the enclave: wait for it, and for the next when it ends

It needs no root: for nitro-cli, membership of the group "ne"; for vsock, ports above 1023.
`;

/**
 * What there is of memory for us.
 *
 * @param constrainedBytes - the limit of our container, as Node tells it: 0 or beyond the machine is none.
 */
export function memoryLimit(machineBytes: number, constrainedBytes: number): number {
  return constrainedBytes > 0 ? Math.min(machineBytes, constrainedBytes) : machineBytes;
}

/**
 * Reads the arguments after the program's name. Relative paths are taken from `directory`.
 *
 * @param memoryBytes - of this machine or container: what generated texts may take of it is a part.
 * @throws {@link HostError} `arguments/usage`, `arguments/tee`.
 */
export function parseArguments(
  argv: readonly string[],
  directory: string,
  memoryBytes: number,
): Invocation {
  const values = parseFlags(argv);
  if (values.help === true) return { kind: "help" };
  const tee = parseTee(values, directory);
  // An enclave of hardware has memory of its own.
  const enclaveBytes = tee.kind === "nitro" ? tee.memoryMib * MIB : memoryBytes;
  return {
    kind: "run",
    options: {
      models: resolve(directory, requireText("--models", values.models ?? "models")),
      listen: parseListenAddress(values.listen ?? "127.0.0.1:8480", directory),
      state: resolve(directory, requireText("--state", values.state ?? ".countersign")),
      epochSeconds: parseCount(
        "--epoch-seconds",
        values["epoch-seconds"],
        DEFAULT_EPOCH_SECONDS,
        1,
        MAX_EPOCH_SECONDS,
      ),
      maxBodyBytes: parseCount(
        "--max-body",
        values["max-body"],
        DEFAULT_MAX_BODY_BYTES,
        MIN_BODY_BYTES,
        MAX_BODY_BYTES,
      ),
      maxInFlight: parseCount(
        "--max-inflight",
        values["max-inflight"],
        DEFAULT_MAX_IN_FLIGHT,
        1,
        MAX_IN_FLIGHT,
      ),
      cacheBytes:
        MIB *
        parseCount(
          "--cache-mib",
          values["cache-mib"],
          defaultCacheMib(enclaveBytes),
          MIN_CACHE_MIB,
          MAX_CACHE_MIB,
        ),
      maxSequences: parseCount("--batch", values.batch, DEFAULT_MAX_SEQUENCES, 1, MAX_SEQUENCES),
      log: parseLogLevel(values.log ?? "events"),
      keyServices: parsePath("--key-services", values["key-services"], directory),
      tee,
    },
  };
}

/** @throws {@link HostError} `arguments/usage` unless HOST:PORT, [IPV6]:PORT or a path with a slash. */
export function parseListenAddress(text: string, directory: string): ListenAddress {
  if (text.startsWith("unix:") || text.includes("/")) {
    const path = text.startsWith("unix:") ? text.slice("unix:".length) : text;
    return { kind: "unix", path: resolve(directory, requireText("--listen", path)) };
  }
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([\w.-]+)):(\d{1,5})$/u.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new HostError(
      "arguments/usage",
      `--listen ${JSON.stringify(text)}: want HOST:PORT (an IPv6 address in brackets) or a path`,
    );
  }
  return { kind: "tcp", host, port };
}

type Flags = ReturnType<typeof readFlags>["values"];

function parseFlags(argv: readonly string[]): Flags {
  try {
    return readFlags(argv).values;
  } catch (error) {
    const found = error instanceof Error ? error.message : "unreadable arguments";
    throw new HostError("arguments/usage", `${found}. See --help`, { cause: error });
  }
}

// oxlint-disable-next-line typescript/explicit-function-return-type -- parseArgs infers it from the table
function readFlags(argv: readonly string[]) {
  const text = { type: "string" } as const;
  return parseArgs({
    args: [...argv],
    strict: true,
    allowPositionals: false,
    options: {
      models: text,
      listen: text,
      tee: text,
      state: text,
      "epoch-seconds": text,
      "max-body": text,
      "max-inflight": text,
      "cache-mib": text,
      batch: text,
      log: text,
      "key-services": text,
      "simulate-debug": { type: "boolean" },
      image: text,
      cpus: text,
      memory: text,
      cid: text,
      enclave: text,
      services: text,
      runner: text,
      attach: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
}

function defaultCacheMib(memoryBytes: number): number {
  const share = Math.floor((DEFAULT_CACHE_SHARE * memoryBytes) / MIB);
  return Math.min(MAX_CACHE_MIB, Math.max(MIN_CACHE_MIB, share));
}

function parsePath(flag: string, text: string | undefined, directory: string): string | null {
  return text === undefined ? null : resolve(directory, requireText(flag, text));
}

function parseLogLevel(text: string): LogLevel {
  if (text === "none" || text === "events" || text === "json") return text;
  throw new HostError(
    "arguments/usage",
    `--log ${JSON.stringify(text)}: want events, json or none`,
  );
}
