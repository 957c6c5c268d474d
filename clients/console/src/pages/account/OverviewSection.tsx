import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { loadMe, me } from "../../api/session";
import { text } from "../../text";
import { formatBytes, formatDuration, formatNumber } from "../../ui/format";
import { Ago, LocalTime } from "../../ui/show";

export function OverviewSection() {
  useEffect(() => {
    loadMe().catch(() => undefined); // what is known stays
  }, []);
  const today = useResource("usage?days=1", () => unwrap(api.GET("/api/v1/usage", { params: { query: { days: 1 } } })));
  const { limits, used_today, left_today, resets_at, running, queued, tier, role, created_at } = me.value!;
  const gpuSeconds = today.data?.usage[0]?.gpu_seconds ?? 0;
  return (
    <div class="stack loose">
      <section class="columns figures" aria-label={text.account.today}>
        <Quota label={text.account.images} used={used_today} limit={limits.images_per_day} show={formatNumber}
          hint={<>{left_today === null ? text.account.noLimit : text.account.left(formatNumber(left_today))} · {text.account.resets} <Ago at={resets_at} /></>} />
        <Quota label={text.account.gpuTime} used={gpuSeconds} limit={limits.gpu_seconds_per_day ?? null} show={formatDuration}
          hint={limits.gpu_seconds_per_day == null ? text.account.noLimit : text.account.left(formatDuration(Math.max(0, limits.gpu_seconds_per_day - gpuSeconds)))} />
        <Quota label={text.account.running} used={running} limit={limits.max_running} show={formatNumber} hint={text.account.runningHint} />
        <Quota label={text.account.queued} used={queued} limit={limits.queue_cap} show={formatNumber} hint={text.account.queuedHint} />
      </section>
      <div class="columns account-facts">
        <section class="card stack" aria-labelledby="limits-title">
          <h2 id="limits-title">{text.account.limits}</h2>
          <dl class="facts">
            <dt>{text.account.requests}</dt><dd>{orUnlimited(limits.requests_per_minute, formatNumber)}</dd>
            <dt>{text.account.startTime}</dt><dd>{orUnlimited(limits.start_seconds, formatDuration)}</dd>
            <dt>{text.account.runTime}</dt><dd>{orUnlimited(limits.run_seconds, formatDuration)}</dd>
            <dt>{text.account.resultDays}</dt><dd>{orUnlimited(limits.result_days, text.account.days)}</dd>
            <dt>{text.account.uploadDays}</dt><dd>{orUnlimited(limits.upload_days, text.account.days)}</dd>
            <dt>{text.account.resultBytes}</dt><dd>{orUnlimited(limits.result_bytes, formatBytes)}</dd>
            <dt>{text.account.uploadBytes}</dt><dd>{orUnlimited(limits.upload_bytes, formatBytes)}</dd>
            <dt>{text.account.graphNodes}</dt><dd>{orUnlimited(limits.graph_nodes, formatNumber)}</dd>
            <dt>{text.account.graphPixels}</dt><dd>{orUnlimited(limits.graph_pixels, (pixels) => `${formatNumber(Math.round(pixels / 1e6))} MP`)}</dd>
            <dt>{text.account.graphPolicy}</dt><dd>{text.account.policies[limits.graph_policy ?? "strict"]}</dd>
          </dl>
          <p class="soft small">{text.account.limitsHint}</p>
        </section>
        <section class="card stack" aria-labelledby="profile-title">
          <h2 id="profile-title">{text.account.profile}</h2>
          <dl class="facts">
            <dt>{text.account.tier}</dt><dd>{tier}</dd>
            <dt>{text.account.role}</dt><dd>{role}</dd>
            <dt>{text.account.since}</dt><dd><LocalTime at={created_at} /></dd>
          </dl>
        </section>
      </div>
    </div>
  );
}

function orUnlimited(limit: number | null | undefined, show: (value: number) => string): string {
  return limit == null ? text.common.unlimited : show(limit);
}

type QuotaProps = { label: string; used: number; limit: number | null; show: (value: number) => string; hint: ComponentChildren };

/** A figure with how much of its limit it is. */
function Quota({ label, used, limit, show, hint }: QuotaProps) {
  const part = limit === null ? 0 : limit === 0 ? 1 : Math.min(1, used / limit);
  return (
    <div class="card stat">
      <div class="soft small">{label}</div>
      <div class="value">{show(used)}{limit !== null && <span class="soft quota-limit"> / {show(limit)}</span>}</div>
      {limit !== null && (
        <div class={part >= 0.9 ? "progress quota full" : "progress quota"} role="meter" aria-label={label} aria-valuenow={used} aria-valuemin={0} aria-valuemax={limit}>
          <span style={{ transform: `scaleX(${part})` }} />
        </div>
      )}
      <div class="soft small">{hint}</div>
    </div>
  );
}
