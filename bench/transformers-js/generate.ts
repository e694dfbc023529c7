/**
 * transformers.js around the same files, as a process of its own.
 *
 * `generate.ts MODELS NAME DTYPE`; its parent sends {@link PeerRequest}s one at a time.
 */

/** A prompt for each sequence, all of one length; as many tokens for each. */
export interface PeerRequest {
  readonly prompts: readonly (readonly number[])[];
  readonly count: number;
}

export interface PeerAnswer {
  /** Prompts and tokens, all of it. */
  readonly totalMs: number;
  readonly tokens: number;
}

/** What of the package is used here; it is installed only by who wants to compare. */
interface Package {
  readonly env: { localModelPath: string; allowRemoteModels: boolean };
  readonly AutoModelForCausalLM: {
    from_pretrained(
      name: string,
      options: object,
    ): Promise<{
      generate(options: object): Promise<{ readonly dims: readonly number[] }>;
    }>;
  };
  readonly Tensor: new (type: string, values: BigInt64Array, dims: readonly number[]) => object;
}

const PACKAGE = "@huggingface/transformers";

const [models = "", name = "", dtype = ""] = process.argv.slice(2);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a package without types here
const { env, AutoModelForCausalLM, Tensor } = (await import(PACKAGE)) as Package;
env.localModelPath = models;
env.allowRemoteModels = false;
const model = await AutoModelForCausalLM.from_pretrained(name, {
  dtype,
  device: "cpu",
  use_external_data_format: true,
});
process.on("message", (request: PeerRequest) => {
  void answer(request).then((result) => process.send?.(result));
});
process.send?.("ready");

async function answer({ prompts, count }: PeerRequest): Promise<PeerAnswer> {
  const dims = [prompts.length, prompts[0]?.length ?? 0];
  const ids = BigInt64Array.from(prompts.flat(), BigInt);
  const startMs = performance.now();
  const output = await model.generate({
    inputs: new Tensor("int64", ids, dims),
    attention_mask: new Tensor("int64", new BigInt64Array(ids.length).fill(1n), dims),
    do_sample: false,
    max_new_tokens: count,
    // Random weights end an answer at random.
    min_new_tokens: count,
  });
  const totalMs = performance.now() - startMs;
  const [rows = 0, length = 0] = output.dims;
  return { totalMs, tokens: rows * (length - (dims[1] ?? 0)) };
}
