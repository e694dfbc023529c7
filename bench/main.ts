// Prints what Countersign costs, as ratios of two things run side by side. Run by `npm run bench`.
import { measureBundles } from "./bundle.ts";
import { measureEvidence } from "./evidence.ts";
import { describeLoad, describeMachine } from "./machine.ts";
import { measureMemory } from "./memory.ts";
import { measureReceipts } from "./receipt.ts";
import { measureSealed } from "./sealed.ts";
import { parseSettings, type Section, type Settings, USAGE } from "./settings.ts";
import { measureSpeed } from "./speed.ts";
import { type Findings, renderTable } from "./table.ts";
import { measureText } from "./text.ts";

const MEASURES: Readonly<Record<Section, (settings: Settings) => Promise<Findings>>> = {
  speed: measureSpeed,
  evidence: measureEvidence,
  receipt: measureReceipts,
  memory: measureMemory,
  bundle: measureBundles,
  text: measureText,
  sealed: measureSealed,
};

process.exitCode = await main(process.argv.slice(2));

/** A figure over its bound is a finding, not a failure: the exit code says whether all was measured. */
async function main(argv: readonly string[]): Promise<number> {
  let settings: Settings | null;
  try {
    settings = parseSettings(argv);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
  if (settings === null) process.stdout.write(USAGE);
  else await bench(settings);
  return 0;
}

/** Progress goes to standard error: what is on standard output is the report. */
async function bench(wanted: Settings): Promise<void> {
  const about = `${describeMachine()}; ${describeLoad()}.`;
  const all: Findings[] = [];
  for (const section of wanted.sections) {
    process.stderr.write(`${section} …\n`);
    all.push(await MEASURES[section](wanted));
  }
  const parts = all.flatMap((findings) => findings.parts);
  process.stdout.write(`${about}\n\n${renderTable(all.flatMap(({ rows }) => rows))}\n`);
  process.stdout.write(parts.map((part) => `- ${part}\n`).join(""));
}
