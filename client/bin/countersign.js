#!/usr/bin/env node
/* oxlint-disable typescript/no-unsafe-argument, typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return, typescript/strict-boolean-expressions, typescript/explicit-function-return-type -- plain JavaScript, which no project types */
// Finds the right runtime, then runs the command line. Countersign runs on Node 24, which an optional
// package of this repository pins; an older Node only gets as far as this file. Plain JavaScript.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const REQUIRED_MAJOR = 24;
const EXIT_COULD_NOT_RUN = 2;

if (Number.parseInt(process.versions.node, 10) >= REQUIRED_MAJOR) {
  const { main } = await import("../cli/main.ts");
  process.exitCode = await main(process.argv.slice(2));
} else {
  runPinned();
}

/** Runs this file again with the pinned runtime, and ends as it ends. */
function runPinned() {
  const runtime = pinnedRuntime();
  if (runtime === null) {
    process.stderr.write(
      `countersign: this is Node ${process.versions.node}; Countersign needs Node ${REQUIRED_MAJOR} or newer.\n` +
        `  fix: run "npm ci" (it brings Node ${REQUIRED_MAJOR} for Linux on x64 and arm64), or install it from https://nodejs.org\n`,
    );
    process.exitCode = EXIT_COULD_NOT_RUN;
    return;
  }
  const self = fileURLToPath(import.meta.url);
  const child = spawn(runtime, [self, ...process.argv.slice(2)], { stdio: "inherit" });
  // The child decides what a signal means; it takes a signal that comes twice for one.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal));
  }
  child.on("error", (error) => {
    process.stderr.write(`countersign: cannot start ${runtime}: ${error.message}\n`);
    process.exitCode = EXIT_COULD_NOT_RUN;
  });
  child.on("exit", (code, signal) => {
    process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
  });
}

/** The path of the pinned runtime for this machine, or null where there is none. */
function pinnedRuntime() {
  if (process.platform !== "linux") return null;
  try {
    const manifest = `node-linux-${process.arch}/package.json`;
    return join(dirname(createRequire(import.meta.url).resolve(manifest)), "bin", "node");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "MODULE_NOT_FOUND") return null;
    throw error;
  }
}
