/** Writes an export of every architecture into a folder, for oracle.py: `node write.ts DIR`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { decoderExport } from "./index.ts";
import { ORACLE_SPECS } from "./oracle-specs.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new TypeError("usage: write.ts DIR");
for (const [name, spec] of Object.entries(ORACLE_SPECS)) {
  for (const [path, bytes] of decoderExport(spec)) {
    const target = join(folder, name, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, bytes);
  }
}
