import { defineConfig } from "vitest/config";

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // Node strips types with a WebAssembly module, one instance a thread. What V8 compiles for its calls
    // back into JavaScript all threads of a process share; when the last thread that uses it has ended,
    // V8's collector of such code takes it, and V8 13.6 may hand it out once more meanwhile, and free it
    // twice (nodejs/node#66366, mended in V8's 9b8ca54d5a: a SIGSEGV in FreeDeadCode, or "Check failed:
    // jit_page.has_value()"). Tests start and end inference threads by the hundred in a process whose
    // main thread strips nothing: without the collector, nothing is freed. An enclave is safe as it is:
    // its own main thread has an instance for life, and its inference thread ends only when it does.
    execArgv: ["--no-wasm-code-gc"],
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ["default"],
  },
});
