/** What the commands that seal and open models have in common: whose key, and what went wrong. */
import type * as sealingRoom from "@countersign/sealing";
import type {
  KeyProvider,
  NewKey,
  ProviderOf,
  SealingError,
  Surroundings,
} from "@countersign/sealing";
import { type Envelope, parseKmsKeyArn } from "@countersign/protocol";

import { createProgress, NO_PROGRESS } from "./add/progress.ts";
import type { Arguments, OptionSpec } from "./arguments.ts";
import { CommandError, UsageError } from "./exit.ts";
import { readUserFile } from "./files.ts";
import { userPath } from "./paths.ts";
import { END_SIGNALS } from "./signals.ts";

type Sealing = typeof sealingRoom;
type Kms = Awaited<ReturnType<Sealing["kmsClient"]>>;

/** How to reach KMS, for every command that may have to. */
export const KMS_OPTIONS: readonly OptionSpec[] = [
  { name: "kms-endpoint", value: "URL", description: "another endpoint than AWS's own" },
  {
    name: "kms-ca",
    value: "FILE",
    description: "PEM of the only root that the endpoint may chain to",
  },
];

/** Under whose key a model is to be sealed. */
export const NEW_KEY_OPTIONS: readonly OptionSpec[] = [
  { name: "kms-key", value: "KEY", description: "a key of AWS KMS: its ARN, or alias/NAME" },
  {
    name: "region",
    value: "R",
    description: "where the alias is (default AWS_REGION, or profile)",
  },
  { name: "key-provider", value: "file", description: "a key file in the place of KMS" },
  { name: "key", value: "FILE", description: 'the key file ("countersign model keygen" makes it)' },
];

/** Keys that one command uses. Close it: key files are overwritten in memory then. */
export class Keys {
  readonly #sealing: Sealing;
  readonly #args: Arguments;
  readonly #signal: AbortSignal | null;
  readonly #files: Uint8Array[] = [];
  readonly #clients = new Map<string | null, Kms>();

  /** @param signal - ends what is asked of KMS; null lets it take its time. */
  constructor(sealing: Sealing, args: Arguments, signal: AbortSignal | null) {
    this.#sealing = sealing;
    this.#args = args;
    this.#signal = signal;
  }

  /** The key that the options name. @throws UsageError, SealingError */
  async named(): Promise<NewKey> {
    const kmsKey = this.#args.text("kms-key");
    const kind = this.#args.text("key-provider");
    if ((kmsKey === null) === (kind === null)) {
      throw new UsageError("want --kms-key or --key-provider", "one of them: it names the key");
    }
    if (kmsKey !== null) return await this.#kmsKey(kmsKey);
    if (kind !== "file")
      throw new UsageError(`there is no --key-provider ${kind}`, "there is file");
    if (this.#args.text("region") !== null) throw new UsageError("--region belongs to --kms-key");
    return { provider: await this.#keyFile("key"), reencrypt: () => null };
  }

  /** Whoever can open an envelope; a key file is the one that `option` names. */
  existing(option: string): ProviderOf {
    return async (envelope) => {
      if (envelope.kind === "file") return await this.#keyFile(option);
      const kms = await this.#client(parseKmsKeyArn(envelope.key).region);
      return this.#sealing.kmsProvider(kms, envelope.key, this.#signal);
    };
  }

  close(): void {
    for (const key of this.#files) key.fill(0);
    for (const client of this.#clients.values()) client.destroy();
  }

  async #kmsKey(key: string): Promise<NewKey> {
    if (this.#args.text("key") !== null) throw new UsageError("--key belongs to --key-provider");
    const inName = this.#sealing.kmsKeyRegion(key);
    const given = this.#args.text("region");
    if (inName !== null && given !== null && inName !== given) {
      throw new UsageError(`--region is ${given}, and the key is in ${inName}`);
    }
    const kms = await this.#client(inName ?? given);
    const provider = this.#sealing.kmsProvider(kms, key, this.#signal);
    const region = inName ?? given ?? (await configuredRegion(kms));
    return {
      provider,
      // KMS knows the keys of its own region only.
      reencrypt: (envelope) =>
        isKmsKeyOf(envelope, region)
          ? async (digest) => await provider.reencrypt(envelope, digest)
          : null,
    };
  }

  async #keyFile(option: string): Promise<KeyProvider> {
    const path = this.#args.text(option);
    if (path === null) {
      throw new UsageError(`--${option} is missing`, "it names the key file");
    }
    const key = await this.#sealing.readKeyFile(userPath(path));
    this.#files.push(key);
    return this.#sealing.fileProvider(key);
  }

  async #client(region: string | null): Promise<Kms> {
    const known = this.#clients.get(region);
    if (known !== undefined) return known;
    const path = this.#args.text("kms-ca");
    const ca = path === null ? null : await readUserFile(userPath(path), "KMS's root");
    const endpoint = this.#args.text("kms-endpoint");
    const client = await this.#sealing.kmsClient({
      region,
      endpoint,
      ca: ca === null ? null : Buffer.from(ca).toString("latin1"),
    });
    this.#clients.set(region, client);
    return client;
  }
}

/**
 * Runs `work` with the keys that `args` name.
 *
 * @param signal - ends what is asked of KMS. @throws CommandError for what sealing/ refuses.
 */
export async function withKeys<T>(
  args: Arguments,
  signal: AbortSignal | null,
  work: (sealing: Sealing, keys: Keys) => Promise<T>,
): Promise<T> {
  return await withSealing(async (sealing) => {
    const keys = new Keys(sealing, args, signal);
    try {
      return await work(sealing, keys);
    } finally {
      keys.close();
    }
  });
}

/** Runs `work` with the owner's room. @throws CommandError for what it refuses. */
export async function withSealing<T>(work: (sealing: Sealing) => Promise<T>): Promise<T> {
  // Loaded here: it brings key brokers and more, and most commands need none of it.
  const sealing = await import("@countersign/sealing");
  try {
    return await work(sealing);
  } catch (error) {
    throw error instanceof sealing.SealingError ? refused(error) : error;
  }
}

/** Runs long work that a signal ends without a trace, with a line about how far it is. */
export async function withProgress<T>(
  silent: boolean,
  work: (around: Surroundings) => Promise<T>,
): Promise<T> {
  const interrupt = new AbortController();
  const onSignal = (): void => {
    interrupt.abort(new CommandError("interrupted; nothing is left of it"));
  };
  const progress = silent ? NO_PROGRESS : createProgress(process.stderr, () => performance.now());
  const { signal } = interrupt;
  for (const name of END_SIGNALS) process.once(name, onSignal);
  try {
    return await work({ progress, signal });
  } catch (error) {
    // What was cut off has words of its own for it.
    signal.throwIfAborted();
    throw error;
  } finally {
    for (const name of END_SIGNALS) process.off(name, onSignal);
    progress.clear();
  }
}

/** A refusal of sealing/ in words, with what to do about it. */
function refused({ code, message }: SealingError): CommandError {
  return new CommandError(message.slice(code.length + 2), ADVICE[code] ?? null);
}

const ADVICE: Readonly<Partial<Record<SealingError["code"], string>>> = {
  "sealing/output": "name another place, on a disk that has room",
  "sealing/changed": "wait until nobody writes there, and run the same command again",
  "sealing/sealed": "copy it again from where it was sealed, and all of it",
  "sealing/segment": "copy it again from where it was sealed: no key opens what was changed",
  "sealing/key-file": '"countersign model keygen FILE" makes a key file',
  "sealing/key": '"countersign model inspect DIR" says under which key a model is sealed',
  "sealing/kms-credentials": "AWS_PROFILE, or `aws configure`, names whom you are",
  "sealing/kms-unreachable": "check the region, the network and --kms-endpoint, and try again",
  "sealing/kms-denied": 'the key\'s policy decides: "countersign model policy" prints one',
  "sealing/kms-options":
    "--kms-key, --region, --kms-endpoint and --kms-ca, or AWS's own settings, say which key and where",
};

/** An envelope's key, for a person. */
export function keyWords({ kind, key }: Envelope): string {
  return kind === "aws-kms" ? `KMS key ${key}` : `key file ${key}`;
}

function isKmsKeyOf({ kind, key }: Envelope, region: string | null): boolean {
  return kind === "aws-kms" && parseKmsKeyArn(key).region === region;
}

/** Null where none is configured: the first call says so in words. */
async function configuredRegion(kms: Kms): Promise<string | null> {
  return await kms.config.region().catch(() => null);
}
