import { accepted, type Honoured, type MemberTable, type Reader, readMembers } from "./members.ts";
import { flag, only } from "./readers.ts";

/** What a request says of the form in which its answer comes. */
export interface StreamMembers {
  readonly stream: boolean;
  readonly stream_options: StreamOptions;
}

export interface StreamOptions {
  /** Whether the last event counts the tokens. */
  readonly include_usage: boolean | null;
}

export const STREAM_OPTIONS: MemberTable<{ readonly include_usage: boolean }> = {
  honoured: { include_usage: flag },
  others: {
    include_obfuscation: accepted(
      only(false),
      "the ring pads; events carry no filling of their own",
    ),
  },
};

const readOptions: Reader<StreamOptions> = (value, param) =>
  readMembers(STREAM_OPTIONS, value, param);

export const STREAM: Honoured<StreamMembers> = { stream: flag, stream_options: readOptions };
