/** Filters that the lists of jobs and outputs share. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { text, workflowTitle } from "../../text";
import { Button } from "../../ui/controls";
import { Filters, FilterSelect } from "../../ui/list";
import { isFiltered, isLabel, TIMES } from "./filters";

const BUILT_IN = ["text-to-image", "image-to-image", "inpaint", "custom"];

type BarProps = {
  values: { workflow: string; label: string; time: string };
  /** All filters of the page, also those in `children`. */
  all: Partial<Record<string, string>>;
  onValues: (changes: Partial<Record<"workflow" | "label" | "time", string>>) => void;
  onClear: () => void;
  children: ComponentChildren;
};

export function FilterBar({ values, all, onValues, onClear, children }: BarProps) {
  const saved = useResource("workflows:100", () => unwrap(api.GET("/api/v1/workflows", { params: { query: { limit: 100 } } })));
  const names = [...new Set([...BUILT_IN, ...(saved.data?.workflows.map(({ name }) => name) ?? []), ...(values.workflow ? [values.workflow] : [])])];
  return (
    <Filters>
      {children}
      <FilterSelect label={text.jobs.workflow} value={values.workflow} options={names.map((name) => [name, workflowTitle(name)] as const)} onValue={(workflow) => onValues({ workflow })} />
      <FilterSelect label={text.jobs.created} all={text.jobs.times[""]} value={values.time} options={TIMES.map((time) => [time, text.jobs.times[time]] as const)} onValue={(time) => onValues({ time })} />
      <LabelFilter value={values.label} onValue={(label) => onValues({ label })} />
      {isFiltered(all) && <Button look="quiet" icon="close" onClick={onClear}>{text.jobs.clearFilters}</Button>}
    </Filters>
  );
}

function LabelFilter({ value, onValue }: { value: string; onValue: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  const isInvalid = typed !== "" && !isLabel(typed);
  const apply = () => !isInvalid && typed !== value && onValue(typed);
  return (
    <form class="filter" onSubmit={(event) => { event.preventDefault(); apply(); }}>
      <label class="soft small" for="label-filter">{text.jobs.label}</label>
      <input class="input" id="label-filter" type="search" data-search placeholder={text.jobs.labelHint} value={typed}
        aria-invalid={isInvalid ? "true" : undefined} aria-describedby={isInvalid ? "label-filter-error" : undefined}
        onInput={(event) => setTyped(event.currentTarget.value)} onBlur={apply} />
      {isInvalid && <span id="label-filter-error" class="error small">{text.jobs.labelInvalid}</span>}
    </form>
  );
}
