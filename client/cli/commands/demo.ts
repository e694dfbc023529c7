import type { Call, Command } from "../command.ts";
import { ATTACKS, type Attack, type AttackResult } from "../demo/attacks.ts";
import { openLab } from "../demo/lab.ts";
import { EXIT } from "../exit.ts";
import { abridge } from "../rendering.ts";
import { jsonLine, printable, type Terminal } from "../terminal.ts";

export const demoTamperCommand: Command = {
  name: "demo tamper",
  summary: "watch a host lie in seven ways, and what catches each",
  synopsis: "",
  details: `Starts real nodes in simulated TEEs, on free ports and with a state of their own, and puts a real
malicious relay between them and a real client. Each attack is carried out, not pretended.
Exit code 0: all were caught.`,
  options: [],
  operands: [0, 0, ""],
  run,
};

async function run({ terminal, json, quiet }: Call): Promise<number> {
  const { paint } = terminal;
  if (!json && !quiet) {
    terminal.print("Starting nodes in simulated TEEs, and a relay that lies …\n");
  }
  const lab = await openLab((line) => {
    terminal.note(printable(line));
  });
  let caught = 0;
  try {
    for (const attack of ATTACKS) {
      const result = await attack.mount(lab);
      if (result.caught) caught += 1;
      report(terminal, attack, result, json);
    }
  } finally {
    await lab.close();
  }
  const all = caught === ATTACKS.length;
  if (!json && !quiet) {
    const count = `${caught} of ${ATTACKS.length} attacks caught`;
    const text = all ? paint.good(count) : paint.bad(`${count}; this is a bug: please report it`);
    terminal.print(`\n${text}`);
  }
  return all ? EXIT.ok : EXIT.rejected;
}

function report(terminal: Terminal, attack: Attack, result: AttackResult, json: boolean): void {
  const { name, did } = attack;
  const { caught, by, found } = result;
  if (json) {
    terminal.print(jsonLine({ attack: name, did, caught, by, found }));
    return;
  }
  const { paint } = terminal;
  const mark = caught ? paint.good("✓") : paint.bad("✗");
  const who = caught ? `caught by ${paint.bold(by)}` : paint.bad("not caught");
  terminal.print(`  ${mark} The host ${did}: ${who} ${paint.dim(`(${abridge(found)})`)}`);
}
