import { beforeEach, describe, expect, test } from "vitest";

import { List, type Page } from "../src/api/paged";

const PAGES: Record<string, Page<string>> = {
  first: { items: ["d", "c"], next: "second" },
  second: { items: ["b", "a"], next: null },
};

describe("while the next page loads", () => {
  let list: List<string>;
  let answer: () => void;

  beforeEach(async () => {
    list = new List();
    list.fetchPage = async (cursor) => PAGES[cursor ?? "first"]!;
    await list.reload();
    list.fetchPage = (cursor) => new Promise((resolve) => (answer = () => resolve(PAGES[cursor!]!)));
  });

  test("an item that is removed stays removed", async () => {
    const loading = list.load("second");
    list.update((items) => items.filter((item) => item !== "c"));
    answer();
    await loading;
    expect(list.state.value.items).toEqual(["d", "b", "a"]);
  });

  test("a newer first page can replace the list, and the page is dropped", async () => {
    const loading = list.load("second");
    list.merge(() => ({ items: ["z", "y"], next: "third" }));
    answer();
    await loading;
    expect(list.state.value).toEqual({ items: ["z", "y"], next: "third", problem: null, isLoading: false });
  });
});
