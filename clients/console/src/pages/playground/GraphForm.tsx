/** Any workflow of ComfyUI, pasted or dropped, as a form of its inputs. */
import { signal } from "@preact/signals";
import { useMemo, useState } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { parseExact } from "../../api/exact";
import { Problem } from "../../api/problem";
import { text } from "../../text";
import { Button, Field, IconButton } from "../../ui/controls";
import { ProblemNotice } from "../../ui/dialog";
import { FileDrop } from "../../ui/image_field";
import { download } from "../../ui/media";
import { roundedKeys, type Values } from "../../ui/schema_fields";
import { fieldsOfGraph, fillGraph, graphErrors, graphText, keepSeed, readForm, serverDraws, type Graph, type GraphForm as Described } from "./graph";
import { forgetForm } from "./jobs";
import { SaveDialog } from "./SaveDialog";
import { WorkflowForm } from "./WorkflowForm";

const words = text.playground.graph;
const FORM = "graph";

const described = signal<{ id: number; form: Described } | null>(null);
let nextId = 0;

/**
 * Describe a workflow and show it as a form.
 * @throws Problem if it is not a workflow.
 */
export async function openGraph(workflow: unknown): Promise<void> {
  const answer = await unwrap(api.POST("/api/v1/workflows/inputs", { body: { workflow: workflow as Graph }, parseAs: "text" }));
  forgetForm(FORM); // it has the values of the previous workflow
  described.value = { id: (nextId += 1), form: readForm(answer) };
}

export function GraphForm() {
  return described.value ? <Form key={described.value.id} form={described.value.form} /> : <PasteGraph />;
}

function PasteGraph() {
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);

  async function read(json: string): Promise<void> {
    setProblem(null);
    setFailure(null);
    let workflow: unknown;
    try {
      workflow = parseExact(json);
    } catch (error) {
      return setFailure(`${words.notJson} ${(error as Error).message}`);
    }
    setBusy(true);
    try {
      await openGraph(workflow);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      setBusy(false);
    }
  }

  async function take([file]: File[]): Promise<void> {
    const json = graphText(new Uint8Array(await file!.arrayBuffer()));
    if (json === null) return setFailure(words.noneInside);
    setTyped(json.length < 100_000 ? json : "");
    await read(json);
  }

  return (
    <form class="card stack" aria-label={words.title} onSubmit={(event) => { event.preventDefault(); void read(typed); }}>
      <div class="stack tight">
        <h2>{words.title}</h2>
        <p class="soft">{words.intro}</p>
      </div>
      <FileDrop label={words.choose} hint={words.hint} accept=".json,application/json,image/png" takesPaste isBusy={isBusy} onFiles={(files) => void take(files)} />
      <Field label={words.paste} error={failure}>
        {(wiring) => <textarea class="input mono" {...wiring} rows={8} spellcheck={false} value={typed} placeholder={words.placeholder} onInput={({ currentTarget }) => setTyped(currentTarget.value)} />}
      </Field>
      {problem && <ProblemNotice problem={problem} />}
      <div class="row"><Button type="submit" look="primary" isDisabled={isBusy || !typed.trim()}>{isBusy ? words.reading : words.read}</Button></div>
    </form>
  );
}

function Form({ form }: { form: Described }) {
  const fields = useMemo(() => fieldsOfGraph(form.inputs), [form]);
  const [values, setValues] = useState<Values>({});
  const [isSaving, setSaving] = useState(false);
  const isRounded = roundedKeys(fields, values).length > 0;
  const current = () => fillGraph(form.graph, form.inputs, fields, values, keepSeed);
  return (
    <div class="stack">
      <WorkflowForm name={FORM} label={words.formTitle} fields={fields} errorsOf={graphErrors} onChange={setValues}
        build={(entered, draw) => ({ workflow: fillGraph(form.graph, form.inputs, fields, entered, draw ?? serverDraws) })}
        title={
          <div class="stack tight">
            <div class="row">
              <h2 class="grow">{words.formTitle}</h2>
              <IconButton icon="close" isSmall label={words.another} onClick={() => (described.value = null)} />
            </div>
            <p class="soft small">{counted(Object.keys(form.graph).length, words.nodes)} · {counted(form.inputs.length, words.inputs)} · {counted(form.outputs.length, words.outputs)}</p>
            <div class="row wrap">
              <Button isSmall isDisabled={isRounded} onClick={() => setSaving(true)}>{words.save}</Button>
              <Button isSmall icon="download" isDisabled={isRounded} onClick={() => void download(new Blob([JSON.stringify(current(), null, 2)], { type: "application/json" }), "workflow.json")}>{words.download}</Button>
            </div>
            {form.outputs.length === 0 && <div class="notice warn">{words.noOutputs}</div>}
            {form.warnings.length > 0 && (
              <div class="notice warn"><ul class="small">{form.warnings.map(({ message }, index) => <li key={index}>{message}</li>)}</ul></div>
            )}
          </div>
        } />
      {isSaving && <SaveDialog graph={current()} inputs={form.inputs} onClose={() => setSaving(false)} />}
    </div>
  );
}

function counted(count: number, [one, many]: readonly [string, string]): string {
  return `${count} ${count === 1 ? one : many}`;
}
