/**
 * `nitro-cli` as its callers see it: the output forms of version 1.3, and enclaves that are lines in a file.
 *
 * Tests put a script of that name, which runs this file, first in the search path. Its directory holds
 * `enclaves.json`, what runs; `calls.log`, a line of JSON a call; and `temper.json`, how it answers.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

/** An enclave as `describe-enclaves` lists it. */
export interface ListedEnclave {
  readonly EnclaveName?: string;
  readonly EnclaveID: string;
  readonly ProcessID: number;
  readonly EnclaveCID: number;
  readonly NumberOfCPUs: number;
  readonly CPUIDs: readonly number[];
  readonly MemoryMiB: number;
  readonly State: string;
  readonly Flags: string;
}

/** What a command answers instead of its own answer, for so many calls. */
export interface NitroTemper {
  readonly command: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
  readonly times: number;
  /** Whether it does what it was asked, whatever it says. */
  readonly acts: boolean;
}

/** A listed enclave. */
export function listed(name: string, cid: number, id = `i-0abc-enc${cid}`): ListedEnclave {
  return {
    EnclaveName: name,
    EnclaveID: id,
    ProcessID: 12_345,
    EnclaveCID: cid,
    NumberOfCPUs: 2,
    CPUIDs: [1, 3],
    MemoryMiB: 2048,
    State: "RUNNING",
    Flags: "NONE",
  };
}

/** Its state, for a test. */
export class NitroMachine {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    const script = `#!${process.execPath}\nimport("${import.meta.filename}").then((m) => m.answer(__dirname));\n`;
    writeFileSync(join(directory, "nitro-cli"), script, { mode: 0o755 });
    this.enclaves = [];
  }

  get enclaves(): readonly ListedEnclave[] {
    return readEnclaves(this.directory);
  }

  set enclaves(running: readonly ListedEnclave[]) {
    writeFileSync(join(this.directory, "enclaves.json"), JSON.stringify(running));
  }

  set temper(temper: Partial<NitroTemper> & { readonly command: string }) {
    const whole = { stdout: "", stderr: "", status: 0, times: 1, acts: false, ...temper };
    writeFileSync(join(this.directory, "temper.json"), JSON.stringify(whole));
  }

  /** The commands so far, with their arguments. */
  get calls(): readonly string[] {
    const file = join(this.directory, "calls.log");
    return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  }
}

function readEnclaves(directory: string): readonly ListedEnclave[] {
  // oxlint-disable-next-line no-unsafe-type-assertion -- this file wrote it
  return JSON.parse(readFileSync(join(directory, "enclaves.json"), "utf8")) as ListedEnclave[];
}

function takeTemper(directory: string, command: string): NitroTemper | null {
  const file = join(directory, "temper.json");
  if (!existsSync(file)) return null;
  // oxlint-disable-next-line no-unsafe-type-assertion -- this file wrote it
  const temper = JSON.parse(readFileSync(file, "utf8")) as NitroTemper;
  if (temper.command !== command || temper.times === 0) return null;
  writeFileSync(file, JSON.stringify({ ...temper, times: temper.times - 1 }));
  return temper;
}

/** The program: called by the script in `directory`. */
export function answer(directory: string): void {
  const [, , command = "", ...words] = process.argv;
  appendFileSync(join(directory, "calls.log"), `${[command, ...words].join(" ")}\n`);
  const temper = takeTemper(directory, command);
  if (temper === null || temper.acts) {
    const output = act(directory, command, words);
    if (temper === null) process.stdout.write(`${JSON.stringify(output, null, 2)}\n`);
  }
  if (temper === null) return;
  process.stdout.write(temper.stdout);
  process.stderr.write(temper.stderr);
  process.exitCode = temper.status;
}

function act(directory: string, command: string, words: readonly string[]): unknown {
  const running = readEnclaves(directory);
  const write = (enclaves: readonly ListedEnclave[]): void => {
    writeFileSync(join(directory, "enclaves.json"), JSON.stringify(enclaves));
  };
  switch (command) {
    case "run-enclave": {
      const text = { type: "string" } as const;
      const options = { "eif-path": text, "cpu-count": text, memory: text, "enclave-cid": text };
      const { values } = parseArgs({
        args: [...words],
        options: { ...options, "enclave-name": text },
      });
      const started = listed(values["enclave-name"] ?? "", Number(values["enclave-cid"]));
      write([...running, started]);
      process.stderr.write("Start allocating memory...\nStarted enclave with enclave-cid: 16\n");
      const { State: _state, Flags: _flags, ...told } = started;
      return told;
    }
    case "describe-enclaves":
      return running;
    case "terminate-enclave": {
      const ended = running.find(({ EnclaveID }) => EnclaveID === words[1]);
      write(running.filter((enclave) => enclave !== ended));
      const { EnclaveName, EnclaveID } = ended ?? {};
      return { EnclaveName, EnclaveID, Terminated: ended !== undefined };
    }
    default:
      throw new TypeError(`no such command: ${command}`);
  }
}
