/** Every case that a transport of the enclave has to pass, whatever its sockets are. */
import { CONNECTION_CASES } from "./connection-cases.ts";
import { HTTP_CASES } from "./http-cases.ts";
import { STREAM_CASES } from "./stream-cases.ts";
import type { Case } from "./subject.ts";

export const CASES: readonly Case[] = [...STREAM_CASES, ...CONNECTION_CASES, ...HTTP_CASES];
