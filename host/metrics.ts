/**
 * Counters, gauges and histograms in the Prometheus text format 0.0.4.
 *
 * Label values are words of ours, never a peer's, so the number of series is bounded by the code.
 */

/** Content type of {@link Registry.render}. */
export const METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8";

type LabelNames = readonly string[];

/** One series of a counter. */
export interface Cell {
  add(amount: number): void;
}

/** Values that only rise, one for each combination of label values. */
export interface Counter {
  /** The series with these label values, in the order of the label names. Hold on to it. */
  cell(...labelValues: readonly string[]): Cell;
}

/** Observations counted by upper bound. */
export interface Histogram {
  observe(value: number): void;
}

/** A set of metrics that renders itself. */
export class Registry {
  readonly #families: (() => string)[] = [];

  counter(name: string, help: string, labelNames: LabelNames): Counter {
    const values = new Map<string, number>();
    this.#family(name, help, "counter", () =>
      [...values].map(([labels, value]) => `${name}${labels} ${value}\n`).join(""),
    );
    return {
      cell: (...labelValues) => {
        const labels = formatLabels(labelNames, labelValues);
        if (!values.has(labels)) values.set(labels, 0);
        return {
          add: (amount) => {
            values.set(labels, (values.get(labels) ?? 0) + amount);
          },
        };
      },
    };
  }

  /** A number read when asked for; null leaves the series out. */
  gauge(name: string, help: string, read: () => number | null): void {
    this.#family(name, help, "gauge", () => sample(name, read()));
  }

  /** A counter kept elsewhere, read when asked for. */
  observedCounter(name: string, help: string, read: () => number | null): void {
    this.#family(name, help, "counter", () => sample(name, read()));
  }

  /** @param bounds - upper bounds, inclusive, rising; +Inf is added. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const counts = new Float64Array(bounds.length + 1);
    let sum = 0;
    this.#family(name, help, "histogram", () => {
      let total = 0;
      let text = "";
      counts.forEach((count, index) => {
        total += count;
        text += `${name}_bucket{le="${bounds[index] ?? "+Inf"}"} ${total}\n`;
      });
      return `${text}${name}_sum ${sum}\n${name}_count ${total}\n`;
    });
    return {
      observe: (value) => {
        let index = 0;
        while (index < bounds.length && value > (bounds[index] ?? Infinity)) index++;
        counts[index] = (counts[index] ?? 0) + 1;
        sum += value;
      },
    };
  }

  /** The whole exposition. */
  render(): string {
    return this.#families.map((family) => family()).join("");
  }

  #family(name: string, help: string, type: string, series: () => string): void {
    const head = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
    this.#families.push(() => head + series());
  }
}

function sample(name: string, value: number | null): string {
  return value === null ? "" : `${name} ${value}\n`;
}

function formatLabels(names: LabelNames, values: readonly string[]): string {
  if (names.length !== values.length) throw new TypeError("one value for each label");
  if (names.length === 0) return "";
  const pairs = names.map((name, index) => `${name}="${escapeLabel(values[index] ?? "")}"`);
  return `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
