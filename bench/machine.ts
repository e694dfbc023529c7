import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";

const ONNX_RUNTIME = new URL("../node_modules/onnxruntime-node/package.json", import.meta.url);

/** The machine and what runs on it, in one line. */
export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return [
    `${model}, ${availableParallelism()} cores, ${memory}`,
    `${process.platform} ${process.arch}`,
    `Node ${process.versions.node} (V8 ${process.versions.v8}, OpenSSL ${process.versions.openssl})`,
    `onnxruntime-node ${versionIn(ONNX_RUNTIME)}`,
  ].join("; ");
}

/** Before we began: above a few tenths, others were at work, and ratios alone mean something. */
export function describeLoad(): string {
  return `load average before the run ${loadavg()[0]?.toFixed(2) ?? "unknown"}`;
}

function versionIn(file: URL): string {
  const found: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (typeof found !== "object" || found === null || !("version" in found)) return "unknown";
  return String(found.version);
}
