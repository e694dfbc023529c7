import { EnclaveError } from "../../errors.ts";
import type { FromWorker, ToWorker } from "../messages.ts";
import { loadRefusal } from "../refusal.ts";
import { type LoadedDecoder, loadDecoder } from "./load-decoder.ts";
import { CachePool } from "./pool.ts";
import { Scheduler } from "./scheduler.ts";

type Message<Kind extends ToWorker["kind"]> = Extract<ToWorker, { readonly kind: Kind }>;

/** The worker's decoders: loads them, and passes requests on to their one scheduler. */
export class DecoderHost {
  readonly #answer: (message: FromWorker) => void;
  readonly #decoders: LoadedDecoder[] = [];
  #shared: { readonly pool: CachePool; readonly scheduler: Scheduler } | null = null;

  constructor(answer: (message: FromWorker) => void) {
    this.#answer = answer;
  }

  async load({ id, files, config, limits }: Message<"load-decoder">): Promise<void> {
    this.#shared ??= this.#share(limits.cacheBytes);
    const { pool, scheduler } = this.#shared;
    let loaded: LoadedDecoder;
    try {
      loaded = await loadDecoder(files, config, pool, limits);
    } catch (error) {
      this.#answer({ kind: "refused", id, ...loadRefusal(error) });
      return;
    }
    scheduler.addDecoder(loaded);
    this.#decoders.push(loaded);
    const decoder = this.#decoders.length - 1;
    this.#answer({ kind: "decoder-loaded", id, decoder, plan: loaded.plan });
  }

  generate({ id, decoder: index, request }: Message<"generate">): void {
    const decoder = this.#decoders[index];
    if (decoder === undefined || this.#shared === null) throw new TypeError(`no decoder ${index}`);
    try {
      this.#shared.scheduler.add(id, decoder, request);
    } catch (error) {
      // Nothing was added, so whatever it is concerns this request alone.
      const schema = error instanceof EnclaveError && error.code === "constraint/schema";
      this.#answer({ kind: "declined", id, code: schema ? error.code : "inference/failed" });
      return;
    }
    this.#answer({ kind: "accepted", id });
  }

  stop({ id, choice }: Message<"stop">): void {
    this.#shared?.scheduler.stop(id, choice);
  }

  #share(cacheBytes: number): { readonly pool: CachePool; readonly scheduler: Scheduler } {
    const pool = new CachePool(cacheBytes);
    const scheduler = new Scheduler(pool, (outcomes) => {
      this.#answer({ kind: "outcomes", outcomes });
    });
    return { pool, scheduler };
  }
}
