import { describe, expect, test } from "vitest";

import { deviceOf } from "../src/pages/account/devices";
import { fillDays, requestsByEndpoint, sumOf, timesOf, totalsByEndpoint, type Day } from "../src/pages/account/usage";

const NOW = Date.UTC(2026, 10, 29, 23, 59);
const day = (name: string, endpoints: Day["endpoints"]): Day => ({ day: name, requests: 3, jobs: 2, images: 4, gpu_seconds: 1.5, endpoints });
const USAGE = [
  day("2026-11-29", { "POST /jobs": { requests: 2, images: 4, gpu_seconds: 1.5 }, "GET /jobs": { requests: 1, images: 0, gpu_seconds: 0 } }),
  day("2026-11-27", { "GET /jobs": { requests: 5, images: 0, gpu_seconds: 0 } }),
];

describe("fillDays", () => {
  test("has every day once, oldest first, in UTC", () => {
    const days = fillDays(USAGE, 4, NOW);
    expect(days.map((one) => [one.day, one.images])).toEqual([["2026-11-26", 0], ["2026-11-27", 4], ["2026-11-28", 0], ["2026-11-29", 4]]);
    expect(timesOf(days)[3]).toBe(Date.UTC(2026, 10, 29) / 1000);
    expect(sumOf(days, "gpu_seconds")).toBe(3);
  });
});

test("requestsByEndpoint has one series for each endpoint, the largest first", () => {
  expect(requestsByEndpoint(fillDays(USAGE, 3, NOW), 5, "others")).toEqual([
    { label: "GET /jobs", values: [5, 0, 1] },
    { label: "POST /jobs", values: [0, 0, 2] },
  ]);
});

test("totalsByEndpoint sums up all days", () => {
  expect(totalsByEndpoint(USAGE)).toEqual([
    { endpoint: "GET /jobs", requests: 6, images: 0, gpuSeconds: 0 },
    { endpoint: "POST /jobs", requests: 2, images: 4, gpuSeconds: 1.5 },
  ]);
});

test.each([
  ["Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"],
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows"],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/604.1", "Safari on iPhone"],
  ["curl/8.5.0", "curl"],
  [null, null],
])("deviceOf %s", (userAgent, expected) => {
  expect(deviceOf(userAgent)).toBe(expected);
});
