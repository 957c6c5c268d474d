import { describe, expect, test } from "vitest";

import { isolatedIndexes, largestSeries, stackSeries } from "../src/ui/chart-data";

describe("stackSeries", () => {
  test("adds each series to those below it and counts a gap as nothing", () => {
    const stacked = stackSeries([
      { label: "a", values: [1, null, 3] },
      { label: "b", values: [10, 20, null] },
    ]);
    expect(stacked).toEqual([[1, 0, 3], [11, 20, 3]]);
  });
});

describe("largestSeries", () => {
  const series = [
    { label: "small", values: [1, 0] },
    { label: "large", values: [5, 5] },
    { label: "tiny", values: [0, 1] },
    { label: "medium", values: [4, null] },
  ];

  test("sorts by total and sums up what does not fit", () => {
    expect(largestSeries(series, 3, "others")).toEqual([
      { label: "large", values: [5, 5] },
      { label: "medium", values: [4, null] },
      { label: "others", values: [1, 1] },
    ]);
  });

  test("keeps all that fit", () => {
    expect(largestSeries(series, 4, "others").map(({ label }) => label)).toEqual(["large", "medium", "small", "tiny"]);
  });
});

test("isolatedIndexes finds the values between gaps and at the ends", () => {
  expect(isolatedIndexes([1, null, 2, 3, null, 4, null, null, 5])).toEqual([0, 5, 8]);
  expect(isolatedIndexes([1, 2, null, null])).toBeNull();
});
