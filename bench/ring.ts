/** How much of an enclave's CPU time goes into encryption and receipts. */
import { type ProfiledFunction, profile } from "./inspector.ts";
import { cpuOf, cpuOfThreads } from "./processes.ts";

/** What encrypts, commits and signs: the ring around the app, and all that it is made of. */
const RING = /\/(?:attestation|protocol)\/|\/enclave\/[^/]+\.ts$|^node:.*crypto/u;
/** How the enclave's inference thread is named, and ONNX Runtime's that it starts. */
const INFERENCE_THREAD = "inference";
/** Where WebCrypto works. */
const POOL_THREAD = "libuv-worker";

/** Shares of the enclave's CPU time, 0 to 1. */
export interface Shares {
  /** Encryption, commitments, signatures, and the ring's own code. */
  readonly ring: number;
  /** Every thread but inference's: the ring, HTTP, the API, the compiler, the collector. */
  readonly others: number;
}

/** @param pid - of the enclave. */
export async function sharesOf(pid: number, work: () => Promise<void>): Promise<Shares> {
  const look = (): Promise<readonly number[]> =>
    Promise.all([cpuOf(pid), cpuOfThreads(pid, INFERENCE_THREAD), cpuOfThreads(pid, POOL_THREAD)]);
  const before = await look();
  let after = before;
  const functions = await profile(pid, async () => {
    await work();
    after = await look();
  });
  const [all = 0, inference = 0, pool = 0] = after.map((value, i) => value - (before[i] ?? 0));
  return { ring: (ringUs(functions) / 1e6 + pool) / all, others: (all - inference) / all };
}

/** Native code and Node's own modules work for whoever called them, if that is one of our files. */
function ringUs(functions: ReadonlyMap<number, ProfiledFunction>): number {
  let sumUs = 0;
  const visit = (id: number, caller: string): void => {
    const found = functions.get(id);
    if (found === undefined) return;
    const owner = found.url.startsWith("file:") || RING.test(found.url) ? found.url : caller;
    if (RING.test(owner)) sumUs += found.selfUs;
    for (const child of found.children) visit(child, owner);
  };
  const inner = new Set([...functions.values()].flatMap(({ children }) => children));
  for (const id of functions.keys()) if (!inner.has(id)) visit(id, "");
  return sumUs;
}
