/** The program that drives nitro-cli, with a fake one in its search path. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { listed, NitroMachine } from "../../fakes/nitro-cli.ts";
import { onTestEnd, scratch, until } from "./support.ts";

const RUNNER = fileURLToPath(new URL("../../../host/nitro-runner.ts", import.meta.url));
/** Whoever runs these tests beside us has another. */
const CID = 1000 + process.pid;
const WORDS = ["--image", "/i.eif", "--cpus", "2", "--memory", "2048", "--cid", `${CID}`];
const RUN = `run-enclave --eif-path /i.eif --cpu-count 2 --memory 2048 --enclave-cid ${CID}`;
const NAME = `countersign-${CID}`;
const ID = `i-0abc-enc${CID}`;

interface Running {
  readonly child: ChildProcess;
  readonly said: () => string;
  readonly stderr: () => string;
  readonly exit: Promise<number | string>;
}

function launch(
  machine: NitroMachine,
  words: readonly string[] = WORDS,
  stdin: "pipe" | "ignore" = "pipe",
): Running {
  const child = spawn(process.execPath, [RUNNER, ...words], {
    env: { PATH: machine.directory },
    stdio: [stdin, "pipe", "pipe"],
  });
  const texts = { out: "", err: "" };
  child.stdout?.on("data", (chunk: Uint8Array) => (texts.out += Buffer.from(chunk).toString()));
  child.stderr?.on("data", (chunk: Uint8Array) => (texts.err += Buffer.from(chunk).toString()));
  const exit = new Promise<number | string>((resolve) => {
    child.on("close", (code, signal) => {
      resolve(code ?? signal ?? "unknown");
    });
  });
  onTestEnd(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  return { child, said: () => texts.out, stderr: () => texts.err, exit };
}

async function launched(machine: NitroMachine, stdin?: "pipe" | "ignore"): Promise<Running> {
  const running = launch(machine, WORDS, stdin);
  let ended = false;
  void running.exit.then(() => {
    ended = true;
  });
  await until("it runs", () => ended || running.said().includes('"launched"'));
  expect([running.stderr(), ended]).toEqual(["", false]);
  return running;
}

describe("a Nitro Enclave's runner", () => {
  it("starts one enclave, and ends it when it is told to", async () => {
    const machine = new NitroMachine(scratch());
    const { child, exit, said } = await launched(machine);
    expect(machine.calls).toEqual(["describe-enclaves", `${RUN} --enclave-name ${NAME}`]);
    const line: unknown = JSON.parse(said());
    expect(line).toMatchObject({ event: "launched", id: ID, cid: CID, cpus: 2, memoryMib: 2048 });
    child.kill("SIGTERM");
    expect(await exit).toBe(0);
    expect(machine.calls.at(-1)).toBe(`terminate-enclave --enclave-id ${ID}`);
    expect(machine.enclaves).toEqual([]);
  });

  it("ends it when whoever started it is gone", async () => {
    const machine = new NitroMachine(scratch());
    const { child, exit } = await launched(machine);
    child.stdin?.destroy();
    expect(await exit).toBe(0);
    expect(machine.enclaves).toEqual([]);
  });

  it("does not take a service's empty input for that", async () => {
    const machine = new NitroMachine(scratch());
    const { child, exit } = await launched(machine, "ignore");
    await until("it looks", () => machine.calls.length > 3);
    child.kill("SIGINT");
    expect(await exit).toBe(0);
  });

  it.each([
    ["is gone", []],
    ["is about to go", [{ ...listed(NAME, CID), State: "TERMINATING" }]],
    ["is another", [listed(NAME, CID, "i-0abc-encother")]],
  ])("ends with its enclave, when that %s", async (_, enclaves) => {
    const machine = new NitroMachine(scratch());
    const { exit, stderr } = await launched(machine);
    machine.enclaves = enclaves;
    expect(await exit).toBe(1);
    expect(stderr()).toBe(`enclave ${ID} ended by itself\n`);
  });

  it("looks again when nitro-cli fails, and ends what it cannot see", async () => {
    const machine = new NitroMachine(scratch());
    const { exit, stderr, said } = await launched(machine);
    const failing = { command: "describe-enclaves", stderr: "[ E12 ] Epoll error.\n", status: 12 };
    machine.temper = { ...failing, times: 2 };
    const before = machine.calls.length;
    await until("it has looked thrice", () => machine.calls.length >= before + 3);
    expect(stderr()).toBe("");
    machine.temper = { ...failing, times: 3 };
    expect(await exit).toBe(1);
    expect(stderr()).toContain("nitro-cli describe-enclaves ended with status 12:\n[ E12 ]");
    expect(JSON.parse(said().trim().split("\n").at(-1) ?? "")).toMatchObject({
      event: "failed",
      code: "E12",
    });
    expect(machine.enclaves).toEqual([]);
  });

  it("ends it though nitro-cli hangs when it is asked what runs", async () => {
    const machine = new NitroMachine(scratch());
    const { child, exit } = await launched(machine);
    const file = join(machine.directory, "nitro-cli");
    const [interpreter, ...rest] = readFileSync(file, "utf8").split("\n");
    const asked = join(machine.directory, "asked");
    const hang = `require("fs").writeFileSync(${JSON.stringify(asked)}, ""); setTimeout(() => {}, 60_000)`;
    const body = `if (process.argv[2] === "describe-enclaves") { ${hang}; } else { ${rest.join("\n")} }`;
    writeFileSync(file, `${interpreter ?? ""}\n${body}\n`);
    await until("it looks", () => existsSync(asked));
    child.kill("SIGTERM");
    expect(await exit).toBe(0);
    expect(machine.enclaves).toEqual([]);
  });

  it("leaves none that may have started though nitro-cli said nothing of it", async () => {
    const machine = new NitroMachine(scratch());
    machine.temper = { command: "run-enclave", stdout: "Started enclave", acts: true };
    const { exit, stderr } = launch(machine);
    expect(await exit).toBe(1);
    expect(stderr()).toContain("nitro-cli run-enclave did not print what we know");
    expect(machine.calls).toContain(`terminate-enclave --enclave-id ${ID}`);
    expect(machine.enclaves).toEqual([]);
  });

  it.each([
    ["no image", WORDS.slice(2), "--image is empty"],
    ["a context id of the machine's own", [...WORDS, "--cid", "3"], '--cid "3"'],
    ["an unknown flag", [...WORDS, "--debug-mode"], "--debug-mode"],
  ])("refuses %s as usage", async (_, words, found) => {
    const machine = new NitroMachine(scratch());
    const { exit, stderr } = launch(machine, words);
    expect(await exit).toBe(2);
    expect(stderr()).toMatch(/^arguments\/usage: /u);
    expect(stderr()).toContain(found);
    expect(machine.calls).toEqual([]);
  });

  it("ends what a killed one left, and nothing else", async () => {
    const machine = new NitroMachine(scratch());
    machine.enclaves = [listed("another", CID + 1), listed(NAME, CID, "i-0abc-encleft")];
    const { said } = await launched(machine);
    expect(said()).toContain('"leftover-terminated"');
    expect(machine.enclaves).toEqual([listed("another", CID + 1), listed(NAME, CID)]);
  });
});

describe("a context id", () => {
  it("that another program's enclave has is left to it", async () => {
    const machine = new NitroMachine(scratch());
    const theirs = listed("their-name", CID, "i-0abc-enctheirs");
    machine.enclaves = [theirs];
    const { exit, stderr } = launch(machine);
    expect(await exit).toBe(1);
    expect(stderr()).toContain(`context id ${CID} is that of enclave their-name`);
    expect(stderr()).toContain("--enclave-id i-0abc-enctheirs, or choose another id with --cid");
    expect(machine.enclaves).toEqual([theirs]);
  });

  it("is one runner's on this machine, for as long as that lives", async () => {
    const machine = new NitroMachine(scratch());
    const first = await launched(machine);
    const second = launch(machine);
    expect(await second.exit).toBe(1);
    expect(second.stderr()).toContain(
      `another node's runner has an enclave with context id ${CID}`,
    );
    expect(machine.enclaves).toHaveLength(1);
    first.child.kill("SIGKILL");
    expect(await first.exit).toBe("SIGKILL");
    expect(machine.enclaves).toHaveLength(1);
    const third = await launched(machine);
    expect(third.said()).toContain('"leftover-terminated"');
  });
});
