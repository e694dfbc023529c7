/**
 * Jinja with an end: a template is a program that the model's files bring along, and it runs in the
 * thread that answers everybody.
 *
 * A step is a node evaluated, or an element of a list that is made or gone over; so loops, recursion
 * and the texts that they build have bounds which do not depend on how fast the machine is. There is no
 * clock and no randomness in here.
 */
import {
  Environment,
  Interpreter,
  parse,
  type RuntimeValue,
  type Statement,
  tokenize,
} from "@huggingface/jinja";

/** A conversation takes some hundred for each of its turns. */
const MAX_STEPS = 1_000_000;
/** Nodes whose value is new and may be longer than what it was made of. */
const MAKERS: ReadonlySet<string> = new Set([
  "ArrayLiteral",
  "BinaryExpression",
  "CallExpression",
  "FilterExpression",
  "TupleLiteral",
]);
/** Copying and searching are that much faster than evaluating. */
const CHARACTERS_A_STEP = 256;
/** Of any text on the way, in UTF-16 code units. */
const MAX_TEXT = 4_194_304;
const MAX_RANGE = 1024;

/** A template broke a bound. */
export class TemplateLimit extends Error {
  override readonly name = "TemplateLimit";
}

/** A template called `raise_exception`; the message is its own. */
export class TemplateRaised extends Error {
  override readonly name = "TemplateRaised";
}

/** A parsed template. */
export type Template = Statement;

/** Parses as transformers does: a block's line break and the spaces before it go. Throws what Jinja throws. */
export function parseTemplate(source: string): Template {
  return parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
}

/**
 * The text of `template`.
 *
 * @param variables - by name; none may be one of {@link GLOBALS}.
 * Throws {@link TemplateLimit}, {@link TemplateRaised}, RangeError where it recurses too deep, or what
 * Jinja throws.
 */
export function renderTemplate(
  template: Template,
  variables: ReadonlyMap<string, unknown>,
): string {
  const environment = new Environment();
  for (const [name, value] of Object.entries(GLOBALS)) environment.set(name, value);
  for (const [name, value] of variables) environment.set(name, value);
  const { value } = new BoundedInterpreter(environment).run(template);
  if (typeof value !== "string") throw new TypeError("a template is no text");
  return value;
}

class BoundedInterpreter extends Interpreter {
  #steps = 0;
  /** What loops go over: a loop whose body is empty evaluates nothing else. */
  readonly #iterables = new Set<Statement>();

  override evaluate(statement: Statement | undefined, environment: Environment): RuntimeValue {
    this.#charge(1);
    const { iterable } = statement ?? {};
    if (iterable !== undefined) this.#iterables.add(iterable.lhs ?? iterable);
    const result = super.evaluate(statement, environment);
    if (statement !== undefined) this.#weigh(statement, result.value);
    return result;
  }

  /** A value that was made, or is gone over, costs its size; one that was only looked up does not. */
  #weigh(statement: Statement, value: unknown): void {
    if (typeof value === "string") {
      if (value.length > MAX_TEXT) {
        throw new TemplateLimit(`it makes a text of over ${MAX_TEXT} characters`);
      }
      if (MAKERS.has(statement.type)) this.#charge(value.length / CHARACTERS_A_STEP);
    }
    if (!MAKERS.has(statement.type) && !this.#iterables.has(statement)) return;
    if (Array.isArray(value)) this.#charge(value.length);
    if (value instanceof Map) this.#charge(value.size);
  }

  #charge(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS) throw new TemplateLimit(`it takes over ${MAX_STEPS} steps`);
  }
}

/** What a template finds without being told. `namespace` is the library's own. */
export const GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range,
  raise_exception(message: unknown): never {
    throw new TemplateRaised(String(message));
  },
};

function range(first: number, second?: number, step = 1): readonly number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_RANGE)) throw new TemplateLimit(`range() of over ${MAX_RANGE} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}
