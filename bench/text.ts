/** Text through the whole private path beside a bare loop around the same model. */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { Connection } from "@countersign/client";
import type { BareAnswer, BareRequest } from "./bare-decoder.ts";
import { type Child, startChild } from "./child.ts";
import { connectTo, type SecureNode, startSecureNode } from "./nodes.ts";
import { measurePeer } from "./peer.ts";
import { childOf } from "./processes.ts";
import { sharesOf } from "./ring.ts";
import type { Settings } from "./settings.ts";
import { prompt, type SmolModel, writeSmol } from "./smol.ts";
import { soak } from "./soak.ts";
import { median, paired, quantile } from "./statistics.ts";
import { streamCompletion, streamTogether } from "./streams.ts";
import { asMs, asPercent, asRatio, bounded, type Findings, reported } from "./table.ts";

const BARE_PROGRAM = fileURLToPath(new URL("bare-decoder.ts", import.meta.url));
const MIN_DECODE_RATIO = 0.95;
const MIN_BATCH_RATIO = 2.3;
const MAX_FIRST_ADDED_MS = 15;
const MAX_RING_SHARE = 0.03;
/** Streams at a time: as many as the enclave runs at once. */
const STREAMS = 8;
/** A short prompt, so that what is timed is decoding; and one that takes its time. */
const SHORT_PROMPT = 16;
const LONG_PROMPT = 256;
/** A node with the model, a client of it, and the bare loop on the same files. */
interface Bench {
  readonly node: SecureNode;
  readonly connection: Connection;
  readonly bare: Child<BareRequest, BareAnswer>;
}

export async function measureText(settings: Settings): Promise<Findings> {
  const all: Findings[] = [];
  for (const weights of ["fp32", "q8"] as const) {
    process.stderr.write(`text: a model of SmolLM2-135M's shape, ${weights} …\n`);
    const model = await writeSmol(weights);
    try {
      all.push(await measureModel(model, settings));
    } finally {
      await model.remove();
    }
  }
  return {
    rows: all.flatMap(({ rows }) => rows),
    parts: all.flatMap(({ parts }) => parts),
  };
}

async function measureModel(model: SmolModel, settings: Settings): Promise<Findings> {
  const node = await startSecureNode(model.models);
  try {
    const connection = await connectTo(node);
    const words = [model.graph, model.external, String(availableParallelism())];
    const bare = await startChild<BareRequest, BareAnswer>(BARE_PROGRAM, words);
    const findings: Findings[] = [];
    try {
      const bench = { node, connection, bare };
      findings.push(await measureDecoding(model, bench, settings));
      findings.push(await measureFirstToken(model, bench, settings));
    } finally {
      // From here on the node has the machine for itself.
      await bare.stop();
    }
    findings.push(await measureBatch(model, connection, settings));
    findings.push(await measureRing(model, { node, connection }, settings));
    findings.push(await measurePeer(model, connection, settings));
    if (model.weights === "q8" && settings.soakMinutes > 0) {
      findings.push(await soak(node, connection, STREAMS, settings.soakMinutes));
    }
    return {
      rows: findings.flatMap(({ rows }) => rows),
      parts: findings.flatMap(({ parts }) => parts),
    };
  } finally {
    await node.stop();
  }
}

/** Time of one token after the first, bare ÷ private. */
async function measureDecoding(
  { weights }: SmolModel,
  { connection, bare }: Bench,
  { textRounds, textTokens }: Settings,
): Promise<Findings> {
  const [bareMs, privateMs]: [number[], number[]] = [[], []];
  for (let round = -1; round < textRounds; round++) {
    const words = prompt(SHORT_PROMPT, round + 1);
    const { decodeMs } = await bare.ask({ prompt: words, count: textTokens });
    const { restMs } = await streamCompletion(connection, words, textTokens);
    // The first round warms up.
    if (round < 0) continue;
    bareMs.push(decodeMs / (textTokens - 1));
    privateMs.push(restMs / (textTokens - 1));
  }
  const ratios = paired(bareMs, privateMs, (a, b) => a / b);
  const what = `text, ${weights}: tokens a second, private ÷ bare ONNX Runtime, 1 stream`;
  return {
    rows: [bounded(what, median(ratios), "≥", MIN_DECODE_RATIO, asRatio)],
    parts: [
      `Text, ${weights}, 1 stream: a token in ${asMs(median(privateMs))}, bare ` +
        `${asMs(median(bareMs))}; the middle half of the ratios lies between ` +
        `${asRatio(quantile(ratios, 0.25))} and ${asRatio(quantile(ratios, 0.75))}, of ` +
        `${textRounds} rounds of ${textTokens} tokens.`,
    ],
  };
}

/** Until the first text is with the client, less what the bare loop takes for the same prompt. */
async function measureFirstToken(
  { weights }: SmolModel,
  { connection, bare }: Bench,
  { textRounds }: Settings,
): Promise<Findings> {
  const [bareMs, privateMs]: [number[], number[]] = [[], []];
  for (let round = -1; round < textRounds; round++) {
    const words = prompt(LONG_PROMPT, round + 1);
    const { prefillMs } = await bare.ask({ prompt: words, count: 1 });
    const { firstMs } = await streamCompletion(connection, words, 2);
    if (round < 0) continue;
    bareMs.push(prefillMs);
    privateMs.push(firstMs);
  }
  const added = median(paired(privateMs, bareMs, (a, b) => a - b));
  const what = `text, ${weights}: time to the first token over bare prefill, ${LONG_PROMPT} tokens`;
  return {
    rows: [bounded(what, added, "≤", MAX_FIRST_ADDED_MS, asMs)],
    parts: [
      `Text, ${weights}: first token of a prompt of ${LONG_PROMPT} tokens after ` +
        `${asMs(median(privateMs))}, bare ${asMs(median(bareMs))}.`,
    ],
  };
}

/** Tokens a second of many streams together, to those of one. */
async function measureBatch(
  { weights }: SmolModel,
  connection: Connection,
  { textRounds, textTokens }: Settings,
): Promise<Findings> {
  const [one, many]: [number[], number[]] = [[], []];
  for (let round = -1; round < textRounds; round++) {
    const single = await streamTogether(connection, prompts(1, round), textTokens);
    const together = await streamTogether(connection, prompts(STREAMS, round), textTokens);
    if (round < 0) continue;
    one.push(single);
    many.push(together);
  }
  const ratio = median(paired(many, one, (a, b) => a / b));
  const what = `text, ${weights}: tokens a second, ${STREAMS} streams ÷ 1`;
  return {
    rows: [
      weights === "q8"
        ? bounded(what, ratio, "≥", MIN_BATCH_RATIO, asRatio)
        : reported(what, asRatio(ratio)),
    ],
    parts: [
      `Text, ${weights}: ${median(one).toFixed(1)} tokens/s in 1 stream, ` +
        `${median(many).toFixed(1)} in ${STREAMS} together, from the first request to the last ` +
        `verified receipt.`,
    ],
  };
}

/** Of the enclave's CPU time while it streams, that of encryption and receipts. */
async function measureRing(
  { weights }: SmolModel,
  { node, connection }: Pick<Bench, "node" | "connection">,
  { textRounds, textTokens }: Settings,
): Promise<Findings> {
  const enclave = await childOf(node.pid);
  const found: Findings[] = [];
  for (const streams of [1, STREAMS]) {
    const { ring, others } = await sharesOf(enclave, async () => {
      for (let round = 0; round < textRounds; round++) {
        await streamTogether(connection, prompts(streams, round), textTokens);
      }
    });
    const what = `text, ${weights}: CPU for encryption and receipts, streams: ${streams}`;
    found.push({
      rows: [bounded(what, ring, "<", MAX_RING_SHARE, asPercent)],
      parts: [
        `Text, ${weights}, streams: ${streams}: of the enclave's CPU time ${asPercent(ring)} went into ` +
          `encryption and receipts, ${asPercent(others)} into all threads beside inference.`,
      ],
    });
  }
  return { rows: found.flatMap(({ rows }) => rows), parts: found.flatMap(({ parts }) => parts) };
}

/** As many short prompts as there are streams, other ones in every round. */
function prompts(streams: number, round: number): number[][] {
  return Array.from({ length: streams }, (_, i) => prompt(SHORT_PROMPT, 100 * (round + 1) + i));
}
