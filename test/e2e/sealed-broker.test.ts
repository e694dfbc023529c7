/** The story without AWS: the owner runs a key broker. */
import { cp, mkdir, writeFile } from "node:fs/promises";
import { fileProvider, readKeyFile } from "@countersign/sealing";
import { freePort, type KeyServiceActor, tellStory } from "./sealed-story.ts";
import type { RunningProgram } from "../fakes/programs.ts";
import type { SealedWorld } from "../fakes/sealed-world.ts";

async function startBroker(world: SealedWorld, folder: string): Promise<KeyServiceActor> {
  await mkdir(world.path(folder));
  const [key, policy] = [world.path(folder, "key"), world.path(folder, "policy.json")];
  await world.must(["model", "keygen", key]);
  const port = await freePort();
  const keyServices = world.path(folder, "key-services.json");
  const endpoint = `http://127.0.0.1:${port}`;
  const services = [{ kind: "broker", key: "*", endpoint, roots: [] }];
  await writeFile(keyServices, JSON.stringify({ version: 1, services, rootCertificates: [] }));
  const words = ["key-broker", "--json", "--key", key, "--policy", policy];
  // It wants a policy to start, and is started when there is one.
  let broker: RunningProgram | null = null;
  const run = async (): Promise<void> => {
    broker = world.start([...words, "--listen", `127.0.0.1:${port}`]);
    await broker.says(/"event":"listening"/u);
  };
  return {
    keyServices,
    sealWords: ["--key-provider", "file", "--key", key],
    ownerEnvironment: {},
    nodeEnvironment: {},
    unwrap: async (envelope, modelDigest) =>
      await fileProvider(await readKeyFile(key)).unwrap(envelope, modelDigest),
    async allow(path) {
      await cp(path, policy);
      if (broker === null) await run();
    },
    said: () => (broker?.errors ?? "") + (broker?.out ?? ""),
    async stop() {
      await broker?.stop();
    },
    restart: run,
  };
}

tellStory({ name: "a key file, with a broker", start: startBroker, refused: /"key-refused"/u });
