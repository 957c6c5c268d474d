import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { Button, SelectField, TextField } from "../../ui/controls";
import { ConfirmDialog } from "../../ui/dialog";
import { Table } from "../../ui/list";
import { Empty, Loaded, PageHead } from "../../ui/show";

const t = text.policy;

type Kind = "classes" | "packs";
type Verdict = "allow" | "deny";
type Rule = { name: string; verdict: Verdict; isFromSettings: boolean };
type RuleChange = { kind: Kind; name: string; verdict: Verdict | "remove" };

export default function PolicyPage() {
  const rules = useResource("class-rules", () => unwrap(api.GET("/api/v1/admin/class-rules")));
  const [change, setChange] = useState<RuleChange | null>(null);
  return (
    <>
      <PageHead title={t.title} intro={t.intro} />
      <Loaded resource={rules}>
        {(known) => (
          <div class="side-by-side">
            <Rules kind="classes" rules={rulesOf(known, "classes")} onChange={setChange} />
            <Rules kind="packs" rules={rulesOf(known, "packs")} onChange={setChange} />
          </div>
        )}
      </Loaded>
      {change && (
        <ConfirmDialog title={`${change.name}: ${t.confirm[change.verdict]}`} effects={[t.effects[change.verdict]]}
          action={change.verdict === "remove" ? t.remove : t[change.verdict]} isDangerous={change.verdict === "allow"}
          onConfirm={() => saveRule(change).then(rules.reload)} onClose={() => setChange(null)} />
      )}
    </>
  );
}

function Rules({ kind, rules, onChange }: { kind: Kind; rules: readonly Rule[]; onChange: (change: RuleChange) => void }) {
  const [name, setName] = useState("");
  const [verdict, setVerdict] = useState<Verdict>("allow");
  const title = t[kind];
  return (
    <section class="stack">
      <h2>{title}</h2>
      {rules.length === 0 ? (
        <Empty icon="shield" title={t.empty}><p>{t.emptyHint}</p></Empty>
      ) : (
        <Table label={title} columns={[t.name, t.verdict, t.actions]}>
          {rules.map((rule) => (
            <tr key={`${rule.verdict} ${rule.name}`}>
              <td class="mono">{rule.name}</td>
              <td><span class={`badge ${rule.verdict === "allow" ? "good" : "bad"}`}>{t[rule.verdict]}</span></td>
              <td>
                {rule.isFromSettings ? <span class="soft small">{t.fromSettings}</span> : (
                  <Button isSmall aria-label={`${t.remove} ${rule.name}`} onClick={() => onChange({ kind, name: rule.name, verdict: "remove" })}>{t.remove}</Button>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
      <form class="filters" onSubmit={(event) => { event.preventDefault(); if (name.trim()) onChange({ kind, name: name.trim(), verdict }); }}>
        <TextField label={kind === "classes" ? t.className : t.packName} value={name} onValue={setName} required />
        <SelectField label={t.verdict} value={verdict} onValue={(value) => setVerdict(value as Verdict)}
          options={[{ value: "allow", label: t.allow }, { value: "deny", label: t.deny }]} />
        <Button type="submit" icon="plus">{t.add}</Button>
      </form>
    </section>
  );
}

function rulesOf(known: Schemas["ClassRulesBody"], kind: Kind): Rule[] {
  const named = (names: readonly string[], verdict: Verdict, isFromSettings: boolean) => names.map((name) => ({ name, verdict, isFromSettings }));
  return [
    ...named(known[`allowed_${kind}`], "allow", false),
    ...named(known[`denied_${kind}`], "deny", false),
    ...named(known.from_settings[`allowed_${kind}`], "allow", true),
    ...named(known.from_settings[`denied_${kind}`], "deny", true),
  ].sort((one, other) => one.name.localeCompare(other.name));
}

/** Create or remove a rule. Names may have any characters, so each is one escaped part of the path. */
async function saveRule({ kind, name, verdict }: RuleChange): Promise<void> {
  if (kind === "classes") {
    const params = { path: { class_name: name } };
    const path = "/api/v1/admin/class-rules/classes/{class_name}";
    await (verdict === "remove" ? unwrap(api.DELETE(path, { params })) : unwrap(api.PUT(path, { params, body: { verdict } })));
  } else {
    const params = { path: { pack: name } };
    const path = "/api/v1/admin/class-rules/packs/{pack}";
    await (verdict === "remove" ? unwrap(api.DELETE(path, { params })) : unwrap(api.PUT(path, { params, body: { verdict } })));
  }
}
