/** What the enclave fetches from its host at boot. Nothing of it is trusted: see models/load.ts. */
import { parseProvisioning, type Provisioning } from "@countersign/protocol";
import type { Clock } from "./clock.ts";
import { EnclaveError } from "./errors.ts";
import { HostAnswer, wholeBody } from "./host-answer.ts";
import type { Transport } from "./transport.ts";

/** The profile of protocol/provisioning.ts takes no more. */
const MAX_PROVISIONING_BYTES = 16_777_216;
/** Between two attempts to reach a host that is not there yet. */
const RETRY_MS = 500;

/** The face of the host during boot. */
export interface Provisioner {
  /** @throws EnclaveError `provision/…`, ProtocolError `provisioning/…`. */
  fetchProvisioning(): Promise<Provisioning>;
  /**
   * Streams one file of a model, as it lies at the host: of a sealed version, sealed. The host may
   * send anything.
   *
   * @param size - of what is sent; what the host may take for it depends on that.
   * @throws EnclaveError `provision/…`.
   */
  fetchModelFile(
    id: string,
    version: string,
    path: string,
    size: number,
  ): AsyncIterable<Uint8Array>;
}

export interface ProvisionerOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** A host that nobody answers for is tried again for this long: it may start after the enclave. */
  readonly patienceMs: number;
}

export function provisioner(options: ProvisionerOptions): Provisioner {
  const { transport, clock } = options;
  const get = (path: string, size: number): HostAnswer =>
    new HostAnswer(transport, clock, path, size);
  return {
    async fetchProvisioning() {
      const answer = await reached(() => get("/provisioning", MAX_PROVISIONING_BYTES), options);
      return parseProvisioning(
        await wholeBody(answer.body(), MAX_PROVISIONING_BYTES, "provision/too-large"),
      );
    },
    fetchModelFile(id, version, path, size) {
      const segments = ["models", id, version, ...path.split("/")];
      return get(`/${segments.map(encodeURIComponent).join("/")}`, size).body();
    },
  };
}

/** The first answer that has a head: before that, nobody may be there yet. */
async function reached(ask: () => HostAnswer, options: ProvisionerOptions): Promise<HostAnswer> {
  const { clock, patienceMs } = options;
  const lastMs = clock.monotonicMs() + patienceMs;
  for (;;) {
    const answer = ask();
    try {
      await answer.head;
      return answer;
    } catch (error) {
      const absent = error instanceof EnclaveError && error.code === "provision/unreachable";
      if (!absent || clock.monotonicMs() + RETRY_MS > lastMs) throw error;
    }
    await new Promise<void>((resolve) => {
      clock.after(RETRY_MS, resolve);
    });
  }
}
