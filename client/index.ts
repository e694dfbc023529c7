export { type Connection, type ConnectOptions, connect, type VerifiedFetch } from "./connection.ts";
export { type Checkpoint, ClientError, type ClientErrorCode, VerdictError } from "./errors.ts";
export type { FetchInput } from "./message.ts";
export { defaultPrimitives } from "./primitives.ts";
export { VerifiedResponse } from "./response.ts";
export { type Fetch, fetchBundle, requireNodeUrl } from "./transport.ts";
