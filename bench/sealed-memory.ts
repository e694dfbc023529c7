/** A process that reads one model and nothing else, so that what the kernel counts is of that. */
import { readFileSync, writeFileSync } from "node:fs";
import { reader } from "./sealed-opening.ts";

/** What is asked of it: bytes as hexadecimal, for a pipe of JSON. */
export interface MemoryRequest {
  readonly id: string;
  readonly socket: string;
  readonly manifest: string;
  readonly modelDigest: string;
  readonly dataKey: string;
}

/** Bytes in memory before, and at the peak. */
export interface MemoryAnswer {
  readonly modelBytes: number;
  readonly beforeBytes: number;
  readonly peakBytes: number;
}

/** Resets the peak, VmHWM: proc_pid_clear_refs(5). */
const RESET_PEAK = "5";

process.once("disconnect", () => process.exit(0));
process.on("message", (request: MemoryRequest) => {
  void measure(request).then((answer) => process.send?.(answer));
});
process.send?.("ready");

async function measure({ id, socket, ...hex }: MemoryRequest): Promise<MemoryAnswer> {
  const read = reader({
    socket,
    manifest: fromHex(hex.manifest),
    modelDigest: fromHex(hex.modelDigest),
    dataKey: fromHex(hex.dataKey),
  });
  writeFileSync("/proc/self/clear_refs", RESET_PEAK);
  const beforeBytes = status("VmRSS");
  const modelBytes = await read(id);
  return { modelBytes, beforeBytes, peakBytes: status("VmHWM") };
}

function status(name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "mu").exec(
    readFileSync("/proc/self/status", "utf8"),
  )?.[1];
  if (found === undefined) throw new TypeError(`/proc/self/status has no ${name}`);
  return Number(found) * 1024;
}

function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}
