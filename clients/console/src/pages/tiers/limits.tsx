/** Limits of a tier or a user: what they are called, how they are shown, and the form that changes them. */
import type { Schemas } from "../../api/client";
import { text } from "../../text";
import { NumberField, SelectField } from "../../ui/controls";
import { formatBytes, formatDuration, formatNumber } from "../../ui/format";

export type Limits = Schemas["Limits"];
export type LimitName = keyof typeof text.tiers.limits;

export const LIMIT_NAMES = Object.keys(text.tiers.limits) as LimitName[];
const BYTES: ReadonlySet<LimitName> = new Set(["graph_text_bytes", "result_bytes", "upload_bytes"]);
const SECONDS: ReadonlySet<LimitName> = new Set(["start_seconds", "run_seconds", "gpu_seconds_per_day"]);
const NEVER_EMPTY: ReadonlySet<LimitName> = new Set(["weight"]);

export function showLimit(name: LimitName, value: Limits[LimitName]): string {
  if (value === null || value === undefined) return text.common.unlimited;
  if (typeof value === "string") return value;
  if (BYTES.has(name)) return formatBytes(value);
  if (SECONDS.has(name)) return formatDuration(value);
  return formatNumber(value);
}

export type Change = { name: LimitName; before: string; after: string };

/** What differs, in the order of the form. */
export function changesOf(before: Limits, after: Limits): Change[] {
  return LIMIT_NAMES.filter((name) => (before[name] ?? null) !== (after[name] ?? null)).map((name) => ({
    name,
    before: showLimit(name, before[name]),
    after: showLimit(name, after[name]),
  }));
}

/** Only what differs, as the API takes it. */
export function limitsPatch(before: Limits, after: Limits): Schemas["LimitsRequest"] {
  return Object.fromEntries(changesOf(before, after).map(({ name }) => [name, after[name] ?? null])) as Schemas["LimitsRequest"];
}

/** What the server says that a change would do, from its answer to a dry run. */
export function effectsOf(answer: object): string[] {
  return "effects" in answer ? (answer as Schemas["DryRunBody"]).effects.map(({ message }) => message) : [];
}

export function Changes({ changes }: { changes: readonly Change[] }) {
  return (
    <dl class="changes">
      {changes.map(({ name, before, after }) => [
        <dt key={name}>{text.tiers.limits[name]}</dt>,
        <dd key={`${name}=`}><del>{before}</del> → <ins>{after}</ins></dd>,
      ])}
    </dl>
  );
}

export function LimitsForm({ limits, onChange }: { limits: Limits; onChange: (limits: Limits) => void }) {
  return (
    <div class="columns">
      {LIMIT_NAMES.map((name) => name === "graph_policy" ? (
        <SelectField key={name} label={text.tiers.limits[name]} value={limits.graph_policy ?? "strict"} options={["strict", "open"]}
          onValue={(value) => onChange({ ...limits, graph_policy: value as Limits["graph_policy"] })} />
      ) : (
        <NumberField key={name} label={text.tiers.limits[name]} value={limits[name] ?? null} min={0} step="any"
          placeholder={NEVER_EMPTY.has(name) ? undefined : text.common.unlimited}
          onValue={(value) => (value !== null || !NEVER_EMPTY.has(name)) && onChange({ ...limits, [name]: value })} />
      ))}
    </div>
  );
}
