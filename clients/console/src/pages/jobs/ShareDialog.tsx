/** Share a job with the other users of the fleet, or stop sharing it. */
import { useEffect, useState } from "preact/hooks";

import { endShare, readShare, shareJob } from "../../api/history";
import { Problem } from "../../api/problem";
import { text } from "../../text";
import { Button, SelectField } from "../../ui/controls";
import { attempt, Dialog, ProblemNotice } from "../../ui/dialog";
import { CopyButton } from "../../ui/list";
import { Ago, Skeleton } from "../../ui/show";

const DAY_S = 86_400;
const LIFETIMES = [1, 7, 30] as const;

export function ShareDialog({ jobId, onClose }: { jobId: string; onClose: () => void }) {
  const [endsAt, setEndsAt] = useState<string | null | undefined>(undefined);
  const [token, setToken] = useState<string | null>(null);
  const [days, setDays] = useState("7");
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    readShare(jobId).then(({ expires_at }) => setEndsAt(expires_at), (error: unknown) => {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 404) setEndsAt(null);
      else setProblem(error);
    });
  }, [jobId]);
  const share = () => attempt(async () => {
    const shared = await shareJob(jobId, Number(days) * DAY_S);
    setToken(shared.token);
    setEndsAt(shared.expires_at);
  });
  const stop = () => attempt(async () => {
    await endShare(jobId);
    setToken(null);
    setEndsAt(null);
  }, text.job.shareEnded);
  const link = token && `${location.origin}/shared/${token}`;
  return (
    <Dialog title={text.job.shareTitle} isOneTime={token !== null} onClose={onClose}>
      <p>{text.job.shareBody}</p>
      {problem ? <ProblemNotice problem={problem} /> : endsAt === undefined && <Skeleton lines={2} />}
      {link && (
        <div class="row share-link">
          <input class="input mono" readOnly aria-label={text.job.shareLink} value={link} onFocus={(event) => event.currentTarget.select()} />
          <CopyButton value={link} />
        </div>
      )}
      {endsAt && <p class="soft small">{text.job.shareEnds} <Ago at={endsAt} />. {!link && text.job.shareHidden}</p>}
      {endsAt !== undefined && !link && (
        <SelectField label={text.job.shareFor} value={days} onValue={setDays} options={LIFETIMES.map((count) => ({ value: String(count), label: text.account.days(count) }))} />
      )}
      <div class="dialog-actions">
        {endsAt && <Button look="danger" onClick={() => void stop()}>{text.job.shareStop}</Button>}
        {link ? <Button look="primary" onClick={onClose}>{text.common.close}</Button>
          : <Button look="primary" icon="link" isDisabled={endsAt === undefined} onClick={() => void share()}>{endsAt ? text.job.shareNew : text.job.shareMake}</Button>}
      </div>
    </Dialog>
  );
}
