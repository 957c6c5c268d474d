/** What charts draw, as plain numbers. Pure. */

export type Series = {
  label: string;
  /** One value for each moment; null leaves a gap. */
  values: readonly (number | null)[];
};

/**
 * Return the series on top of each other: the first at the bottom, each later one above the sum of those before it.
 * A gap counts as nothing.
 */
export function stackSeries(series: readonly Series[]): number[][] {
  const sums: number[] = [];
  return series.map(({ values }) => values.map((value, index) => (sums[index] = (sums[index] ?? 0) + (value ?? 0))));
}

/** Keep the `most` series with the largest totals; the others become one with the label `others`. */
export function largestSeries(series: readonly Series[], most: number, others: string): Series[] {
  const total = ({ values }: Series) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  const sorted = [...series].sort((left, right) => total(right) - total(left));
  if (sorted.length <= most) return sorted;
  const rest = sorted.slice(most - 1);
  const summed = rest[0]!.values.map((_, index) => rest.reduce((sum, { values }) => sum + (values[index] ?? 0), 0));
  return [...sorted.slice(0, most - 1), { label: others, values: summed }];
}

/** Return the indexes of values between two gaps, through which no line goes; null without any. */
export function isolatedIndexes(values: readonly (number | null)[]): number[] | null {
  const isGap = (index: number) => values[index] == null;
  const found = values.flatMap((value, index) => (value !== null && isGap(index - 1) && isGap(index + 1) ? [index] : []));
  return found.length > 0 ? found : null;
}
