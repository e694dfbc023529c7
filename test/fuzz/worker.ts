/** The process that runs the verifier; its supervisor forks it and sends it one {@link Job}. */
import { once } from "node:events";
import { Coverage } from "./coverage.ts";
import type { Job, Message } from "./job.ts";
import { Journal } from "./journal.ts";
import { Campaign } from "./loop.ts";
import type { TargetModule } from "./target.ts";

// A worker without its supervisor has no watchdog.
process.on("disconnect", () => process.exit());
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our supervisor's own words
const [job] = (await once(process, "message")) as [Job];
await work(job);
process.disconnect();

async function work(job: Job): Promise<void> {
  // Before the verifier is loaded: V8 counts blocks only of what it compiles from now on.
  const coverage = new Coverage(job.covered);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- supervisors name such modules only
  const { makeTarget } = (await import(job.module)) as TargetModule;
  const target = await makeTarget(job.seed);
  const journal = new Journal(job.journal);
  const campaign = new Campaign(target, job, {
    coverage,
    journal,
    listener: {
      finding: (finding) => void send({ kind: "finding", finding }),
      progress: (figures) => void send({ kind: "progress", figures }),
    },
  });
  const outcome = job.replay === null ? null : await campaign.replay(job.replay);
  const figures = job.replay === null ? await campaign.run() : campaign.figures();
  journal.close();
  await send({ kind: "done", figures, blocks: coverage.blocks(), outcome });
}

/** Resolves once the message is on its way. */
function send(message: Message): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, undefined, {}, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}
