/** The files of a small export. The graphs are no graphs: adding a model reads only what they name. */

const WEIGHTS_BYTES = 300_000;

/** A graph that names `locations` as files of its weights, as onnx.proto writes them. */
export function graphNaming(...locations: readonly string[]): Uint8Array {
  const entries = locations.map((location) => {
    const name = Buffer.from(location);
    return Buffer.concat([Buffer.from("\n\u0008location\u0012"), Buffer.of(name.length), name]);
  });
  return Buffer.concat([Buffer.of(8), Buffer.alloc(1499, 3), ...entries, Buffer.alloc(1500, 4)]);
}

/** Bytes that are not the same anywhere, so that a part in the wrong place shows. */
export function weights(seed: number): Uint8Array {
  const known = MADE.get(seed);
  if (known !== undefined) return known;
  let state = seed + 1;
  const made = new Uint8Array(WEIGHTS_BYTES);
  for (let i = 0; i < made.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    made[i] = state >>> 24;
  }
  MADE.set(seed, made);
  return made;
}

const MADE = new Map<number, Uint8Array>();

export function exportFiles(): Map<string, Uint8Array> {
  const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  return new Map<string, Uint8Array>([
    ["README.md", Buffer.from("# not a part of the model")],
    ["config.json", json({ model_type: "llama" })],
    ["generation_config.json", json({ temperature: 0.7 })],
    ["tokenizer.json", json({ model: { vocab: "x".repeat(2000) } })],
    ["tokenizer_config.json", json({ chat_template: "{{ messages }}" })],
    ["model.safetensors", weights(9)],
    ["onnx/model.onnx", graphNaming("model.onnx_data", "model.onnx_data_1")],
    ["onnx/model.onnx_data", weights(1)],
    ["onnx/model.onnx_data_1", weights(2)],
    ["onnx/model_q4.onnx", graphNaming()],
    ["onnx/model_quantized.onnx", graphNaming()],
  ]);
}

/** What of it belongs to the variant of full precision. */
export const FULL: readonly string[] = [
  "config.json",
  "generation_config.json",
  "onnx/model.onnx",
  "onnx/model.onnx_data",
  "onnx/model.onnx_data_1",
  "tokenizer.json",
  "tokenizer_config.json",
];
