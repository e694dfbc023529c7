/**
 * A target with one fault, which the query of its URL names: what the fuzzer must find. The fault is
 * behind three bytes that guessing alone does not find.
 */
import { mutateBytes } from "../../fuzz/bytes.ts";
import { ACCEPTED, type Run, type Target } from "../../fuzz/target.ts";
import { opens } from "./lock.ts";

const fault = new URL(import.meta.url).searchParams.get("fault");
/** What the fault "leak" holds for ever. */
const held: Uint8Array[] = [];
let runs = 0;

export function makeTarget(): Promise<Target> {
  return Promise.resolve({
    name: "faulty",
    batch: 50,
    seeds: [{ bytes: new Uint8Array(3), stance: null, signed: [], genuine: true }],
    mutate: (random, parent, other) => {
      const bytes = mutateBytes(random, parent.bytes, other.bytes).slice(0, 4);
      return { bytes, stance: null, signed: [] };
    },
    run: ({ bytes }) => run(bytes),
  });
}

async function run(bytes: Uint8Array): Promise<Run> {
  runs++;
  if (fault === "refused") return { outcome: "word/refused", breach: null };
  if (!opens(bytes)) return { outcome: ACCEPTED, breach: null };
  switch (fault) {
    case "crash":
      throw new TypeError("a planted crash");
    case "hang":
      spin();
      break;
    case "silence":
      await new Promise(() => undefined);
      break;
    case "accept":
      return { outcome: ACCEPTED, breach: "a mutant was accepted" };
    case "heap":
      fill();
      break;
    case "buffers":
      return { outcome: `word/${new Uint8Array(80 << 20).length}`, breach: null };
    case "leak":
      for (let i = 0; i < 8; i++) held.push(new Uint8Array(1 << 20).fill(i));
      break;
    case "exit":
      process.exit(3);
    case null:
      break;
    default:
      throw new Error(`no fault ${fault}`);
  }
  return { outcome: "word/open", breach: null };
}

/** Never returns. */
function spin(): void {
  while (runs > 0) runs++;
}

/** 128 MiB of numbers, all of them alive at once. */
function fill(): number {
  const kept: number[][] = [];
  for (let i = 0; i < 128; i++) kept.push(Array.from({ length: 1 << 17 }, (_, at) => at + 0.5));
  return kept.length;
}
