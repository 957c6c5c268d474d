import { describe, expect, test } from "vitest";

import type { ListedOutput } from "../src/api/outputs";
import { mergeNewest, selectedAfter } from "../src/pages/gallery/outputs";

const items = ["a", "a", "b", "c"].map((job_id) => ({ job_id }) as ListedOutput);

test("a click adds the job of an output, and the next click on any of its outputs removes it", () => {
  const selected = selectedAfter(new Set(), items, 0, null);
  expect([...selected]).toEqual(["a"]);
  expect([...selectedAfter(selected, items, 1, null)]).toEqual([]);
});

test("a range adds the jobs of all its outputs in both directions", () => {
  expect([...selectedAfter(new Set(["z"]), items, 3, 1)]).toEqual(["z", "a", "b", "c"]);
  expect([...selectedAfter(new Set(), items, 1, 3)]).toEqual(["a", "b", "c"]);
});

describe("mergeNewest", () => {
  const output = (id: string, url = "old") => ({ id, url }) as ListedOutput;
  const known = { items: [output("c"), output("b"), output("a")], next: "after a" };

  test("puts new outputs first, keeps older ones, and takes over new links", () => {
    const merged = mergeNewest(known, { items: [output("d", "new"), output("c", "new"), output("b")], next: "after b" });
    expect(merged).toEqual({ items: [output("d", "new"), output("c", "new"), output("b"), output("a")], next: "after a" });
    expect(merged.items[2]).toBe(known.items[1]);
  });

  test("a page without a known output replaces the list, because others may be missing between them", () => {
    const newest = { items: [output("z"), output("y")], next: "after y" };
    expect(mergeNewest(known, newest)).toEqual(newest);
  });
});
