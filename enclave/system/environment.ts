import { EnclaveError } from "../errors.ts";

/** What the loader, the C library, libuv, OpenSSL and Node obey before the first line of ours runs. */
const OBEYED = /^(?:GLIBC|LD|MALLOC|NODE|OPENSSL|SSL|UV)_/u;

/**
 * Empties the environment of process 1. Linux puts words NAME=VALUE of its command line there that it
 * does not know: they are measured as the command line is, and are no switches of this program.
 *
 * A variable of this kind has had its effect before it is found here. So this shows a mistake; that
 * a command line is harmless is for those to see who accept its measurement.
 *
 * @throws EnclaveError `boot/environment`.
 */
export function clearEnvironment(environment: NodeJS.ProcessEnv = process.env): void {
  const names = Object.keys(environment);
  const obeyed = names.find((name) => OBEYED.test(name));
  if (obeyed !== undefined) throw new EnclaveError("boot/environment", `${obeyed} is set`);
  for (const name of names) Reflect.deleteProperty(environment, name);
}
