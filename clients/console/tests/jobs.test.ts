import { describe, expect, test } from "vitest";

import { adviceOf } from "../src/pages/jobs/advice";
import { isFiltered, queryOf } from "../src/pages/jobs/filters";
import { mergeFirstPage, rangeOf } from "../src/pages/jobs/merge";
import { text } from "../src/text";

const NONE = { status: "", workflow: "", label: "", time: "" };
const NOW = Date.UTC(2026, 10, 29, 9, 30, 42);

describe("queryOf", () => {
  test("an empty filter asks for everything", () => {
    expect(queryOf(NONE, NOW)).toEqual({});
  });

  test("times begin at a whole minute", () => {
    expect(queryOf({ ...NONE, time: "24h" }, NOW)).toEqual({ created_after: "2026-11-28T09:30:00.000Z" });
    expect(queryOf({ ...NONE, time: "7d" }, NOW)).toEqual({ created_after: "2026-11-22T09:30:00.000Z" });
  });

  test("values that the API refuses are left out", () => {
    expect(queryOf({ status: "asleep", workflow: "portrait", label: "no-colon", time: "soon" }, NOW)).toEqual({ workflow: "portrait" });
    expect(queryOf({ ...NONE, status: "failed", label: "campaign:autumn" }, NOW)).toEqual({ status: "failed", label: "campaign:autumn" });
  });

  test("isFiltered tells whether there is any filter", () => {
    expect(isFiltered(NONE)).toBe(false);
    expect(isFiltered({ ...NONE, time: "1h" })).toBe(true);
  });
});

const job = (id: string, second: number) => ({ job_id: id, created_at: new Date(Date.UTC(2026, 10, 29, 9, 0, second)).toISOString() });

describe("mergeFirstPage", () => {
  const known = [job("d", 4), job("c", 3), job("b", 2), job("a", 1)];

  test("puts new jobs first and keeps older ones", () => {
    expect(mergeFirstPage(known, [job("e", 5), job("d", 4), job("c", 3)], false)).toEqual(["e", "d", "c", "b", "a"]);
  });

  test("drops jobs that are no longer in the page", () => {
    expect(mergeFirstPage(known, [job("e", 5), job("c", 3)], false)).toEqual(["e", "c", "b", "a"]);
  });

  test("a page with the whole list replaces it", () => {
    expect(mergeFirstPage(known, [job("d", 4)], true)).toEqual(["d"]);
    expect(mergeFirstPage(known, [], true)).toEqual([]);
  });
});

describe("rangeOf", () => {
  const ids = ["e", "d", "c", "b"];

  test("is the same in both directions", () => {
    expect(rangeOf(ids, "d", "b")).toEqual(["d", "c", "b"]);
    expect(rangeOf(ids, "b", "d")).toEqual(["d", "c", "b"]);
  });

  test("without a last job, or with one that is gone, is the job itself", () => {
    expect(rangeOf(ids, null, "c")).toEqual(["c"]);
    expect(rangeOf(ids, "gone", "c")).toEqual(["c"]);
  });
});

test("advice is that of the code, else of its first part, else general", () => {
  expect(adviceOf("workflow.execution_failed")).toBe(text.job.advice["workflow.execution_failed"]);
  expect(adviceOf("node.lost")).toBe(text.job.advice.node);
  expect(adviceOf("something.new")).toBe(text.job.advice.job);
});
