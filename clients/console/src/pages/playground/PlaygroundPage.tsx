import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function PlaygroundPage() {
  return <PageHead title={text.playground.title} />;
}
