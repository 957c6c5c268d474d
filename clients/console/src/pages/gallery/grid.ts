/** Which tiles of a long grid are on the screen. Pure. */

export type GridSize = { width: number; count: number; minimum: number; gap: number };

export type Grid = { columns: number; tile: number; rowHeight: number; rows: number; height: number };

/** Return a grid of square tiles that fill the width; each is at least `minimum` wide where the width allows it. */
export function layOut({ width, count, minimum, gap }: GridSize): Grid {
  const columns = Math.max(1, Math.floor((width + gap) / (minimum + gap)));
  const tile = Math.max(1, (width - gap * (columns - 1)) / columns);
  const rows = Math.ceil(count / columns);
  const rowHeight = tile + gap;
  return { columns, tile, rowHeight, rows, height: Math.max(0, rows * rowHeight - gap) };
}

/**
 * Return the first index of the tiles to draw and the one after the last.
 * @param top how far the top of the grid is above the top of the screen; negative while it is below.
 * @param overscan rows to draw before and after those on the screen.
 */
export function windowOf({ columns, rowHeight, rows }: Grid, count: number, top: number, screen: number, overscan: number): [number, number] {
  const firstRow = Math.min(Math.max(0, rows - 1), Math.max(0, Math.floor(top / rowHeight) - overscan));
  const lastRow = Math.min(rows, Math.max(0, Math.ceil((top + screen) / rowHeight) + overscan));
  return [Math.min(count, firstRow * columns), Math.min(count, Math.max(firstRow + 1, lastRow) * columns)];
}

const SMOOTHING_MS = 100;

/**
 * Return the speed of scrolling in pixels a second, smoothed over about 100 ms, so that one notch of a wheel is not fast.
 * @param distance in pixels, since `ms` milliseconds ago, when the speed was `before`.
 */
export function smoothedSpeed(before: number, distance: number, ms: number): number {
  const kept = Math.exp(-ms / SMOOTHING_MS);
  return before * kept + (ms > 0 ? (distance / ms) * 1000 * (1 - kept) : 0);
}

const MAX_SPEED = 3000; // pixels a second; nobody sees the pictures that pass by faster
const SLOW = 800;
const SMOOTH_FRAME_MS = 16;
const LONGEST_FRAME_MS = 200; // a longer time is a rest between two moves
const SLOWEST_FRAME_MS = 20; // 50 frames a second

/** Decides, frame by frame, whether thumbnails may load: not at high speed, and not while they make scrolling jerk. */
export class ScrollPace {
  private speed = 0;
  private frameMs = SMOOTH_FRAME_MS;
  private isJerky = false;

  /** Take in one frame of scrolling, `ms` after the one before. Returns whether thumbnails may load. */
  move(distance: number, ms: number): boolean {
    this.speed = smoothedSpeed(this.speed, distance, ms);
    if (ms < LONGEST_FRAME_MS) this.frameMs += (ms - this.frameMs) * (1 - Math.exp(-ms / (3 * SMOOTHING_MS)));
    this.isJerky = this.speed > SLOW && (this.isJerky || this.frameMs > SLOWEST_FRAME_MS);
    return this.speed <= MAX_SPEED && !this.isJerky;
  }

  /** Scrolling has ended: thumbnails load. */
  rest(): void {
    Object.assign(this, { speed: 0, frameMs: SMOOTH_FRAME_MS, isJerky: false });
  }
}

/** Return the index that a key moves the focus to; null: the key does not move it. */
export function moveIn({ columns }: Grid, count: number, index: number, key: string): number | null {
  const steps: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -index, End: count - 1 - index };
  const step = steps[key];
  if (step === undefined) return null;
  const target = index + step;
  return target >= 0 && target < count ? target : index;
}
