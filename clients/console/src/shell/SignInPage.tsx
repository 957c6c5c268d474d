import { useEffect, useState } from "preact/hooks";

import { Problem } from "../api/problem";
import { linkProblem, signIn } from "../api/session";
import { text } from "../text";
import { Button, TextField } from "../ui/controls";
import { ProblemNotice } from "../ui/dialog";
import icon from "./icon.svg";

export function SignInPage() {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<Problem | null>(linkProblem.value);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    document.title = `${text.signIn.title} · ${text.product}`;
  }, []);
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await signIn(username, password);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      setBusy(false);
    }
  }
  return (
    <main class="sign-in">
      <form class="card stack" onSubmit={(event) => void submit(event)}>
        <img src={icon} alt="" width={36} height={36} />
        <div>
          <h1>{text.product}</h1>
          <p class="soft">{text.signIn.intro}</p>
        </div>
        <TextField label={text.signIn.username} name="username" autoComplete="username" autoFocus required value={username} onValue={setUsername} />
        <TextField label={text.signIn.password} name="password" type="password" autoComplete="current-password" required value={password} onValue={setPassword} />
        {problem && <ProblemNotice problem={problem} />}
        <Button type="submit" look="primary" isDisabled={isBusy}>{isBusy ? text.signIn.busy : text.signIn.submit}</Button>
        <p class="soft small">{text.signIn.forgotten}</p>
      </form>
    </main>
  );
}
