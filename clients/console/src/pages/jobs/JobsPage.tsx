import "./jobs.css";

import { useComputed } from "@preact/signals";
import { useCallback, useEffect, useMemo, useRef } from "preact/hooks";

import * as jobsApi from "../../api/jobs";
import { useShortcut } from "../../shell/shortcuts";
import { useQuery } from "../../shell/query";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { ProblemNotice } from "../../ui/dialog";
import { FilterSelect } from "../../ui/list";
import { Empty, PageHead, Skeleton } from "../../ui/show";
import { BulkBar } from "./BulkBar";
import { FilterBar } from "./FilterBar";
import { isFiltered, queryOf } from "./filters";
import { JobRow } from "./JobRow";
import { JobList } from "./store";

const STATUSES = (["pending", "processing", "completed", "failed", "cancelled"] as const).map((status) => [status, text.status[status]] as const);

export default function JobsPage() {
  const [filters, setFilters] = useQuery("status", "workflow", "label", "time");
  const key = JSON.stringify(filters);
  const list = useMemo(() => new JobList(() => queryOf(filters, Date.now()), jobsApi), [key]);
  useEffect(() => list.start(), [list]);
  return (
    <>
      <PageHead title={text.jobs.title} intro={text.jobs.intro} />
      <FilterBar values={filters} all={filters} onValues={setFilters} onClear={() => setFilters({ status: "", workflow: "", label: "", time: "" })}>
        <FilterSelect label={text.jobs.status} value={filters.status} options={STATUSES} onValue={(status) => setFilters({ status })} />
      </FilterBar>
      <Listing key={key} list={list} isFilteredList={isFiltered(filters)} />
      <BulkBar list={list} />
    </>
  );
}

function Listing({ list, isFilteredList }: { list: JobList; isFilteredList: boolean }) {
  const { value: ids } = list.ids;
  const { value: problem } = list.problem;
  return (
    <>
      {problem && <ProblemNotice problem={problem} onRetry={() => void list.refresh()} />}
      {ids === undefined ? !problem && <Skeleton lines={6} /> : ids.length === 0 ? <NoJobs isFilteredList={isFilteredList} /> : <JobTable list={list} ids={ids} />}
      {list.hasMore.value && <div><Button isDisabled={list.isLoading.value} onClick={() => void list.loadMore()}>{text.common.more}</Button></div>}
    </>
  );
}

function NoJobs({ isFilteredList }: { isFilteredList: boolean }) {
  if (isFilteredList) return <Empty icon="search" title={text.jobs.noMatchTitle}><p>{text.jobs.noMatchBody}</p></Empty>;
  return (
    <Empty icon="list" title={text.jobs.emptyTitle}>
      <p>{text.jobs.emptyBody}</p>
      <a class="button primary" href="/">{text.jobs.emptyAction}</a>
    </Empty>
  );
}

function JobTable({ list, ids }: { list: JobList; ids: readonly string[] }) {
  const table = useRef<HTMLTableElement>(null);
  useRowKeys(table, list);
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={text.jobs.title}>
      <table ref={table} class="table jobs-table">
        <thead>
          <tr>
            <th scope="col" class="check-cell"><SelectAll list={list} count={ids.length} /></th>
            <th scope="col">{text.jobs.status}</th>
            <th scope="col">{text.jobs.job}</th>
            <th scope="col" class="labels-cell">{text.job.labels}</th>
            <th scope="col">{text.jobs.created}</th>
            <th scope="col" class="number wide-only">{text.jobs.duration}</th>
            <th scope="col" class="number wide-only">{text.jobs.outputs}</th>
          </tr>
        </thead>
        <tbody>{ids.map((id) => <JobRow key={id} list={list} id={id} />)}</tbody>
      </table>
    </div>
  );
}

function SelectAll({ list, count }: { list: JobList; count: number }) {
  const box = useRef<HTMLInputElement>(null);
  const selected = useComputed(() => list.selected.value.size).value;
  useEffect(() => {
    box.current!.indeterminate = selected > 0 && selected < count;
  }, [selected, count]);
  return <input ref={box} type="checkbox" aria-label={text.jobs.selectAll} checked={selected > 0 && selected === count} onClick={(event) => list.selectAll(event.currentTarget.checked)} />;
}

/** j and k move the focus from row to row, Enter opens the focused job, x selects it. */
function useRowKeys(table: { current: HTMLTableElement | null }, list: JobList): void {
  const move = useCallback((step: 1 | -1) => {
    const links = [...table.current!.querySelectorAll<HTMLAnchorElement>(".job-link")];
    const current = links.findIndex((link) => link.closest("tr")!.contains(document.activeElement));
    const target = links[current < 0 ? 0 : Math.min(links.length - 1, Math.max(0, current + step))];
    target?.focus();
    target?.closest("tr")?.scrollIntoView({ block: "nearest" });
  }, []);
  const toggle = useCallback(() => {
    const id = document.activeElement?.closest<HTMLElement>("[data-job]")?.dataset["job"];
    if (id) list.select(id, !list.selected.peek().has(id), false);
  }, [list]);
  useShortcut("j", text.jobs.next, useCallback(() => move(1), [move]));
  useShortcut("k", text.jobs.previous, useCallback(() => move(-1), [move]));
  useShortcut("x", text.jobs.toggle, toggle);
}
