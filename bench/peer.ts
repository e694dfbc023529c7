/** transformers.js on the same files, where it is installed (bench/transformers-js). */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Connection } from "@countersign/client";
import { type Child, startChild } from "./child.ts";
import type { Settings } from "./settings.ts";
import { prompt, SMOL_ID, type SmolModel } from "./smol.ts";
import { median, paired } from "./statistics.ts";
import { streamTogether } from "./streams.ts";
import { asRatio, bounded, type Findings, type Row } from "./table.ts";
import type { PeerAnswer, PeerRequest } from "./transformers-js/generate.ts";

const FOLDER = new URL("transformers-js/", import.meta.url);
const PROGRAM = fileURLToPath(new URL("generate.ts", FOLDER));
const PACKAGE = new URL("node_modules/@huggingface/transformers/package.json", FOLDER);
/** How transformers.js names the variants. */
const DTYPES = { fp32: "fp32", q8: "q8" } as const;
const BATCHES = [1, 4, 8];
const PROMPT_TOKENS = 16;

/** Tokens a second, ours ÷ theirs, at several batch sizes; both from the request to the last token. */
export async function measurePeer(
  model: SmolModel,
  connection: Connection,
  settings: Settings,
): Promise<Findings> {
  if (!existsSync(PACKAGE)) {
    const how = "`npm install --ignore-scripts` in bench/transformers-js/";
    return { rows: [], parts: [`transformers.js: not installed, not measured (${how}).`] };
  }
  const { weights, models } = model;
  const peer = await startChild<PeerRequest, PeerAnswer>(PROGRAM, [
    models,
    `${SMOL_ID}/1`,
    DTYPES[weights],
  ]);
  const rows: Row[] = [];
  const parts: string[] = [];
  try {
    for (const batch of BATCHES) {
      const { ours, theirs } = await takeTurns(connection, peer, batch, settings);
      const ratio = median(paired(ours, theirs, (a, b) => a / b));
      const what = `text, ${weights}: tokens a second, private ÷ transformers.js, batch ${batch}`;
      rows.push(bounded(what, ratio, "≥", 1, asRatio));
      const [own, other] = [ours, theirs].map((rates) => median(rates).toFixed(1));
      parts.push(`transformers.js, ${weights}, batch ${batch}: ${other} tokens/s, ours ${own}.`);
    }
  } finally {
    await peer.stop();
  }
  return { rows, parts };
}

async function takeTurns(
  connection: Connection,
  peer: Child<PeerRequest, PeerAnswer>,
  batch: number,
  { textRounds, textTokens }: Settings,
): Promise<{ readonly ours: readonly number[]; readonly theirs: readonly number[] }> {
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = -1; round < textRounds; round++) {
    const prompts = Array.from({ length: batch }, (_, i) =>
      prompt(PROMPT_TOKENS, 100 * (round + 1) + i),
    );
    const { totalMs, tokens } = await peer.ask({ prompts, count: textTokens });
    const rate = await streamTogether(connection, prompts, textTokens);
    // The first round warms up.
    if (round < 0) continue;
    theirs.push((1000 * tokens) / totalMs);
    ours.push(rate);
  }
  return { ours, theirs };
}
