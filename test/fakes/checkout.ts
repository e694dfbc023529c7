/** A copy of this checkout that runs, for an operator who changes the code. */
import { cp, mkdir, readdir, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const WORKSPACES = [
  "attestation",
  "protocol",
  "vsock",
  "enclave",
  "host",
  "client",
  "image",
  "sealing",
];
const FILES = ["package.json", "package-lock.json"];
const SCOPE = "@countersign";

/** Copies the code to `target`, a new folder; packages are those of this checkout. */
export async function copyCheckout(target: string): Promise<void> {
  for (const name of [...WORKSPACES, ...FILES]) {
    await cp(join(ROOT, name), join(target, name), {
      recursive: true,
      filter: (path) => basename(path) !== "node_modules",
    });
  }
  const packages = join(target, "node_modules");
  await mkdir(join(packages, SCOPE), { recursive: true });
  for (const name of WORKSPACES) {
    await symlink(join(target, name), join(packages, SCOPE, name));
  }
  for (const name of await readdir(join(ROOT, "node_modules"))) {
    if (name === SCOPE || name.startsWith(".")) continue;
    await symlink(join(ROOT, "node_modules", name), join(packages, name));
  }
}
