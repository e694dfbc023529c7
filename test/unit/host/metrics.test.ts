import { describe, expect, it } from "vitest";
import { TokenBucket } from "../../../host/bucket.ts";
import { splitLines } from "../../../host/lines.ts";
import { Registry } from "../../../host/metrics.ts";
import { Observer } from "../../../host/observe.ts";
import { memoryLog } from "./support.ts";

describe("metrics registry", () => {
  it("writes the text format", () => {
    const registry = new Registry();
    const counter = registry.counter("things_total", "Things.", ["kind"]);
    const small = counter.cell("small");
    counter.cell('a"b\\c\nd').add(2);
    small.add(1);
    small.add(1);
    registry.gauge("level", "Level.", () => 1.5);
    registry.gauge("absent", "Absent.", () => null);
    expect(registry.render().split("\n")).toEqual([
      "# HELP things_total Things.",
      "# TYPE things_total counter",
      'things_total{kind="small"} 2',
      'things_total{kind="a\\"b\\\\c\\nd"} 2',
      "# HELP level Level.",
      "# TYPE level gauge",
      "level 1.5",
      "# HELP absent Absent.",
      "# TYPE absent gauge",
      "",
    ]);
  });

  it("shows a series before its first count", () => {
    const registry = new Registry();
    registry.counter("c_total", "C.", []).cell();
    expect(registry.render()).toContain("\nc_total 0\n");
  });

  it("refuses labels that do not fit", () => {
    const counter = new Registry().counter("c_total", "C.", ["a", "b"]);
    expect(() => counter.cell("1")).toThrow(TypeError);
  });

  it("counts observations cumulatively, a bound included", () => {
    const registry = new Registry();
    const histogram = registry.histogram("h", "H.", [1, 2]);
    for (const value of [0.5, 1, 1.5, 3]) histogram.observe(value);
    expect(registry.render().split("\n").slice(2, -1)).toEqual([
      'h_bucket{le="1"} 2',
      'h_bucket{le="2"} 3',
      'h_bucket{le="+Inf"} 4',
      "h_sum 6",
      "h_count 4",
    ]);
  });
});

describe("observer", () => {
  const enclave = {
    serving: true,
    generation: 1,
    restarts: 2,
    status: {
      phase: "serving",
      epoch: { sequence: 9, notBefore: 1, notAfter: 2 },
      queue: { depth: 3, limit: 64 },
    },
  };
  const record = {
    route: "gateway",
    outcome: "completed",
    status: 200,
    bytesIn: 10,
    bytesOut: 20,
    durationMs: 4,
    requestId: "a-1",
  } as const;

  it("shows the enclave and the exchanges", () => {
    const observer = new Observer(enclave, () => 5, null);
    observer.record(record);
    observer.record({ ...record, route: "bundle", bytesOut: 1000 });
    const text = observer.render();
    for (const line of [
      'countersign_requests_total{route="gateway",outcome="completed"} 1',
      'countersign_requests_total{route="bundle",outcome="completed"} 1',
      'countersign_requests_total{route="gateway",outcome="broken"} 0',
      "countersign_request_bytes_total 10",
      "countersign_response_bytes_total 20",
      'countersign_exchange_duration_seconds_bucket{le="0.005"} 1',
      "countersign_exchange_duration_seconds_count 1",
      "countersign_requests_in_flight 5",
      "countersign_enclave_up 1",
      "countersign_enclave_restarts_total 2",
      "countersign_epoch_sequence 9",
      "countersign_epoch_not_after_seconds 2",
      "countersign_queue_depth 3",
      "countersign_queue_limit 64",
    ]) {
      expect(text.split("\n")).toContain(line);
    }
  });

  it("writes a line a request only when told to", () => {
    const { log, lines } = memoryLog();
    new Observer(enclave, () => 0, log).record(record);
    expect(lines).toEqual([
      {
        event: "request",
        fields: {
          route: "gateway",
          outcome: "completed",
          status: 200,
          bytesIn: 10,
          bytesOut: 20,
          ms: 4,
          id: "a-1",
        },
      },
    ]);
  });
});

describe("token bucket", () => {
  it("gives its burst, then its rate, and says how long to wait", () => {
    const bucket = new TokenBucket(2, 3, 0);
    expect([0, 0, 0, 0].map((now) => bucket.take(now))).toEqual([0, 0, 0, 1]);
    expect(bucket.take(500)).toBe(0);
    expect(bucket.take(500)).toBe(1);
  });

  it("holds no more than its burst, and does not count a clock that goes back", () => {
    const bucket = new TokenBucket(1, 2, 0);
    expect([1e6, 1e6, 1e6, 5e5].map((now) => bucket.take(now))).toEqual([0, 0, 1, 1]);
  });
});

describe("lines of a stream", () => {
  it("joins what comes in parts, and drops a line that is too long", () => {
    const lines: string[] = [];
    let dropped = 0;
    const feed = splitLines(
      5,
      (line) => lines.push(line),
      () => {
        dropped += 1;
      },
    );
    for (const part of ["ab", "c\nde", "\n\n12345\n123", "456", "789\nfg\nh"]) {
      feed(Buffer.from(part));
    }
    expect(lines).toEqual(["abc", "de", "", "12345", "fg"]);
    expect(dropped).toBe(1);
  });
});
