import "./environment.ts";
import { parentPort } from "node:worker_threads";
import { env, InferenceSession, Tensor } from "onnxruntime-node";
import { type Datatype, DATATYPES, datatypeOf, numericView, type TensorInfo } from "./datatypes.ts";
import { DecoderHost } from "./generation/host.ts";
import type { FromWorker, ToWorker, WireTensor } from "./messages.ts";
import { loadRefusal } from "./refusal.ts";
import { sessionOptions } from "./session-options.ts";

// The inference worker: the only thread that loads ONNX Runtime, and the owner of every session.
// ONNX Runtime blocks it while a model runs; the main thread only ever waits for its messages.

/** All outputs of one run: they are copied, encoded and sealed, each time as large again. */
const MAX_OUTPUT_BYTES = 268_435_456;

interface Loaded {
  readonly session: InferenceSession;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
}

const port = requirePort();
const sessions: Loaded[] = [];
const decoders = new DecoderHost(answer);

// The binding reads a Float16Array as one of no bytes (microsoft/onnxruntime#32323); where there is no
// such class, FP16 is a Uint16Array throughout. ONNX Runtime looks when it makes its first tensor.
Reflect.deleteProperty(globalThis, "Float16Array");
env.logLevel = "fatal";
port.on("message", (message: ToWorker) => {
  // A rejection here is a bug of ours: unhandled, it ends the worker, and with it the engine.
  void receive(message);
});
answer({ kind: "ready", version: env.versions.node ?? "unknown" });

async function receive(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case "load":
      await load(message);
      return;
    case "run":
      await run(message);
      return;
    case "load-decoder":
      await decoders.load(message);
      return;
    case "generate":
      decoders.generate(message);
      return;
    case "stop":
      decoders.stop(message);
      return;
    default:
      message satisfies never;
  }
}

async function load(message: Extract<ToWorker, { kind: "load" }>): Promise<void> {
  const { id, files, intraOpThreads } = message;
  let session: InferenceSession;
  try {
    const options = sessionOptions(files.external, intraOpThreads);
    session = await InferenceSession.create(files.graph, options);
  } catch (error) {
    answer({ kind: "refused", id, ...loadRefusal(error) });
    return;
  }
  const inputs = tensorInfos(session.inputMetadata);
  const outputs = tensorInfos(session.outputMetadata);
  if (inputs === null || outputs === null) {
    await session.release();
    const words = "an input or output is not a tensor, or of an unknown type";
    answer({ kind: "refused", id, code: "model/unsupported", message: words, reason: null });
    return;
  }
  sessions.push({ session, inputs, outputs });
  answer({ kind: "loaded", id, session: sessions.length - 1, inputs, outputs });
}

async function run(message: Extract<ToWorker, { kind: "run" }>): Promise<void> {
  const { id, session: index, feeds, outputs } = message;
  const loaded = sessions[index];
  if (loaded === undefined) throw new TypeError(`no session ${index}`);
  let tensors: WireTensor[];
  try {
    const results = await loaded.session.run(
      toFeeds(loaded, feeds),
      outputs.map((output) => loaded.outputs[output]?.name ?? ""),
    );
    let bytes = 0;
    tensors = outputs.map((output) => {
      const info = loaded.outputs[output];
      const value = info === undefined ? undefined : results[info.name];
      if (info === undefined || value === undefined) throw new TypeError("output is missing");
      bytes += value.size * DATATYPES[info.datatype].bytes;
      if (bytes > MAX_OUTPUT_BYTES) throw new TypeError("outputs beyond what may be answered");
      return toWire(info.datatype, value);
    });
  } catch {
    // Not relayed: ONNX Runtime's messages may quote what is in a tensor.
    answer({ kind: "failed", id });
    return;
  }
  answer({ kind: "done", id, tensors });
}

function toFeeds(loaded: Loaded, feeds: readonly WireTensor[]): Record<string, Tensor> {
  // No prototype: a model may name an input "__proto__".
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.create returns any
  const named = Object.create(null) as Record<string, Tensor>;
  loaded.inputs.forEach((info, i) => {
    const feed = feeds[i];
    if (feed === undefined) throw new TypeError("feed is missing");
    named[info.name] = toTensor(info.datatype, feed);
  });
  return named;
}

function toTensor(datatype: Datatype, { shape, elements }: WireTensor): Tensor {
  if (datatype === "BYTES" && !(elements instanceof Uint8Array)) {
    return new Tensor("string", elements, shape);
  }
  if (datatype === "BYTES" || !(elements instanceof Uint8Array)) {
    throw new TypeError("feed of the wrong kind");
  }
  const view = numericView(datatype, elements);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- table and view agree by datatype
  return new Tensor(DATATYPES[datatype].onnx as "float32", view as Float32Array, shape);
}

/** Copies one output out of ONNX Runtime's memory, which cannot move to another thread. */
function toWire(datatype: Datatype, value: Tensor): WireTensor {
  if (value.type !== DATATYPES[datatype].onnx) throw new TypeError("output of another type");
  const shape = [...value.dims];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- typed `any` for each element type
  const data = value.data as readonly string[] | ArrayBufferView<ArrayBuffer>;
  if (!ArrayBuffer.isView(data)) return { shape, elements: [...data] };
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { shape, elements: new Uint8Array(bytes) };
}

function tensorInfos(metadata: readonly InferenceSession.ValueMetadata[]): TensorInfo[] | null {
  const infos: TensorInfo[] = [];
  for (const value of metadata) {
    const datatype = value.isTensor ? datatypeOf(value.type) : null;
    if (!value.isTensor || datatype === null) return null;
    const shape = value.shape.map((dimension) => (typeof dimension === "number" ? dimension : -1));
    infos.push({ name: value.name, datatype, shape });
  }
  return infos;
}

function answer(message: FromWorker): void {
  const moved: ArrayBuffer[] = [];
  if (message.kind === "done") {
    for (const { elements } of message.tensors) {
      if (elements instanceof Uint8Array) moved.push(elements.buffer);
    }
  }
  port.postMessage(message, moved);
}

function requirePort(): NonNullable<typeof parentPort> {
  if (parentPort === null) throw new TypeError("the inference worker runs as a worker thread only");
  return parentPort;
}
