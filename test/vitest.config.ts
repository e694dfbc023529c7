import { defineConfig } from "vitest/config";

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // Tests start and end inference threads by the hundred, and V8's registry of code pages loses one in a
    // great many where the processor has protection keys ("Check failed: jit_page.has_value()", known in
    // Node 18 to 24). An enclave starts one such thread in its life, and keeps the protection.
    execArgv: ["--no-memory-protection-keys"],
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ["default"],
  },
});
