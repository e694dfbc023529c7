import { readFileSync } from "node:fs";

import type { Call, Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { jsonLine } from "../terminal.ts";

export const versionCommand: Command = {
  name: "version",
  summary: "print the version",
  synopsis: "",
  details: "",
  options: [],
  operands: [0, 0, ""],
  run,
};

// oxlint-disable-next-line typescript/require-await -- commands are asynchronous
async function run({ terminal, json }: Call): Promise<number> {
  const version = packageVersion();
  const node = process.versions.node;
  terminal.print(json ? jsonLine({ version, node }) : `countersign ${version}, Node ${node}`);
  return EXIT.ok;
}

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || !("version" in value)) return "unknown";
  return String(value.version);
}
