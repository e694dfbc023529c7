import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseArguments } from "../../../enclave/main.ts";
import { CODE_ROOT } from "../../../enclave/simulation/measure.ts";

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

function run(program: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let errors = "";
  child.stdout.on("data", (piece: Buffer) => (out += piece.toString()));
  child.stderr.on("data", (piece: Buffer) => (errors += piece.toString()));
  return new Promise((resolve) => {
    child.on("close", (code) => {
      resolve({ code, out, errors });
    });
  });
}

const MAIN = `${CODE_ROOT}enclave/main.ts`;

function lastLine({ out }: Ended): unknown {
  return JSON.parse(out.trim().split("\n").at(-1) ?? "");
}

describe("arguments of the production entry", () => {
  it("are AWS's where none is given", () => {
    const defaults = { listenPort: 5000, parentCid: 3, parentPort: 7000, user: 65_532 };
    expect(parseArguments([])).toEqual(defaults);
    const given = ["--parent-cid", "2", "--parent-port=7001", "--listen-port", "1", "--user", "9"];
    expect(parseArguments(given)).toEqual({
      listenPort: 1,
      parentCid: 2,
      parentPort: 7001,
      user: 9,
    });
  });

  it.each([
    ["--surplus"],
    ["surplus"],
    ["--user"],
    ["--user", "0"],
    ["--user", "root"],
    ["--parent-cid", "0"],
    ["--parent-cid", "03"],
    ["--parent-cid", "-1"],
    ["--parent-cid", "4294967295"],
    ["--parent-port", "0x10"],
    ["--listen-port", "1e3"],
    ["--listen-port", ""],
  ])("are refused: %s %s", (...args) => {
    expect(() => parseArguments(args)).toThrow("boot/arguments");
  });
});

describe("the end of the process", () => {
  it("does not wait for a thread that is in native code", async () => {
    const script = `
      import { Worker } from "node:worker_threads";
      import { endProcess } from "${CODE_ROOT}enclave/system/end.ts";
      const worker = new Worker(\`
        import { parentPort } from "node:worker_threads";
        import { nativeFunction } from "${CODE_ROOT}enclave/system/native.ts";
        const pause = nativeFunction("int pause()");
        parentPort.postMessage("soon");
        pause();
      \`, { eval: true });
      await new Promise((resolve) => worker.once("message", resolve));
      await new Promise((resolve) => setTimeout(resolve, 500));
      endProcess(7);`;
    const ended = await run(["--input-type=module", "-e", script]);
    expect(ended).toEqual({ code: 7, out: "", errors: "" });
  });
});

describe("the production entry", () => {
  it("says how it is used", async () => {
    const ended = await run([MAIN, "--surplus"]);
    expect(ended.code).toBe(1);
    expect(lastLine(ended)).toMatchObject({ event: "closed", code: "boot/arguments" });
    expect(ended.errors).toContain("usage: main.ts");
  });

  // Where there is a module, this would be an enclave.
  it.skipIf(existsSync("/dev/nsm"))("ends at once where there is no module", async () => {
    const ended = await run([MAIN, "--parent-cid", "2"]);
    expect([ended.code, ended.errors]).toEqual([1, ""]);
    expect(lastLine(ended)).toMatchObject({ event: "closed", code: "nsm/device" });
  });

  it("turns telemetry off before anything else is loaded", () => {
    const [first] = /^import .*$/mu.exec(readFileSync(MAIN, "utf8")) ?? [];
    expect(first).toBe('import "./engine/environment.ts";');
    const environment = readFileSync(`${CODE_ROOT}enclave/engine/environment.ts`, "utf8");
    expect(environment).not.toMatch(/^import/mu);
  });

  it.skipIf(process.geteuid?.() !== 0)(
    "stops being root, in every thread and for good",
    async () => {
      const script = `
      import { Worker } from "node:worker_threads";
      import { dropRoot } from "${CODE_ROOT}enclave/system/privileges.ts";
      const worker = new Worker("setInterval(() => 0, 1000)", { eval: true });
      await new Promise((resolve) => worker.once("online", resolve));
      dropRoot(65532);
      const ids = [process.getuid(), process.geteuid(), process.getgid(), process.getgroups().join()];
      let back = "no";
      try { process.setuid(0); back = "yes"; } catch {}
      const { readdirSync, readFileSync } = await import("node:fs");
      const owners = new Set(readdirSync("/proc/self/task").map((id) =>
        /^Uid:\\s+(.*)$/mu.exec(readFileSync("/proc/self/task/" + id + "/status", "utf8"))[1]));
      console.log(JSON.stringify([ids, back, [...owners]]));
      process.exit(0);`;
      const ended = await run(["--input-type=module", "-e", script]);
      expect(ended.errors).toBe("");
      const everywhere = ["65532\t65532\t65532\t65532"];
      expect(lastLine(ended)).toEqual([[65_532, 65_532, 65_532, "65532"], "no", everywhere]);
    },
  );
});
