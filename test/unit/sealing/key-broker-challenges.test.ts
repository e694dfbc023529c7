import { describe, expect, it } from "vitest";
import {
  CHALLENGE_LIFETIME_MS,
  Challenges,
  MAX_CHALLENGES,
  MAX_CHALLENGES_PER_PEER,
} from "../../../sealing/broker/challenges.ts";
import { MAX_NOISE_PER_MINUTE, Noise } from "../../../sealing/broker/noise.ts";

class Time {
  ms = 1_795_262_400_500;
  /** Unix time, which somebody may set. */
  offsetMs = 0;
  readonly nowMs = (): number => this.ms + this.offsetMs;
  readonly monotonicMs = (): number => this.ms;
}

function given(challenges: Challenges, peer: string): Uint8Array {
  const challenge = challenges.give(peer);
  if (challenge === null) throw new Error(`no challenge for ${peer}`);
  return challenge.nonce;
}

describe("a challenge", () => {
  it("is 32 fresh bytes, for a minute", () => {
    const challenges = new Challenges(new Time());
    const first = challenges.give("a");
    expect(first).toMatchObject({ expires: 1_795_262_460 });
    expect(first?.nonce).toHaveLength(32);
    expect(given(challenges, "a")).not.toEqual(first?.nonce);
  });

  it("is used once, by whoever has it", () => {
    const challenges = new Challenges(new Time());
    const nonce = given(challenges, "a");
    expect(challenges.use(nonce)).toBe(true);
    expect(challenges.use(nonce)).toBe(false);
  });

  it("that was never given out is none, and neither is part of one", () => {
    const challenges = new Challenges(new Time());
    const nonce = given(challenges, "a");
    expect(challenges.use(new Uint8Array(32))).toBe(false);
    expect(challenges.use(nonce.subarray(1))).toBe(false);
    expect(challenges.use(new Uint8Array(0))).toBe(false);
  });

  it("is over after a minute, whatever the time of day then is", () => {
    const time = new Time();
    const challenges = new Challenges(time);
    const [early, late] = [given(challenges, "a"), given(challenges, "a")];
    time.ms += CHALLENGE_LIFETIME_MS - 1;
    time.offsetMs = 3_600_000;
    expect(challenges.use(early)).toBe(true);
    time.ms += 1;
    time.offsetMs = -3_600_000;
    expect(challenges.use(late)).toBe(false);
    expect(challenges.use(early)).toBe(false);
  });
});

describe("limits", () => {
  it("bound what one address has in a minute, used or not", () => {
    const time = new Time();
    const challenges = new Challenges(time);
    for (let count = 0; count < MAX_CHALLENGES_PER_PEER; count++) {
      expect(challenges.use(given(challenges, "a"))).toBe(true);
    }
    expect(challenges.give("a")).toBeNull();
    expect(challenges.give("b")).not.toBeNull();
    time.ms += CHALLENGE_LIFETIME_MS;
    expect(challenges.give("a")).not.toBeNull();
  });

  it("bound what all have together", () => {
    const time = new Time();
    const challenges = new Challenges(time);
    for (let count = 0; count < MAX_CHALLENGES; count++) given(challenges, `peer ${count}`);
    expect(challenges.give("another")).toBeNull();
    time.ms += CHALLENGE_LIFETIME_MS;
    expect(challenges.give("another")).not.toBeNull();
  });
});

describe("lines about requests without a challenge", () => {
  it("are so many a minute, and the first of the next says how many were left out", () => {
    const noise = new Noise();
    for (let count = 0; count < MAX_NOISE_PER_MINUTE; count++) {
      expect(noise.admit(1000)).toBe(0);
    }
    expect(noise.admit(60_999)).toBeNull();
    expect(noise.admit(60_999)).toBeNull();
    expect(noise.admit(61_000)).toBe(2);
    expect(noise.admit(61_000)).toBe(0);
  });
});
