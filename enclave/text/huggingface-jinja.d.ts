// What we use of @huggingface/jinja 0.5.11. Its own types do not compile under `nodenext`: they import
// each other without file extensions, so enclave/tsconfig.json points here.

/** One node of a parsed template. */
export interface Statement {
  readonly type: string;
  /** Of a loop: what it goes over. Where that is `list if condition`, `lhs` is the list. */
  readonly iterable?: Statement;
  readonly lhs?: Statement;
}

export interface RuntimeValue {
  readonly type: string;
  readonly value: unknown;
}

export declare class Environment {
  /** Declares a variable; a plain function can be called. Throws where it is declared already. */
  set(name: string, value: unknown): RuntimeValue;
}

export declare class Interpreter {
  constructor(environment: Environment);
  run(program: Statement): RuntimeValue;
  /** Every node goes through here, children before their parents are done. */
  evaluate(statement: Statement | undefined, environment: Environment): RuntimeValue;
}

export declare function tokenize(
  source: string,
  options: { readonly lstrip_blocks: boolean; readonly trim_blocks: boolean },
): readonly object[];
export declare function parse(tokens: readonly object[]): Statement;
