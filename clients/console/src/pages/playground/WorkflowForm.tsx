/** A form of any workflow, which makes jobs from it. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { Problem, type FieldError } from "../../api/problem";
import { text } from "../../text";
import { missingKeys, roundedKeys, startValues, type FormField, type Values } from "../../ui/schema_fields";
import { SchemaForm } from "../../ui/schema_form";
import { focusFirstError } from "./BuiltInForm";
import { CodeDialog } from "./CodeDialog";
import { FormFoot, onSubmitKey, sendKey } from "./FormFoot";
import { keepForm, keptForm, submitJob } from "./jobs";
import { DrawMaskButton } from "./MaskDialog";
import { drawSeed, type Submission } from "./settings";

type Props = {
  /** Key under which the entered values are kept over a change of the page or a reload. The form starts with them. */
  name: string;
  label: string;
  title: ComponentChildren;
  fields: readonly FormField[];
  build: (values: Values, draw?: () => number) => Submission;
  /** Messages of a refusal by key of the field. */
  errorsOf: (errors: readonly FieldError[]) => Record<string, string>;
  onChange?: (values: Values) => void;
};

export function WorkflowForm({ name, label, title, fields, build, errorsOf, onChange }: Props) {
  const [values, setValues] = useState<Values>(() => ({ ...startValues(fields), ...keptForm<Values>(name) }));
  const [problem, setProblem] = useState<Problem | null>(null);
  const [missing, setMissing] = useState<readonly string[]>([]);
  const [isCodeOpen, setCodeOpen] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => onChange?.(values), [values]);

  const rounded = roundedKeys(fields, values);
  const errors = {
    ...(problem ? errorsOf(problem.errors) : {}),
    ...Object.fromEntries(missing.filter((key) => (values[key] ?? "") === "").map((key) => [key, text.schemaForm.missing])),
    ...Object.fromEntries(rounded.map((key) => [key, text.fields.rounded])),
  };

  async function submit(): Promise<void> {
    const absent = missingKeys(fields, values);
    setMissing(absent);
    setProblem(null);
    if (absent.length > 0 || rounded.length > 0) return focusFirstError(form.current!);
    try {
      await submitJob(build(values, drawSeed));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      focusFirstError(form.current!);
    }
  }

  return (
    <form ref={form} class="card play-form" aria-label={label} noValidate onKeyDown={(event) => onSubmitKey(event, submit)}
      onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <div class="play-fields">
        {title}
        {fields.length === 0 && <p class="soft">{text.schemaForm.noFields}</p>}
        <SchemaForm fields={fields} values={values} errors={errors} drawSeed={drawSeed}
          onValue={(key, value) => {
            const changed = { ...values, [key]: value };
            setValues(changed);
            keepForm(name, changed);
          }}
          imageActions={(field, image, setImage, first) =>
            field.kind === "mask" && first?.path ? <DrawMaskButton image={first} hasMask={image !== null} steps={[]} onDone={setImage} /> : null} />
      </div>
      <FormFoot label={text.schemaForm.run} problem={problem} shortcut={sendKey} onCode={rounded.length === 0 ? () => setCodeOpen(true) : undefined}
        isAtFields={problem !== null && Object.keys(errors).some((key) => fields.some((field) => field.key === key))} />
      {isCodeOpen && <CodeDialog submission={build(values)} onClose={() => setCodeOpen(false)} />}
    </form>
  );
}
