/** What work on gigabytes needs of whoever asked for it. */
export interface Surroundings {
  readonly progress: WorkProgress;
  /** Ends the work between two segments, with its reason; nothing is left of it. */
  readonly signal: AbortSignal;
}

export interface WorkProgress {
  /** Bytes that are going to be read in all. */
  begin(totalBytes: number): void;
  /** How many bytes of `part` have been read. */
  at(part: string, bytes: number): void;
}
