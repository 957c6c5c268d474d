/** A grid of thumbnails that has only the visible ones in the page, however many there are. */
import { Component, createRef } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import type { ListedOutput } from "../../api/outputs";
import { text, workflowTitle } from "../../text";
import { formatBytes } from "../../ui/format";
import { Icon } from "../../ui/icons";
import { pathOf } from "../../ui/media";
import { layOut, moveIn, ScrollPace, windowOf } from "./grid";

const MINIMUM = { wide: 170, narrow: 106 };
const OVERSCAN = 2;
const REST_MS = 120; // without a scroll event
const AHEAD_SCREENS = 3; // loads the next page this many screens before the end

type GridProps = {
  items: readonly ListedOutput[];
  hasMore: boolean;
  onMore: () => void;
  /** Ids of the selected jobs; null while a click opens an output. */
  selected: ReadonlySet<string> | null;
  onClick: (index: number, event: MouseEvent) => void;
  /** The thumbnail could not be loaded: its link has probably expired. */
  onBroken: (item: ListedOutput) => void;
};

export function OutputGrid({ items, selected, hasMore, onMore, onClick, onBroken }: GridProps) {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [range, setRange] = useState<readonly [number, number]>([0, 0]);
  const [isLoading, setLoading] = useState(true);
  const pace = useRef(new ScrollPace());
  const [focused, setFocused] = useState(0);
  const shouldFocus = useRef(false);
  const isNarrow = width < 560;
  const gap = isNarrow ? 4 : 10;
  const grid = useMemo(() => layOut({ width, count: items.length, minimum: isNarrow ? MINIMUM.narrow : MINIMUM.wide, gap }), [width, items.length]);

  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (width === 0) return;
    let offset = place.current!.getBoundingClientRect().top + scrollY;
    let frame = 0;
    let rest = 0;
    let restFrame = 0;
    let known = { y: scrollY, at: performance.now() };
    const update = (now = performance.now()) => {
      frame = 0;
      setLoading(pace.current.move(Math.abs(scrollY - known.y), Math.max(0, now - known.at)));
      known = { y: scrollY, at: now };
      const top = scrollY - offset;
      const [first, last] = windowOf(grid, items.length, top, innerHeight, OVERSCAN);
      setRange((known) => (known[0] === first && known[1] === last ? known : [first, last]));
      if (hasMore && top + innerHeight * (1 + AHEAD_SCREENS) > grid.height) onMore();
    };
    const onRest = () => {
      pace.current.rest();
      setLoading(true);
    };
    const awaitRest = () => {
      clearTimeout(rest);
      // a slow frame delays scroll events, too: the next frame says whether the page still moves
      rest = window.setTimeout(() => {
        restFrame = requestAnimationFrame(() => (scrollY === known.y ? onRest() : awaitRest()));
      }, REST_MS);
    };
    const onScroll = () => {
      frame ||= requestAnimationFrame(update);
      awaitRest();
    };
    const onResize = () => {
      offset = place.current!.getBoundingClientRect().top + scrollY;
      onScroll();
    };
    update();
    awaitRest();
    addEventListener("scroll", onScroll, { passive: true });
    addEventListener("resize", onResize);
    return () => {
      cancelAnimationFrame(frame);
      clearTimeout(rest);
      cancelAnimationFrame(restFrame);
      removeEventListener("scroll", onScroll);
      removeEventListener("resize", onResize);
    };
  }, [grid, items.length, hasMore]);

  useEffect(() => {
    if (!shouldFocus.current) return;
    shouldFocus.current = false;
    place.current!.querySelector<HTMLElement>(`[data-index="${focused}"]`)?.focus({ preventScroll: true });
  });

  function onKey(event: KeyboardEvent): void {
    const target = moveIn(grid, items.length, focused, event.key);
    if (target === null || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const top = place.current!.getBoundingClientRect().top + scrollY + Math.floor(target / grid.columns) * grid.rowHeight;
    if (top < scrollY + 60) scrollTo({ top: Math.max(0, top - 60), behavior: "instant" });
    else if (top + grid.tile > scrollY + innerHeight) scrollTo({ top: top + grid.tile - innerHeight + gap, behavior: "instant" });
    shouldFocus.current = true;
    setFocused(target);
  }

  const [first, last] = range;
  const reachable = focused >= first && focused < last ? focused : first;
  return (
    <div ref={place} class="output-grid" role="list" aria-label={text.gallery.grid} style={{ height: `${grid.height}px` }} onKeyDown={onKey}>
      {items.slice(first, last).map((item, offset) => {
        const index = first + offset;
        return (
          <Tile
            key={item.id} item={item} index={index} size={grid.tile} isReachable={index === reachable} isLoading={isLoading}
            isSelected={selected && selected.has(item.job_id)}
            x={(index % grid.columns) * (grid.tile + gap)} y={Math.floor(index / grid.columns) * grid.rowHeight}
            onClick={onClick} onFocus={setFocused} onBroken={onBroken}
          />
        );
      })}
    </div>
  );
}

type TileProps = {
  item: ListedOutput;
  index: number;
  x: number;
  y: number;
  size: number;
  /** Whether the Tab key reaches it; arrow keys reach the others. */
  isReachable: boolean;
  /** Whether a thumbnail may start to load. One that has started goes on. */
  isLoading: boolean;
  /** Null while a click opens the output. */
  isSelected: boolean | null;
  onClick: (index: number, event: MouseEvent) => void;
  onFocus: (index: number) => void;
  onBroken: (item: ListedOutput) => void;
};

/** Renders again only when its place or its output changes, not with each step of scrolling. */
class Tile extends Component<TileProps> {
  private readonly image = createRef<HTMLImageElement>();
  private hasStarted = false;

  override shouldComponentUpdate(next: Readonly<TileProps>): boolean {
    if (next.isLoading !== this.props.isLoading && !this.hasStarted) return true;
    return (Object.keys(next) as (keyof TileProps)[]).some((name) => name !== "isLoading" && next[name] !== this.props[name]);
  }

  /** Stop the download: the browser would finish it, before those of the tiles that are visible now. */
  override componentWillUnmount(): void {
    if (this.image.current && !this.image.current.complete) this.image.current.removeAttribute("src");
  }

  override render({ item, index, x, y, size, isReachable, isLoading, isSelected, onClick, onFocus, onBroken }: TileProps) {
    this.hasStarted ||= isLoading;
    return (
      <div role="listitem" class="tile" style={{ transform: `translate(${x}px, ${y}px)`, width: `${size}px`, height: `${size}px` }}>
        <button type="button" data-index={index} tabIndex={isReachable ? 0 : -1} aria-label={item.thumbnail_url ? `${item.name}, ${workflowTitle(item.workflow)}` : undefined}
          aria-pressed={isSelected ?? undefined} onClick={(event) => onClick(index, event)} onFocus={() => onFocus(index)}>
          {!item.thumbnail_url ? <Stand item={item} />
            : this.hasStarted && <img ref={this.image} src={pathOf(item.thumbnail_url)} alt="" width={size} height={size} decoding="async" draggable={false} onError={() => onBroken(item)} />}
        </button>
      </div>
    );
  }
}

/** What stands for an output that has no thumbnail. */
function Stand({ item }: { item: ListedOutput }) {
  const icon = item.kind === "video" ? "play" : item.kind === "audio" ? "play" : "log";
  if (item.kind === "text" && item.value !== null) {
    return <span class="tile-text mono">{typeof item.value === "string" ? item.value.slice(0, 400) : JSON.stringify(item.value, null, 1).slice(0, 400)}</span>;
  }
  return (
    <span class="tile-stand">
      <Icon name={icon} size={26} />
      <span class="truncate small">{item.name}</span>
      <span class="soft small">{text.gallery.kinds[item.kind]} · {formatBytes(item.size_bytes)}</span>
    </span>
  );
}
