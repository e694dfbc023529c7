import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { parseArguments, SHARED_OPTIONS } from "../../../client/cli/arguments.ts";
import { nodeCommand } from "../../../client/cli/commands/node.ts";
import { findCommand } from "../../../client/cli/main.ts";
import { parseArguments as parseHostArguments } from "../../../host/args.ts";

const DEPLOY = new URL("../../../deploy/", import.meta.url).pathname;
const UNITS = readdirSync(join(DEPLOY, "systemd")).filter((name) => name.endsWith(".service"));
const ANALYZE = spawnSync("systemd-analyze", ["--version"]).status === 0;
if (!ANALYZE) console.warn("skipped: no systemd-analyze to check the units with");
const MIB = 1024 ** 2;
/** systemd-analyze's scale: 10 is no protection at all; above 5 it speaks of exposure. */
const MOST_EXPOSED = 2.5;

function read(path: string): string {
  return readFileSync(join(DEPLOY, path), "utf8");
}

/** Every value of a setting, its lines joined. */
function settings(unit: string, name: string): readonly string[] {
  const text = read(`systemd/${unit}`).replaceAll(/\\\n\s*/gu, "");
  return [...text.matchAll(new RegExp(`^${name}=(.*)$`, "gmu"))].map(([, value = ""]) => value);
}

/** The words of a unit's program, with the values of node.env, or the unit's own where it has none. */
function command(unit: string): readonly string[] {
  const own = settings(unit, "Environment").map((line): [string, string] => {
    const [name = "", value = ""] = line.split("=", 2);
    return [name, value];
  });
  const values = new Map([...own, ...environment()]);
  const [line = ""] = settings(unit, "ExecStart");
  return line.split(/\s+/u).map((word) =>
    word.replace(/^\$\{(\w+)\}$/u, (_all, name: string) => {
      const value = values.get(name);
      if (value === undefined) throw new TypeError(`node.env has no ${name}`);
      return value;
    }),
  );
}

function environment(): ReadonlyMap<string, string> {
  const lines = read("systemd/node.env").split("\n");
  return new Map(
    lines.flatMap((line) => {
      const [, name = "", value = ""] = /^(\w+)=(.*)$/u.exec(line) ?? [];
      return name === "" ? [] : [[name, value] as const];
    }),
  );
}

describe.each(["countersign-node.service", "countersign-host.service"])("%s", (unit) => {
  const words = command(unit);

  it("runs a command that there is, with options that it has, as the host takes them", () => {
    expect(words.slice(0, 2)).toEqual([
      "/opt/countersign/node_modules/.bin/node",
      "/opt/countersign/client/bin/countersign.js",
    ]);
    const found = findCommand(words.slice(2));
    expect(found?.command).toBe(nodeCommand);
    const options = [...nodeCommand.options, ...SHARED_OPTIONS];
    const args = parseArguments(found?.rest ?? [], options, nodeCommand.operands);
    expect(args.text("tee")).toBe("nitro");
    const host = words.slice(3).filter((word) => word !== "--no-color");
    const invocation = parseHostArguments(host, "/", 64 * MIB);
    expect(invocation).toMatchObject({
      kind: "run",
      options: {
        state: "/run/countersign",
        cacheBytes: 512 * MIB,
        keyServices: "/opt/countersign/enclave/key-services.json",
        tee: { kind: "nitro", cid: 16 },
      },
    });
  });

  it("keeps its state where a restart of the machine takes it away", () => {
    expect(settings(unit, "RuntimeDirectory")).toEqual(["countersign"]);
    expect(settings(unit, "StateDirectory")).toEqual([]);
  });
});

describe("the units", () => {
  it("run the enclave by nitro-cli, or wait for one, and never both", () => {
    expect(command("countersign-node.service")).toContain("--image");
    expect(command("countersign-node.service")).not.toContain("--attach");
    expect(command("countersign-host.service")).toContain("--attach");
    expect(
      settings("countersign-node.service", "Conflicts").join(" ").split(" ").toSorted(),
    ).toEqual(["countersign-enclave.service", "countersign-host.service"]);
    for (const unit of ["countersign-host.service", "countersign-enclave.service"]) {
      expect(settings(unit, "Conflicts")).toEqual(["countersign-node.service"]);
    }
  });

  it("give the enclave's runner what the host would give it", () => {
    const words = command("countersign-enclave.service");
    expect(words.slice(0, 2)).toEqual([
      "/opt/countersign/node_modules/.bin/node",
      "/opt/countersign/host/nitro-runner.ts",
    ]);
    expect(words.filter((word) => word.startsWith("--")).toSorted()).toEqual([
      "--cid",
      "--cpus",
      "--image",
      "--memory",
    ]);
  });

  it("ask for no more than the allocator sets apart", () => {
    const allocated = read("nitro_enclaves/allocator.yaml");
    const number = (name: string): number =>
      Number(new RegExp(`^${name}: (\\d+)$`, "mu").exec(allocated)?.[1]);
    const values = environment();
    expect(number("memory_mib")).toBeGreaterThanOrEqual(
      Number(values.get("COUNTERSIGN_MEMORY_MIB")),
    );
    expect(number("cpu_count")).toBeGreaterThanOrEqual(Number(values.get("COUNTERSIGN_CPUS")));
    expect(Number(values.get("COUNTERSIGN_CACHE_MIB"))).toBeLessThan(
      Number(values.get("COUNTERSIGN_MEMORY_MIB")),
    );
  });

  it.each(UNITS)("%s runs as nobody special, and opens no device but its own", (unit) => {
    expect(settings(unit, "NoNewPrivileges")).toEqual(["yes"]);
    expect(settings(unit, "CapabilityBoundingSet")).toEqual([""]);
    expect(settings(unit, "DevicePolicy")).toEqual(["closed"]);
    expect(settings(unit, "ProtectSystem")).toEqual(["strict"]);
    expect(settings(unit, "User")).toEqual(["countersign"]);
    const opensEnclaves = settings(unit, "DeviceAllow").includes("/dev/nitro_enclaves rw");
    const runsEnclaves = !unit.includes("host");
    expect(opensEnclaves).toBe(runsEnclaves);
    expect(settings(unit, "SupplementaryGroups")).toEqual(runsEnclaves ? ["ne"] : []);
  });

  it("give the runner no way to a network", () => {
    const unit = "countersign-enclave.service";
    expect(settings(unit, "RestrictAddressFamilies")).toEqual(["AF_UNIX AF_VSOCK"]);
    expect(settings(unit, "IPAddressDeny")).toEqual(["any"]);
  });

  it.each(UNITS)("%s logs to a bounded journal of this machine", (unit) => {
    expect(settings(unit, "LogNamespace")).toEqual(["countersign"]);
    const journal = read("journald/journald@countersign.conf");
    for (const limit of ["SystemMaxUse", "SystemKeepFree", "MaxRetentionSec", "RateLimitBurst"]) {
      expect(journal).toMatch(new RegExp(`^${limit}=\\w+$`, "mu"));
    }
    expect(journal).toMatch(/^ForwardToSyslog=no$/mu);
  });
});

describe.skipIf(!ANALYZE)("systemd", () => {
  let root = "";

  beforeAll(() => {
    // The program that the units name, which this machine does not have.
    root = mkdtempSync(join(tmpdir(), "countersign-units-"));
    const program = join(root, "opt/countersign/node_modules/.bin/node");
    mkdirSync(join(program, ".."), { recursive: true });
    writeFileSync(program, "", { mode: 0o755 });
    cpSync(join(DEPLOY, "systemd"), join(root, "etc/systemd/system"), { recursive: true });
  });

  afterAll(() => {
    rmSync(root, { recursive: true });
  });

  function verify(unit: string): string {
    const words = ["verify", "--man=no", "--recursive-errors=no", `--root=${root}`];
    const { stdout, stderr } = spawnSync(
      "systemd-analyze",
      [...words, `etc/systemd/system/${unit}`],
      {
        cwd: root,
        encoding: "utf8",
      },
    );
    return stdout + stderr;
  }

  it.each(UNITS)("has nothing to say about %s", (unit) => {
    expect(verify(unit)).toBe("");
  });

  it("does have something to say about a mistake", () => {
    const text = read("systemd/countersign-node.service");
    writeFileSync(
      join(root, "etc/systemd/system/wrong.service"),
      text.replace("NoNewPrivileges=yes", "NoNewPriviliges=yes"),
    );
    expect(verify("wrong.service")).toContain("NoNewPriviliges");
  });

  it.each(UNITS)("counts %s as well protected", (unit) => {
    const words = ["security", "--offline=true", "--no-pager", join(DEPLOY, "systemd", unit)];
    const { stdout } = spawnSync("systemd-analyze", words, { encoding: "utf8" });
    const [, level = "10"] = /Overall exposure level for \S+: ([\d.]+)/u.exec(stdout) ?? [];
    expect(Number(level)).toBeLessThan(MOST_EXPOSED);
  });
});
