import { describe, expect, test } from "vitest";

import { layOut, moveIn, ScrollPace, smoothedSpeed, windowOf } from "../src/pages/gallery/grid";

const grid = layOut({ width: 1000, count: 10_000, minimum: 180, gap: 10 });

describe("layOut", () => {
  test("fills the width with square tiles", () => {
    expect(grid).toEqual({ columns: 5, tile: 192, rowHeight: 202, rows: 2000, height: 2000 * 202 - 10 });
  });

  test("has one column where the screen is narrower than a tile", () => {
    expect(layOut({ width: 120, count: 3, minimum: 180, gap: 10 })).toMatchObject({ columns: 1, tile: 120, rows: 3 });
  });

  test("an empty grid has no height", () => {
    expect(layOut({ width: 1000, count: 0, minimum: 180, gap: 10 }).height).toBe(0);
  });
});

describe("windowOf", () => {
  test("draws the rows on the screen and the overscan", () => {
    expect(windowOf(grid, 10_000, 0, 808, 1)).toEqual([0, 25]);
    expect(windowOf(grid, 10_000, 2020, 808, 1)).toEqual([45, 75]);
  });

  test("stays small wherever the page is scrolled to", () => {
    for (let top = -500; top < grid.height + 5000; top += 997) {
      const [first, last] = windowOf(grid, 10_000, top, 900, 2);
      expect(last - first).toBeGreaterThan(0);
      expect(last - first).toBeLessThanOrEqual(10 * grid.columns);
    }
  });

  test("ends with the last tile", () => {
    expect(windowOf(grid, 10_000, grid.height - 400, 900, 1)[1]).toBe(10_000);
    expect(windowOf(layOut({ width: 1000, count: 7, minimum: 180, gap: 10 }), 7, 0, 900, 1)).toEqual([0, 7]);
  });

  test("an empty grid draws nothing", () => {
    expect(windowOf(layOut({ width: 1000, count: 0, minimum: 180, gap: 10 }), 0, 0, 900, 1)).toEqual([0, 0]);
  });
});

describe("moveIn", () => {
  test("arrow keys move by tile and by row, and stop at the ends", () => {
    expect(moveIn(grid, 10_000, 7, "ArrowRight")).toBe(8);
    expect(moveIn(grid, 10_000, 7, "ArrowDown")).toBe(12);
    expect(moveIn(grid, 10_000, 3, "ArrowUp")).toBe(3);
    expect(moveIn(grid, 10_000, 9999, "ArrowRight")).toBe(9999);
    expect(moveIn(grid, 10_000, 7, "End")).toBe(9999);
    expect(moveIn(grid, 10_000, 7, "a")).toBeNull();
  });
});

describe("smoothedSpeed", () => {
  const over = (ms: number, pixelsASecond: number) => {
    let speed = 0;
    for (let passed = 0; passed < ms; passed += 16) speed = smoothedSpeed(speed, (pixelsASecond * 16) / 1000, 16);
    return speed;
  };

  test("approaches a steady speed", () => {
    expect(over(1000, 1500)).toBeCloseTo(1500, 0);
    expect(over(200, 12_000)).toBeGreaterThan(3000);
  });

  test("one notch of a wheel after a rest is slow", () => {
    expect(smoothedSpeed(0, 120, 2000)).toBeLessThan(100);
    expect(smoothedSpeed(0, 120, 16)).toBeLessThan(1500);
  });

  test("two reports at the same moment change nothing", () => {
    expect(smoothedSpeed(700, 0, 0)).toBe(700);
  });
});

describe("ScrollPace", () => {
  const afterASecond = (pace: ScrollPace, pixelsASecond: number, frameMs: number) => {
    let mayLoad = true;
    for (let passed = 0; passed < 1000; passed += frameMs) mayLoad = pace.move((pixelsASecond * frameMs) / 1000, frameMs);
    return mayLoad;
  };

  test("thumbnails load while scrolling is smooth", () => {
    expect(afterASecond(new ScrollPace(), 1500, 17)).toBe(true);
  });

  test("no thumbnail loads at high speed", () => {
    expect(afterASecond(new ScrollPace(), 12_000, 17)).toBe(false);
  });

  test("no thumbnail loads after jerky frames, until scrolling is slow", () => {
    const pace = new ScrollPace();
    expect(afterASecond(pace, 1500, 30)).toBe(false);
    expect(afterASecond(pace, 1500, 17)).toBe(false);
    expect(afterASecond(pace, 300, 17)).toBe(true);
  });

  test("thumbnails load after a rest", () => {
    const pace = new ScrollPace();
    afterASecond(pace, 1500, 30);
    pace.rest();
    expect(pace.move(10, 5000)).toBe(true);
    expect(afterASecond(pace, 1500, 17)).toBe(true);
  });
});
