/**
 * Keeps an answer to a form: exact text, any JSON object, JSON that fits a schema, or a choice of these.
 *
 * The form compiles to a network over bytes (constraint/network.ts), and before each token a walk of
 * the vocabulary finds the tokens after which the text can still be completed (constraint/mask.ts).
 * JSON is that of RFC 8259, with bounds on what it leaves open, so that an answer cannot fill up with
 * nothing: see constraint/json.ts. No object has a member twice: constraint/member-names.ts. What of JSON Schema is honoured, constraint/keywords.ts lists;
 * anything else is refused with its place.
 *
 * What is kept between steps belongs to one compiled constraint, that is to one request, so the time
 * that an answer takes tells nothing about other clients.
 */
import { EnclaveError } from "../errors.ts";
import { Automaton, type ConfigurationSet, DEAD } from "./constraint/automaton.ts";
import { compileNetwork } from "./constraint/compile.ts";
import { type Mask, MaskCache } from "./constraint/mask.ts";
import { MemberNames, leadsOf } from "./constraint/member-names.ts";
import type { Network } from "./constraint/network.ts";
import type { Constraint } from "./generation.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** A constraint that can be started any number of times; its states share what they find out. */
export interface CompiledConstraint {
  readonly network: Network;
  /** What may stand before its first JSON. */
  readonly leads: readonly Uint8Array[];
}

/** How far one answer has come. */
export interface ConstraintState {
  /**
   * A bit for each token id that may come next. It belongs to the state: valid until `accept`, and
   * never to be written to. Only tokens with bytes are in it; end tokens follow `canEnd`.
   */
  allowed(): Uint32Array;
  /** Whether the answer may end here. */
  readonly canEnd: boolean;
  /** Whether it may end and nothing may follow. Without it and `canEnd`, some token is allowed. */
  readonly mustEnd: boolean;
  /** Moves on. @throws TypeError for a token that is not allowed. */
  accept(token: number): void;
}

/** @throws {@link EnclaveError} `constraint/schema`, with the place in the schema where it has one. */
export function compileConstraint(constraint: Constraint): CompiledConstraint {
  return { network: compileNetwork(constraint), leads: leadsOf(constraint) };
}

interface Runner {
  readonly automaton: Automaton;
  readonly masks: MaskCache;
}

/** Of each compiled constraint, by vocabulary; both are dropped with the request. */
const runners = new WeakMap<CompiledConstraint, WeakMap<Vocabulary, Runner>>();

/**
 * The state before the first token.
 *
 * @throws {@link EnclaveError} `constraint/schema` where the vocabulary lacks bytes that it needs.
 */
export function startConstraint(
  compiled: CompiledConstraint,
  vocabulary: Vocabulary,
): ConstraintState {
  const { automaton, masks } = runnerOf(compiled, vocabulary);
  const names = new MemberNames(compiled.leads, vocabulary);
  let epoch = automaton.epoch;
  let id = automaton.settle(automaton.start());
  let set: ConfigurationSet = automaton.set(id);
  if (!set.viable) {
    throw new EnclaveError("constraint/schema", "the model has no tokens to write such a text");
  }

  /** The id of the set, made again where the automaton has dropped it. */
  function current(): number {
    if (epoch !== automaton.epoch) {
      id = automaton.adopt(set);
      epoch = automaton.epoch;
    }
    return id;
  }
  function mask(): Mask {
    automaton.trim();
    return masks.of(current());
  }
  function accept(token: number): void {
    const bytes = vocabulary.tokens[token] ?? null;
    if (bytes === null || bytes.length === 0) throw new TypeError("a token without bytes");
    if (names.repeats(bytes)) throw new TypeError("a token not allowed");
    let next = current();
    for (const byte of bytes) next = automaton.step(next, byte);
    next = automaton.settle(next);
    if (next === DEAD || !automaton.set(next).viable) throw new TypeError("a token not allowed");
    id = next;
    set = automaton.set(id);
    names.push(bytes);
  }
  return {
    allowed: () => names.withoutRepeats(mask().words),
    get canEnd() {
      return set.canEnd;
    },
    get mustEnd() {
      return set.canEnd && mask().empty;
    },
    accept,
  };
}

function runnerOf(compiled: CompiledConstraint, vocabulary: Vocabulary): Runner {
  const known = runners.get(compiled)?.get(vocabulary);
  if (known !== undefined) return known;
  const automaton = new Automaton(compiled.network, vocabulary.singles, vocabulary.longest);
  const runner = { automaton, masks: new MaskCache(automaton, vocabulary) };
  const byVocabulary = runners.get(compiled) ?? new WeakMap<Vocabulary, Runner>();
  runners.set(compiled, byVocabulary.set(vocabulary, runner));
  return runner;
}
