/** What a command's exit code says. DESIGN: 0 verified, 1 rejected, 2 could not be checked. */
export const EXIT: { readonly ok: 0; readonly rejected: 1; readonly unchecked: 2 } = {
  ok: 0,
  rejected: 1,
  unchecked: 2,
};

/** A command that cannot go on: `message` says what happened, `fix` what to do about it. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: number;
  readonly fix: string | null;

  constructor(message: string, fix: string | null = null, exitCode: number = EXIT.unchecked) {
    super(message);
    this.exitCode = exitCode;
    this.fix = fix;
  }
}

/** A command line that we do not understand; the command's usage is printed under it. */
export class UsageError extends CommandError {}
