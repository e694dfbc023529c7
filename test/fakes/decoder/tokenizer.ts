/** A byte-level BPE tokenizer that writes every text, with ChatML's special tokens at its end. */

export const SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] as const;
/** Ids that the model has and the tokenizer does not, as padded vocabularies have. */
export const HOLES = 5;

const BYTES = 256;
/** The more frequent first: they are merged first. */
const LETTERS = "etaoinshrdlcumwfgypbvkjxqz";

const CHAT_TEMPLATE = [
  "{% for message in messages %}",
  "{% if loop.first and messages[0]['role'] != 'system' %}",
  "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}",
  "{% endif %}",
  "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}",
  "{% endfor %}",
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join("");

/** The ids of the special tokens in a vocabulary of this size. */
export function specialIds(vocabulary: number): {
  readonly endOfText: number;
  readonly turnStart: number;
  readonly turnEnd: number;
} {
  const first = vocabulary - HOLES - SPECIAL_TOKENS.length;
  return { endOfText: first, turnStart: first + 1, turnEnd: first + 2 };
}

/** tokenizer.json and tokenizer_config.json, as values. */
export function tokenizerFiles(
  vocabulary: number,
  context: number,
): { readonly tokenizer: object; readonly config: object } {
  const { endOfText } = specialIds(vocabulary);
  const merges = mergeRules(endOfText - BYTES);
  const vocab: Record<string, number> = {};
  for (const character of byteCharacters()) vocab[character] = Object.keys(vocab).length;
  merges.forEach(([left, right], i) => (vocab[left + right] = BYTES + i));
  const added = SPECIAL_TOKENS.map((content, i) => ({ id: endOfText + i, ...special(content) }));
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: byteLevel(false),
      post_processor: byteLevel(true),
      decoder: byteLevel(true),
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab,
        merges: merges.map(([left, right]) => [left, right]),
      },
    },
    config: {
      add_bos_token: false,
      add_prefix_space: false,
      added_tokens_decoder: Object.fromEntries(
        added.map(({ id, ...token }) => [String(id), token]),
      ),
      additional_special_tokens: ["<|im_start|>", "<|im_end|>"],
      bos_token: null,
      chat_template: CHAT_TEMPLATE,
      clean_up_tokenization_spaces: false,
      eos_token: "<|im_end|>",
      model_max_length: context,
      pad_token: "<|endoftext|>",
      tokenizer_class: "GPT2Tokenizer",
      unk_token: null,
    },
  };
}

function special(content: string): object {
  return {
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };
}

function byteLevel(trim: boolean): object {
  return { type: "ByteLevel", add_prefix_space: false, trim_offsets: trim, use_regex: true };
}

/** A character for each byte, in the order of the bytes; those without a shape come after U+0100. */
function byteCharacters(): string[] {
  let next = BYTES;
  return Array.from({ length: BYTES }, (_, byte) => {
    const shown = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(shown ? byte : next++);
  });
}

/** As many rules as asked for: spaces with letters, then pairs, triples and quadruples of letters. */
function mergeRules(count: number): [string, string][] {
  const letters = LETTERS.split("");
  const space = byteCharacters()[0x20] ?? "";
  const pairs = letters.flatMap((a) => letters.map((b): [string, string] => [a, b]));
  const rules: [string, string][] = letters.map((letter) => [space, letter]);
  rules.push(...pairs);
  for (const [a, b] of pairs) for (const c of letters) rules.push([a + b, c]);
  for (const [a, b] of pairs) {
    if (rules.length >= count) break;
    for (const [c, d] of pairs) rules.push([a + b, c + d]);
  }
  if (count < 0 || count > rules.length) throw new RangeError(`a vocabulary of ${count} merges`);
  return rules.slice(0, count);
}
