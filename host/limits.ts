/** Bounds of the host. Names end in their unit; what the command line can change says so. */

const KIB = 1024;
export const MIB: number = 1024 * KIB;

/** Largest encapsulated request, `--max-body`: 32 MiB, from 1 KiB to 1 GiB. */
export const DEFAULT_MAX_BODY_BYTES: number = 32 * MIB;
export const MIN_BODY_BYTES: number = KIB;
export const MAX_BODY_BYTES: number = 1024 * MIB;
/** Exchanges relayed at once, `--max-inflight`. */
export const DEFAULT_MAX_IN_FLIGHT = 256;
export const MAX_IN_FLIGHT = 65_536;
/** Length of an epoch, `--epoch-seconds`. DESIGN: an hour, accepted for two. */
export const DEFAULT_EPOCH_SECONDS = 3600;
export const MAX_EPOCH_SECONDS = 3600;

/**
 * Memory for the keys and values of texts being generated, `--cache-mib`: the least is what the protocol
 * takes, the default a part of the machine's memory, so that models and requests find room beside it.
 */
export const DEFAULT_CACHE_SHARE = 0.25;
export const MIN_CACHE_MIB = 1;
export const MAX_CACHE_MIB: number = MIB;
/** Texts generated at a time, `--batch`. */
export const DEFAULT_MAX_SEQUENCES = 8;
export const MAX_SEQUENCES = 64;

/** What the enclave is told at boot. */
export const QUEUE_LENGTH = 64;
export const INFERENCE_TIMEOUT_MS = 60_000;
/** 16 bytes each in the enclave. A full table opens a new epoch. */
export const REPLAY_SLOTS = 1_048_576;
export const MAX_INTRA_OP_THREADS = 8;

/** A client has this long to send its header section, and its whole request. */
export const HEADERS_TIMEOUT_MS = 10_000;
export const REQUEST_TIMEOUT_MS = 120_000;
export const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/**
 * No byte moved between host and enclave for this long: the exchange ends. Not while the enclave works
 * on an answer that has not begun; one that has begun may go on for as long as it moves.
 */
export const IDLE_TIMEOUT_MS = 120_000;
/** An answer begins within this time: longer than an enclave gives any handler of its own. */
export const ANSWER_TIMEOUT_MS: number = 15 * 60_000;
/** A refused request is read and dropped for this long, so that its sender sees the answer. */
export const LINGER_TIMEOUT_MS = 2000;
export const LINGER_BYTES: number = 64 * MIB;
export const MAX_HEADER_BYTES: number = 16 * KIB;
/** Open connections beyond the exchanges: keep-alive ones, probes, scrapes. */
export const SPARE_CONNECTIONS = 1024;

/** A request after which the host asks for another try. */
export const RETRY_AFTER_SECONDS = 1;
/** Challenges: each makes the hardware sign, so they are metered for all clients together. */
export const CHALLENGES_PER_SECOND = 10;
export const CHALLENGE_BURST = 20;
export const MAX_CHALLENGE_BODY_BYTES: number = 4 * KIB;
export const CHALLENGE_TIMEOUT_MS = 10_000;

/** A bundle is asked for at most this often. */
export const BUNDLE_MAX_AGE_SECONDS = 5;
/** Above any bundle: a document of 16 KiB, four preimages, endorsements. */
export const MAX_BUNDLE_BYTES: number = 4 * MIB;
export const BUNDLE_TIMEOUT_MS = 10_000;

/** Supervision of the enclave. */
export const BOOT_TIMEOUT_MS = 300_000;
export const STATUS_INTERVAL_MS = 2000;
export const STATUS_TIMEOUT_MS = 5000;
/** After this many probes in a row without an answer the enclave counts as hung. */
export const STATUS_FAILURES = 3;
export const MAX_STATUS_BYTES: number = 64 * KIB;
export const BACKOFF_FIRST_MS = 250;
export const BACKOFF_MAX_MS = 15_000;
/** An enclave that served this long starts its back-off anew. */
export const BACKOFF_RESET_MS = 60_000;
export const ENCLAVE_STOP_MS = 3000;
export const MAX_LOG_LINE_BYTES: number = 4 * KIB;
/** Lines of an enclave's log that are read; what comes faster is counted and dropped. */
export const LOG_LINES_PER_SECOND = 1000;
export const LOG_BURST_LINES = 4096;
/** How often that is said, and for how long nothing is read of a log whose lines are being dropped. */
export const LOG_NOTICES_PER_SECOND = 1;
export const LOG_BURST_NOTICES = 8;
export const LOG_PAUSE_MS = 100;
export const MAX_STDERR_BYTES: number = 4 * KIB;

/** A connection to the enclave is made within this time. */
export const DIAL_TIMEOUT_MS = 10_000;
/** A runner has this long to end its enclave: freeing gibibytes of huge pages takes a while. */
export const RUNNER_STOP_MS = 6000;
/** Of a program that has ended: its output may stay open in a child of its own. */
export const OUTPUT_DRAIN_MS = 1000;
/** What a dead enclave said last may still be on its way. */
export const LOG_DRAIN_MS = 1000;
/** Until an enclave serves, it is asked this often whether it does. */
export const BOOT_PROBE_MS = 250;
/** Connections to the services: an enclave fetches one file at a time, beside its log. */
export const MAX_SERVICE_CONNECTIONS = 32;
/**
 * Tunnels to key services: an enclave needs one at a time, and gives up a key after a minute. One in
 * which nothing moves ends, and so does one that is older than any boot needs it.
 */
export const MAX_TUNNELS = 8;
export const TUNNEL_IDLE_MS = 60_000;
export const TUNNEL_LIFETIME_MS: number = 5 * 60_000;
/** Lines about tunnels at once: a model has its own, and failures some more. Then one a second. */
export const TUNNEL_BURST_LINES = 128;
/**
 * AWS credentials: looked for, and kept, that long. In their last minutes, and where there are none, what
 * was found is kept for a second only.
 */
export const CREDENTIALS_TIMEOUT_MS = 8_000;
export const CREDENTIALS_MS = 60_000;
export const CREDENTIALS_RENEWED_MS: number = 5 * 60_000;
export const MIN_CREDENTIALS_KEPT_MS = 1000;

/** `nitro-cli`: one call of it, what it may print, and how often it is asked whether the enclave runs. */
export const NITRO_CLI_TIMEOUT_MS = 120_000;
export const MAX_NITRO_OUTPUT_BYTES: number = 64 * KIB;
export const DESCRIBE_INTERVAL_MS = 1000;
export const DESCRIBE_FAILURES = 3;

/** Enclaves of hardware: `--cpus`, `--memory`, `--cid`, and the ports on both sides. */
export const DEFAULT_CPUS = 2;
export const MAX_CPUS = 256;
export const DEFAULT_MEMORY_MIB = 2048;
export const MIN_MEMORY_MIB = 64;
export const MAX_MEMORY_MIB: number = 4 * MIB;
/** Below 4 are the hypervisor, loopback, the parent of a plain machine and that of an enclave. */
export const MIN_CID = 4;
export const MAX_CID = 0xffff_fffe;
export const DEFAULT_CID = 16;
export const DEFAULT_ENCLAVE_PORT = 5000;
export const DEFAULT_SERVICES_PORT = 7000;

/** After Ctrl-C, exchanges have this long to finish. */
export const STOP_GRACE_MS = 5000;

/** `sun_path` holds 108 bytes with its terminating zero on Linux, 104 elsewhere. unix(7). */
export const MAX_SOCKET_PATH_BYTES: number = process.platform === "linux" ? 107 : 103;

/** Model store; protocol's manifest has the other bounds. */
export const MAX_MODEL_PATH_DEPTH = 8;
export const HASH_CHUNK_BYTES: number = MIB;
