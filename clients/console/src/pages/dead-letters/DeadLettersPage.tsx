import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function DeadLettersPage() {
  return <PageHead title={text.deadLetters.title} />;
}
