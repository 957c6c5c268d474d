import "./gallery.css";

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";

import { listOutputs, mediaItem, type ListedOutput } from "../../api/outputs";
import { usePagedList } from "../../api/paged";
import { useQuery } from "../../shell/query";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { ProblemNotice } from "../../ui/dialog";
import { Icon } from "../../ui/icons";
import { FilterSelect } from "../../ui/list";
import { Empty, PageHead } from "../../ui/show";
import { saveOutput, Viewer } from "../../ui/viewer";
import { FilterBar } from "../jobs/FilterBar";
import { isFiltered, queryOf } from "../jobs/filters";
import { KINDS, mergeNewest, renewed, selectedAfter } from "./outputs";
import { OutputGrid } from "./OutputGrid";
import { LinkRenewal } from "./renewal";
import { SelectionBar } from "./SelectionBar";

const PAGE = 100;
const REFRESH_MS = 15_000;
const NEAR_TOP = 200; // pixels; further down new outputs would move what the user looks at

export default function GalleryPage() {
  const [filters, setFilters] = useQuery("kind", "workflow", "label", "time");
  const key = JSON.stringify(filters);
  const query = useMemo(() => {
    const kind = KINDS.find((one) => one === filters.kind);
    return { ...queryOf({ ...filters, status: "" }, Date.now()), ...(kind ? { kind } : {}) };
  }, [key]);
  const readPage = async (cursor: string | null) => {
    const page = await listOutputs({ ...query, limit: PAGE, ...(cursor === null ? {} : { cursor }) });
    return { items: page.outputs, next: page.next_cursor };
  };
  const list = usePagedList(`outputs?${key}`, readPage);
  const current = useRef(list);
  current.current = list;
  const [opened, setOpened] = useState<number | null>(null);
  /** Index of the output that is open, or will open once its links are renewed. */
  const wanted = useRef<number | null>(null);

  useEffect(() => {
    const canRefresh = () => document.visibilityState === "visible" && scrollY <= NEAR_TOP && wanted.current === null && !document.querySelector("dialog[open]");
    const timer = setInterval(() => {
      if (!canRefresh()) return;
      void readPage(null).then((newest) => canRefresh() && list.merge((known) => mergeNewest(known, newest)), () => undefined);
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, [key]);

  const renewal = useMemo(() => new LinkRenewal(listOutputs, (outputs) => current.current.update((items) => renewed(items, outputs))), []);
  const renew = useCallback((item: ListedOutput) => renewal.renew(item), []);
  const show = useCallback(async (index: number | null) => {
    wanted.current = index;
    if (index !== null) await renew(current.current.items![index]!);
    if (wanted.current === index) setOpened(index);
  }, []);

  const { items } = list;
  const shown = useMemo(() => items?.map((output) => mediaItem(output, output.job_id)) ?? [], [items]);
  const [selected, setSelected] = useState<ReadonlySet<string> | null>(null);
  useEffect(() => {
    setSelected(null);
    void show(null);
  }, [key]);
  const clicked = useRef<{ selected: typeof selected; last: number | null }>({ selected, last: null });
  clicked.current.selected = selected;
  const click = useCallback((index: number, { shiftKey, ctrlKey, metaKey }: MouseEvent) => {
    const known = clicked.current;
    if (known.selected === null && !shiftKey && !ctrlKey && !metaKey) return void show(index);
    setSelected(selectedAfter(known.selected ?? new Set(), current.current.items!, index, shiftKey ? known.last : null));
    known.last = index;
  }, []);
  useEffect(() => {
    if (opened !== null && opened > shown.length - 10) list.loadMore();
  }, [opened, shown.length]);

  return (
    <>
      <PageHead title={text.gallery.title} intro={text.gallery.intro}>
        {items && items.length > 0 && <Button aria-pressed={selected !== null} onClick={() => setSelected(selected ? null : new Set())}>{text.gallery.select}</Button>}
      </PageHead>
      <FilterBar values={filters} all={filters} onValues={setFilters} onClear={() => setFilters({ kind: "", workflow: "", label: "", time: "" })}>
        <FilterSelect label={text.gallery.kind} value={filters.kind} options={KINDS.map((kind) => [kind, text.gallery.kinds[kind]] as const)} onValue={(kind) => setFilters({ kind })} />
      </FilterBar>
      {list.problem && <ProblemNotice problem={list.problem} onRetry={() => void list.reload()} />}
      {items === undefined ? !list.problem && <Tiles />
        : items.length === 0 ? <NoOutputs isFilteredList={isFiltered(filters)} />
        : <OutputGrid items={items} selected={selected} hasMore={list.hasMore} onMore={list.loadMore} onClick={click} onBroken={renew} />}
      {items && selected && selected.size > 0 && (
        <SelectionBar selected={selected} items={items} onClear={() => setSelected(null)} onPurged={(gone) => list.update((known) => known.filter(({ job_id }) => !gone.has(job_id)))} />
      )}
      {items && items.length > 0 && !list.hasMore && <p class="soft small gallery-end">{text.gallery.end(items.length)}</p>}
      {opened !== null && (
        <Viewer
          items={shown} index={opened} total={`${shown.length}${list.hasMore ? "+" : ""}`} onIndex={(index) => void show(index)} onClose={() => void show(null)}
          onSave={async ({ id }) => saveOutput(await renew(items!.find((output) => output.id === id)!))}
          actions={(item) => (
            <>
              <a class="button small" href={`/jobs/${item.jobId}`}><Icon name="list" />{text.viewer.openJob}</a>
              <a class="button small" href={`/?again=${item.jobId}`}><Icon name="refresh" />{text.viewer.again}</a>
            </>
          )}
        />
      )}
    </>
  );
}

function Tiles() {
  return <div class="tiles-loading" role="status" aria-label={text.common.loading}>{Array.from({ length: 12 }, (_, index) => <div key={index} class="skeleton" />)}</div>;
}

function NoOutputs({ isFilteredList }: { isFilteredList: boolean }) {
  if (isFilteredList) return <Empty icon="search" title={text.gallery.noMatchTitle}><p>{text.gallery.noMatchBody}</p></Empty>;
  return (
    <Empty icon="image" title={text.gallery.emptyTitle}>
      <p>{text.gallery.emptyBody}</p>
      <a class="button primary" href="/">{text.gallery.emptyAction}</a>
    </Empty>
  );
}
