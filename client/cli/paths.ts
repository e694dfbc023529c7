import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository that this command line lies in. */
export const REPOSITORY: string = fileURLToPath(new URL("../..", import.meta.url));

/** The models that come with it. */
export const BUNDLED_MODELS: string = join(REPOSITORY, "models");

/** Where a node runs by default. */
export const DEFAULT_NODE = "http://127.0.0.1:8480";
export const DEFAULT_LISTEN = "127.0.0.1:8480";
export const DEFAULT_PROXY_LISTEN = "127.0.0.1:8481";

/** State of a node started here; relative to the working directory, like every path a user gives. */
export const DEFAULT_STATE = ".countersign";
export const POLICY_NAME = "policy.json";
export const DEFAULT_POLICY: string = join(DEFAULT_STATE, POLICY_NAME);

/** The programs of the other folders. They run as processes of their own. */
export const HOST_PROGRAM: string = join(REPOSITORY, "host", "main.ts");
export const SIMULATION_PROGRAM: string = join(REPOSITORY, "enclave", "simulated.ts");

/** A path as a user meant it. */
export function userPath(path: string): string {
  return resolve(process.cwd(), path);
}
