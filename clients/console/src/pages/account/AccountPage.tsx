import "./account.css";

import type { ComponentType } from "preact";
import { useRoute } from "preact-iso";
import { useEffect, useState } from "preact/hooks";

import { me } from "../../api/session";
import { text } from "../../text";
import { PageHead, Skeleton } from "../../ui/show";
import { DataSection } from "./DataSection";
import { KeysSection } from "./KeysSection";
import { OverviewSection } from "./OverviewSection";
import { SecuritySection } from "./SecuritySection";

const SECTIONS: Record<string, { label: string; section: ComponentType }> = {
  overview: { label: text.account.overview, section: OverviewSection },
  usage: { label: text.account.usage, section: LoadedUsage },
  keys: { label: text.account.keys, section: KeysSection },
  sessions: { label: text.account.sessions, section: SecuritySection },
  data: { label: text.account.data, section: DataSection },
};

/** The charts are large: their code is loaded when this section is opened. */
function LoadedUsage() {
  const [Section, setSection] = useState<ComponentType | null>(null);
  useEffect(() => void import("./UsageSection").then(({ default: found }) => setSection(() => found)), []);
  return Section ? <Section /> : <Skeleton lines={6} />;
}

export default function AccountPage() {
  const name = useRoute().params["section"] ?? "overview";
  const { section: Section } = SECTIONS[name] ?? SECTIONS["overview"]!;
  const { username, email } = me.value!;
  return (
    <>
      <PageHead title={text.account.title} intro={`${username} · ${email}`} />
      <nav class="tabs" aria-label={text.account.title}>
        {Object.entries(SECTIONS).map(([key, { label }]) => (
          <a key={key} href={key === "overview" ? "/account" : `/account/${key}`} aria-current={key === name ? "page" : undefined}>{label}</a>
        ))}
      </nav>
      <Section />
    </>
  );
}
