/** Mistakes about everything but platforms, and what is allowed and revoked at once. PROTOCOL 9. */
import { encodeHex } from "@countersign/attestation";
import {
  measurement,
  otherVendor,
  platformOf,
  type PolicyChange,
  simulated,
  X25519_SUITE,
} from "../node-policies.ts";
import { DIGITS, IMAGE, random } from "../node.ts";
import {
  DIGEST,
  LAB,
  MAX_LIST,
  type Mistake,
  REGISTER,
  set,
  SUITE,
  without,
} from "../policy-mistake.ts";

/** The outermost object and its version. */
export function wholeMistakes(): readonly Mistake[] {
  const keys = ["version", "expires", "platforms", "models", "freshness", "suites", "revoked"];
  return [
    ...keys.map((key): Mistake => ["/", `without-${key}`, `no ${key}`, without(key)]),
    ["/comment", "unknown-key", "an unknown key", set("comment", "ours")],
    ["/padding", "padding-unchecked", "a word that padding has not", set("padding", "unchecked")],
    ["/padding", "padding-true", "padding that is true", set("padding", true)],
    ["/padding", "padding-null", "null for padding", set("padding", null)],
    [
      "/$schema",
      "unknown-schema-key",
      "the key that editors know",
      set("$schema", "policy.schema.json"),
    ],
    [
      "/Version",
      "unknown-key-in-capitals",
      "a key in another spelling beside the right one",
      set("Version", 1),
    ],
    [
      "/a~1b~0c",
      "unknown-key-with-slash",
      "an unknown key whose pointer needs escapes",
      set("a/b~c", 1),
    ],
    [
      "/suite",
      "key-misspelt",
      "a required key in another spelling: what is unknown is named before what is missing",
      (file) => {
        without("suites")(file);
        file["suite"] = [SUITE];
      },
    ],
    ...(
      [
        ["0", 0],
        ["2", 2],
        ["minus-1", -1],
        ["1-5", 1.5],
        ["of-text", "1"],
        ["true", true],
        ["null", null],
        ["of-list", [1]],
      ] as const
    ).map(([name, value]): Mistake => [
      "/version",
      `version-${name}`,
      `version ${JSON.stringify(value)}`,
      set("version", value),
    ]),
    [
      "/version",
      "version-2-with-unknown-keys",
      "another version, whose keys we cannot judge",
      (file) => {
        file.version = 2;
        file["quorum"] = 2;
        without("suites")(file);
      },
    ],
  ];
}

export function expiryMistakes(): readonly Mistake[] {
  const rows: readonly (readonly [name: string, what: string, value: unknown])[] = [
    ["number", "a number of seconds", 1_814_313_600],
    ["null", "null, as if it never expired", null],
    ["word", "a word", "never"],
    ["empty", "no characters", ""],
    ["date-alone", "a date without time", "2027-06-30"],
    ["without-zone", "a time without zone", "2027-06-30T00:00:00"],
    ["with-offset", "a local time", "2027-06-30T02:00:00+02:00"],
    ["with-zero-offset", "UTC as an offset", "2027-06-30T00:00:00+00:00"],
    ["lower-case", "t and z in lower case", "2027-06-30t00:00:00z"],
    ["with-space", "a space between date and time", "2027-06-30 00:00:00Z"],
    ["without-seconds", "a time without seconds", "2027-06-30T00:00Z"],
    ["leap-second", "a leap second", "2027-06-30T23:59:60Z"],
    ["hour-24", "hour 24", "2027-06-30T24:00:00Z"],
    ["minute-60", "minute 60", "2027-06-30T00:60:00Z"],
    ["month-0", "month 0", "2027-00-30T00:00:00Z"],
    ["month-13", "month 13", "2027-13-01T00:00:00Z"],
    ["day-0", "day 0", "2027-06-00T00:00:00Z"],
    ["june-31", "31 June", "2027-06-31T00:00:00Z"],
    ["february-29", "29 February of a common year", "2027-02-29T00:00:00Z"],
    ["february-29-of-2100", "29 February of a century's common year", "2100-02-29T00:00:00Z"],
    ["fraction-of-four", "four digits of a fraction", "2027-06-30T00:00:00.0001Z"],
    ["fraction-with-comma", "a comma before the fraction", "2027-06-30T00:00:00,5Z"],
    ["fraction-empty", "a point and no fraction", "2027-06-30T00:00:00.Z"],
    ["year-of-five", "a year of five digits", "12027-06-30T00:00:00Z"],
    ["year-of-two", "a year of two digits", "27-06-30T00:00:00Z"],
    ["trailing-space", "a space at the end", "2027-06-30T00:00:00Z "],
    ["trailing-line-end", "a line end at the end", "2027-06-30T00:00:00Z\n"],
    ["other-digits", "digits that are not ASCII", "\u0662\u0660\u0662\u0667-06-30T00:00:00Z"],
  ];
  return rows.map(([name, what, value]) => [
    "/expires",
    `expires-${name}`,
    `expires: ${what}`,
    set("expires", value),
  ]);
}

export function modelMistakes(): readonly Mistake[] {
  const one = (pointer: string, name: string, what: string, value: unknown): Mistake => [
    `/models/0${pointer}`,
    `model-${name}`,
    what,
    set("models", [value]),
  ];
  return [
    ["/models", "models-empty", "no model", set("models", [])],
    ["/models", "models-unchecked", "a word that others have", set("models", "unchecked")],
    ["/models", "models-in-capitals", "the word in capitals", set("models", "ANY")],
    ["/models", "models-null", "null for the models", set("models", null)],
    ["/models", "models-of-object", "an object for the models", set("models", { digits: DIGEST })],
    [
      "/models",
      "models-1025",
      "one model more than may be",
      set(
        "models",
        Array.from({ length: MAX_LIST + 1 }, (_, i) => ({ id: `m${i}`, digest: DIGEST })),
      ),
    ],
    one("", "of-text", "an id instead of a model", "digits"),
    one("", "any", "the word in a list", "any"),
    one("", "without-id", "a model without id", { digest: DIGEST }),
    one("", "without-digest", "a model without digest", { id: "a" }),
    one("/version", "with-version", "an unknown key: versions are not listed", {
      id: "a",
      version: "1",
      digest: DIGEST,
    }),
    one("/id", "id-empty", "no id", { id: "", digest: DIGEST }),
    one("/id", "id-with-space", "an id with a space", { id: "digits 1", digest: DIGEST }),
    one("/id", "id-of-129", "an id of 129 characters", { id: "x".repeat(129), digest: DIGEST }),
    one("/id", "id-no-ascii", "an id with a letter that looks like another", {
      id: "dig\u0456ts",
      digest: DIGEST,
    }),
    one("/id", "id-null", "null for an id", { id: null, digest: DIGEST }),
    one("/digest", "digest-of-31-bytes", "a digest of 31 bytes", {
      id: "a",
      digest: DIGEST.slice(2),
    }),
    one("/digest", "digest-of-48-bytes", "a digest as long as SHA-384", {
      id: "a",
      digest: REGISTER,
    }),
    one("/digest", "digest-with-algorithm", "the algorithm before the digits", {
      id: "a",
      digest: `sha256:${DIGEST}`,
    }),
    one("/digest", "digest-any", "a word for a digest", { id: "a", digest: "any" }),
    [
      "/models/1",
      "models-twice",
      "the same model twice",
      set("models", [
        { id: "a", digest: DIGEST },
        { id: "a", digest: DIGEST.toUpperCase() },
      ]),
    ],
  ];
}

export function freshnessMistakes(): readonly Mistake[] {
  const own = { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "optional" };
  const one = (key: string, name: string, what: string, value: unknown): Mistake => [
    `/freshness/${key}`,
    `freshness-${name}`,
    what,
    set("freshness", { ...own, [key]: value }),
  ];
  return [
    ["/freshness", "freshness-any", "a word that models have", set("freshness", "any")],
    ["/freshness", "freshness-null", "null for freshness", set("freshness", null)],
    ["/freshness", "freshness-empty", "an object without members", set("freshness", {})],
    ["/freshness", "freshness-number", "an age alone", set("freshness", 7200)],
    ...Object.keys(own).map((key): Mistake => [
      "/freshness",
      `freshness-without-${key.toLowerCase()}`,
      `freshness without ${key}`,
      set("freshness", Object.fromEntries(Object.entries(own).filter(([name]) => name !== key))),
    ]),
    one("maxAge", "unknown-key", "an unknown key of freshness", 7200),
    one("maxAgeSeconds", "age-zero", "an age of zero", 0),
    one("maxAgeSeconds", "age-negative", "an age below zero", -1),
    one("maxAgeSeconds", "age-above", "a second more than a week", 604_801),
    one("maxAgeSeconds", "age-fraction", "an age that is no integer", 7200.5),
    one("maxAgeSeconds", "age-of-text", "an age as text", "7200"),
    one("maxAgeSeconds", "age-null", "null for an age", null),
    one("maxAgeSeconds", "age-unchecked", "a word for an age", "unchecked"),
    one("skewSeconds", "skew-negative", "a skew below zero", -1),
    one("skewSeconds", "skew-above", "a second more than an hour", 3601),
    one("skewSeconds", "skew-fraction", "a skew that is no integer", 0.5),
    one("skewSeconds", "skew-of-text", "a skew as text", "60"),
    one("challenge", "challenge-unknown", "an unknown word", "never"),
    one("challenge", "challenge-in-capitals", "the word in capitals", "Required"),
    one("challenge", "challenge-true", "true instead of a word", true),
    one("challenge", "challenge-of-list", "a word in a list", ["required"]),
  ];
}

export function suiteMistakes(): readonly Mistake[] {
  return [
    ["/suites", "suites-empty", "no suite", set("suites", [])],
    ["/suites", "suites-word", "a word for the suites", set("suites", "any")],
    ["/suites", "suites-text", "a suite instead of a list", set("suites", SUITE)],
    [
      "/suites/0",
      "suites-unknown",
      "a suite that we do not have",
      set("suites", ["P-256/HKDF-SHA256/AES-128-GCM"]),
    ],
    [
      "/suites/0",
      "suites-in-lower-case",
      "a suite in lower case",
      set("suites", [SUITE.toLowerCase()]),
    ],
    [
      "/suites/0",
      "suites-kem-alone",
      "a KEM instead of a suite",
      set("suites", ["MLKEM768-X25519"]),
    ],
    ["/suites/0", "suites-number", "the number of a KEM", set("suites", [0x647a])],
    [
      "/suites/1",
      "suites-second-unknown",
      "a second suite that we do not have",
      set("suites", [SUITE, "any"]),
    ],
    ["/suites/1", "suites-twice", "the same suite twice", set("suites", [SUITE, SUITE])],
    [
      "/suites/2",
      "suites-twice-around-another",
      "the same suite twice, another between",
      set("suites", [SUITE, X25519_SUITE, SUITE]),
    ],
  ];
}

export function revocationMistakes(): readonly Mistake[] {
  const none = { measurements: [], models: [], keysets: [] };
  const lists = [
    ["measurements", REGISTER],
    ["models", DIGEST],
    ["keysets", DIGEST],
  ] as const;
  return [
    ["/revoked", "revoked-of-list", "a list instead of three", set("revoked", [])],
    ["/revoked", "revoked-null", "null for what is revoked", set("revoked", null)],
    ["/revoked", "revoked-none", "a word for what is revoked", set("revoked", "none")],
    [
      "/revoked/roots",
      "revoked-unknown-list",
      "an unknown list of revocations",
      set("revoked", { ...none, roots: [] }),
    ],
    [
      "/revoked/keysets",
      "revoked-1025",
      "one revocation more than may be",
      set("revoked", {
        ...none,
        keysets: Array.from({ length: MAX_LIST + 1 }, () => encodeHex(random(32))),
      }),
    ],
    ...lists.flatMap(([key, value]): readonly Mistake[] => [
      [
        "/revoked",
        `revoked-without-${key}`,
        `no list of revoked ${key}`,
        set("revoked", Object.fromEntries(Object.entries(none).filter(([name]) => name !== key))),
      ],
      [
        `/revoked/${key}`,
        `revoked-${key}-null`,
        `null for the revoked ${key}`,
        set("revoked", { ...none, [key]: null }),
      ],
      [
        `/revoked/${key}/0`,
        `revoked-${key}-of-other-length`,
        `one of the revoked ${key} a byte short`,
        set("revoked", { ...none, [key]: [value.slice(2)] }),
      ],
      [
        `/revoked/${key}/0`,
        `revoked-${key}-no-digits`,
        `one of the revoked ${key} in other letters`,
        set("revoked", { ...none, [key]: [value.replaceAll("a", "x")] }),
      ],
      [
        `/revoked/${key}/1`,
        `revoked-${key}-twice`,
        `one of the revoked ${key} twice`,
        set("revoked", { ...none, [key]: [value, value.toUpperCase()] }),
      ],
    ]),
  ];
}

/** Nothing is allowed and revoked at once; the mistake is where it is allowed. */
export function contradictions(): readonly Mistake[] {
  const register = (index: number): string => encodeHex(IMAGE.get(index) ?? random(48));
  const revoking =
    (list: string, ...values: readonly string[]): PolicyChange =>
    (file) => {
      file.revoked[list] = values;
    };
  const aws = "/platforms/aws-nitro/measurements/0/pcr0";
  return [
    ...[0, 1, 2].map((index): Mistake => [
      `${LAB}/measurements/0/pcr${index}`,
      `contradiction-pcr${index}`,
      `a measurement whose PCR${index} is revoked`,
      revoking("measurements", register(index)),
    ]),
    [
      `${LAB}/measurements/1/pcr2`,
      "contradiction-second-measurement",
      "the second measurement revoked, in capitals",
      (file) => {
        simulated(file)["measurements"] = [measurement("a"), measurement("b", { pcr2: REGISTER })];
        revoking("measurements", REGISTER.toUpperCase())(file);
      },
    ],
    [
      aws,
      "contradiction-other-platform",
      "a measurement of another platform revoked",
      (file) => {
        file.platforms["aws-nitro"] = {
          ...platformOf(otherVendor()),
          measurements: [measurement("a", { pcr0: REGISTER })],
        };
        revoking("measurements", REGISTER)(file);
      },
    ],
    [
      "/models/0/digest",
      "contradiction-model",
      "a model that is revoked",
      revoking("models", encodeHex(DIGITS.digest)),
    ],
    [
      "/models/1/digest",
      "contradiction-second-model",
      "the second model revoked, after another",
      (file) => {
        file.models = [
          { id: "a", digest: encodeHex(DIGITS.digest) },
          { id: "b", digest: DIGEST },
        ];
        revoking("models", encodeHex(random(32)), DIGEST.toUpperCase())(file);
      },
    ],
  ];
}
