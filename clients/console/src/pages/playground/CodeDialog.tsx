/** The same job as code for a terminal, Python, or an external system over NATS. */
import { useState } from "preact/hooks";

import { text } from "../../text";
import { copyText } from "../../ui/clipboard";
import { Button } from "../../ui/controls";
import { attempt, Dialog } from "../../ui/dialog";
import type { Submission } from "./settings";
import { snippet, type Language } from "./snippets";

const LANGUAGES: readonly Language[] = ["curl", "python", "nats"];
const words = text.playground.code;

export function CodeDialog({ submission, onClose }: { submission: Submission; onClose: () => void }) {
  return (
    <Dialog title={words.title} isWide onClose={onClose}>
      <CodeTabs snippetOf={(language) => snippet(language, submission, location.origin)} />
      <p class="small soft">{words.key} <a href="/account/keys" onClick={onClose}>{words.makeKey}</a></p>
    </Dialog>
  );
}

/** Tabs with the same request in several languages. */
export function CodeTabs({ snippetOf }: { snippetOf: (language: Language) => string }) {
  const [language, setLanguage] = useState<Language>("curl");
  const code = snippetOf(language);
  function onKey(event: KeyboardEvent): void {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const next = LANGUAGES[(LANGUAGES.indexOf(language) + step + LANGUAGES.length) % LANGUAGES.length]!;
    setLanguage(next);
    document.getElementById(`code-tab-${next}`)?.focus();
  }
  return (
    <div class="stack">
      <div class="tabs" role="tablist" aria-label={words.title} onKeyDown={onKey}>
        {LANGUAGES.map((name) => (
          <button key={name} id={`code-tab-${name}`} type="button" role="tab" aria-selected={name === language} aria-controls="code-panel"
            tabIndex={name === language ? 0 : -1} onClick={() => setLanguage(name)}>
            {words[name]}
          </button>
        ))}
      </div>
      <div id="code-panel" role="tabpanel" aria-labelledby={`code-tab-${language}`} class="stack">
        <pre class="code" tabIndex={0}><code>{code}</code></pre>
        {words.notes[language] && <p class="small soft">{words.notes[language]}</p>}
        <div class="row"><Button icon="copy" onClick={() => void attempt(() => copyText(code), text.common.copied)}>{text.common.copy}</Button></div>
      </div>
    </div>
  );
}
