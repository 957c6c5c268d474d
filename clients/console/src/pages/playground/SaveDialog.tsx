/** Saves a graph as a workflow: its name, and which of its inputs become parameters. */
import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { Problem } from "../../api/problem";
import { text } from "../../text";
import { Button, TextField } from "../../ui/controls";
import { Dialog, ProblemNotice, showToast } from "../../ui/dialog";
import { isWorkflowName, parameterOf, workflowName, type Graph, type GraphInput } from "./graph";

const words = text.playground.save;

export function SaveDialog({ graph, inputs, onClose }: { graph: Graph; inputs: readonly GraphInput[]; onClose: () => void }) {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(inputs.filter(({ advanced }) => !advanced).map((input) => input.name)));
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  const { route } = useLocation();
  const clean = workflowName(name);

  async function save(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    const parameters = Object.fromEntries(inputs.filter((input) => chosen.has(input.name)).map((input) => [input.name, parameterOf(input, inputs)]));
    try {
      const body = { workflow: graph, parameters, ...(description.trim() ? { description: description.trim() } : {}) };
      const saved = await unwrap(api.PUT("/api/v1/workflows/{workflow_name}", { params: { path: { workflow_name: clean } }, body: body as never }));
      onClose();
      showToast(`${words.saved} ${saved.name}, ${text.workflows.version} ${saved.version}.`, "good");
      route(`/workflows/${saved.name}`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      setBusy(false);
    }
  }

  return (
    <Dialog title={words.title} onClose={onClose}>
      <form class="stack" onSubmit={(event) => void save(event)}>
        <TextField label={words.name} value={name} onValue={setName} autoFocus autocomplete="off" hint={clean && clean !== name ? `${words.savedAs} ${clean}` : words.nameHint} />
        <TextField label={words.description} value={description} onValue={setDescription} maxLength={2000} />
        <fieldset class="field">
          <legend class="label">{words.parameters}</legend>
          <p class="hint">{words.parametersHint}</p>
          <ul class="choose-list">
            {inputs.map((input) => (
              <li key={input.name}>
                <label class="check">
                  <input type="checkbox" checked={chosen.has(input.name)} onChange={({ currentTarget }) => {
                    const changed = new Set(chosen);
                    if (currentTarget.checked) changed.add(input.name);
                    else changed.delete(input.name);
                    setChosen(changed);
                  }} />
                  <span>{input.title} <span class="soft small">{input.node_title || input.node_class} · <code>{input.name}</code></span></span>
                </label>
              </li>
            ))}
          </ul>
        </fieldset>
        {problem && <ProblemNotice problem={problem} />}
        <div class="dialog-actions">
          <Button onClick={onClose}>{text.common.back}</Button>
          <Button type="submit" look="primary" isDisabled={isBusy || !isWorkflowName(clean)}>{text.common.save}</Button>
        </div>
      </form>
    </Dialog>
  );
}
