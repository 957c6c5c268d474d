import { expect, test } from "vitest";

import type { ListedOutput } from "../src/api/outputs";
import { selectedAfter } from "../src/pages/gallery/outputs";

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
