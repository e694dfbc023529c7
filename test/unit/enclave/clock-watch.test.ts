import { afterEach, describe, expect, it } from "vitest";
import { requireSameTime, watchClock } from "../../../enclave/clock-watch.ts";
import { Epochs } from "../../../enclave/epochs.ts";
import { SimulatedNsm } from "../../../enclave/simulation/nsm.ts";
import { IMAGE, newVendor, TestClock, testTerms } from "../../fakes/ring.ts";

const START = Date.now();
const vendor = newVendor();
const opened: Epochs[] = [];
afterEach(() => {
  for (const epochs of opened.splice(0)) epochs.close();
});

/** Whether `promise` has settled already. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([promise.then(() => true), Promise.resolve(false)]);
}

describe("a watch of two clocks", () => {
  it("takes a drift of half a second a minute for what it is", async () => {
    const clock = new TestClock(START);
    const watch = watchClock(clock);
    for (let minute = 0; minute < 60; minute++) {
      clock.jump(500);
      await clock.advance(10_000);
    }
    expect(await settled(watch.failure)).toBe(false);
    watch.close();
  });

  it("tells a jump once, and looks no more", async () => {
    const clock = new TestClock(START);
    const watch = watchClock(clock);
    clock.jump(3_600_000);
    await clock.advance(0);
    const error = await watch.failure;
    expect(error.code).toBe("clock/jumped");
    expect(error.message).toContain("by 3600000 ms");
    clock.jump(-3_600_000);
    await clock.advance(60_000);
    expect(await watch.failure).toBe(error);
  });

  it("looks no more once it is closed", async () => {
    const clock = new TestClock(START);
    const watch = watchClock(clock);
    watch.close();
    clock.jump(3_600_000);
    await clock.advance(60_000);
    expect(await settled(watch.failure)).toBe(false);
  });
});

describe("the module's clock and ours", () => {
  it.each([60_000, -60_000, 0])("may be %i ms apart", (skewMs) => {
    requireSameTime(START + skewMs, START);
    expect(() => {
      requireSameTime(START + skewMs + Math.sign(skewMs), START);
    }).not.toThrow(TypeError);
  });

  it.each([60_001, -60_001])("may not be %i ms apart", (skewMs) => {
    expect(() => {
      requireSameTime(START + skewMs, START);
    }).toThrow(`clock/skew: the module is ${skewMs} ms ahead`);
  });
});

describe("epochs of a module whose clock is another", () => {
  const open = async (skew: { ms: number }): Promise<{ epochs: Epochs; clock: TestClock }> => {
    const clock = new TestClock(START);
    const nsm = new SimulatedNsm(vendor, IMAGE, () => clock.nowMs() + skew.ms);
    const log = (): void => undefined;
    const epochs = await Epochs.open({ nsm, terms: testTerms(), clock, log });
    opened.push(epochs);
    return { epochs, clock };
  };

  it.each([-60_001, 60_001])("are not opened: %i ms", async (ms) => {
    await expect(open({ ms })).rejects.toThrow("clock/skew");
  });

  it("end, and are not tried again, where it became another since", async () => {
    const skew = { ms: 60_000 };
    const { epochs, clock } = await open(skew);
    skew.ms = 60_001;
    await clock.advance(3_600_000);
    expect((await epochs.failure).code).toBe("clock/skew");
    skew.ms = 0;
    await clock.advance(60_000);
    expect(epochs.current.sequence).toBe(1);
  });
});
