/** What adding a model needs from outside, in a test: no waiting, and everything that is said kept. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type AddedModel, addModel } from "../../../client/cli/add/adding.ts";
import { NO_PROGRESS } from "../../../client/cli/add/progress.ts";
import { modelName, parseSource } from "../../../client/cli/add/source.ts";
import type { Surroundings } from "../../../client/cli/add/surroundings.ts";

export interface World {
  readonly around: Surroundings;
  readonly repository: string;
  readonly waits: number[];
  readonly notes: string[];
  readonly interrupt: AbortController;
  add(source: string, options?: AddOptions): Promise<AddedModel>;
}

export interface AddOptions {
  readonly variant?: string;
  readonly as?: string;
}

/** A repository of its own, and a hub at `endpoint`. */
export async function createWorld(
  endpoint: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<World> {
  const repository = await mkdtemp(join(tmpdir(), "countersign-add-"));
  const waits: number[] = [];
  const notes: string[] = [];
  const interrupt = new AbortController();
  const around: Surroundings = {
    fetch: async (url, init) => await fetch(url, init),
    sleep: async (ms) => {
      waits.push(ms);
      await Promise.resolve();
    },
    random: () => 1,
    nowMs: Date.now,
    stallMs: 1000,
    environment: { HF_ENDPOINT: endpoint, ...environment },
    signal: interrupt.signal,
    progress: NO_PROGRESS,
    note: (line) => notes.push(line),
  };
  return {
    around,
    repository,
    waits,
    notes,
    interrupt,
    async add(text, options = {}) {
      const source = parseSource(text);
      return await addModel(around, {
        source,
        variant: options.variant ?? null,
        id: modelName(source, options.as ?? null),
        repository,
        agree: async () => await Promise.resolve(true),
      });
    },
  };
}
