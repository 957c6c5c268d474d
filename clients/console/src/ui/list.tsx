/** Parts of pages that show a list: filters above, the table, and the button that loads more. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

import type { PagedList } from "../api/paged";
import { text } from "../text";
import { copyText } from "./clipboard";
import { Button } from "./controls";
import { attempt, ProblemNotice } from "./dialog";
import { Icon } from "./icons";
import { Skeleton } from "./show";

export function Filters({ children }: { children: ComponentChildren }) {
  return <search class="filters">{children}</search>;
}

/** The page's search field: `/` focuses it, Enter or leaving it searches. */
export function SearchField({ label, value, onValue }: { label: string; value: string; onValue: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  return (
    <form class="search-field" onSubmit={(event) => { event.preventDefault(); onValue(typed.trim()); }}>
      <Icon name="search" />
      <input class="input" type="search" data-search aria-label={label} placeholder={label} value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)} onBlur={() => typed.trim() !== value && onValue(typed.trim())} />
    </form>
  );
}

/** A small select inside `<Filters>`; the first option, with an empty value, filters nothing. */
export function FilterSelect({ label, value, options, all = text.common.all, onValue }: { label: string; value: string; options: readonly (readonly [string, string])[]; all?: string; onValue: (value: string) => void }) {
  return (
    <label class="filter">
      <span class="soft small">{label}</span>
      <select class="input" value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        <option value="">{all}</option>
        {options.map(([key, name]) => <option key={key} value={key}>{name}</option>)}
      </select>
    </label>
  );
}

/** Shows the items with `children`, `empty` where there are none, and a button for the next page. */
export function Listed<T>({ list, empty, children }: { list: PagedList<T>; empty: ComponentChildren; children: (items: readonly T[]) => ComponentChildren }) {
  return (
    <>
      {list.problem && <ProblemNotice problem={list.problem} onRetry={() => void list.reload()} />}
      {list.items === undefined ? !list.problem && <Skeleton /> : list.items.length === 0 ? empty : children(list.items)}
      {list.hasMore && <div><Button isDisabled={list.isLoading} onClick={list.loadMore}>{text.common.more}</Button></div>}
    </>
  );
}

/** A table that scrolls sideways on narrow screens. `columns` are the texts of its head. */
export function Table({ label, columns, children }: { label: string; columns: readonly ComponentChildren[]; children: ComponentChildren }) {
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={label}>
      <table class="table">
        <thead><tr>{columns.map((column, index) => <th key={index} scope="col">{column}</th>)}</tr></thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** A button that copies a text. */
export function CopyButton({ value, label = text.common.copy }: { value: string; label?: string }) {
  return (
    <Button isSmall icon="copy" onClick={() => void attempt(() => copyText(value), text.common.copied)}>{label}</Button>
  );
}

/** The start of an id, which links to its page; the whole id on hover. */
export function Id({ value, href }: { value: string; href?: string }) {
  const short = `…${value.slice(-8)}`;
  return href ? <a class="mono" href={href} title={value}>{short}</a> : <span class="mono" title={value}>{short}</span>;
}
