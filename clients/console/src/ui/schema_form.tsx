/** A form of fields that come from JSON Schema: saved workflows and the inputs of any graph. */
import "./forms.css";

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { text } from "../text";
import { CheckField, Field, NumberField, SelectField } from "./controls";
import { SeedField } from "./fields";
import { contentPath, ImageField, type PickedImage } from "./image_field";
import { isFileKind, type FormField, type Value, type Values } from "./schema_fields";

type Props = {
  fields: readonly FormField[];
  values: Values;
  /** Messages by key of the field. */
  errors: Readonly<Record<string, string>>;
  onValue: (key: string, value: Value | null) => void;
  drawSeed: () => number;
  /** Further actions on a chosen image, for example drawing its mask. */
  imageActions?: (field: FormField, image: PickedImage | null, setImage: (image: PickedImage | null) => void, first: PickedImage | null) => ComponentChildren;
};

export function SchemaForm(props: Props) {
  const { fields, errors } = props;
  const usual = fields.filter(({ isAdvanced }) => !isAdvanced);
  const advanced = fields.filter(({ isAdvanced }) => isAdvanced);
  return (
    <>
      <Groups {...props} fields={usual} />
      {advanced.length > 0 && (
        <details class="advanced" open={advanced.some(({ key }) => errors[key]) || usual.length === 0 || undefined}>
          <summary>{text.schemaForm.advanced} ({advanced.length})</summary>
          <div class="stack"><Groups {...props} fields={advanced} /></div>
        </details>
      )}
    </>
  );
}

function Groups(props: Props) {
  const groups = groupByName(props.fields);
  return (
    <>
      {[...groups].map(([group, fields]) => {
        const controls = fields.map((field) => <SchemaField key={field.key} {...props} field={field} />);
        return group && fields.length > 1
          ? <fieldset key={group} class="schema-group"><legend>{group}</legend>{controls}</fieldset>
          : controls;
      })}
    </>
  );
}

function groupByName(fields: readonly FormField[]): Map<string, FormField[]> {
  const groups = new Map<string, FormField[]>();
  for (const field of fields) groups.set(field.group ?? "", [...(groups.get(field.group ?? "") ?? []), field]);
  return groups;
}

function SchemaField({ field, fields, values, errors, onValue, drawSeed, imageActions }: Props & { field: FormField }) {
  const { key, kind, min, max } = field;
  const [picked, setPicked] = useState<PickedImage | null>(null);
  const value = values[key] ?? null;
  const error = errors[key] ?? null;
  const label = field.isRequired ? `${field.label} (${text.schemaForm.required})` : field.label;
  const set = (changed: Value | null) => onValue(key, changed);

  if (isFileKind(kind)) {
    const image = imageOf(value, picked);
    const setImage = (chosen: PickedImage | null) => {
      setPicked(chosen);
      set(chosen?.id ?? null);
    };
    const other = fields.find((one) => one.kind === "image" && one.key !== key && values[one.key]);
    const first = other ? imageOf(values[other.key] ?? null, null) : null;
    const isFirst = fields.find((one) => isFileKind(one.kind))?.key === key;
    const actions = imageActions?.(field, image, setImage, first);
    return (
      <div class="stack tight">
        <ImageField label={label} kind={kind === "mask" ? "image" : kind} value={image} error={error} takesPaste={isFirst} onValue={setImage}>
          {image && actions}
        </ImageField>
        {!image && actions}
        {field.hint && <div class="hint small soft">{field.hint}</div>}
      </div>
    );
  }
  switch (kind) {
    case "boolean":
      return <CheckField label={label} hint={error ?? field.hint} isChecked={value === true} onValue={set} />;
    case "choice": {
      const choices = field.choices ?? [];
      const all = value === null || choices.includes(value) ? choices : [value, ...choices];
      const options = all.map((choice) => ({ value: String(choice), label: String(choice) }));
      return (
        <SelectField label={label} hint={field.hint} error={error} value={value === null ? "" : String(value)}
          options={value === null || !field.isRequired && field.start === null ? [{ value: "", label: text.schemaForm.choose }, ...options] : options}
          onValue={(chosen) => set(all.find((choice) => String(choice) === chosen) ?? null)} />
      );
    }
    case "integer":
    case "number":
      return (
        <NumberField label={label} hint={field.hint} error={error} min={min} max={max} step={kind === "integer" ? 1 : "any"}
          value={typeof value === "number" ? value : null} onValue={set} />
      );
    case "seed":
      return (
        <SeedField label={label} error={error} max={Math.min(max ?? Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)} draw={drawSeed}
          value={typeof value === "number" ? value : null} onValue={set} />
      );
    case "text":
      return (
        <Field label={label} hint={field.hint} error={error}>
          {(wiring) => <textarea class="input" {...wiring} rows={3} value={String(value ?? "")} onInput={({ currentTarget }) => set(currentTarget.value)} />}
        </Field>
      );
    case "line":
      return (
        <Field label={label} hint={field.hint} error={error}>
          {(wiring) => <input class="input" type="text" {...wiring} value={String(value ?? "")} onInput={({ currentTarget }) => set(currentTarget.value)} />}
        </Field>
      );
  }
}

function imageOf(value: Value | null, picked: PickedImage | null): PickedImage | null {
  if (typeof value !== "string" || value === "") return null;
  if (picked?.id === value) return picked;
  return { id: value, path: value.startsWith("output:") ? "" : contentPath(value), width: null, height: null };
}
