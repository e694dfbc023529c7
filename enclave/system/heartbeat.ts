import { CID_PARENT, connectVsock } from "@countersign/vsock";
import type { Duplex } from "node:stream";
import { EnclaveError } from "../errors.ts";

/** AWS: `nitro-cli run-enclave` waits at this port for an enclave that has booted. */
const HEARTBEAT_PORT = 9000;
const HEARTBEAT_BYTE = 0xb7;
const TIMEOUT_MS = 10_000;

/**
 * Tells the parent that the enclave has booted, as AWS's own init does: a byte, which comes back.
 *
 * @throws EnclaveError `boot/heartbeat`.
 */
export async function sendHeartbeat(
  connect: () => Duplex = () => connectVsock({ cid: CID_PARENT, port: HEARTBEAT_PORT }),
  timeoutMs: number = TIMEOUT_MS,
): Promise<void> {
  const connection = connect();
  const timer = setTimeout(() => {
    connection.destroy(new Error(`no heartbeat within ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    connection.write(Uint8Array.of(HEARTBEAT_BYTE));
    const answer = await firstByte(connection);
    if (answer !== HEARTBEAT_BYTE) throw new Error(`the parent answered ${answer ?? "nothing"}`);
  } catch (cause) {
    throw new EnclaveError("boot/heartbeat", "the parent does not hear us", { cause });
  } finally {
    clearTimeout(timer);
    connection.destroy();
  }
}

async function firstByte(connection: AsyncIterable<Uint8Array>): Promise<number | undefined> {
  for await (const piece of connection) return piece[0];
  return undefined;
}
