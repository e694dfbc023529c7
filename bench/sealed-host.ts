/** The host's own server for models as a child process: it sends what lies in a repository, sealed or not. */
import { EnclaveContact } from "../host/contact.ts";
import { keyAccess, serveProvisioning } from "../host/provision.ts";
import { scanModels } from "../host/store.ts";

const [repository = "", socket = ""] = process.argv.slice(2);
const log = (): void => undefined;
const { models } = await scanModels(repository);
await serveProvisioning(
  { kind: "unix", path: socket },
  models,
  { epochSeconds: 3600, maxBodyBytes: 2 ** 24, cacheBytes: 2 ** 20, maxSequences: 1, cpus: 1 },
  new EnclaveContact(log),
  // Whoever opens the models here brings their key.
  keyAccess([], () => Promise.reject(new TypeError("nobody asks for credentials")), log),
);
process.once("disconnect", () => process.exit(0));
process.send?.("ready");
