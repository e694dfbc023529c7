/**
 * The baseline's enclave: the same models and the same app, in the clear.
 *
 * It starts as the simulated enclave does, and the host cannot tell the two apart. But there is no
 * module, no epoch, no encryption and no receipt: the body of `POST /gateway` is the body of a request
 * to the path in `--target`, and what the app answers is the answer.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";
import { type App, createApp } from "../enclave/api/app.ts";
import { systemClock } from "../enclave/clock.ts";
import { jsonLog } from "../enclave/log.ts";
import { loadModels } from "../enclave/models/load.ts";
import { provisioner } from "../enclave/provision.ts";
import { unixTransport } from "../enclave/transport.ts";

const { values } = parseArgs({
  options: {
    listen: { type: "string", default: "" },
    provision: { type: "string", default: "" },
    target: { type: "string", default: "" },
  },
});
const log = jsonLog((line) => process.stdout.write(line), systemClock.nowMs);
process.once("SIGTERM", () => process.exit(0));
process.once("disconnect", () => process.exit(0));

// 1. The same start: configuration and models from the host.
const transport = unixTransport(values.listen, values.provision);
const host = provisioner({ transport, clock: systemClock, patienceMs: 0 });
const provisioning = await host.fetchProvisioning();
const models = await loadModels(
  provisioning,
  (id, version, path, size) => host.fetchModelFile(id, version, path, size),
  {
    log,
    clock: systemClock,
    keys: { release: () => Promise.reject(new Error("this bench opens no sealed model")) },
    availableBytes: () => process.availableMemory(),
    ...provisioning.limits,
  },
);
const app = createApp(models);
// 2. The same server, with the enclave's own settings for connections.
const server = createServer({ keepAliveTimeout: 60_000, noDelay: true }, (request, response) => {
  route(app, request, response).catch(() => response.destroy());
});
await transport.listen((connection) => {
  server.emit("connection", connection);
});
log("phase", { phase: "serving" });

async function route(
  served: App,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readBody(request);
  if (request.url !== "/gateway") {
    response.end(JSON.stringify({ phase: "serving" }));
    return;
  }
  const inner = new Request(`https://countersign${values.target}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  const answer = await served.fetch(inner, { exchange: { model: null, outcome: {} } });
  const content = Buffer.from(await answer.arrayBuffer());
  response.writeHead(answer.status, {
    "content-type": answer.headers.get("content-type") ?? "",
    "content-length": content.length,
  });
  response.end(content);
}

/** Listeners, not the stream's iterator: that one costs a small request more than its inference. */
function readBody(request: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    const pieces: Uint8Array[] = [];
    request.on("data", (piece: Uint8Array) => pieces.push(piece));
    request.on("end", () => {
      resolve(new Uint8Array(Buffer.concat(pieces)));
    });
    request.on("error", reject);
  });
}
