import { defineConfig } from "vitest/config";

/** A machine takes a core and more, and a gigabyte: two at a time. */
// oxlint-disable-next-line import/no-default-export -- vitest reads the default export
export default defineConfig(({ mode }) => ({
  root: new URL("../..", import.meta.url).pathname,
  test: {
    include: [mode === "eif" ? "test/emulation/*.eif.ts" : "test/emulation/*.emulation.ts"],
    globalSetup: [mode === "eif" ? "test/emulation/set-up-eif.ts" : "test/emulation/set-up.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ["verbose"],
  },
}));
