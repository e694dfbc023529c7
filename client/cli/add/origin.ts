/** What a model can be fetched from, whatever it is: the hub, a web server, a directory. */

/** What a file's bytes must hash to. */
export interface FileHash {
  /** `git-blob`: SHA-1 of git's object, which the hub has of files outside its large file storage. */
  readonly algorithm: "sha256" | "git-blob";
  /** Lower-case hexadecimal. */
  readonly hex: string;
}

/** One file at its origin. */
export interface OriginFile {
  /** Relative to the origin, with `/` between its parts. */
  readonly path: string;
  /** Bytes; null where nobody says. */
  readonly size: number | null;
  /** Null where nobody vouches for the bytes. */
  readonly hash: FileHash | null;
}

/** Where a fetched file lies while a model is put together. */
export interface StagedFile {
  /** The finished file. */
  readonly whole: string;
  /** What has arrived of one that is not finished. */
  readonly part: string;
  /** The ETag that `part` or `whole` had at its origin. */
  readonly etag: string;
}

export interface Origin {
  /** For people. */
  readonly name: string;
  /** What the files are fetched by: a commit, where the origin has them. */
  readonly revision: string | null;
  /** As the origin calls it; unverified text. */
  readonly licence: string | null;
  /** What there is, as far as the origin can tell. */
  readonly files: readonly OriginFile[];
  /** Finds a file that need not be among `files`; null where there is none. */
  find(path: string): Promise<OriginFile | null>;
  /**
   * Fetches a file to `staged.whole`, verified by its size and hash where there are any.
   *
   * @throws CommandError where that cannot be done; then `staged.whole` does not exist.
   */
  fetch(file: OriginFile, staged: StagedFile): Promise<void>;
}
