/**
 * A runner for `countersign node --tee nitro --runner`: it lives in the foreground for exactly as long
 * as an emulated enclave. The folder of its sockets is named by COUNTERSIGN_EMULATION_RUN; a QEMU with an
 * enclave of its own, by COUNTERSIGN_EMULATION_NITRO.
 */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { endProcess } from "../../enclave/system/end.ts";
import { startMachine } from "./machine.ts";
import { nitroCommand } from "./nitro-qemu.ts";
import { cacheFolder, preparePackages } from "./packages.ts";

/** A kernel that ends tells much; of that, what a program wrote is what helps. */
const KERNEL_LINE = /^\[ *\d+\.\d+\]/u;
const LAST_LINES = 6;
const MAX_KEPT_BYTES = 16_384;
/** A machine ends in a moment when its runner is told to. */
const TAKE_MS = 10_000;
const POLL_MS = 50;

const { values } = parseArgs({
  options: {
    image: { type: "string" },
    cpus: { type: "string" },
    memory: { type: "string" },
    cid: { type: "string" },
  },
});
// process.exit joins V8's threads, and was seen to wait for one for ever: then nobody learns of the end.
endProcess(await main());

async function main(): Promise<number> {
  const { image, cpus, memory, cid } = values;
  const folder = process.env["COUNTERSIGN_EMULATION_RUN"];
  const nitro = process.env["COUNTERSIGN_EMULATION_NITRO"];
  const numbers = [cpus, memory, cid].map(Number);
  if (image === undefined || folder === undefined || !numbers.every(Number.isSafeInteger)) {
    console.error("want --image FILE --cpus N --memory MIB --cid N, and COUNTERSIGN_EMULATION_RUN");
    return 2;
  }
  // Whoever is to end learns it at any time, and nobody starts a machine where another still ends.
  const asked = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => asked.abort());
  // Our standard input closes when the host dies: nobody would end the enclave any more.
  process.stdin.on("close", () => asked.abort()).resume();
  await takeFolder(folder);
  if (asked.signal.aborted) return 0;
  let kept = Buffer.alloc(0);
  const file = createWriteStream(join(folder, "console.log"), { flags: "a" });
  const machine = await startMachine(await preparePackages(cacheFolder()), {
    image,
    cpus: Number(cpus),
    memoryMib: Number(memory),
    cid: Number(cid),
    folder,
    nitroQemu: nitro === undefined ? null : nitroCommand(nitro),
    console: (chunk) => {
      file.write(chunk);
      kept = Buffer.concat([kept, chunk]).subarray(-MAX_KEPT_BYTES);
    },
  });
  asked.signal.addEventListener("abort", () => {
    machine.stop();
  });
  if (asked.signal.aborted) machine.stop();
  const ended = await machine.ended;
  await new Promise((resolve) => file.end(resolve));
  if (asked.signal.aborted) return 0;
  const lines = kept.toString("utf8").split(/\r?\n/u);
  const said = lines.filter((line) => line !== "" && !KERNEL_LINE.test(line)).slice(-LAST_LINES);
  console.error([...(ended === null ? [] : [ended]), ...said].join("\n"));
  return ended === null ? 0 : 1;
}

/**
 * One runner a folder: its sockets have one name each. The name in Linux's abstract namespace, unix(7),
 * goes with the process that has it.
 */
async function takeFolder(folder: string): Promise<void> {
  const name = `\0countersign-emulation-${createHash("sha256").update(folder).digest("hex")}`;
  const lastMs = performance.now() + TAKE_MS;
  for (;;) {
    const server = createServer((connection) => connection.destroy());
    const taken = await new Promise<boolean>((resolve) => {
      server.once("error", () => {
        resolve(false);
      });
      server.listen(name, () => {
        resolve(true);
      });
    });
    if (taken) {
      server.unref();
      return;
    }
    if (performance.now() > lastMs) throw new Error(`another runner has ${folder}`);
    await delay(POLL_MS);
  }
}
