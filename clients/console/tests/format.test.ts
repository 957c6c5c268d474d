import { describe, expect, test } from "vitest";

import { formatAgo, formatBytes, formatDuration, formatUtc } from "../src/ui/format";

describe("durations", () => {
  test.each([
    [4.21, "4.2 s"],
    [59.6, "1 min"],
    [200, "3 min 20 s"],
    [7500, "2 h 5 min"],
    [273_600, "3 d 4 h"],
  ])("%d seconds", (seconds, shown) => expect(formatDuration(seconds)).toBe(shown));
});

describe("sizes", () => {
  test.each([
    [0, "0 B"],
    [1536, "1.5 KiB"],
    [300 * 1024 * 1024, "300 MiB"],
  ])("%d bytes", (bytes, shown) => expect(formatBytes(bytes)).toBe(shown));
});

test("a moment is relative to now", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  expect(formatAgo("2026-01-01T23:58:00Z", now)).toBe("2 minutes ago");
  expect(formatAgo("2026-01-01T23:59:55Z", now)).toBe("just now");
  expect(formatAgo("2025-12-30T00:00:00Z", now)).toBe("3 days ago");
});

test("UTC is shown to the second", () => {
  expect(formatUtc("2026-01-02T03:04:05.678+02:00")).toBe("2026-01-02 01:04:05 UTC");
});
