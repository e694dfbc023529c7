/** Texts that are no JSON, or JSON of another shape. RFC 8259. */
import { policyText } from "../node-policies.ts";
import { DIGEST, LAB, MAX_TEXT, REGISTER, SUITE } from "../policy-mistake.ts";

/** A mistake of the text, which no object can have. */
type TextMistake = readonly [pointer: string, name: string, what: string, text: string];

const MAX_DEPTH = 16;

/** Texts that are no JSON, or JSON of another shape. */
export function textMistakes(): readonly TextMistake[] {
  const text = policyText("node");
  const compact = JSON.stringify(JSON.parse(text));
  const age = (value: string): string =>
    compact.replace('"maxAgeSeconds":7200', `"maxAgeSeconds":${value}`);
  const id = (value: string): string => compact.replace('"id":"digits"', `"id":${value}`);
  const deep = (depth: number): string =>
    compact.replace('"version":1', `"version":${"[".repeat(depth)}1${"]".repeat(depth)}`);
  const end = compact.slice(0, -1);
  const below = (depth: number): string => `/version${"/0".repeat(depth)}`;
  return [
    [
      "/version",
      "version-with-fraction",
      "1.0: a number that is not in digits",
      compact.replace('"version":1', '"version":1.0'),
    ],
    [
      "/version",
      "version-that-rounds-to-1",
      "a fraction that is 1 once it is rounded",
      compact.replace('"version":1', '"version":0.99999999999999999'),
    ],
    ["/freshness/maxAgeSeconds", "age-with-exponent", "72e2 for 7200", age("72e2")],
    [
      "/freshness/maxAgeSeconds",
      "age-of-16-digits",
      "an integer of 16 digits",
      age("1000000000000000"),
    ],
    [
      "/",
      "key-of-257-characters",
      "a key that is too long to be any",
      compact.replace('"version"', `"${"v".repeat(257)}":1,"version"`),
    ],
    ["/", "text-empty", "no characters at all", ""],
    ["/", "text-blank", "white space alone", " \n"],
    ["/", "text-cut", "the text without its last character", end],
    ["/", "text-extended", "a character after the end", `${compact}x`],
    ["/", "text-twice", "two policies, one after the other", compact + compact],
    ["/", "text-null", "null instead of an object", "null"],
    ["/", "text-array", "an array around the policy", `[${compact}]`],
    ["/", "text-string", "the policy as a string", JSON.stringify(compact)],
    ["/", "text-is-yaml", "the policy as YAML", "version: 1\nexpires: 2027-06-30T00:00:00Z\n"],
    [
      "/",
      "byte-order-mark-within",
      "a byte order mark that is not the first character",
      `\uFEFF\uFEFF${compact}`,
    ],
    ["/", "no-break-space", "a space that JSON does not know", `\u00A0${compact}`],
    ["/", "comment-before", "a comment before the policy", `// ours\n${compact}`],
    [
      "/freshness",
      "comment-within",
      "a comment before a key",
      compact.replace('"skewSeconds"', '/* clocks */"skewSeconds"'),
    ],
    ["/", "trailing-comma", "a comma after the last member", `${end},}`],
    [
      "/freshness",
      "trailing-comma-within",
      "a comma after the last member of an inner object",
      compact.replace('"optional"}', '"optional",}'),
    ],
    [
      "/suites/1",
      "trailing-comma-in-list",
      "a comma after the last item",
      compact.replace(`["${SUITE}"]`, `["${SUITE}",]`),
    ],
    [
      "/suites/0",
      "leading-comma-in-list",
      "a comma before the first item",
      compact.replace(`["${SUITE}"]`, `[,"${SUITE}"]`),
    ],
    [
      "/",
      "comma-missing",
      "no comma between two members",
      compact.replace(',"expires"', ' "expires"'),
    ],
    ["/", "colon-missing", "no colon after a key", compact.replace('"version":', '"version" ')],
    [
      "/",
      "key-without-quotes",
      "a key without quotation marks",
      compact.replace('"version"', "version"),
    ],
    [
      "/",
      "key-in-single-quotes",
      "a key in single quotation marks",
      compact.replace('"version"', "'version'"),
    ],
    [
      "/models/0/id",
      "string-in-single-quotes",
      "a string in single quotation marks",
      id("'digits'"),
    ],
    [
      "/models/0",
      "string-without-end",
      "a string whose end is missing: it ends where the next begins",
      id('"digits'),
    ],
    ["/models/0/id", "string-with-line-end", "a line end in a string", id('"dig\nits"')],
    ["/models/0/id", "string-with-tab", "a tab in a string", id('"dig\tits"')],
    ["/models/0/id", "string-with-nul", "a zero character in a string", id('"digits\0"')],
    [
      "/models/0/id",
      "string-escape-unknown",
      "an escape that JSON does not know",
      id('"\\x64igits"'),
    ],
    ["/models/0/id", "string-escape-cut", "an escape of two digits", id('"\\u64igits"')],
    ["/models/0/id", "string-half-surrogate", "half a surrogate pair", id('"digits\\ud83d"')],
    [
      "/models/0/id",
      "string-surrogates-swapped",
      "a surrogate pair backwards",
      id('"\\ude00\\ud83d"'),
    ],
    [
      "/models/0/id",
      "string-escaped-line-end",
      "a line end in escapes, which is JSON and no name",
      id('"digits\\n"'),
    ],
    [
      "/version",
      "key-twice",
      "version twice, alike",
      compact.replace('"version":1', '"version":1,"version":1'),
    ],
    [
      `${LAB}/debug`,
      "key-twice-within",
      "debug twice, first false and then true",
      compact.replace('"debug":false', '"debug":false,"debug":true'),
    ],
    [
      `${LAB}/debug`,
      "key-twice-in-escapes",
      "debug twice, once in escapes",
      compact.replace('"debug":false', '"debug":false,"\\u0064ebug":true'),
    ],
    [
      `${LAB}/measurements/0/pcr0`,
      "key-twice-in-measurement",
      "a register twice",
      compact.replace('"pcr0":', `"pcr0":"${REGISTER}","pcr0":`),
    ],
    [
      "/revoked/models",
      "key-twice-in-revoked",
      "a list of revocations twice, the second empty",
      compact.replace('"models":[],', `"models":["${DIGEST}"],"models":[],`),
    ],
    [
      "/platforms/simulated",
      "platform-twice",
      "a platform twice",
      compact.replace('"platforms":{', '"platforms":{"simulated":{},'),
    ],
    ["/freshness", "number-with-leading-zero", "a leading zero", age("07200")],
    ["/freshness", "number-in-hexadecimal", "a number in hexadecimal", age("0x1c20")],
    ["/freshness", "number-with-bare-point", "a point and nothing after it", age("7200.")],
    ["/freshness", "number-with-separator", "a separator of thousands", age("7_200")],
    ["/freshness/maxAgeSeconds", "number-with-plus", "a plus sign", age("+7200")],
    ["/freshness/maxAgeSeconds", "number-without-zero", "a point and nothing before it", age(".5")],
    ["/freshness/maxAgeSeconds", "number-nan", "no number", age("NaN")],
    ["/freshness/maxAgeSeconds", "number-infinity", "infinity as a word", age("Infinity")],
    ["/freshness/maxAgeSeconds", "number-overflow", "a number beyond every other", age("1e400")],
    ["/freshness/maxAgeSeconds", "number-missing", "no value after a colon", age("")],
    [
      `${LAB}/debug`,
      "word-in-capitals",
      "True instead of true",
      compact.replace('"debug":false', '"debug":True'),
    ],
    [
      "/version",
      "nested-to-the-depth-allowed",
      "arrays as deep as may be, where a number should be",
      deep(MAX_DEPTH - 1),
    ],
    [below(MAX_DEPTH), "nested-one-deeper", "arrays one deeper", deep(MAX_DEPTH)],
    [below(MAX_DEPTH), "nested-a-thousand-deep", "arrays a thousand deep", deep(1000)],
    [
      "/",
      "text-of-1048577-characters",
      "one character more than may be",
      text.padEnd(MAX_TEXT + 1),
    ],
  ];
}
