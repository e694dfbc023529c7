/** The host's own program with --tee nitro, around a fake enclave that its runner has. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BUNDLE_PATH, GATEWAY_PATH, MEDIA_REQUEST } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { startFakeEnclave, tell } from "../../fakes/fake-enclave.ts";
import type { RunnerPlan, RunnerTemper } from "../../fakes/fake-runner.ts";
import { launch, MAIN, models, startNode } from "./launch.ts";
import { onTestEnd, open, scratch, send, until } from "./support.ts";

const FAKE_RUNNER = fileURLToPath(new URL("../../fakes/fake-runner.ts", import.meta.url));
const COMMAND_LINE = fileURLToPath(new URL("../../../client/bin/countersign.js", import.meta.url));
const SEALED = { method: "POST", headers: { "content-type": MEDIA_REQUEST }, body: "sealed" };

interface Setting {
  readonly plan: RunnerPlan;
  readonly argv: readonly string[];
}

function setting(temper: RunnerTemper): Setting {
  const directory = scratch();
  const at = (name: string): string => join(directory, name);
  const [monitor, inner, services] = [at("vm"), at("e"), at("vm_7000")];
  const plan = { monitor, inner, services, temper, pids: at("pids"), words: at("words") };
  writeFileSync(at("node.eif"), JSON.stringify(plan));
  const sockets = ["--enclave", `vsock-uds:${monitor}:5000`, "--services", `unix:${services}`];
  const words = ["--tee", "nitro", "--image", at("node.eif"), "--runner", FAKE_RUNNER];
  return { plan, argv: [...words, ...sockets] };
}

function isRunning({ pids }: RunnerPlan): boolean {
  return existsSync(`/proc/${readFileSync(pids, "utf8").trim()}`);
}

describe("a node with an enclave of hardware", () => {
  it("relays to it, and leaves nothing after SIGINT", async () => {
    const { plan, argv } = setting("good");
    const node = await startNode(argv, { program: MAIN });
    expect((await send(`${node.url}/readyz`)).status).toBe(200);
    for (let i = 0; i < 3; i++) {
      expect((await send(node.url + GATEWAY_PATH, SEALED)).body.toString()).toBe("sealed");
    }
    expect((await send(node.url + BUNDLE_PATH)).body).toHaveLength(2000);
    const words: unknown = JSON.parse(readFileSync(plan.words, "utf8"));
    expect(words).toEqual(expect.arrayContaining(["--cpus", "2", "--memory", "2048"]));
    node.child.kill("SIGINT");
    expect(await node.exit).toBe(0);
    expect([isRunning(plan), existsSync(plan.services)]).toEqual([false, false]);
    expect(readdirSync(node.state)).toEqual([]);
    const exited = node.events().find(({ event }) => event === "enclave-exited");
    expect(exited).toMatchObject({ code: 0, reason: "SIGTERM" });
  });

  it.each(["SIGKILL", "a second SIGINT"])("takes its enclave along, by %s", async (end) => {
    const { plan, argv } = setting("good");
    const node = await startNode(argv, { program: MAIN });
    if (end === "SIGKILL") {
      node.child.kill("SIGKILL");
    } else {
      // An answer that does not come keeps the first one waiting.
      await tell(plan.inner, "/test/temper", "hold");
      const sent = open(node.url + GATEWAY_PATH, SEALED).on("error", () => undefined);
      sent.end(SEALED.body);
      await until("it is relayed", async () =>
        (await send(`${node.url}/metrics`)).body
          .toString()
          .includes("countersign_requests_in_flight 1\n"),
      );
      node.child.kill("SIGINT");
      await until("it stops", () => node.events().some(({ event }) => event === "stopping"));
      node.child.kill("SIGINT");
    }
    expect(await node.exit).toBe(end === "SIGKILL" ? "SIGKILL" : 1);
    await until("the runner is gone", () => !isRunning(plan));
  });

  it("starts where another one was killed", async () => {
    const { plan, argv } = setting("good");
    const killed = await startNode(argv, { program: MAIN });
    killed.child.kill("SIGKILL");
    await killed.exit;
    await until("the runner is gone", () => !isRunning(plan));
    const node = await startNode(argv, { program: MAIN });
    expect((await send(node.url + GATEWAY_PATH, SEALED)).body.toString()).toBe("sealed");
  });

  it("attaches to one that runs, and leaves it running", async () => {
    const directory = scratch();
    const inner = join(directory, "e");
    const enclave = await startFakeEnclave(inner);
    onTestEnd(() => enclave.close());
    const argv = ["--tee", "nitro", "--attach", "--enclave", `unix:${inner}`];
    const services = ["--services", `unix:${join(directory, "s")}`];
    const node = await startNode([...argv, ...services], { program: MAIN });
    expect((await send(node.url + GATEWAY_PATH, SEALED)).body.toString()).toBe("sealed");
    node.child.kill("SIGTERM");
    expect(await node.exit).toBe(0);
    expect(existsSync(inner)).toBe(true);
  });
});

describe("a node with an enclave of hardware that cannot start", () => {
  const failing = async (argv: readonly string[]): Promise<readonly [number | string, string]> => {
    const state = join(scratch(), "state");
    const own = ["--models", await models(), "--state", state, "--listen", "127.0.0.1:0"];
    const running = launch([...own, ...argv], { program: MAIN });
    return [await running.exit, running.stderr()];
  };

  it("says so where its image or its runner is not there", async () => {
    const { plan, argv } = setting("good");
    const lost = join(scratch(), "lost");
    const [code, image] = await failing([...argv, "--image", lost]);
    expect([code, image]).toEqual([1, `countersign: enclave/image: cannot read ${lost}: ENOENT\n`]);
    const [, runner] = await failing([...argv, "--runner", lost]);
    expect(runner).toBe(`countersign: enclave/image: cannot run ${lost}: ENOENT\n`);
    const directory = scratch();
    const [, none] = await failing([...argv, "--image", directory]);
    expect(none).toBe(`countersign: enclave/image: cannot read ${directory}: not a file\n`);
    const inert = join(directory, "inert");
    writeFileSync(inert, "", { mode: 0o644 });
    const [, refused] = await failing([...argv, "--runner", inert]);
    expect(refused).toBe(`countersign: enclave/image: cannot run ${inert}: EACCES\n`);
    expect(existsSync(plan.words)).toBe(false);
  });

  it("passes on what its runner said last", async () => {
    const [code, stderr] = await failing(setting("fail").argv);
    expect(code).toBe(1);
    expect(stderr).toBe(
      "countersign: enclave/boot: the enclave ended with status 1: first line\n" +
        "[ E27 ] Insufficient memory available.\n",
    );
  });

  it("passes that on line by line on the command line, and no line as its own", async () => {
    const { argv } = setting("fail");
    const state = join(scratch(), "state");
    const own = ["--models", await models(), "--state", state, "--listen", "127.0.0.1:0"];
    const running = launch(["node", ...own, ...argv], { program: COMMAND_LINE });
    expect(await running.exit).toBe(1);
    expect(running.stderr()).toMatch(
      /^countersign: the node did not start: .*: first line\n {2}\[ E27 \] Insufficient memory available\.\n$/u,
    );
  });

  it("passes on what its enclave said last", async () => {
    const [code, stderr] = await failing(setting("refuse").argv);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^countersign: enclave\/boot: .*model\/hash \(digits\/1\)/u);
  });

  it("does not understand its command line", async () => {
    const [code, stderr] = await failing(["--tee", "nitro"]);
    expect(code).toBe(2);
    expect(stderr).toContain("--tee nitro wants --image FILE.eif, or --attach");
  });
});
