import "./playground.css";

import { text } from "../../text";
import { PageHead } from "../../ui/show";
import { BuiltInForm, reuseSettings, startFrom } from "./BuiltInForm";
import { Results } from "./Results";

export default function PlaygroundPage() {
  return (
    <>
      <PageHead title={text.playground.title} />
      <div class="playground">
        <BuiltInForm />
        <Results onReuse={reuseSettings} onUseImage={startFrom} />
      </div>
    </>
  );
}
