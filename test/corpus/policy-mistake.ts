/** A mistake in a policy file, and how it is made of a good one. */
import { type PolicyChange, simulated } from "./node-policies.ts";

/** PROTOCOL 13: characters, items of a list, roots. */
export const MAX_TEXT: number = 1 << 20;
export const MAX_LIST = 1024;
export const MAX_ROOTS = 16;

/** Values of the right form that mean nothing. */
export const DIGEST: string = "ab".repeat(32);
export const REGISTER: string = "ab".repeat(48);
export const ZERO: string = "00".repeat(48);

export const SUITE = "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM";
/** The pointer to the one platform of the policy that is changed. */
export const LAB = "/platforms/simulated";

/** A mistake, where it is, and how it is made. */
export type Mistake = readonly [pointer: string, name: string, what: string, change: PolicyChange];

export function set(key: string, value: unknown): PolicyChange {
  return (file) => {
    file[key] = value;
  };
}

export function without(key: string): PolicyChange {
  return (file) => {
    Reflect.deleteProperty(file, key);
  };
}

export function inLab(key: string, value: unknown): PolicyChange {
  return (file) => {
    simulated(file)[key] = value;
  };
}
