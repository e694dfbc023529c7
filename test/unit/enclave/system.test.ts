import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { duplexPair, type Duplex } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { clearEnvironment } from "../../../enclave/system/environment.ts";
import { sendHeartbeat } from "../../../enclave/system/heartbeat.ts";
import { loadModules, type Mount, mountAll } from "../../../enclave/system/kernel.ts";
import { addressOf, lastError, nativeFunction } from "../../../enclave/system/native.ts";
import { dropRoot, type Identity } from "../../../enclave/system/privileges.ts";
import { mixRandomness } from "../../../enclave/system/randomness.ts";

const folder = mkdtempSync(join(tmpdir(), "system-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const onLinux = process.platform === "linux";

describe.skipIf(!onLinux)("functions of the C library", () => {
  it("are called, and say how they failed", () => {
    const close = nativeFunction("int close(int fd)");
    expect(close(-1)).toBe(-1);
    expect(lastError()).toBe("EBADF");
    expect(nativeFunction("int abs(int number)")(-7)).toBe(7);
    expect(() => nativeFunction("int no_such_function_of_ours(void)")).toThrow(
      "no_such_function_of_ours",
    );
  });

  it("see the bytes that JavaScript sees", () => {
    const bytes = new Uint8Array(16);
    expect(addressOf(bytes)).toBeGreaterThan(0n);
    bytes.set([1, 2, 3]);
    expect(nativeFunction("int strcmp(const void *left, const void *right)")(bytes, bytes)).toBe(0);
    const firstByte = nativeFunction("int memcmp(uint64_t left, const void *right, int count)");
    expect(firstByte(addressOf(bytes), Uint8Array.of(1, 2, 3), 3)).toBe(0);
    expect(firstByte(addressOf(bytes), Uint8Array.of(1, 2, 4), 3)).toBeLessThan(0);
  });
});

describe("the environment of process 1", () => {
  it("is emptied of what the kernel puts there", () => {
    const environment = { HOME: "/", TERM: "linux", pci: "off", HTTP_PROXY: "x", NODEX: "y" };
    clearEnvironment(environment);
    expect(environment).toEqual({});
  });

  it.each([
    "NODE_OPTIONS",
    "NODE_DEBUG",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "OPENSSL_CONF",
    "SSL_CERT_FILE",
    "GLIBC_TUNABLES",
    "MALLOC_PERTURB_",
    "UV_USE_IO_URING",
  ])("is refused with %s, even an empty one", (name) => {
    const environment = { HOME: "/", [name]: "" };
    expect(() => {
      clearEnvironment(environment);
    }).toThrow("boot/environment");
  });

  it("is looked at first", () => {
    const init = readFileSync(new URL("../../../enclave/init.ts", import.meta.url), "utf8");
    expect(init).toMatch(/try \{\s+clearEnvironment\(\);/u);
  });
});

describe.skipIf(!onLinux)("random bytes", () => {
  it("are taken by both generators", () => {
    mixRandomness(new Uint8Array(randomBytes(256)));
    expect(nativeFunction("int RAND_status()")()).toBe(1);
    expect(randomBytes(32)).not.toEqual(randomBytes(32));
  });

  it("end the boot where a generator does not take them", () => {
    expect(() => mixRandomness(new Uint8Array(256), join(folder, "none", "random"))).toThrow(
      expect.objectContaining({ code: "boot/randomness" }),
    );
  });
});

describe("root", () => {
  /** A process that is `user`, and obeys as far as `stubborn` lets it. */
  const fake = (user: number, stubborn = false): { calls: string[]; identity: Identity } => {
    const calls: string[] = [];
    let now = user;
    return {
      calls,
      identity: {
        geteuid: () => now,
        setgroups: (groups) => calls.push(`groups ${groups.join()}`),
        setgid: (id) => calls.push(`group ${id}`),
        setuid: (id) => {
          calls.push(`user ${id}`);
          if (!stubborn) now = id;
        },
      },
    };
  };

  it("is given up: groups, group and user, in this order", () => {
    const { calls, identity } = fake(0);
    dropRoot(65_532, identity);
    expect(calls).toEqual(["groups ", "group 65532", "user 65532"]);
  });

  it("is nothing to give up for anybody else", () => {
    const { calls, identity } = fake(1000);
    dropRoot(65_532, identity);
    expect(calls).toEqual([]);
  });

  it("is an end where it cannot be given up", () => {
    expect(() => {
      dropRoot(65_532, fake(0, true).identity);
    }).toThrow("boot/privileges");
    const denied: Identity = {
      ...fake(0).identity,
      setgroups: () => {
        throw new Error("EPERM");
      },
    };
    expect(() => {
      dropRoot(65_532, denied);
    }).toThrow("boot/privileges");
    expect(() => {
      dropRoot(65_532, {});
    }).toThrow("boot/privileges");
  });
});

describe("file systems", () => {
  const MOUNTS: readonly Mount[] = [
    { type: "proc", target: "/proc", options: "" },
    { type: "devtmpfs", target: "/dev", options: "mode=0755" },
    { type: "tmpfs", target: "/tmp", options: "size=1m" },
  ];

  it("are mounted in turn; only one of devices has devices, and none has programs", () => {
    const calls: string[] = [];
    mountAll(MOUNTS, ({ target }, flags) => {
      calls.push(`${target} ${flags}`);
      return target === "/proc" ? "EBUSY" : null;
    });
    expect(calls).toEqual(["/proc 14", "/dev 10", "/tmp 14"]);
  });

  it("that cannot be mounted end it", () => {
    const mount = (): void => {
      mountAll(MOUNTS, ({ type }) => (type === "devtmpfs" ? "ENODEV" : null));
    };
    expect(mount).toThrow("boot/mount: devtmpfs at /dev: ENODEV");
  });

  it.skipIf(!onLinux)("are asked for with a real call", () => {
    const target = join(folder, "none");
    expect(() => {
      mountAll([{ type: "tmpfs", target, options: "" }]);
    }).toThrow(/^boot\/mount: tmpfs at .*: (?:ENOENT|EPERM)$/u);
  });
});

describe.skipIf(!onLinux)("modules of the kernel", () => {
  it("are none where there is no such folder", () => {
    expect(loadModules(join(folder, "none"))).toBe(0);
  });

  it("are files whose names end in .ko; one that is none ends it", () => {
    writeFileSync(join(folder, "10-readme.txt"), "no module");
    expect(loadModules(folder)).toBe(0);
    expect(() => loadModules(join(folder, "10-readme.txt"))).toThrow("boot/module");
    writeFileSync(join(folder, "20-bad.ko"), "no module");
    expect(() => loadModules(folder)).toThrow(/^boot\/module: .*20-bad\.ko: E[A-Z]+$/u);
  });
});

describe("a heartbeat", () => {
  const parent = (answer: (peer: Duplex, heard: Buffer) => void): (() => Duplex) => {
    const [ours, theirs] = duplexPair();
    theirs.on("error", () => undefined);
    theirs.once("data", (heard: Buffer) => {
      answer(theirs, heard);
    });
    return () => ours;
  };

  it("is a byte that comes back", async () => {
    const heard: Buffer[] = [];
    await sendHeartbeat(
      parent((peer, bytes) => {
        heard.push(bytes);
        peer.write(bytes);
      }),
    );
    expect(heard).toEqual([Buffer.from([0xb7])]);
  });

  it.each<[string, (peer: Duplex) => void]>([
    ["answers another", (peer) => peer.write(Uint8Array.of(0xb6))],
    ["only closes", (peer) => peer.end()],
    ["breaks off", (peer) => peer.destroy(new Error("reset"))],
  ])("ends it where the parent %s", async (_, answer) => {
    await expect(sendHeartbeat(parent(answer), 2_000)).rejects.toThrow("boot/heartbeat");
  });

  it("ends it where the parent is silent", async () => {
    const silent = parent(() => undefined);
    await expect(sendHeartbeat(silent, 100)).rejects.toThrow("boot/heartbeat");
  });
});
