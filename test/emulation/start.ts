/**
 * `npm run start:emulated`: a node on an emulated enclave, to try what the real one does. It serves the
 * bundled models until Ctrl-C.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { startNode, stopOnSignals } from "../../client/cli/node-process.ts";
import { CommandError } from "../../client/cli/exit.ts";
import { Unavailable } from "./archive.ts";
import { buildEnclave, imagePath, REPOSITORY } from "./image.ts";
import { emulationPolicy, nodeWords, tellRunner, writePolicy } from "./operator.ts";
import { cacheFolder, preparePackages } from "./packages.ts";

/** For the image and the policy. */
const KEPT = join(".countersign", "emulated");
const MODELS = join(REPOSITORY, "models");
const LISTEN = "127.0.0.1:8480";
const MEMORY_MIB = 1024;
const CACHE_MIB = 64;

/** @param folder - for the machine's sockets, whose paths have to be short, and the root's key. */
async function run(folder: string): Promise<number> {
  const kept = join(process.cwd(), KEPT);
  await mkdir(kept, { recursive: true, mode: 0o700 });
  console.log("Preparing QEMU and Linux (fetched the first time) …");
  const packages = await preparePackages(cacheFolder());
  const image = await buildEnclave(packages, imagePath(kept, "enclave"));
  console.log(`Built the enclave's image: ${relative(process.cwd(), image.file)}`);
  const policy = join(kept, "policy.json");
  await writePolicy(policy, await emulationPolicy(packages, folder, image, MODELS));
  console.log(
    "Booting it: a real kernel, /dev/nsm and vsock, on a slow processor: half a minute …",
  );
  tellRunner(folder);
  const setting = { folder, image: image.file, models: MODELS, listen: LISTEN };
  const words = nodeWords({ ...setting, memoryMib: MEMORY_MIB, cacheMib: CACHE_MIB });
  const node = await startNode(words, {
    event: ({ what, phase }) => {
      if (what === "phase") console.log(`  ${String(phase)}`);
    },
    error: (line) => {
      console.error(line);
    },
  });
  const told = relative(process.cwd(), policy);
  console.log(`
The node serves ${node.url}. Its root of trust is a key of this run's own, which the policy below pins: it shows how an enclave
works and protects nothing, since this machine can read all of it.
  npx countersign attest ${node.url} --policy ${told}
  npx countersign infer digits --input examples/seven.png --node ${node.url} --policy ${told}
  npx countersign chat guide "What is a receipt?" --node ${node.url} --policy ${told}
Ctrl-C ends it.`);
  const release = stopOnSignals(node, () => {
    console.log("Stopping …");
  });
  const { code } = await node.ended;
  release();
  return code ?? 1;
}

const folder = await mkdtemp(join(tmpdir(), "countersign-emulated-"));
try {
  process.exitCode = await run(folder);
} catch (error) {
  // What this machine lacks, or the host's own words. A fault of ours keeps its stack.
  if (!(error instanceof Unavailable || error instanceof CommandError)) throw error;
  console.error(`countersign: ${error.message}`);
  process.exitCode = 2;
} finally {
  await rm(folder, { recursive: true });
}
