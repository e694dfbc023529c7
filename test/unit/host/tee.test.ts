import { describe, expect, it } from "vitest";
import { parseArguments } from "../../../host/args.ts";
import { EnclaveContact } from "../../../host/contact.ts";
import { enclaveCommand } from "../../../host/enclave-command.ts";
import { type NitroTee, parseTee, type TeeFlags } from "../../../host/tee.ts";
import { memoryLog, refusalOf } from "./support.ts";

const DIRECTORY = "/srv/node";
const MIB = 1024 * 1024;

function nitro(flags: TeeFlags): NitroTee {
  const tee = parseTee({ tee: "nitro", ...flags }, DIRECTORY);
  if (tee.kind !== "nitro") throw new TypeError("not nitro");
  return tee;
}

describe("--tee nitro", () => {
  it("has a default for everything but the image", () => {
    expect(nitro({ image: "node.eif" })).toEqual({
      kind: "nitro",
      enclave: { kind: "vsock", cid: 16, port: 5000 },
      services: { kind: "vsock", port: 7000, cid: 16 },
      cpus: 2,
      memoryMib: 2048,
      cid: 16,
      run: { kind: "runner", image: "/srv/node/node.eif", program: null },
    });
  });

  it("reads every flag", () => {
    const flags = { image: "/i", runner: "r", cpus: "4", memory: "4096", cid: "20" };
    const addresses = { enclave: "vsock-uds:vm:5001", services: "unix:vm_7001" };
    expect(nitro({ ...flags, ...addresses })).toEqual({
      kind: "nitro",
      enclave: { kind: "vsock-uds", path: "/srv/node/vm", port: 5001 },
      services: { kind: "unix", path: "/srv/node/vm_7001" },
      cpus: 4,
      memoryMib: 4096,
      cid: 20,
      run: { kind: "runner", image: "/i", program: "/srv/node/r" },
    });
  });

  it("has one context id, wherever it is given", () => {
    expect(nitro({ attach: true, cid: "9" }).enclave).toMatchObject({ cid: 9 });
    expect(nitro({ attach: true, enclave: "vsock:9:1" }).cid).toBe(9);
    expect(nitro({ attach: true, enclave: "vsock:9:1", cid: "9" }).cid).toBe(9);
  });

  it("gives texts a quarter of the enclave's memory, not of this machine's", () => {
    const argv = ["--tee", "nitro", "--attach", "--memory", "512"];
    expect(parseArguments(argv, DIRECTORY, 64 * 1024 * MIB)).toMatchObject({
      options: { cacheBytes: 128 * MIB },
    });
  });

  it.each<[string, TeeFlags]>([
    ["no image", {}],
    ["an empty image", { image: "" }],
    ["an empty runner", { image: "i", runner: "" }],
    ["an image of an attached enclave", { attach: true, image: "i" }],
    ["a runner of an attached enclave", { attach: true, runner: "r" }],
    ["two context ids", { image: "i", cid: "16", enclave: "vsock:17:5000" }],
    ["the parent's context id", { image: "i", cid: "3" }],
    ["the parent's address", { image: "i", enclave: "vsock:3:5000" }],
    ["no context id", { image: "i", cid: "4294967295" }],
    ["no processor", { image: "i", cpus: "0" }],
    ["too many processors", { image: "i", cpus: "257" }],
    ["too little memory", { image: "i", memory: "63" }],
    ["too much memory", { image: "i", memory: "4194305" }],
    ["an address of another kind", { image: "i", services: "vsock:16:1" }],
    ["a monitor without a socket for its guest", { image: "i", enclave: "vsock-uds:vm:5000" }],
    ["a debug simulation", { image: "i", "simulate-debug": true }],
  ])("refuses %s", async (_, flags) => {
    const refusal = await refusalOf(() => nitro(flags));
    expect(refusal.code).toBe("arguments/usage");
  });
});

describe("--tee simulated", () => {
  it.each<TeeFlags>([
    { image: "i" },
    { cpus: "1" },
    { memory: "1" },
    { cid: "1" },
    { enclave: "unix:e" },
    { services: "unix:s" },
    { runner: "r" },
    { attach: true },
  ])("refuses what is for another TEE: %j", async (flags) => {
    const refusal = await refusalOf(() => parseTee(flags, DIRECTORY));
    expect(refusal.code).toBe("arguments/usage");
    expect(refusal.message).toContain("is for --tee nitro");
  });
});

describe("the program that runs a Nitro Enclave", () => {
  const setting = {
    enclaveSocket: "/e",
    provisionSocket: "/p",
    vendorKey: "/v",
    keyServices: null,
    contact: new EnclaveContact(memoryLog().log),
  };
  const words = ["--image", "/i", "--cpus", "2", "--memory", "2048", "--cid", "16"];

  it.each([
    [undefined, process.execPath, [expect.stringMatching(/host\/nitro-runner\.ts$/u), ...words]],
    ["/bin/runner", "/bin/runner", words],
    ["/runner.mjs", process.execPath, ["/runner.mjs", ...words]],
    ["/runner.ts", process.execPath, ["/runner.ts", ...words]],
  ])("is by default ours, otherwise %s", (runner, file, args) => {
    const command = enclaveCommand({ ...setting, tee: nitro({ image: "/i", runner }) });
    expect(command).toMatchObject({ kind: "runner", file, args });
  });

  it("is given no key services, which are in its image; a simulation measures them", () => {
    const keyServices = "/k.json";
    const image = enclaveCommand({ ...setting, keyServices, tee: nitro({ image: "/i" }) });
    expect(image).toMatchObject({ args: [expect.anything(), ...words] });
    const simulated = { kind: "simulated", debug: false } as const;
    const given = enclaveCommand({ ...setting, keyServices, tee: simulated });
    expect("args" in given && given.args.join(" ")).toMatch(/ --key-services \/k\.json$/u);
    const own = enclaveCommand({ ...setting, tee: simulated });
    expect("args" in own && own.args).not.toContain("--key-services");
  });

  it("is nobody's of ours where it is attached", () => {
    const command = enclaveCommand({ ...setting, tee: nitro({ attach: true, cid: "7" }) });
    expect(command).toMatchObject({
      kind: "attached",
      address: { kind: "vsock", cid: 7, port: 5000 },
    });
  });
});
