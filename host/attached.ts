/** An enclave that somebody else runs, a unit of systemd for example: we see when it serves, and when it ends. */
import type { EnclaveCommand } from "./enclave-command.ts";
import { EnclaveAccount } from "./enclave-log.ts";
import type { EnclaveExit, EnclaveProcess } from "./enclave-exit.ts";
import { answersServing } from "./status.ts";

/**
 * Waits for it, for as long as that takes. It may have served before we came.
 *
 * It has ended when it says so, when another one fetches its configuration, or when our caller finds that
 * it no longer answers and calls {@link EnclaveProcess.kill}.
 */
export function watchAttached({
  address,
  contact,
}: Extract<EnclaveCommand, { kind: "attached" }>): EnclaveProcess {
  const account = new EnclaveAccount();
  const over = new AbortController();
  const ended = Promise.withResolvers<EnclaveExit>();
  let isServing = false;
  const end = (detail: string): void => {
    if (over.signal.aborted) return;
    over.abort();
    stopListening();
    const { reason, model, memory } = account;
    ended.resolve({ code: null, signal: null, reason, model, memory, detail });
  };
  const stopListening = contact.listen({
    provisioned: () => {
      if (isServing) end("another enclave took its place");
    },
    line: (line) => {
      account.read(line);
      if (account.reason !== null) end("");
    },
  });
  const served = Promise.race([
    account.serving.then(() => true),
    answersServing(address, over.signal),
    ended.promise.then(() => false),
  ]);
  void served.then((serves) => {
    isServing = serves;
  });
  return {
    served,
    exited: ended.promise,
    kill: () => {
      end("it no longer answers");
    },
    stop: () => {
      end("we stopped watching it");
      return ended.promise;
    },
  };
}
