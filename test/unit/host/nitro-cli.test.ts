/** What nitro-cli may answer, and what becomes of it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  describeEnclaves,
  NitroCliError,
  type NitroLaunch,
  runEnclave,
  terminateEnclave,
} from "../../../host/nitro-cli.ts";
import { listed, NitroMachine } from "../../fakes/nitro-cli.ts";
import { onTestEnd, scratch } from "./support.ts";

const LAUNCH: NitroLaunch = { image: "/i.eif", cpus: 2, memoryMib: 2048, cid: 16, name: "n" };

/** Puts a fake first in the search path of this process, until the test ends. */
function machineInPath(): NitroMachine {
  const machine = new NitroMachine(scratch());
  usePath(machine.directory);
  return machine;
}

function usePath(path: string): void {
  const own = process.env["PATH"];
  onTestEnd(() => {
    if (own === undefined) delete process.env["PATH"];
    else process.env["PATH"] = own;
  });
  process.env["PATH"] = path;
}

async function failureOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof NitroCliError) return error.message;
    throw error;
  }
  throw new Error("it did not fail");
}

const E39 = `Failed connections: 1
[ E39 ] Enclave process connection failure. Such error appears when the enclave manager fails.

For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#E39

If you open a support ticket, please provide the error log found at "/var/log/nitro_enclaves/b.log"
`;

/** The form of version 1.3: a sentence, a link, the file of a log, and what that led to. */
function failing(code: string, sentence: string): string {
  return `Start allocating memory...
[ ${code} ] ${sentence}

For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#${code}

If you open a support ticket, please provide the error log found at "/var/log/nitro_enclaves/a.log"
${E39}`;
}

describe("nitro-cli", () => {
  it("runs, describes and ends enclaves", async () => {
    const machine = machineInPath();
    expect(await describeEnclaves()).toEqual([]);
    expect(await runEnclave(LAUNCH)).toBe("i-0abc-enc16");
    const found = { id: "i-0abc-enc16", name: "n", cid: 16, state: "RUNNING" };
    expect(await describeEnclaves()).toEqual([found]);
    await terminateEnclave("i-0abc-enc16");
    expect(machine.enclaves).toEqual([]);
  });

  it("does not tell names before version 1.2", async () => {
    const machine = machineInPath();
    const { EnclaveName: _name, ...nameless } = listed("n", 16);
    machine.enclaves = [nameless];
    expect(await describeEnclaves()).toEqual([
      { id: "i-0abc-enc16", name: null, cid: 16, state: "RUNNING" },
    ]);
  });

  it.each([
    ["E19", "File operation failure.", "group ne"],
    ["E20", "Invalid CPU configuration.", "an even number with --cpus"],
    ["E22", "Insufficient CPUs available in the pool.", "raise cpu_count"],
    ["E26", "Insufficient memory requested.", "at least four times its image's size"],
    ["E27", "Insufficient memory available.", "raise memory_mib"],
    ["E31", "Ioctl set memory region failure.", "raise memory_mib"],
    ["E35", "EIF file parsing error.", "countersign measure"],
  ])("fails with %s: its own words, and what to do", async (code, sentence, advice) => {
    const machine = machineInPath();
    machine.temper = { command: "run-enclave", stderr: failing(code, sentence), status: 1 };
    const [what, own, end, ...more] = (await failureOf(() => runEnclave(LAUNCH))).split("\n");
    expect(what).toBe("nitro-cli run-enclave ended with status 1:");
    expect(own).toBe(`[ ${code} ] ${sentence}`);
    expect(end).toMatch(/^What to do: /u);
    expect(end).toContain(advice);
    expect(more).toEqual([]);
  });

  it("fails with a code that we have no advice for, or with none", async () => {
    const machine = machineInPath();
    machine.temper = {
      command: "run-enclave",
      stderr: failing("E36", "Boot failure."),
      status: 36,
    };
    expect(await failureOf(() => runEnclave(LAUNCH))).toBe(
      "nitro-cli run-enclave ended with status 36:\n[ E36 ] Boot failure.",
    );
    machine.temper = { command: "run-enclave", stderr: E39, status: 39 };
    expect(await failureOf(() => runEnclave(LAUNCH))).toMatch(/\n\[ E39 \] Enclave process/u);
    machine.temper = { command: "run-enclave", status: 1 };
    expect(await failureOf(() => runEnclave(LAUNCH))).toMatch(/ended with status 1:$/u);
  });

  it("may not be there", async () => {
    usePath(scratch());
    const failure = await failureOf(describeEnclaves);
    expect(failure).toContain("cannot run nitro-cli: spawn nitro-cli ENOENT");
    expect(failure).toContain(
      "install aws-nitro-enclaves-cli, or name another program with --runner",
    );
  });

  it("may leave a child that holds its output open", async () => {
    const directory = scratch();
    const pid = join(directory, "pid");
    const lasting = '["-e", "setTimeout(() => {}, 60_000)"], { stdio: "inherit", detached: true }';
    const script = `#!${process.execPath}
const child = require("child_process").spawn(process.execPath, ${lasting});
child.unref();
require("fs").writeFileSync(${JSON.stringify(pid)}, String(child.pid));
console.log("[]");`;
    writeFileSync(join(directory, "nitro-cli"), script, { mode: 0o755 });
    usePath(directory);
    expect(await describeEnclaves()).toEqual([]);
    process.kill(Number(readFileSync(pid, "utf8")), "SIGKILL");
  });

  it("may be no program", async () => {
    const directory = scratch();
    usePath(join(directory, "none"));
    expect(await failureOf(() => terminateEnclave("i-1-enc1"))).toContain("cannot run nitro-cli");
  });
});

const STARTED = { EnclaveID: "i-0abc-enc16", EnclaveCID: 16 };

describe("an answer of nitro-cli's that is not what we know", () => {
  it.each([
    "",
    "Started enclave",
    "[]",
    "null",
    "16",
    "{}",
    JSON.stringify({ ...STARTED, EnclaveCID: 17 }),
    JSON.stringify({ ...STARTED, EnclaveCID: "16" }),
    JSON.stringify({ ...STARTED, EnclaveID: "--all" }),
    JSON.stringify({ ...STARTED, EnclaveID: "i-1-enc1;rm" }),
    JSON.stringify({ ...STARTED, EnclaveID: `i-1-enc${"1".repeat(65)}` }),
    `${JSON.stringify(STARTED)} x`,
    `${JSON.stringify(STARTED)}\n${JSON.stringify(STARTED)}`,
  ])("is refused of run-enclave: %j", async (stdout) => {
    const machine = machineInPath();
    machine.temper = { command: "run-enclave", stdout };
    expect(await failureOf(() => runEnclave(LAUNCH))).toContain("did not print what we know");
  });

  it.each([
    "",
    "{}",
    "null",
    "[null]",
    "[[]]",
    JSON.stringify([{ ...STARTED }]),
    JSON.stringify([{ ...STARTED, State: 1 }]),
    JSON.stringify([{ ...STARTED, State: "RUNNING", EnclaveCID: -1 }]),
    JSON.stringify([{ ...STARTED, State: "RUNNING", EnclaveCID: 1.5 }]),
    JSON.stringify([{ ...STARTED, State: "RUNNING", EnclaveID: "" }]),
  ])("is refused of describe-enclaves: %j", async (stdout) => {
    const machine = machineInPath();
    machine.temper = { command: "describe-enclaves", stdout };
    expect(await failureOf(describeEnclaves)).toContain("did not print what we know");
  });

  it.each([
    "",
    "{}",
    JSON.stringify({ EnclaveID: "i-0abc-enc16", Terminated: false }),
    JSON.stringify({ EnclaveID: "i-0abc-enc16", Terminated: "true" }),
    JSON.stringify({ EnclaveID: "i-0abc-enc17", Terminated: true }),
  ])("is refused of terminate-enclave: %j", async (stdout) => {
    const machine = machineInPath();
    machine.temper = { command: "terminate-enclave", stdout };
    const failure = await failureOf(() => terminateEnclave("i-0abc-enc16"));
    expect(failure).toContain("did not print what we know");
  });

  it("is refused when it has no end", async () => {
    const machine = machineInPath();
    machine.temper = { command: "describe-enclaves", stdout: " ".repeat(70_000) };
    expect(await failureOf(describeEnclaves)).toContain("nitro-cli describe-enclaves ended with");
  });
});
