import { describe, expect, it } from "vitest";
import { memoryLimit, parseArguments, parseListenAddress } from "../../../host/args.ts";
import { exitStatus } from "../../../host/errors.ts";
import { refusalOf } from "./support.ts";

const DIRECTORY = "/srv/node";
const MIB = 1024 * 1024;
const MEMORY = 6 * 1024 * MIB;

describe("arguments of a node", () => {
  it("has a default for everything", () => {
    expect(parseArguments([], DIRECTORY, MEMORY)).toEqual({
      kind: "run",
      options: {
        models: "/srv/node/models",
        listen: { kind: "tcp", host: "127.0.0.1", port: 8480 },
        state: "/srv/node/.countersign",
        epochSeconds: 3600,
        maxBodyBytes: 33_554_432,
        maxInFlight: 256,
        cacheBytes: 1536 * MIB,
        maxSequences: 8,
        log: "events",
        keyServices: null,
        tee: { kind: "simulated", debug: false },
      },
    });
  });

  it.each([
    ["a container's limit below the machine's", 2 * MEMORY, MEMORY, MEMORY],
    ["no limit known", MEMORY, 0, MEMORY],
    ["no limit set, which Node tells as 2^64", MEMORY, 2 ** 64, MEMORY],
  ])("reckons with %s", (_what, machineBytes, constrainedBytes, bytes) => {
    expect(memoryLimit(machineBytes, constrainedBytes)).toBe(bytes);
  });

  it("reads every flag", () => {
    const argv = ["--models", "/m", "--listen", "0.0.0.0:0", "--tee", "simulated"];
    const rest = ["--state", "s", "--epoch-seconds", "5", "--max-body", "1024"];
    const invocation = parseArguments(
      [
        ...argv,
        ...rest,
        "--max-inflight=2",
        "--cache-mib",
        "3",
        "--batch=64",
        "--log",
        "none",
        "--key-services=k.json",
        "--simulate-debug",
      ],
      DIRECTORY,
      MEMORY,
    );
    expect(invocation).toEqual({
      kind: "run",
      options: {
        models: "/m",
        listen: { kind: "tcp", host: "0.0.0.0", port: 0 },
        state: "/srv/node/s",
        epochSeconds: 5,
        maxBodyBytes: 1024,
        maxInFlight: 2,
        cacheBytes: 3 * MIB,
        maxSequences: 64,
        log: "none",
        keyServices: "/srv/node/k.json",
        tee: { kind: "simulated", debug: true },
      },
    });
  });

  it.each([
    [0, 1],
    [7 * MIB, 1],
    [8 * MIB, 2],
    [2 ** 53, 1_048_576],
  ])("gives texts a quarter of %d bytes: %d MiB", (memoryBytes, mib) => {
    expect(parseArguments([], DIRECTORY, memoryBytes)).toMatchObject({
      options: { cacheBytes: mib * MIB },
    });
  });

  it("explains itself", () => {
    expect(parseArguments(["--help"], DIRECTORY, MEMORY)).toEqual({ kind: "help" });
  });

  it.each([
    ["127.0.0.1:8480", { kind: "tcp", host: "127.0.0.1", port: 8480 }],
    ["localhost:65535", { kind: "tcp", host: "localhost", port: 65_535 }],
    ["[::1]:80", { kind: "tcp", host: "::1", port: 80 }],
    ["./node.sock", { kind: "unix", path: "/srv/node/node.sock" }],
    ["/run/node.sock", { kind: "unix", path: "/run/node.sock" }],
    ["unix:node.sock", { kind: "unix", path: "/srv/node/node.sock" }],
  ])("listens at %s", (text, expected) => {
    expect(parseListenAddress(text, DIRECTORY)).toEqual(expected);
  });

  it.each([
    ["--listen", "127.0.0.1"],
    ["--listen", "127.0.0.1:65536"],
    ["--listen", "::1:80"],
    ["--listen", "host:"],
    ["--listen", "unix:"],
    ["--epoch-seconds", "0"],
    ["--epoch-seconds", "3601"],
    ["--epoch-seconds", "1.5"],
    ["--epoch-seconds", "1e3"],
    ["--max-body", "1023"],
    ["--max-body", "1073741825"],
    ["--max-inflight", "0"],
    ["--max-inflight", "65537"],
    ["--cache-mib", "0"],
    ["--cache-mib", "1048577"],
    ["--batch", "0"],
    ["--batch", "65"],
    ["--log", "all"],
    ["--models", ""],
    ["--unknown", "1"],
    ["stray", "argument"],
  ])("refuses %s %s as usage", async (...argv) => {
    const refusal = await refusalOf(() => parseArguments(argv, DIRECTORY, MEMORY));
    expect(refusal.code).toBe("arguments/usage");
    expect(exitStatus(refusal)).toBe(2);
  });

  it.each(["aws-nitro", "aws-nitrotpm", "amd-sev-snp", "intel-tdx", "none"])(
    "refuses --tee %s",
    async (tee) => {
      const refusal = await refusalOf(() => parseArguments(["--tee", tee], DIRECTORY, MEMORY));
      expect(refusal.code).toBe("arguments/tee");
      expect(refusal.message).toContain("want simulated or nitro");
      expect(exitStatus(refusal)).toBe(2);
    },
  );
});
