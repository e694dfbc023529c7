/**
 * The suite over AF_VSOCK loopback: `node test/conformance/guest.ts`, in a guest or wherever the kernel has
 * `vsock_loopback`. No test framework, and of packages koffi only.
 *
 * Prints a line a case and `N passed, M failed`; exit code 1 where one failed or nothing could be tried.
 */
import { pipeStreamsWork } from "../../vsock/choice.ts";
import {
  CID_HOST,
  CID_LOCAL,
  connectVsock,
  listenVsock,
  vsockAvailable,
} from "../../vsock/index.ts";
import { vsockStreamSubject, vsockSubject } from "./subjects.ts";
import { runCase, type Subject } from "./subject.ts";
import { CASES } from "./suite.ts";

const PORT = 5_998;

async function main(): Promise<void> {
  if (!vsockAvailable()) {
    console.log("no AF_VSOCK on this machine");
    process.exitCode = 1;
    return;
  }
  // The transport takes the streams that the trial has chosen: the others have a run of their own.
  const pipeWorks = await pipeStreamsWork();
  console.log(`libuv's pipe ${pipeWorks ? "carries" : "does not carry"} vsock streams here`);
  const other = pipeWorks ? "fallback" : "pipe";
  const subjects: readonly (readonly [string, Subject])[] = [
    ["vsock transport", vsockSubject()],
    [`vsock ${other}`, vsockStreamSubject(other)],
  ];
  let [passed, failed] = [0, 0];
  for (const [what, subject] of subjects) {
    for (const each of CASES) {
      const startedMs = performance.now();
      try {
        await runCase(each, subject);
        passed++;
        console.log(
          `ok   ${what}: ${each.name} (${(performance.now() - startedMs).toFixed(0)} ms)`,
        );
      } catch (error) {
        failed++;
        console.log(`FAIL ${what}: ${each.name}: ${String(error)}`);
      }
    }
  }
  for (const [admitted, wanted] of [
    [CID_LOCAL, true],
    [CID_HOST, false],
  ] as const) {
    const took = await takesFrom(admitted);
    if (took === wanted) passed++;
    else failed++;
    const verdict = took === wanted ? "ok  " : "FAIL";
    console.log(
      `${verdict} vsock: a listener for context id ${admitted} alone, asked by ${CID_LOCAL}`,
    );
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/** Whether a listener for `onlyFrom` takes a connection from this machine itself. */
async function takesFrom(onlyFrom: number): Promise<boolean> {
  const listener = await listenVsock(PORT, (connection) => connection.end("taken"), { onlyFrom });
  const connection = connectVsock({ cid: CID_LOCAL, port: PORT });
  connection.on("error", () => undefined);
  let found = "";
  connection.on("data", (bytes: Buffer) => {
    found += bytes.toString("latin1");
  });
  await new Promise((resolve) => connection.once("close", resolve));
  await listener.close();
  return found === "taken";
}

await main();
